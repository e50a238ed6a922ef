"""When a pass that has no end of its own is over, and who hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, cast
from uuid import UUID

import pytest

from etl import notify
from etl.config import Notify
from etl.daemon import telling
from etl.daemon.telling import Telling
from etl.notices import Watched
from etl.sync import Report
from etl.warehouse import Warehouse
from tests.acceptance.program import wait_until

BOTH = {"acme", "globex"}
SETTINGS = Notify("HOOK", 3, "HEARTBEAT")


class Told(Telling):
    """Hears of runs as the daemon does."""

    def hear_of(
        self, name: str, status: Literal["succeeded", "failed", "skipped"], *, idle: bool = False
    ) -> None:
        watched = Watched(UUID(int=0), name)
        self.hear(Report(name, "", status), watched, SETTINGS, BOTH, idle=idle)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, refused: set[int]) -> list[Any]:
    """What was sent: "ping", or the names in one message."""
    found: list[Any] = []
    monkeypatch.setattr(telling, "_GATHER_SECONDS", 0.05)
    monkeypatch.setattr(notify, "ping", lambda *_: found.append("ping"))
    monkeypatch.setattr(telling, "_FIRST_PAUSE_SECONDS", 0.05)

    def tell(_: object, __: object, watched: list[Watched], *___: object) -> bool:
        found.append([one.name for one in watched])
        return len(found) not in refused

    monkeypatch.setattr(notify, "tell", tell)
    return found


@pytest.fixture
def refused() -> set[int]:
    """Which of the messages, counted from 1, are not delivered."""
    return set()


def play(play_with: Callable[[Told], Awaitable[None]]) -> None:
    async def live() -> None:
        told = Told(cast("Warehouse", None), {})
        await play_with(told)
        await told.finish()

    asyncio.run(live())


async def quiet(told: Told) -> None:
    """Return when nothing is being sent."""
    for task in (told._teller, told._pinger):
        if task is not None:
            await task


def test_pass_is_over_when_nothing_runs_or_waits(sent: list[Any]) -> None:
    async def runs(told: Told) -> None:
        told.hear_of("acme", "succeeded")
        await quiet(told)
        assert "ping" not in sent
        told.hear_of("globex", "succeeded", idle=True)

    play(runs)
    assert sent.count("ping") == 1


def test_where_something_always_runs_the_pass_is_over_when_each_has_run(sent: list[Any]) -> None:
    async def runs(told: Told) -> None:
        told.hear_of("acme", "succeeded")
        told.hear_of("acme", "succeeded")
        told.hear_of("globex", "succeeded")

    play(runs)
    assert sent.count("ping") == 1


def test_no_ping_while_one_fails_and_one_a_minute_at_most(sent: list[Any]) -> None:
    async def runs(told: Told) -> None:
        told.hear_of("acme", "failed")
        told.hear_of("globex", "succeeded", idle=True)
        told.hear_of("acme", "skipped", idle=True)
        await quiet(told)
        assert "ping" not in sent
        for _ in range(3):
            told.hear_of("acme", "succeeded", idle=True)
            told.hear_of("globex", "succeeded", idle=True)

    play(runs)
    assert sent.count("ping") == 1


def test_no_ping_while_another_process_holds_one(sent: list[Any]) -> None:
    async def runs(told: Told) -> None:
        told.remember("acme", succeeded=True)
        told.hear_of("acme", "skipped")
        told.hear_of("globex", "succeeded", idle=True)
        await quiet(told)
        assert "ping" not in sent
        told.hear_of("acme", "succeeded", idle=True)

    play(runs)
    assert sent.count("ping") == 1


def test_what_failed_before_this_process_is_remembered(sent: list[Any]) -> None:
    async def runs(told: Told) -> None:
        told.remember("acme", succeeded=True)
        told.remember("globex", succeeded=False)
        told.hear_of("acme", "succeeded", idle=True)
        await quiet(told)
        assert "ping" not in sent
        told.hear_of("globex", "succeeded", idle=True)
        told.remember("globex", succeeded=False)  # read late: what was heard since is newer

    play(runs)
    assert sent.count("ping") == 1


def test_many_that_end_together_are_one_message(sent: list[Any]) -> None:
    async def runs(told: Told) -> None:
        told.hear_of("acme", "failed")
        told.hear_of("globex", "failed")
        await quiet(told)
        told.hear_of("acme", "failed")

    play(runs)
    assert sent == [["acme", "globex"], ["acme"]]


def test_what_is_not_delivered_is_sent_again_with_what_came_meanwhile(
    sent: list[Any], refused: set[int]
) -> None:
    refused |= {1, 2}

    async def runs(told: Told) -> None:
        told.hear_of("acme", "failed")
        await asyncio.to_thread(wait_until, lambda: len(sent) >= 2)
        told.hear_of("globex", "failed")
        await quiet(told)

    play(runs)
    assert sent == [["acme"], ["acme"], ["acme", "globex"]]


def test_the_end_waits_for_no_receiver_that_refuses(sent: list[Any], refused: set[int]) -> None:
    refused |= set(range(1, 10))

    async def runs(told: Told) -> None:
        told.hear_of("acme", "failed")
        await asyncio.to_thread(wait_until, lambda: bool(sent))

    play(runs)
    assert 1 <= len(sent) <= 3
