"""The walk itself: config → extract → normalize → load → ledger, for one workspace and for many."""

from etl.sync.many import open_walk, sync_workspaces
from etl.sync.one import Options
from etl.sync.report import Report
from etl.sync.run_log import RunLog

__all__ = ["Options", "Report", "RunLog", "open_walk", "sync_workspaces"]
