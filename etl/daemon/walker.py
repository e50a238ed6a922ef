"""One run, with what runs share while the daemon lives; a warehouse that went away is asked once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from msgspec.structs import replace

from etl.config import Api, Workspace
from etl.errors import WarehouseError, WarehouseLost
from etl.ledger import Trigger
from etl.meter import Meter
from etl.stop import Stop
from etl.sync import Options, Report, open_walk
from etl.sync.one import Walk, sync_workspace
from etl.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Walker:
    """Runs workspaces, as many at a time as it is asked to."""

    walk: Walk

    async def run(self, workspace: Workspace, trigger: Trigger) -> Report:
        """Sync the workspace; whatever goes wrong is in the report. Only cancelling is raised."""
        report = await self._run(workspace, trigger)
        if report.error_code in (WarehouseError.code, WarehouseLost.code):
            # A server that restarted has left us connections that lead nowhere; perhaps it is back already.
            await asyncio.to_thread(self.walk.warehouse.engine.dispose)
            if report.run_id is None:
                report = await self._run(workspace, trigger)
        return report

    async def _run(self, workspace: Workspace, trigger: Trigger) -> Report:
        walk = replace(self.walk, options=Options(trigger=trigger), stop=Stop())
        return await sync_workspace(walk, workspace, Meter(workspace.name))


@asynccontextmanager
async def open_walker(api: Api, warehouse: Warehouse, environ: Mapping[str, str]) -> AsyncIterator[Walker]:
    """A walker; on leaving, its loads have ended."""
    async with open_walk(api, warehouse, environ, Options(trigger="schedule")) as walk:
        yield Walker(walk)
