"""One pass over many workspaces: so many at a time, each on its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from etl.config import Api, Settings, Workspace
from etl.extract import Downloads
from etl.meter import Meter
from etl.stop import Stop
from etl.sync.one import Options, Walk, sync_workspace
from etl.sync.report import Report
from etl.warehouse import Warehouse


def _loads_at_a_time(api: Api) -> int:
    """Half as many as downloads: they share one interpreter, and each takes two sessions of the warehouse."""
    return (api.concurrency + 1) // 2


async def sync_workspaces(
    settings: Settings,
    warehouse: Warehouse,
    workspaces: Sequence[Workspace],
    options: Options,
    meters: Sequence[Meter],
    *,
    environ: Mapping[str, str] = os.environ,
) -> list[Report]:
    """Sync the workspaces, downloading at most `api.concurrency` at a time; a report each, in their order.

    Cancelling it ends what runs, cleanly; what has been committed stays.
    """
    # While answers are loaded the next ones download: the wire never waits for the warehouse.
    at_a_time = asyncio.Semaphore(settings.api.concurrency + _loads_at_a_time(settings.api))
    async with open_walk(settings.api, warehouse, environ, options) as walk:

        async def one(workspace: Workspace, meter: Meter) -> Report:
            async with at_a_time:
                return await sync_workspace(walk, workspace, meter)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*pair)) for pair in zip(workspaces, meters, strict=True)]
    return [task.result() for task in tasks]


@asynccontextmanager
async def open_walk(
    api: Api, warehouse: Warehouse, environ: Mapping[str, str], options: Options
) -> AsyncIterator[Walk]:
    """All that walks need, shared by the workspaces of a pass; on leaving, every load has ended."""
    loaders = ThreadPoolExecutor(warehouse.dialect.loaders or _loads_at_a_time(api), "load")
    loop = asyncio.get_running_loop()
    stop = Stop()
    try:
        async with Downloads(api) as downloads:
            yield Walk(
                api=api,
                downloads=downloads,
                warehouse=warehouse,
                environ=environ,
                options=options,
                stop=stop,
                run_in_loader=lambda function, *args: loop.run_in_executor(loaders, function, *args),
            )
    finally:
        stop.set()
        loaders.shutdown(wait=True)
