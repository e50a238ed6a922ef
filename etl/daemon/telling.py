"""The daemon's part of telling people: workspaces gathered for a moment, and when a pass is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from etl import notify
from etl.config import Notify
from etl.notices import Told, Watched
from etl.sync import Report
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.daemon")

_GATHER_SECONDS = 2.0  # many that fail together are one message
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_PING_SECONDS = 60.0


class Telling:
    """Sends in threads, one message at a time, until it is delivered; a slow receiver delays nothing else."""

    def __init__(self, warehouse: Warehouse, environ: Mapping[str, str]) -> None:
        self._warehouse = warehouse
        self._environ = environ
        self._told = Told()
        self._settings = Notify()
        self._unseen: dict[str, Watched] = {}  # whom something has happened to since the last look
        self._unpinged: set[str] = set()  # succeeded since the last ping
        self._succeeded: dict[str, bool] = {}  # what came of each workspace's latest run
        self._pinged_at: float | None = None
        self._finishing = asyncio.Event()
        self._teller: asyncio.Task[None] | None = None
        self._pinger: asyncio.Task[None] | None = None

    def remember(self, name: str, *, succeeded: bool) -> None:
        """What came of the workspace's latest run before this process."""
        self._succeeded.setdefault(name, succeeded)

    def look_at(self, watched: Iterable[Watched], settings: Notify) -> None:
        """See soon whether these workspaces call for telling anything."""
        self._settings = settings
        if not settings.webhook_url_env:
            return
        self._unseen |= {one.name: one for one in watched}
        if self._unseen and (self._teller is None or self._teller.done()):
            self._teller = asyncio.create_task(self._tell())

    def hear(
        self, report: Report, watched: Watched, settings: Notify, enabled: set[str], *, idle: bool
    ) -> None:
        """Take note of a run that ended; `idle`: no other runs or waits."""
        if report.status in ("succeeded", "failed"):
            self._succeeded[report.name] = report.status == "succeeded"
            self.look_at([watched], settings)
        if report.status == "skipped":  # whoever syncs it may be stuck: it is well when it has succeeded here
            self._succeeded[report.name] = False
        if report.status == "succeeded":
            self._unpinged.add(report.name)
        if self._is_ping_due(enabled, idle=idle):
            self._pinged_at, self._unpinged = time.monotonic(), set()
            self._pinger = asyncio.create_task(asyncio.to_thread(notify.ping, settings, self._environ))

    async def finish(self) -> None:
        """Wait until all that was heard is told, or has been tried once more."""
        self._finishing.set()
        if under_way := [task for task in (self._teller, self._pinger) if task is not None]:
            await asyncio.wait(under_way)

    def _is_ping_due(self, enabled: set[str], *, idle: bool) -> bool:
        """Whether a pass is over, and all is well.

        It is over when nothing runs or waits, or, where there is always something, when each has had a run.
        """
        if self._pinged_at is not None and time.monotonic() - self._pinged_at < _PING_SECONDS:
            return False
        is_over = idle or enabled <= self._unpinged
        return is_over and bool(self._unpinged) and all(self._succeeded.get(name) for name in enabled)

    async def _tell(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        await self._wait(_GATHER_SECONDS)
        while self._unseen:
            watched, self._unseen = self._unseen, {}
            if await self._look(watched):
                pause_seconds = _FIRST_PAUSE_SECONDS
                await self._wait(_GATHER_SECONDS)
                continue
            if self._finishing.is_set():
                return
            await self._wait(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._unseen = watched | self._unseen

    async def _look(self, watched: Mapping[str, Watched]) -> bool:
        workspaces = list(watched.values())
        try:
            return await asyncio.to_thread(
                notify.tell, self._settings, self._warehouse, workspaces, self._told, self._environ
            )
        except Exception:  # nothing hangs on it
            log.exception("telling people failed")
            return False

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finishing.wait(), seconds)
