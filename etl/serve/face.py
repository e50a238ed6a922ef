"""What the HTTP side sees of the daemon, and all that it may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from etl.config import Settings
from etl.ledger import Trigger
from etl.streak import Streak
from etl.sync.report import Report
from etl.warehouse import Warehouse


class DaemonFace(Protocol):
    """The running daemon. Everything here is read and called on its event loop."""

    @property
    def settings(self) -> Settings:
        """The configuration in force: another one after SIGHUP."""

    @property
    def warehouse(self) -> Warehouse:
        """The open warehouse."""

    @property
    def queue_length(self) -> int:
        """Workspaces that wait for their turn."""

    @property
    def running(self) -> Mapping[str, float]:
        """Workspaces being synced now, with the monotonic time at which each began."""

    @property
    def streaks(self) -> Mapping[str, Streak]:
        """Failures in a row by workspace, as the daemon saw them."""

    @property
    def last_beat(self) -> float:
        """When the scheduler last did its round, by the monotonic clock."""

    @property
    def observers(self) -> list[Callable[[Report], None]]:
        """Each is called with the report of every finished run."""

    def next_run_at(self, name: str) -> datetime | None:
        """When the workspace's next run is planned: on schedule, or sooner after a failure."""

    def request_sync(self, workspace_name: str, trigger: Trigger) -> bool:
        """Sync the workspace as soon as there is room; False where no run will begin after this moment."""
