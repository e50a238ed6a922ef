"""The daemon's part of telling people: reports gathered for a moment, and when a pass is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from etl import notify
from etl.config import Notify
from etl.sync import Report
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.daemon")

_GATHER_SECONDS = 2.0  # many that fail together are one message
_PING_SECONDS = 60.0


class Telling:
    """Sends in a thread, one message at a time; a slow receiver delays nothing else."""

    def __init__(self, warehouse: Warehouse, environ: Mapping[str, str]) -> None:
        self._warehouse = warehouse
        self._environ = environ
        self._untold: list[Report] = []
        self._unpinged: set[str] = set()  # succeeded since the last ping
        self._succeeded: dict[str, bool] = {}  # what came of each workspace's latest run
        self._pinged_at: float | None = None
        self._ping_wanted = False
        self._task: asyncio.Task[None] | None = None

    def remember(self, name: str, *, succeeded: bool) -> None:
        """What came of the workspace's latest run before this process."""
        self._succeeded.setdefault(name, succeeded)

    def hear(self, report: Report, settings: Notify, enabled: set[str], *, idle: bool) -> None:
        """Take note of a run that ended; `idle`: no other runs or waits."""
        if report.status in ("succeeded", "failed"):
            self._succeeded[report.name] = report.status == "succeeded"
            if settings.webhook_url_env:
                self._untold.append(report)
        if report.status == "succeeded":
            self._unpinged.add(report.name)
        if self._is_ping_due(enabled, idle=idle):
            self._pinged_at, self._unpinged, self._ping_wanted = time.monotonic(), set(), True
        if (self._untold or self._ping_wanted) and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._send(settings))

    async def finish(self) -> None:
        """Wait until all that was heard is told."""
        if self._task is not None:
            await self._task

    def _is_ping_due(self, enabled: set[str], *, idle: bool) -> bool:
        """Whether a pass is over, and all is well.

        It is over when nothing runs or waits, or, where there is always something, when each has had a run.
        """
        if self._pinged_at is not None and time.monotonic() - self._pinged_at < _PING_SECONDS:
            return False
        is_over = idle or enabled <= self._unpinged
        return is_over and bool(self._unpinged) and all(self._succeeded.get(name) for name in enabled)

    async def _send(self, settings: Notify) -> None:
        try:
            while self._ping_wanted or self._untold:
                if self._ping_wanted:
                    self._ping_wanted = False
                    await asyncio.to_thread(notify.ping, settings, self._environ)
                if self._untold:
                    await asyncio.sleep(_GATHER_SECONDS)
                    reports, self._untold = self._untold, []
                    await asyncio.to_thread(notify.tell, settings, self._warehouse, reports, self._environ)
        except Exception:  # nothing hangs on it
            log.exception("telling people failed")
