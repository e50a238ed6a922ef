"""When a workspace is synced: a crontab line or a period, read without the scheduler's own weight.

APScheduler is imported by the daemon alone; a one-shot `sync` must not pay for it to check a configuration.
And its parser is not crontab's: 0 is Monday, `mon-fri/2` loses its step, both day fields must match.
"""

from __future__ import annotations

import re
from datetime import timedelta

from msgspec import Struct

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?P<count>[0-9]{1,12})\s*(?P<unit>[smhd])")
_LONGEST = timedelta(days=3660)  # ten years: more is a slip of the finger

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_IN_MONTH = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # at most; months count from 1
_POSITIONS = ("1st", "2nd", "3rd", "4th", "5th")


class Cron(Struct, frozen=True):
    """A crontab line; each field is `*` or the list of its values, weekdays by name."""

    text: str
    minute: str
    hour: str
    day: str
    month: str
    day_of_week: str

    def __str__(self) -> str:
        return self.text

    def trigger_fields(self) -> dict[str, str]:
        """The keyword arguments of APScheduler's CronTrigger that fire when crontab would."""
        return {
            "minute": self.minute,
            "hour": self.hour,
            "day": self.day,
            "month": self.month,
            "day_of_week": self.day_of_week,
        }


class Every(Struct, frozen=True):
    """A period, counted from the last success before the daemon's start, or else from that."""

    text: str
    seconds: int

    def __str__(self) -> str:
        return self.text


Schedule = Cron | Every


class _Field(Struct, frozen=True):
    """One of crontab's five fields: what it may hold. `names` stand for `least` and the numbers after it."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


def parse_schedule(text: str) -> Schedule:
    """The schedule that a crontab line, an alias or `every 15m` means. Raises ValueError."""
    words = text.split()
    if not words:
        raise ValueError('is empty; write a crontab line like "*/15 * * * *", or "every 15m"')
    first = words[0].lower()
    if first == "every":
        return Every(text, _every(" ".join(words[1:])))
    if first.startswith("@"):
        if len(words) > 1 or first not in _ALIASES:
            raise ValueError(f"{_quoted(text)} is no alias; known are {', '.join(_ALIASES)}")
        words = _ALIASES[first].split()
    return _cron(text, words)


def parse_duration(text: str) -> timedelta:
    """The positive time that `90s`, `15m`, `6h` or `2d` means. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(
            f"{_quoted(text)} is no duration; write a whole number and s, m, h or d, like 90s or 6h"
        )
    seconds = int(match["count"]) * _UNIT_SECONDS[match["unit"]]
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ValueError(f"{_quoted(text)} is out of range; from 1s to {_LONGEST.days}d is possible")
    return timedelta(seconds=seconds)


def _every(duration: str) -> int:
    try:
        return int(parse_duration(duration).total_seconds())
    except ValueError as error:
        raise ValueError(f'after "every": {error}') from None


def _cron(text: str, words: list[str]) -> Cron:
    if len(words) != len(_FIELDS):
        raise ValueError(
            f"{_quoted(text)} has {len(words)} {'field' if len(words) == 1 else 'fields'}, crontab has five: "
            'minute hour day month weekday, like "*/15 * * * *"; or write "every 15m"'
        )
    minutes, hours, days, months, weekdays = (
        _values(field, word) for field, word in zip(_FIELDS, words, strict=True)
    )
    # Crontab knows Sunday as 0 and as 7.
    day, day_of_week = _listed(days, _FIELDS[2]), _weekday_names({value % 7 for value in weekdays})
    if not words[2].startswith("*") and not words[4].startswith("*"):
        day, day_of_week = _either(day, day_of_week), "*"
    elif not any(min(days) <= _DAYS_IN_MONTH[month] for month in months):
        raise ValueError(f"{_quoted(text)} never comes: no such month has a day {min(days)}")
    return Cron(
        text,
        minute=_listed(minutes, _FIELDS[0]),
        hour=_listed(hours, _FIELDS[1]),
        day=day,
        month=_listed(months, _FIELDS[3]),
        day_of_week=day_of_week,
    )


def _either(day: str, day_of_week: str) -> str:
    """A day field that comes on the days of either: so crontab reads two restricted day fields.

    APScheduler wants both at once; but its day field can say "every Friday" too: five positions in a month.
    """
    if "*" in (day, day_of_week):
        return "*"
    return ",".join([day, *(f"{nth} {name}" for name in day_of_week.split(",") for nth in _POSITIONS)])


def _values(field: _Field, word: str) -> set[int]:
    """The values that one field's text names: a list of `*`, numbers, names, ranges and steps."""
    values: set[int] = set()
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = field.least, 6 if field.names is _WEEKDAYS else field.most
        elif dash:
            low, high = _value(field, first), _value(field, last)
            if field.names is _WEEKDAYS and high == 0 < low:
                high = 7  # "fri-sun" is plain enough
        else:
            low = high = _value(field, first)
            if slash:
                stepped = f"{span}-{field.most}/{step_text}"
                raise ValueError(f"{field.name}: a step needs a range: write */{step_text} or {stepped}")
        if low > high:
            raise ValueError(
                f"{field.name}: the range {_quoted(span)} runs backwards; write it as two, with a comma"
            )
        values.update(range(low, high + 1, _step(field, step_text) if slash else 1))
    return values


def _value(field: _Field, text: str) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.least
    if not re.fullmatch("[0-9]{1,4}", text):
        wanted = f"a number or {field.names[0]} … {field.names[-1]}" if field.names else "a number"
        raise ValueError(f"{field.name}: {_quoted(text)} is not {wanted}")
    value = int(text)
    if not field.least <= value <= field.most:
        raise ValueError(f"{field.name}: {value} is not within {field.least} to {field.most}")
    return value


def _step(field: _Field, text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) == 0:
        raise ValueError(f"{field.name}: the step {_quoted(text)} is not a whole number from 1")
    if int(text) > field.most:
        # crontab takes */90 for "once an hour", which is never what was meant
        raise ValueError(
            f'{field.name}: the step {text} is longer than the field; for long periods write "every 6h"'
        )
    return int(text)


def _listed(values: set[int], field: _Field) -> str:
    if len(values) == field.most - field.least + 1:
        return "*"
    return ",".join(map(str, sorted(values)))


def _weekday_names(values: set[int]) -> str:
    if len(values) == len(_WEEKDAYS):
        return "*"
    return ",".join(_WEEKDAYS[value] for value in sorted(values))


def _quoted(text: str) -> str:
    """The text in quotes, on one line and not for long."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return f'"{shown[:40]}…"' if len(shown) > 40 else f'"{shown}"'  # noqa: PLR2004  # a glance
