"""APScheduler, kept on our terms: a job for each workspace that says "now" and takes no time itself."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from etl.clock import utc_now
from etl.config import Workspace
from etl.daemon.fire_times import NextAfter, fire_times
from etl.schedule import Every, Schedule

log = logging.getLogger("ontora_etl.daemon")

_JUMP_SECONDS = 5.0
_LATE = timedelta(seconds=30)
_LARGEST_JITTER = 0.9  # of the time to the next run: or a late one would swallow it
_Plan = tuple[UUID, Schedule, str, float]


class ScheduleTrigger(BaseTrigger):  # type: ignore[misc]  # version 3 ships no types
    """An APScheduler trigger that never looks back: however much was missed, there is one run to catch up."""

    def __init__(self, next_after: NextAfter, jitter_seconds: float = 0) -> None:
        self._next_after = next_after
        self._jitter_seconds = jitter_seconds

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        due = self._next_after(now if previous_fire_time is None else max(now, previous_fire_time))
        if self._jitter_seconds:
            until_next = (self._next_after(due) - due).total_seconds()
            longest = min(self._jitter_seconds, _LARGEST_JITTER * until_next)
            due += timedelta(seconds=random.uniform(0, longest))  # noqa: S311  # spreads load
        return due


class Timetable:
    """When each workspace is due; calls `due` with its name then. Lives in the running event loop."""

    def __init__(self, due: Callable[[str], object], clock: Callable[[], datetime] = utc_now) -> None:
        self._due = due
        self._clock = clock
        self._plans: dict[str, _Plan] = {}
        self._starts: dict[UUID, datetime] = {}  # from when a workspace's periods are counted
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        self._ahead = self._wall_ahead()

    def start(self) -> None:
        """Begin to call."""
        self._scheduler.start()
        self._ahead = self._wall_ahead()

    def stop(self) -> None:
        """Call no more."""
        self._scheduler.shutdown(wait=False)

    def plan(self, workspaces: Iterable[Workspace]) -> None:
        """Plan these workspaces and no others.

        One whose schedule is as before keeps its next time.
        """
        wanted = {w.name: w for w in workspaces}
        for name in self._plans.keys() - wanted.keys():
            self._scheduler.remove_job(name)
            del self._plans[name]
        ids = {w.id for w in wanted.values()}
        self._starts = {id_: start for id_, start in self._starts.items() if id_ in ids}
        for workspace in wanted.values():
            if self._plans.get(workspace.name) != _plan(workspace):
                self._starts.setdefault(workspace.id, self._clock())
                self._put(workspace)

    def count_from(self, workspace: Workspace, start: datetime) -> None:
        """Count the workspace's periods from then: a restart does not begin a new one."""
        if isinstance(workspace.policy.schedule, Every):
            self._starts[workspace.id] = start
            self._put(workspace)

    def _put(self, workspace: Workspace) -> None:
        name, policy = workspace.name, workspace.policy
        trigger = ScheduleTrigger(fire_times(policy, self._starts[workspace.id]), policy.jitter_seconds)
        self._scheduler.add_job(self._call, trigger, id=name, name=name, args=(name,), replace_existing=True)
        self._plans[name] = _plan(workspace)

    def next_fire_at(self, name: str) -> datetime | None:
        """When the workspace is due next; None where it is not planned."""
        job = self._scheduler.get_job(name)
        return getattr(job, "next_run_time", None)

    def keep_time(self) -> None:
        """Look whether the wall clock jumped: timers run by another one, and would come an hour late.

        Set forward, what became due runs once. Set back, all is planned anew from the new present on.
        """
        ahead = self._wall_ahead()
        jump, self._ahead = ahead - self._ahead, ahead
        if abs(jump) < _JUMP_SECONDS:
            return
        log.warning("the clock jumped by %.0f s", jump)
        if jump < 0:
            for job in self._scheduler.get_jobs():
                job.reschedule(job.trigger)
        self._scheduler.wakeup()

    def is_on_time(self) -> bool:
        """Whether nothing is overdue that the scheduler should have called long ago."""
        jobs = self._scheduler.get_jobs()  # by their next time
        first = jobs[0].next_run_time if jobs else None
        return first is None or self._clock() - first < _LATE

    async def _call(self, name: str) -> None:
        self._due(name)

    def _wall_ahead(self) -> float:
        return self._clock().timestamp() - time.monotonic()


def _plan(workspace: Workspace) -> _Plan:
    policy = workspace.policy
    return workspace.id, policy.schedule, policy.timezone, policy.jitter_seconds
