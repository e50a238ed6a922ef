"""The daemon's life: start, run on schedule, re-read the configuration, end without leaving anything half."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from etl.clock import utc_now
from etl.config import Settings, Workspace
from etl.daemon.fire_times import is_overdue, period_of
from etl.daemon.queue import Queue
from etl.daemon.reload import read_again
from etl.daemon.retry import retry_pause_seconds
from etl.daemon.standing import Standing, read_standings
from etl.daemon.systemd import tell_reloading, tell_systemd, watchdog_seconds
from etl.daemon.telling import Telling
from etl.daemon.timetable import Timetable
from etl.daemon.walker import Walker, open_walker
from etl.errors import EtlError
from etl.ledger import Trigger
from etl.notices import Watched
from etl.streak import Streak
from etl.sync import Report, RunLog
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.daemon")

_BEAT_SECONDS = 1.0
_CANCEL_SECONDS = 10.0  # longer than a run's last word to the ledger may take
_STANDINGS_SECONDS = 60.0  # longer than it waits for others' locks
_TELLING_SECONDS = 10.0
_SPARE_SECONDS = 5.0


class Daemon:
    """Keeps every enabled workspace fresh until told to stop. Everything but `run` is for its event loop."""

    def __init__(
        self, settings: Settings, warehouse: Warehouse, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.settings = settings
        self.warehouse = warehouse
        self.observers: list[Callable[[Report], None]] = []
        """Called with the report of each run that ended by itself."""
        self.last_beat = time.monotonic()
        """When the scheduler was last found on time, by the monotonic clock."""
        self._environ = environ
        self._queue = Queue(settings.api.concurrency)
        self._timetable = Timetable(self._due)
        self._telling = Telling(warehouse, environ)
        self._run_log = RunLog()
        self._workspaces: dict[str, Workspace] = {}  # those that are enabled
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._streaks: dict[str, Streak] = {}
        self._skips: dict[str, int] = {}  # how often in a row a workspace was another process's
        self._retries: dict[str, tuple[asyncio.TimerHandle, datetime]] = {}
        self._walker: Walker
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    @property
    def queue_length(self) -> int:
        """How many workspaces wait for their turn."""
        return len(self._queue)

    @property
    def running(self) -> Mapping[str, float]:
        """The workspaces being synced, each with the monotonic time at which its run began."""
        return self._queue.running

    @property
    def streaks(self) -> Mapping[str, Streak]:
        """Failures in a row by workspace, those among them that the ledger could not write down."""
        return self._streaks

    def next_run_at(self, name: str) -> datetime | None:
        """When the workspace's next run is planned: on schedule, or sooner after a failure."""
        planned = [self._timetable.next_fire_at(name)] if name in self._workspaces else []
        if name in self._retries:
            planned.append(self._retries[name][1])
        return min((instant for instant in planned if instant is not None), default=None)

    def request_sync(self, workspace_name: str, trigger: Trigger) -> bool:
        """Sync the workspace as soon as there is room; True where a run will begin after this moment."""
        if self._stop.is_set() or workspace_name not in self._workspaces:
            return False
        accepted = self._queue.add(workspace_name, trigger)
        self._fill()
        return accepted

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until `stop`."""
        async with open_walker(self.settings.api, self.warehouse, self._environ) as self._walker:
            self._listen_to_signals()
            self._timetable.start()
            life = asyncio.create_task(self._live())
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait([stopped, life], return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()  # it never ends but by a fault: die of it, and be started again
            life.cancel()
            await self._end()

    async def _live(self) -> None:
        await self._adopt()
        log.info("started; workspaces on schedule: %d", len(self._workspaces))
        tell_systemd(self._environ, "READY=1", f"STATUS=workspaces on schedule: {len(self._workspaces)}")
        await asyncio.gather(self._beat(), self._reload_when_told())

    def stop(self) -> None:
        """Begin no more runs, let those under way end, and end."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration again as soon as the daemon lives."""
        self._reload.set()

    # --- signals ---

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_for, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _stop_for(self, number: int) -> None:
        if self._stop.is_set():  # asked twice: at once. The databases undo what is open.
            logging.shutdown()
            os._exit(0)
        log.info("%s: stopping", signal.Signals(number).name)
        self._stop.set()

    # --- runs ---

    def _due(self, name: str) -> None:
        self.request_sync(name, "schedule")

    def _fill(self) -> None:
        """Begin as many runs as there is room for."""
        while not self._stop.is_set() and (taken := self._queue.take(time.monotonic())):
            name, trigger = taken
            self._forget_retry(name)
            task = asyncio.create_task(self._run(self._workspaces[name], trigger), name=f"sync {name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, workspace: Workspace, trigger: Trigger) -> None:
        try:
            report = await self._walker.run(workspace, trigger)
            self._take_in(report, trigger)  # first: a run that has been asked for meanwhile is the retry
        except asyncio.CancelledError:
            log.warning("workspace %s: interrupted: nothing of it was applied", workspace.name)
            raise
        finally:
            self._queue.done(workspace.name)
            self._fill()
        self._run_log.write(report, trigger)
        if _is_same(workspace, self._workspaces.get(workspace.name)):  # else nobody would say that it is well
            is_idle = not self._queue.running and not self._queue
            watched = self._watched(workspace)
            self._telling.hear(report, watched, self.settings.notify, set(self._workspaces), idle=is_idle)
        for observer in self.observers:
            try:
                observer(report)
            except Exception:  # what watches the runs must not stop them
                log.exception("an observer failed")

    def _take_in(self, report: Report, trigger: Trigger) -> None:
        """Count failures in a row, and plan when to try again."""
        name = report.name
        if name not in self._workspaces or str(self._workspaces[name].id) != report.workspace_id:
            return  # reconfigured meanwhile
        streak = self._streaks.get(name, Streak())
        if report.status != "skipped":
            self._skips.pop(name, None)
        if report.status == "succeeded":
            self._streaks[name] = streak.succeeded()
            self._forget_retry(name)
        elif report.status == "failed":
            self._streaks[name] = streak.failed(report.error_code, report.error, utc_now())
            self._plan_retry(name, self._streaks[name], partial(self.request_sync, name, "schedule"))
        elif report.status == "skipped":  # the run of another process may be too early, or fail
            self._skips[name] = self._skips.get(name, 0) + 1
            look = partial(self._look_again, name, utc_now())
            again = look if trigger == "schedule" else partial(self.request_sync, name, trigger)
            self._plan_retry(name, Streak(self._skips[name]), again)

    def _plan_retry(self, name: str, after: Streak, again: Callable[[], object]) -> None:
        now = utc_now()
        period = period_of(self._workspaces[name].policy, now)
        pause = retry_pause_seconds(after.error_code, after.failures, period)
        if pause is None or self._stop.is_set():
            return
        self._forget_retry(name)
        timer = asyncio.get_running_loop().call_later(pause, again)
        self._retries[name] = (timer, now + timedelta(seconds=pause))

    def _look_again(self, name: str, skipped_at: datetime) -> None:
        """Sync the workspace, unless the process that had it then has succeeded since."""
        self._forget_retry(name)

        async def look() -> None:
            workspace = self._workspaces.get(name)
            standings = await self._read_standings()
            last = standings.get(workspace.id, Standing()).last_success_at if workspace else None
            if last is None or last < skipped_at:
                self.request_sync(name, "schedule")

        task = asyncio.create_task(look(), name=f"look at {name}")
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    def _forget_retry(self, name: str) -> None:
        if retry := self._retries.pop(name, None):
            retry[0].cancel()

    def _watched(self, workspace: Workspace) -> Watched:
        return Watched(workspace.id, workspace.name, self._streaks.get(workspace.name, Streak()))

    # --- the configuration ---

    async def _adopt(self) -> None:
        """Plan what the settings say now, and catch up with what should have run already."""
        enabled = {workspace.name: workspace for workspace in self.settings.workspaces if workspace.enabled}
        known = {
            name for name, workspace in self._workspaces.items() if _is_same(workspace, enabled.get(name))
        }
        for name in self._workspaces.keys() - known:
            self._queue.drop(name)
            self._streaks.pop(name, None)
            self._skips.pop(name, None)
            self._run_log.forget(name)
            self._forget_retry(name)
        self._workspaces = enabled
        self._timetable.plan(enabled.values())
        await self._catch_up(enabled.keys() - known)

    async def _catch_up(self, new: set[str]) -> None:
        """Sync what is overdue, and go on with what is new here where another process left it."""
        before = dict(self._streaks)
        standings = await self._read_standings()
        # Where a run has ended meanwhile, what was read is older news.
        ended = {name for name, streak in self._streaks.items() if streak is not before.get(name)}
        new -= ended
        now = utc_now()
        for name, workspace in self._workspaces.items():
            if name in ended:
                continue
            standing = standings.get(workspace.id, Standing())
            if workspace.id in standings:
                self._telling.remember(name, succeeded=not standing.consecutive_failures)
            if name in new and standing.consecutive_failures:
                self._streaks[name] = Streak(
                    standing.consecutive_failures, standing.last_error_code, standing.last_error, now
                )
            is_due = is_overdue(workspace.policy, standing.last_success_at, now)
            if name in new and standing.last_success_at and not is_due:
                self._timetable.count_from(workspace, standing.last_success_at)
            if name in new and standing.has_unheeded_webhook:
                self.request_sync(name, "webhook")
            elif is_due:
                self._queue.add(name, "catch_up", anew=name in new)  # what runs is another's by that name
                self._fill()
            elif name in new and standing.consecutive_failures:
                self._plan_retry(name, self._streaks[name], partial(self.request_sync, name, "schedule"))
        watched = [self._watched(self._workspaces[name]) for name in new]
        self._telling.look_at(watched, self.settings.notify)

    async def _read_standings(self) -> Mapping[UUID, Standing]:
        """How the workspaces stand by the ledger; nothing where it cannot say."""
        try:
            async with asyncio.timeout(_STANDINGS_SECONDS):
                return await asyncio.to_thread(read_standings, self.warehouse)
        except (EtlError, TimeoutError) as error:
            why = str(error) or "the warehouse takes too long to answer"
            log.warning("how old the workspaces are is unknown, so they are synced: %s", why)
            return {}

    async def _reload_when_told(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            tell_reloading(self._environ)
            settings = await asyncio.to_thread(read_again, self.settings, self._environ)
            if settings is not None:
                self.settings = settings
                await self._adopt()
                log.info("configuration read again; workspaces on schedule: %d", len(self._workspaces))
            tell_systemd(self._environ, "READY=1", f"STATUS=workspaces on schedule: {len(self._workspaces)}")

    # --- the pulse, and the end ---

    async def _beat(self) -> None:
        watchdog = watchdog_seconds(self._environ, os.getpid())
        pause = _BEAT_SECONDS if watchdog is None else min(watchdog, _BEAT_SECONDS)
        fed_at = 0.0
        while True:
            self._timetable.keep_time()
            now = time.monotonic()
            if self._timetable.is_on_time():
                self.last_beat = now
                if watchdog is not None and now - fed_at >= watchdog - pause / 2:
                    tell_systemd(self._environ, "WATCHDOG=1")
                    fed_at = now
            await asyncio.sleep(pause)

    async def _end(self) -> None:
        tell_systemd(self._environ, "STOPPING=1")
        self._end_anyway()
        self._timetable.stop()
        self._queue.clear()
        for timer, _ in self._retries.values():
            timer.cancel()
        for look in self._looks:
            look.cancel()
        left = await self._end_runs()
        try:
            await asyncio.wait_for(self._telling.finish(), _TELLING_SECONDS)
        except TimeoutError:
            log.warning("the last notifications could not be sent")
        if left:  # the database undoes what is open, the next run says so in the ledger
            log.warning("runs that wait for the warehouse and cannot be stopped: %d; leaving them", left)
            logging.shutdown()
            os._exit(0)
        log.info("stopped")

    async def _end_runs(self) -> int:
        """Let the runs under way end, or else cancel them; how many there still are."""
        if self._tasks:
            grace_seconds = self.settings.run.grace_seconds
            log.info("runs under way: %d; waiting up to %g s for them", len(self._tasks), grace_seconds)
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(self._tasks, timeout=_CANCEL_SECONDS)
        return len(left)

    def _end_anyway(self) -> None:
        """See to it that the process ends even where a thread waits for a server that says nothing."""
        longest = self.settings.run.grace_seconds + _CANCEL_SECONDS + _TELLING_SECONDS + _SPARE_SECONDS
        timer = threading.Timer(longest, os._exit, (0,))
        timer.daemon = True
        timer.start()


def _is_same(one: Workspace, other: Workspace | None) -> bool:
    """Whether they are one at Ontora, however it is configured."""
    return other is not None and one.id == other.id
