"""Sizes as people read them, on a terminal and on a page."""

from __future__ import annotations

_THOUSAND = 1000


def bytes_text(count: int) -> str:
    """A size in the unit that fits: `1.9 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < _THOUSAND:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _THOUSAND
    return f"{size:.2f} GB"
