"""One answer for all who ask at about the same time: what protects the warehouse from its own status page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_REST_PER_WORK = 10  # a read that took a second is repeated after ten: at most a tenth of one connection
LONGEST_REST_SECONDS = 30.0  # waiting for a server that hangs looks like work too
_PATIENCE_SECONDS = 15


class Shared(Generic[T]):
    """A value that is produced at most once at a time, and again only when it has grown old.

    It is kept for `seconds`; one that took long to produce for longer, but not beyond the longest rest. A
    failure is a value too, for `seconds`: whoever asks again at once gets the same one.
    """

    def __init__(
        self,
        produce: Callable[[], Awaitable[T]],
        seconds: float,
        longest_rest_seconds: float = LONGEST_REST_SECONDS,
    ) -> None:
        self._produce = produce
        self._seconds = seconds
        self._longest_rest_seconds = longest_rest_seconds
        self._task: asyncio.Task[T] | None = None
        self._fresh_until = 0.0

    async def get(self) -> T:
        """The value, at most a little old. Raises what producing it raised, TimeoutError where it lasts."""
        task = self._task
        if task is None or (task.done() and time.monotonic() >= self._fresh_until):
            task = self._task = asyncio.create_task(self._renew())
            task.add_done_callback(_look_at)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await asyncio.shield(task)

    async def _renew(self) -> T:
        started = time.monotonic()
        rest_seconds = 0.0
        try:
            value = await self._produce()
            worked_seconds = time.monotonic() - started
            rest_seconds = min(_REST_PER_WORK * worked_seconds, self._longest_rest_seconds)
        finally:
            self._fresh_until = time.monotonic() + max(self._seconds, rest_seconds)
        return value


def _look_at(task: asyncio.Task[T]) -> None:
    """Those who asked may have gone: then nobody else would look at its failure."""
    if not task.cancelled():
        task.exception()
