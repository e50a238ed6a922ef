"""The daemon in this process, where a real one would take too long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from etl.config import load_settings
from etl.daemon import daemon
from etl.standin import StandIn
from etl.warehouse import open_warehouse
from tests.acceptance.program import Program, populate


def test_told_to_stop_while_the_warehouse_does_not_answer(
    api: StandIn, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    settings = load_settings(program.config, program.environ)
    is_asked, may_answer = threading.Event(), threading.Event()

    def read_standings(_: object) -> dict[object, object]:
        is_asked.set()
        assert may_answer.wait(60)
        return {}

    monkeypatch.setattr(daemon, "read_standings", read_standings)
    monkeypatch.setattr(daemon.Daemon, "_end_anyway", lambda _: None)  # it would end this process

    async def live() -> None:
        it = daemon.Daemon(settings, open_warehouse(settings.warehouse), program.environ)
        running = asyncio.create_task(it.run())
        try:
            await asyncio.to_thread(is_asked.wait, 10)
            it.stop()
            await asyncio.wait_for(running, 10)
        finally:
            may_answer.set()

    asyncio.run(live())
