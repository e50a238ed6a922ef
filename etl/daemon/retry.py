"""When a failed workspace is tried again: sooner than its schedule, after pauses that grow."""

from __future__ import annotations

import random
from datetime import timedelta

_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 3600.0
_MOST_DOUBLINGS = 20

WAITING_FOR_SCHEDULE = frozenset(
    {
        # The API has said no, and would say it again.
        "invalid_api_key",
        "workspace_forbidden",
        "insufficient_scope",
        "rate_limited",
        "request_refused",
        "unexpected_redirect",
        # The whole answer was downloaded in vain, and would be again.
        "response_too_large",
        "schema_mismatch",
    }
)
"""Errors after which asking sooner than scheduled would only hammer."""


def retry_pause_seconds(error_code: str | None, failures: int, period: timedelta) -> float | None:
    """How long to wait after so many failures in a row; None: for the schedule.

    Between half and the whole of 5, 10, 20 … seconds, at most the period: so that many that failed
    together do not come back together.
    """
    if error_code in WAITING_FOR_SCHEDULE:
        return None
    grown = _FIRST_PAUSE_SECONDS * 2.0 ** min(max(failures, 1) - 1, _MOST_DOUBLINGS)
    longest = min(grown, _LONGEST_PAUSE_SECONDS, period.total_seconds())
    return longest * random.uniform(0.5, 1)  # noqa: S311  # spreads load, guards nothing
