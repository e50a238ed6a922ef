"""Sizes and ages as people read them, on a terminal and on a page."""

from __future__ import annotations

_THOUSAND = 1000
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def bytes_text(count: int) -> str:
    """A size in the unit that fits: `1.9 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < _THOUSAND:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _THOUSAND
    return f"{size:.2f} GB"


def age_text(seconds: float | None) -> str:
    """A time in its two greatest units: `2 d 3 h`, `2 d`; `never` for None."""
    if seconds is None:
        return "never"
    rest = max(0, int(seconds))  # less than nothing where another's clock is ahead
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        number, rest = divmod(rest, size)
        if number or parts or size == 1:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number or len(parts) == 1)
