"""Who runs next: first come, first served, so many at a time, and no workspace twice at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from etl.ledger import Trigger


class Queue:
    """The workspaces that wait and those that run, by name."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: dict[str, Trigger] = {}  # in the order in which they came
        self._running: dict[str, float] = {}
        self._again: dict[str, Trigger] = {}
        self.running: Mapping[str, float] = MappingProxyType(self._running)
        """Name → when its run began, by the monotonic clock."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, name: str, trigger: Trigger, *, anew: bool = False) -> bool:
        """Let the workspace run; True where a run will begin after this moment.

        While it runs, a webhook asks for one more run afterwards: what it told of may have come too late for
        this one; `anew` does, too. A scheduled run that falls into another run is not made up for.
        """
        if name not in self._running:
            self._waiting.setdefault(name, trigger)
            return True
        if trigger == "webhook" or anew:
            self._again[name] = trigger
        return name in self._again

    def take(self, now: float) -> tuple[str, Trigger] | None:
        """The next to run, if one waits and there is room; it counts as running until `done`."""
        if not self._waiting or len(self._running) >= self.limit:
            return None
        name = next(iter(self._waiting))
        self._running[name] = now
        return name, self._waiting.pop(name)

    def done(self, name: str) -> None:
        """The workspace's run has ended; one that was asked for meanwhile queues up like any other."""
        del self._running[name]
        if name in self._again:
            self._waiting[name] = self._again.pop(name)

    def drop(self, name: str) -> None:
        """Forget what was asked for the workspace; a run under way goes on."""
        self._waiting.pop(name, None)
        self._again.pop(name, None)

    def clear(self) -> None:
        """Forget all that was asked for."""
        self._waiting.clear()
        self._again.clear()
