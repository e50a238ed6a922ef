"""HTTP/1.1 with patience that ends: uvicorn's protocol, and what it lacks against slow clients."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

MOST_CONNECTIONS = 256
HEADER_SECONDS = 10.0
ANSWER_SECONDS = 60.0


class PatientProtocol(H11Protocol):
    """One connection. Whoever does not say in time what they want, or does not take the answer, is cut off.

    With MOST_CONNECTIONS open, the one that has been silent longest makes room for a new one: a crowd of
    silent connections keeps no health check out.
    """

    _deadline: asyncio.TimerHandle | None = None
    _was_waiting = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            _make_room(self.connections)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    @property
    def is_waiting(self) -> bool:
        """Whether there is no request to answer."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    @property
    def deadline(self) -> float:
        """When it is cut off, by the loop's clock."""
        return self._deadline.when() if self._deadline else 0.0

    def cut(self) -> None:
        """End the connection at once, unread and unsent."""
        self._drop_deadline()
        self.transport.abort()

    def _set_deadline(self) -> None:
        """A new deadline where a request began or ended; more bytes alone buy no time."""
        waiting = self.is_waiting
        if self._deadline is not None and waiting == self._was_waiting:
            return
        self._drop_deadline()
        if not self.transport.is_closing():
            self._was_waiting = waiting
            self._deadline = self.loop.call_later(HEADER_SECONDS if waiting else ANSWER_SECONDS, self.cut)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _make_room(connections: set[Any]) -> None:
    """Cut the connection that has been silent longest. With all of them at work, uvicorn answers 503."""
    waiting = [c for c in connections if isinstance(c, PatientProtocol) and c.is_waiting and c.deadline]
    oldest = min(waiting, key=lambda c: c.deadline, default=None)
    if oldest is not None:
        connections.discard(oldest)
        oldest.cut()
