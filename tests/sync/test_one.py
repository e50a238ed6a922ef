"""One workspace's walk in this process: moments that a signal from outside cannot be aimed at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

from msgspec.structs import replace

from etl.config import load_settings
from etl.meter import Meter
from etl.standin import StandIn
from etl.sync import Report
from etl.sync.many import open_walk
from etl.sync.one import Options, sync_workspace
from etl.warehouse import open_warehouse
from tests.acceptance.program import Program, populate


def test_told_to_stop_just_as_the_run_was_opened(either: Program, api: StandIn) -> None:
    populate(api, "acme")
    either.configure(api.base_url, "acme")
    settings = load_settings(either.config, either.environ)

    async def live() -> Report:
        with closing(open_warehouse(settings.warehouse)) as warehouse:
            async with open_walk(settings.api, warehouse, either.environ, Options()) as walk:
                works: list[asyncio.Future[Any]] = []

                def run_in_loader(function: Callable[..., Any], *args: object) -> asyncio.Future[Any]:
                    works.append(walk.run_in_loader(function, *args))
                    if len(works) == 1:  # the opening: told before the walk hears of its end
                        works[0].add_done_callback(lambda _: walking.cancel())
                    return works[-1]

                told = replace(walk, run_in_loader=run_in_loader)
                walking = asyncio.create_task(sync_workspace(told, settings.workspaces[0], Meter("acme")))
                return await walking

    assert asyncio.run(live()).status == "interrupted"
    assert either.rows("SELECT status, error_code FROM sync_runs") == [("interrupted", "interrupted")]
    assert api.requests == []
    assert either.sync().exit_code == 0  # nothing stays locked
