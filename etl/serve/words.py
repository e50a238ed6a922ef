"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from etl.measures import age_text

_A_FEW_SECONDS = 10
_AN_HOUR = 3600


def glance_text(seconds: float | None) -> str:
    """An age at a glance: `4 min`, `2 d 3 h`; within the hour its greatest unit is enough."""
    text = age_text(seconds)
    return " ".join(text.split(" ")[:2]) if seconds is not None and seconds < _AN_HOUR else text


def duration_text(seconds: float | None) -> str:
    """How long something took: `0.42 s`, `3.1 s`, `2 min 5 s`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < _A_FEW_SECONDS:
        return f"{seconds:.1f} s"
    return age_text(seconds)


def number_text(count: int) -> str:
    """`12 345`, with a thin space that does not break."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number_text(count)} {noun}{'' if count == 1 else 's'}"


def instant_text(instant: datetime | None) -> str:
    """`2026-03-01 09:30:00`, UTC."""
    return "–" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso_text(instant: datetime) -> str:
    """For machines: `2026-03-01T09:30:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
