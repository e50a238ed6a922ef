"""The time of day, for all who do not get it as a parameter."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)
