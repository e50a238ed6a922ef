"""The overview as it would be if the ledger had been able to write down every failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from etl.serve.queries import Overview
from etl.streak import Streak


def with_streaks(overview: Overview, streaks: Mapping[str, Streak]) -> Overview:
    """The overview, with the daemon's word where it knows of more failures than the ledger."""
    return replace(overview, states=[_with_streak(state, streaks) for state in overview.states])


def _with_streak(state: dict[str, Any], streaks: Mapping[str, Streak]) -> dict[str, Any]:
    streak = streaks.get(state["name"]) if state["configured"] else None
    if streak is None or not streak.goes_beyond(state["consecutive_failures"], state["last_success_at"]):
        return state
    return state | {
        "consecutive_failures": streak.failures,
        "last_status": "failed",
        "last_error_code": streak.error_code,
        "last_error": streak.error,
    }
