"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_A_FEW_SECONDS = 10
_AN_HOUR = 3600


def age_text(seconds: float | None) -> str:
    """A time in its two greatest units: `2 d 3 h`; `never` for None."""
    if seconds is None:
        return "never"
    rest = int(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        number, rest = divmod(rest, size)
        if number or parts or size == 1:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number or len(parts) == 1)


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
