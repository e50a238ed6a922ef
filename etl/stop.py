"""Telling threads to stop: they look between two pieces of work, and a statement under way is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from etl.errors import Interrupted


class Stop:
    """Not set until someone says so; then for ever."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._cancels: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Interrupted where it is time to stop."""
        if self.is_set():
            raise interrupted()

    def wait(self, seconds: float) -> None:
        """Pause for so long, or until it is time to stop."""
        self._event.wait(seconds)

    def set(self) -> None:
        """It is time. Worth saying again: what has begun meanwhile is cancelled then."""
        self._event.set()
        with self._lock:  # held, so that nothing is cancelled that has just ended
            for cancel in self._cancels:
                cancel()

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """While the block lasts, `set` calls `cancel`, from whichever thread; it must not raise."""
        with self._lock:
            self._cancels.append(cancel)
        try:
            yield
        finally:
            with self._lock:
                self._cancels.remove(cancel)


def interrupted() -> Interrupted:
    """What the run of a stopped process comes to."""
    return Interrupted("the process was told to stop", remedy="the next run starts over")
