"""Schedules mean what crontab means by them, to APScheduler too; what means nothing is refused in a line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.schedule import Cron, Every, parse_duration, parse_schedule

_START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
_FIELD_BOUNDS = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 7))
_DAYS_PER_WEEK = 7


def _fires(line: str, count: int, start: datetime = _START) -> list[datetime]:
    schedule = parse_schedule(line)
    assert isinstance(schedule, Cron)
    trigger = CronTrigger(**schedule.trigger_fields(), timezone=UTC)

    def times(now: datetime) -> Iterator[datetime]:
        while fire := trigger.get_next_fire_time(None, now):
            yield fire
            now = fire + timedelta(seconds=1)

    return list(islice(times(start), count))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("*/15 * * * *", ["01-01 00:00", "01-01 00:15", "01-01 00:30"], id="quarters"),
        pytest.param("5,35 8-9 * * *", ["01-01 08:05", "01-01 08:35", "01-01 09:05"], id="list-and-range"),
        pytest.param("10-59/20 0 * * *", ["01-01 00:10", "01-01 00:30", "01-01 00:50"], id="stepped-range"),
        pytest.param("0 0 * * 0", ["01-04 00:00", "01-11 00:00"], id="sunday-is-0"),
        pytest.param("0 0 * * 7", ["01-04 00:00", "01-11 00:00"], id="sunday-is-7"),
        pytest.param("0 0 * * SUN", ["01-04 00:00", "01-11 00:00"], id="sunday-by-name"),
        pytest.param("0 0 * * 1", ["01-05 00:00", "01-12 00:00"], id="monday-is-1"),
        pytest.param("0 0 * * 1-5", ["01-01 00:00", "01-02 00:00", "01-05 00:00"], id="working-days"),
        pytest.param("0 0 * * mon-fri/2", ["01-02 00:00", "01-05 00:00", "01-07 00:00"], id="step-of-names"),
        pytest.param("0 0 * * 5-7", ["01-02 00:00", "01-03 00:00", "01-04 00:00"], id="range-to-sunday"),
        pytest.param("0 0 * * fri-sun", ["01-02 00:00", "01-03 00:00", "01-04 00:00"], id="names-to-sunday"),
        pytest.param("0 0 * * */2", ["01-01 00:00", "01-03 00:00", "01-04 00:00"], id="every-other-weekday"),
        pytest.param("0 0 1 feb,APR *", ["02-01 00:00", "04-01 00:00"], id="months-by-name"),
        pytest.param("0 0 31 * *", ["01-31 00:00", "03-31 00:00"], id="months-without-the-day-are-left-out"),
        pytest.param("0 0 13 * 5", ["01-02 00:00", "01-09 00:00", "01-13 00:00"], id="either-day-field"),
        pytest.param("0 0 */2 * 5", ["01-09 00:00", "01-23 00:00"], id="both-day-fields-after-a-star"),
        pytest.param("@hourly", ["01-01 00:00", "01-01 01:00"], id="hourly"),
        pytest.param("@daily", ["01-01 00:00", "01-02 00:00"], id="daily"),
        pytest.param("@weekly", ["01-04 00:00", "01-11 00:00"], id="weekly"),
        pytest.param("@monthly", ["01-01 00:00", "02-01 00:00"], id="monthly"),
    ],
)
def test_apscheduler_fires_when_crontab_would(line: str, expected: list[str]) -> None:
    assert [f"{fire:%m-%d %H:%M}" for fire in _fires(line, len(expected))] == expected


@st.composite
def _crontab_lines(draw: st.DrawFn) -> tuple[str, list[set[int]]]:
    """A crontab line, and for each field what it means."""
    words, meanings = [], []
    for least, most in _FIELD_BOUNDS:
        low = draw(st.integers(least, most))
        high = draw(st.integers(low, most))
        step = draw(st.integers(1, max(1, most - 1)))
        single = draw(st.integers(least, most))
        word, meaning = draw(
            st.sampled_from(
                [
                    ("*", set(range(least, most + 1))),
                    (f"{single}", {single}),
                    (f"{low}-{high}", set(range(low, high + 1))),
                    (f"{low}-{high}/{step}", set(range(low, high + 1, step))),
                    (f"{single},{low}-{high}", {single, *range(low, high + 1)}),
                ]
            )
        )
        words.append(word)
        meanings.append(meaning)
    return " ".join(words), meanings


@given(_crontab_lines())
@settings(deadline=None)
def test_any_valid_line_fires_only_when_each_of_its_fields_allows_it(
    case: tuple[str, list[set[int]]],
) -> None:
    line, (minutes, hours, days, months, weekdays) = case
    assert str(parse_schedule(line)) == line
    day_word, weekday_word = line.split()[2], line.split()[4]
    for fire in _fires(line, 3):
        on_day = fire.day in days or (day_word == "*")
        on_weekday = bool({fire.isoweekday() % _DAYS_PER_WEEK, fire.isoweekday()} & weekdays)
        either = "*" not in {day_word, weekday_word}
        assert fire.minute in minutes
        assert fire.hour in hours
        assert fire.month in months
        assert (on_day or on_weekday) if either else (on_day and on_weekday)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    message = ""
    try:
        schedule = parse_schedule(text)
    except ValueError as error:
        message = str(error)
        assert message
    else:
        assert str(schedule) == text
    assert message.isprintable()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("every 90s", 90), ("every 15m", 900), ("every 6h", 21600), ("every 1d", 86400), ("Every  5 m", 300)],
)
def test_periods(text: str, seconds: int) -> None:
    schedule = parse_schedule(text)
    assert schedule == Every(text, seconds)
    assert str(schedule) == text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("", "is empty", id="reliability-40-empty"),
        pytest.param("*/15 * * *", "has 4 fields", id="reliability-40-four-fields"),
        pytest.param("0 */15 * * * *", "has 6 fields", id="reliability-40-six-fields"),
        pytest.param("60 * * * *", "minute: 60 is not within 0 to 59", id="reliability-40-minute-60"),
        pytest.param("0 24 * * *", "hour: 24", id="reliability-40-hour-24"),
        pytest.param("0 0 0 * *", "day of month: 0", id="reliability-40-day-0"),
        pytest.param("0 0 1 13 *", "month: 13", id="reliability-40-month-13"),
        pytest.param("0 0 * * 8", "day of week: 8", id="reliability-40-weekday-8"),
        pytest.param("0 0 * * monday", 'day of week: "monday"', id="reliability-40-long-weekday"),
        pytest.param("0 0 L * *", 'day of month: "L" is not a number', id="reliability-40-quartz-syntax"),
        pytest.param("50-10 * * * *", "runs backwards", id="reliability-40-backwards"),
        pytest.param("5/15 * * * *", "5-59/15", id="reliability-40-step-without-range"),
        pytest.param("*/0 * * * *", "step", id="reliability-40-step-0"),
        pytest.param("*/90 * * * *", "longer than the field", id="reliability-40-step-90"),
        pytest.param("1,,2 * * * *", 'minute: ""', id="reliability-40-empty-part"),
        pytest.param("0 0 30 2 *", "never comes", id="reliability-40-30-february"),
        pytest.param("0 0 31 4,6 *", "never comes", id="reliability-40-31-april"),
        pytest.param("@reboot", "@hourly, @daily", id="reliability-40-unknown-alias"),
        pytest.param("every", "no duration", id="reliability-40-every-nothing"),
        pytest.param("every 0s", "out of range", id="reliability-40-every-0s"),
        pytest.param("every 1.5h", "no duration", id="reliability-40-every-fraction"),
        pytest.param("every 15", "no duration", id="reliability-40-every-without-unit"),
        pytest.param("every 99999999d", "out of range", id="reliability-40-every-aeon"),
    ],
)
def test_a_bad_schedule_is_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_schedule(text)
    assert part in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        (" 6h ", timedelta(hours=6)),
        ("2d", timedelta(days=2)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "6", "h", "-1h", "0s", "1.5h", "1h30m", "6 hours", "٣h", "9" * 13 + "s"]
)
def test_a_bad_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|out of range"):
        parse_duration(text)
