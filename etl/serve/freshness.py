"""Whether a workspace is as fresh as its schedule promises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from etl.config import Policy, Workspace
from etl.daemon.fire_times import fire_times

_TOLERANCE = timedelta(minutes=2)

Kind = Literal["failing", "late", "attention", "fresh", "waiting", "off"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How it stands, in a word and in a few."""

    kind: Kind
    label: str


def freshness(state: dict[str, Any], workspace: Workspace | None, now: datetime) -> Freshness:
    """How the workspace stands, worst first."""
    if workspace is None or not workspace.enabled:
        return Freshness("off", "No longer synced")
    if state["consecutive_failures"]:
        return Freshness("failing", "Failing")
    last_success: datetime | None = state["last_success_at"]
    if last_success is None:
        return Freshness("waiting", "Waiting for its first sync")
    if is_late(workspace.policy, last_success, now):
        return Freshness("late", "Late")
    if state["held_deletes"] or state["rejects_open"]:
        return Freshness("attention", "Fresh, with findings")
    return Freshness("fresh", "Fresh")


def is_late(policy: Policy, last_success: datetime, now: datetime) -> bool:
    """Whether two runs have been due since the last success: one may be under way, two are not."""
    next_after = fire_times(policy, last_success)
    slack = _TOLERANCE + timedelta(seconds=policy.jitter_seconds)
    return next_after(next_after(last_success)) < now - slack
