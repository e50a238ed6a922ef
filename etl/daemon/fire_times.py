"""The instants at which a schedule comes. Where the clock changes, no job is skipped and none doubled.

APScheduler's parser of crontab's fields runs here on plain wall-clock times, and this module says which
instant each of them is. Left to itself, it is at a loss where a wall-clock time comes twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from etl.config import Policy
from etl.schedule import Cron, Every

NextAfter = Callable[[datetime], datetime]
"""The first instant of a schedule after the given one."""

_INSTANT = timedelta(microseconds=1)
_LONGEST_RUN_UP = timedelta(hours=26)  # no zone has set its clock by more
_FOREVER = datetime.max.replace(tzinfo=UTC)


def fire_times(policy: Policy, start: datetime) -> NextAfter:
    """When the workspace's schedule comes; a period is counted from `start`."""
    if isinstance(policy.schedule, Every):
        return _every(timedelta(seconds=policy.schedule.seconds), start)
    return _cron(policy.schedule, policy.timezone)


def period_of(policy: Policy, now: datetime) -> timedelta:
    """The time between the next two runs."""
    if isinstance(policy.schedule, Every):
        return timedelta(seconds=policy.schedule.seconds)
    next_after = fire_times(policy, now)
    first = next_after(now)
    return next_after(first) - first


def is_overdue(policy: Policy, last_success_at: datetime | None, now: datetime) -> bool:
    """Whether a run was due between the last success and now."""
    return last_success_at is None or fire_times(policy, last_success_at)(last_success_at) <= now


def _every(period: timedelta, start: datetime) -> NextAfter:
    return lambda instant: start + ((instant - start) // period + 1) * period


def _cron(schedule: Cron, timezone: str) -> NextAfter:
    zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
    line = CronTrigger(timezone=UTC, **schedule.trigger_fields())

    def wall_after(wall: datetime) -> datetime | None:
        found: datetime | None = line.get_next_fire_time(None, wall.replace(tzinfo=UTC) + _INSTANT)
        return None if found is None else found.replace(tzinfo=None)

    if zone is UTC:
        return lambda instant: _aware(wall_after(instant.astimezone(UTC).replace(tzinfo=None)))
    if schedule.hour == "*":
        return lambda instant: _by_elapsed_time(wall_after, zone, instant.astimezone(UTC))
    return lambda instant: _by_wall_clock(wall_after, zone, instant)


def _aware(wall: datetime | None) -> datetime:
    return _FOREVER if wall is None else wall.replace(tzinfo=UTC)


def _by_wall_clock(
    wall_after: Callable[[datetime], datetime | None], zone: tzinfo, instant: datetime
) -> datetime:
    """For hours that are named: each wall-clock time once, in a repeated hour the first time around.

    A time that is skipped comes at the moment of the change.
    """
    wall = wall_after(instant.astimezone(zone).replace(tzinfo=None, fold=0))
    while wall is not None:
        found = _instant_of(wall, zone)
        if found > instant:
            return found
        wall = wall_after(wall)
    return _FOREVER


def _instant_of(wall: datetime, zone: tzinfo) -> datetime:
    local = wall.replace(tzinfo=zone)
    found = local.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall:
        return found
    return _change(zone, found - _LONGEST_RUN_UP, found)


def _by_elapsed_time(
    wall_after: Callable[[datetime], datetime | None], zone: tzinfo, instant: datetime
) -> datetime:
    """For jobs of every hour: they go on through a repeated hour; for a skipped one nothing is made up."""
    while True:
        offset = _offset(zone, instant + _INSTANT)
        wall = wall_after((instant + offset).replace(tzinfo=None))
        if wall is None:
            return _FOREVER
        found = wall.replace(tzinfo=UTC) - offset
        if _offset(zone, found) == offset:
            return found
        # The clock changes before: look again, by the new offset, from that moment on.
        instant = _change(zone, instant + _INSTANT, found) - _INSTANT


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The moment between the two from which on the zone's offset is another one than `before`."""
    old = _offset(zone, before)
    while after - before > _INSTANT:
        middle = before + (after - before) / 2
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after
