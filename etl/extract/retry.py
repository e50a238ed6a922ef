"""When to ask again, and how long to wait first."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from etl.errors import SyncError

RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_ASKED_SECONDS = 1e9  # three decades: as far as a date can be said


class Retriable(Exception):
    """An attempt failed in a way that another one may mend; `fault` is what to say if none does."""

    def __init__(self, fault: SyncError, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.retry_after_seconds = retry_after_seconds


def backoff_seconds(attempt: int) -> float:
    """The pause after the `attempt`th failure (from 1): exponential with full jitter.

    Full jitter keeps many clients that failed together from coming back together.
    """
    ceiling = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    return random.uniform(ceiling / 10, ceiling)  # noqa: S311  # no secret


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number or an HTTP date; None for nonsense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_ASKED_SECONDS)
    try:
        until = parsedate_to_datetime(text)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        asked = (until - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(0.0, asked), _LONGEST_ASKED_SECONDS)
