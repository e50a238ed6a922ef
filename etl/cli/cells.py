"""How a value looks in a table, on a terminal and in a pipe."""

from __future__ import annotations

from datetime import UTC, datetime


def cell_text(value: object) -> str:
    """A table's cell, in one line."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.2f}"
    return " ".join(str(value).split())
