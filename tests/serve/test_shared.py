"""How long an answer is shared: what took long, for longer, never for minutes, and not after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from etl.serve.shared import LONGEST_REST_SECONDS, Shared


class Clock:
    """A server that takes its time, by a clock that jumps so far."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.asked = 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def server(self, took_seconds: float, error: Exception | None = None) -> Callable[[], asyncio.Task[int]]:
        async def answer() -> int:
            self.asked += 1
            self.now += took_seconds
            if error:
                raise error
            return self.asked

        return lambda: asyncio.create_task(answer())


def kept_seconds(clock: Clock, shared: Shared[int]) -> float:
    """How long after the first answer the server is asked again."""

    async def ask() -> float:
        await asyncio.gather(shared.get(), return_exceptions=True)
        began, asked = clock.now, clock.asked
        while clock.asked == asked:
            clock.now += 0.5
            await asyncio.gather(shared.get(), return_exceptions=True)
            assert clock.now < began + 1000
        return clock.now - began

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("took_seconds", "least", "most"),
    [(0, 2, 2.5), (1, 10, 11.5), (12, LONGEST_REST_SECONDS, LONGEST_REST_SECONDS + 12.5)],
)
def test_what_took_long_is_kept_for_longer(
    monkeypatch: pytest.MonkeyPatch, took_seconds: float, least: float, most: float
) -> None:
    clock = Clock(monkeypatch)
    assert least <= kept_seconds(clock, Shared(clock.server(took_seconds), 2)) <= most


def test_a_failure_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    shared = Shared(clock.server(12, OSError("gone")), 2)
    assert kept_seconds(clock, shared) <= 2.5 + 12


def test_nor_is_what_must_be_true_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert kept_seconds(clock, Shared(clock.server(12), 2, 2)) <= 2.5 + 12
