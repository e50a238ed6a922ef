"""The daemon in this process, where a real one would take too long."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from etl.config import load_settings
from etl.daemon import daemon
from etl.daemon.standing import read_standings
from etl.standin import StandIn
from etl.standin.faults import SilentHeaders, Status
from etl.sync import Report, one
from etl.warehouse import Warehouse, open_warehouse
from tests.acceptance.program import Program, id_of, populate, sync_here, wait_until
from tests.receiver import Receiver


@pytest.fixture(autouse=True)
def _no_sudden_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end this process, a minute later."""
    monkeypatch.setattr(daemon.Daemon, "_end_anyway", lambda _: None)


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


def test_a_run_that_ends_while_the_ledger_is_read_knows_better(
    api: StandIn, program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ontora_etl.daemon")
    populate(api, "acme")
    program.configure(api.base_url, "acme", api={"max_attempts": 1}, sync={"schedule": "every 6h"})
    with closing(sync_here(program)) as passes:
        assert next(passes)[0].status == "succeeded"
        api.script(id_of("acme"), *[Status(503)] * 3)
        assert [next(passes)[0].status for _ in range(3)] == ["failed"] * 3
    settings = load_settings(program.config, program.environ)
    is_read, may_return = threading.Event(), threading.Event()

    def read_slowly(warehouse: Warehouse) -> object:
        standings = read_standings(warehouse)
        is_read.set()
        assert may_return.wait(60)
        return standings

    monkeypatch.setattr(daemon, "read_standings", read_slowly)

    async def live() -> int:
        it = daemon.Daemon(settings, open_warehouse(settings.warehouse), program.environ)
        ended: asyncio.Queue[Report] = asyncio.Queue()
        it.observers.append(ended.put_nowait)
        running = asyncio.create_task(it.run())
        await asyncio.to_thread(is_read.wait, 10)
        assert it.request_sync("acme", "webhook")
        assert (await ended.get()).status == "succeeded"
        may_return.set()
        await asyncio.to_thread(wait_until, lambda: "started" in caplog.text)
        failures = it.streaks["acme"].failures
        it.stop()
        await running
        return failures

    assert asyncio.run(live()) == 0


def test_a_warehouse_that_hangs_keeps_no_workspace_waiting(
    api: StandIn, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", sync={"schedule": "every 6h"})
    settings = load_settings(program.config, program.environ)
    may_answer = threading.Event()
    monkeypatch.setattr(daemon, "read_standings", lambda _: may_answer.wait(60))
    monkeypatch.setattr(daemon, "_STANDINGS_SECONDS", 0.2)

    async def live() -> Report:
        it = daemon.Daemon(settings, open_warehouse(settings.warehouse), program.environ)
        ended: asyncio.Queue[Report] = asyncio.Queue()
        it.observers.append(ended.put_nowait)
        running = asyncio.create_task(it.run())
        try:
            report = await asyncio.wait_for(ended.get(), 10)
        finally:
            may_answer.set()
        it.stop()
        await running
        return report

    assert asyncio.run(live()).status == "succeeded"


@pytest.mark.parametrize("other", ["dies", "succeeds"])
def test_a_run_that_met_another_processs_is_made_up_for_where_that_one_fails(
    api: StandIn, program: Program, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", sync={"schedule": "every 6h"})
    settings = load_settings(program.config, program.environ)
    monkeypatch.setattr(daemon, "retry_pause_seconds", lambda *_: 0.5)
    with closing(sync_here(program)) as passes:
        next(passes)

        async def live() -> list[str]:
            with closing(open_warehouse(settings.warehouse)) as warehouse:
                it = daemon.Daemon(settings, warehouse, program.environ)
                ended: asyncio.Queue[Report] = asyncio.Queue()
                it.observers.append(ended.put_nowait)
                running = asyncio.create_task(it.run())
                with warehouse.locked(settings.workspaces[0].id):
                    await asyncio.sleep(0.5)
                    assert it.request_sync("acme", "schedule")
                    seen: list[str] = [(await ended.get()).status]
                if other == "succeeds":
                    await asyncio.to_thread(next, passes)
                await asyncio.sleep(2)
                seen += [ended.get_nowait().status for _ in range(ended.qsize())]
                it.stop()
                await running
                return seen

        expected = ["skipped", "succeeded"] if other == "dies" else ["skipped"]
        assert asyncio.run(live()) == expected


def test_a_restart_keeps_to_the_period(
    api: StandIn, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ontora_etl.daemon")
    populate(api, "acme")
    program.configure(api.base_url, "acme", sync={"schedule": "every 6h"})
    with closing(sync_here(program)) as passes:
        next(passes)
    ((succeeded_at,),) = program.rows("SELECT last_success_at FROM workspaces")
    settings = load_settings(program.config, program.environ)

    async def live() -> datetime | None:
        it = daemon.Daemon(settings, open_warehouse(settings.warehouse), program.environ)
        running = asyncio.create_task(it.run())
        await asyncio.to_thread(wait_until, lambda: "started" in caplog.text)
        due = it.next_run_at("acme")
        it.stop()
        await running
        return due

    due = asyncio.run(live())
    assert due == datetime.fromisoformat(succeeded_at).replace(tzinfo=UTC) + timedelta(hours=6)


def test_a_run_that_is_cancelled_has_time_for_its_last_word() -> None:
    assert one._LAST_WORD_SECONDS < daemon._CANCEL_SECONDS


@pytest.mark.parametrize(("last_word_seconds", "cancel_seconds", "exits"), [(0.2, 10, []), (2, 0.2, [0])])
def test_told_to_stop_beside_a_locked_ledger_it_still_tells_people(
    api: StandIn,
    program: Program,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    last_word_seconds: float,
    cancel_seconds: float,
    exits: list[int],
) -> None:
    populate(api, "acme", "beta")
    api.always(id_of("acme"), SilentHeaders(60))
    api.always(id_of("beta"), Status(404))
    notify = {"webhook_url_env": "HOOK", "after_failures": 1}
    program.configure(api.base_url, "acme", "beta", run={"grace_seconds": 0}, notify=notify)
    settings = load_settings(program.config, program.environ)
    monkeypatch.setattr(one, "_LAST_WORD_SECONDS", last_word_seconds)
    monkeypatch.setattr(daemon, "_CANCEL_SECONDS", cancel_seconds)
    monkeypatch.setattr(daemon, "_TELLING_SECONDS", 1)
    exited: list[int] = []
    monkeypatch.setattr(os, "_exit", exited.append)

    async def live() -> None:
        environ = program.environ | receiver.environ()
        it = daemon.Daemon(settings, open_warehouse(settings.warehouse), environ)
        ended: asyncio.Queue[Report] = asyncio.Queue()
        it.observers.append(ended.put_nowait)
        running = asyncio.create_task(it.run())
        assert (await ended.get()).name == "beta"
        with closing(sqlite3.connect(program.folder / "warehouse.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            it.stop()
            await asyncio.wait([running], timeout=8)

    asyncio.run(live())
    assert exited == exits
    (told,) = receiver.texts()
    assert told.startswith("workspace beta failed once")
