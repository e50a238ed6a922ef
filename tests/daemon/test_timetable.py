"""When runs come: both changes of the clock, jitter, misfires. Reliability 67 to 69."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from etl.config import KeySource, Policy, Workspace
from etl.daemon.fire_times import fire_times, is_overdue, period_of
from etl.daemon.timetable import ScheduleTrigger, Timetable
from etl.schedule import parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)  # 02:00 becomes 03:00
AUTUMN = datetime(2026, 10, 25, 1, tzinfo=UTC)  # 03:00 becomes 02:00


def policy(schedule: str, timezone: str = "Europe/Berlin", jitter_seconds: float = 0) -> Policy:
    return Policy(parse_schedule(schedule), timezone, jitter_seconds)


def workspace(name: str, schedule: str) -> Workspace:
    return Workspace(name, UUID(int=len(name)), KeySource("env", "KEY"), policy=policy(schedule))


def fires(schedule: Policy, begin: datetime, end: datetime) -> Iterator[datetime]:
    """All that the trigger yields in the time, asked as APScheduler asks: a little late."""
    trigger = ScheduleTrigger(fire_times(schedule, begin), schedule.jitter_seconds)
    due = trigger.get_next_fire_time(None, begin)
    while due is not None and due < end:
        yield due
        due = trigger.get_next_fire_time(due, due + timedelta(milliseconds=2))


def around(change: datetime) -> tuple[datetime, datetime]:
    return change - timedelta(days=3), change + timedelta(days=3)


@pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("at", ["30 2", "0 2", "59 2", "0 3", "30 1", "0 0", "0 1", "30 3"])
def test_daily_job_comes_once_a_day_each_day(change: datetime, at: str) -> None:
    days = Counter(due.astimezone(BERLIN).date() for due in fires(policy(f"{at} * * *"), *around(change)))
    begin, end = (instant.astimezone(BERLIN).date() for instant in around(change))
    whole_days = [begin + timedelta(days=n) for n in range(1, (end - begin).days)]
    assert [days[day] for day in whole_days] == [1] * len(whole_days)


def test_job_in_the_skipped_hour_comes_at_the_change() -> None:
    assert SPRING in fires(policy("30 2 * * *"), *around(SPRING))


def test_job_in_the_repeated_hour_comes_the_first_time_around() -> None:
    comes = [due for due in fires(policy("30 2 * * *"), *around(AUTUMN)) if due.date() == AUTUMN.date()]
    assert comes == [AUTUMN - timedelta(minutes=30)]


@pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("schedule", ["*/15 * * * *", "0 * * * *", "every 15m", "7 * * * *"])
def test_job_of_every_hour_neither_pauses_nor_hurries(change: datetime, schedule: str) -> None:
    comes = list(fires(policy(schedule), *around(change)))
    assert {later - earlier for earlier, later in pairwise(comes)} == {period_of(policy(schedule), change)}


@pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])
def test_every_wall_clock_minute_that_is_named_comes_once(change: datetime, zone: str) -> None:
    named = policy("*/10 0,1,2,3,4 * * *", zone)
    walls = Counter(
        due.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        for due in fires(named, change - timedelta(days=30), change + timedelta(days=30))
    )
    assert max(walls.values()) == 1
    days = Counter(wall.date() for wall in walls)
    # Six minutes an hour; on the day of a change those that were skipped come together, as one.
    assert set(list(days.values())[1:-1]) <= {30, 30 - 6, 30 - 3}


@pytest.mark.parametrize(
    "schedule", ["30 2 * * *", "*/7 * * * *", "0 */6 * * 1-5", "15 3 29 2 *", "every 7s"]
)
def test_answers_are_later_than_asked_whenever_asked(schedule: str) -> None:
    next_after = fire_times(policy(schedule), SPRING)
    dice = random.Random(1)
    for change in (SPRING, AUTUMN):
        for _ in range(100):
            asked = change + timedelta(seconds=dice.uniform(-9000, 9000))
            due = next_after(asked)
            assert due > asked
            assert next_after(due - timedelta(microseconds=1)) == due


def test_jitter_delays_and_neither_skips_nor_doubles() -> None:
    begin, end = SPRING, SPRING + timedelta(hours=6)
    plain = list(fires(policy("*/5 * * * *"), begin, end))
    jittered = list(fires(policy("*/5 * * * *", jitter_seconds=120), begin, end))
    delays = [(late - due).total_seconds() for due, late in zip(plain, jittered, strict=False)]
    assert len(jittered) >= len(plain) - 1
    assert all(0 <= delay <= 120 for delay in delays)
    assert len(set(delays)) > len(delays) / 2


def test_jitter_longer_than_the_period_still_comes_once_a_period() -> None:
    begin, end = SPRING, SPRING + timedelta(hours=1)
    comes = list(fires(policy("* * * * *", jitter_seconds=3600), begin, end))
    assert len({due.replace(second=0, microsecond=0) for due in comes}) == len(comes)
    assert len(comes) >= 59


@pytest.mark.parametrize("schedule", ["every 1s", "* * * * *"])
def test_trigger_never_looks_back(schedule: str) -> None:
    """After a year's sleep: one run, and no walk through all that was missed."""
    trigger = ScheduleTrigger(fire_times(policy(schedule), SPRING))
    due = trigger.get_next_fire_time(None, SPRING)
    assert due is not None
    much_later = due + timedelta(days=365)
    after = trigger.get_next_fire_time(due, much_later)
    assert after is not None
    assert much_later < after <= much_later + timedelta(minutes=1)


def test_what_was_due_since_the_last_success_is_overdue() -> None:
    hourly, now = policy("0 * * * *", "UTC"), datetime(2026, 5, 4, 12, 10, tzinfo=UTC)
    assert is_overdue(hourly, None, now)
    assert is_overdue(hourly, now - timedelta(minutes=11), now)
    assert not is_overdue(hourly, now - timedelta(minutes=9), now)
    assert is_overdue(policy("every 15m"), now - timedelta(minutes=15), now)
    assert not is_overdue(policy("every 15m"), now - timedelta(minutes=14), now)


class Clock:
    """A wall clock that a test moves; between moves it keeps time with the real one."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that timetable and APScheduler go by."""
    moved = Clock()

    class Moved(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return moved()

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Moved)
    return moved


def run_timetable(
    clock: Callable[[], datetime], schedule: str, play: Callable[[Timetable, list[str]], object]
) -> None:
    async def live() -> None:
        calls: list[str] = []
        table = Timetable(calls.append, clock)
        table.start()
        table.plan([workspace("acme", schedule)])
        await asyncio.sleep(0.05)
        try:
            await play(table, calls)  # type: ignore[misc]
        finally:
            table.stop()
            await asyncio.sleep(0.05)

    asyncio.run(live())


@pytest.mark.parametrize("schedule", ["every 1h", "0 * * * *"])
def test_clock_set_forward_makes_up_once(clock: Clock, schedule: str) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:
        clock.ahead += timedelta(hours=10)
        table.keep_time()
        await asyncio.sleep(0.1)
        assert calls == ["acme"]
        due = table.next_fire_at("acme")
        assert due is not None
        assert timedelta() < due - clock() <= timedelta(hours=1)
        assert table.is_on_time()

    run_timetable(clock, schedule, play)


@pytest.mark.parametrize("schedule", ["every 1h", "0 * * * *"])
def test_clock_set_back_neither_stands_still_nor_storms(clock: Clock, schedule: str) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:
        clock.ahead -= timedelta(hours=10)
        table.keep_time()
        await asyncio.sleep(0.1)
        due = table.next_fire_at("acme")
        assert due is not None
        assert timedelta() < due - clock() <= timedelta(hours=1)
        assert calls == []

    run_timetable(clock, schedule, play)


def test_planning_again_keeps_what_has_not_changed(clock: Clock) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:
        before = table.next_fire_at("acme")
        clock.ahead += timedelta(minutes=10)
        table.plan([workspace("acme", "every 1h"), workspace("globex", "every 1h")])
        assert table.next_fire_at("acme") == before
        assert table.next_fire_at("globex") != before
        table.plan([workspace("globex", "every 2h")])
        assert table.next_fire_at("acme") is None
        due = table.next_fire_at("globex")
        assert due is not None
        assert due - clock() > timedelta(minutes=119)
        assert not calls

    run_timetable(clock, "every 1h", play)


@pytest.mark.parametrize(("schedule", "minutes"), [("every 1h", 15), ("every 4h", 195)])
def test_a_restart_begins_no_new_period(clock: Clock, schedule: str, minutes: float) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:
        acme = workspace("acme", schedule)
        last_success_at = clock() - timedelta(minutes=45)
        table.count_from(acme, last_success_at)
        expected = last_success_at + timedelta(minutes=45 + minutes)
        assert table.next_fire_at("acme") == expected
        table.plan([replace(acme, policy=replace(acme.policy, timezone="UTC"))])
        assert table.next_fire_at("acme") == expected
        assert not calls

    run_timetable(clock, schedule, play)


def test_a_restart_does_not_move_the_crontab(clock: Clock) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:
        before = table.next_fire_at("acme")
        table.count_from(workspace("acme", "0 0 * * *"), clock() - timedelta(minutes=45))
        assert table.next_fire_at("acme") == before
        assert not calls

    run_timetable(clock, "0 0 * * *", play)


def test_scheduler_that_has_stopped_calling_is_noticed(clock: Clock) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:  # noqa: ARG001
        assert table.is_on_time()
        clock.ahead += timedelta(hours=2)  # and nobody told it
        assert not table.is_on_time()

    run_timetable(clock, "every 1h", play)


def test_calls_come_on_time_and_late_ones_together(clock: Clock) -> None:
    async def play(table: Timetable, calls: list[str]) -> None:  # noqa: ARG001
        await asyncio.sleep(1.2)
        assert len(calls) == 1
        calls.clear()
        time.sleep(3.3)  # noqa: ASYNC251  # as SIGSTOP would: nothing runs meanwhile
        await asyncio.sleep(0.2)
        assert len(calls) == 1

    run_timetable(clock, "every 1s", play)
