"""Made-up interviews that look like real ones: the same seed makes the same interviews, always."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_NAMESPACE = uuid.UUID("5b0c3d0e-9d7c-5f4e-8a41-2f6a3f1f0c77")
_BEGIN = datetime(2025, 9, 1, 8, tzinfo=UTC)
_TOPICS = ("Shift handover", "Night audit", "Field maintenance", "Ausbildung im Werk Süd", "Month-end close")
_GOALS = (
    "Find out where time is lost and who has to wait for whom.",
    "Understand which exceptions never reach the system.",
    "Map the process as people really do it, not as the handbook says.",
    "See which reports are read and which are only produced.",
    "Collect what new colleagues struggle with in week one.",
)
_STATUSES = ("draft", "active", "active", "paused", "completed", "completed")
_CHANNELS = ("google_meet", "google_meet", "chat", "phone")
_ORDERS = ("seniority_high_first", "seniority_low_first", "as_listed")
_ZONES = (None, "Europe/Berlin", "Europe/Paris", "America/New_York", "Asia/Tokyo")
_FOLDERS = (None, "2026/Plants", "Shared services")
_SHIFT = [{"from": "09:00", "to": "17:00"}]
_TWO_SHIFTS = [{"from": "08:30", "to": "12:00"}, {"from": "13:00", "to": "17:30"}]
_WEEKS: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"mon": _SHIFT},
    dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), _TWO_SHIFTS),
)


def generate_interviews(
    count: int, *, workspace_id: uuid.UUID | str, seed: int = 0, padding: int = 0
) -> Iterator[dict[str, Any]]:
    """So many interviews of the workspace, each of about 1.8 kB of JSON and `padding` more."""
    for number in range(count):
        yield _interview(number, str(workspace_id), seed, padding)


def write_answer(
    path: Path,
    count: int,
    *,
    workspace_id: uuid.UUID | str,
    seed: int = 0,
    changed_fraction: float = 0.0,
    generation: int = 0,
) -> int:
    """Write an answer of so many interviews to a file, in constant memory; its size in bytes.

    A `generation` beyond 0 has changed that fraction of the rows, and is newer than those before it.
    """
    dice = random.Random(generation)  # noqa: S311  # made-up data
    later = (_BEGIN + timedelta(days=500 + generation)).isoformat()
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, interview in enumerate(generate_interviews(count, workspace_id=workspace_id, seed=seed)):
            if generation and dice.random() < changed_fraction:
                interview |= {"updated_at": later, "contact_count": interview["contact_count"] + generation}
            file.write(("," if number else "") + json.dumps(interview, separators=(",", ":")))
        file.write("]")
    return path.stat().st_size


def _interview(number: int, workspace_id: str, seed: int, padding: int) -> dict[str, Any]:
    dice = random.Random(f"{workspace_id} {seed} {number}")  # noqa: S311  # made-up data
    created = _BEGIN + timedelta(minutes=dice.randrange(60 * 24 * 400))
    status = dice.choice(_STATUSES)
    contacts = dice.randrange(5, 80)
    completed = {"draft": 0, "completed": contacts}.get(status, dice.randrange(contacts))
    begins = None if status == "draft" else created + timedelta(days=dice.randrange(1, 14))
    ends = None if begins is None else begins + timedelta(days=dice.randrange(7, 40))
    goal = dice.choice(_GOALS)
    return {
        "id": str(uuid.uuid5(_NAMESPACE, f"{workspace_id} {seed} {number}")),
        "workspace_id": workspace_id,
        "project_id": str(uuid.uuid5(_NAMESPACE, f"{workspace_id} project {dice.randrange(5)}")),
        "name": f"{dice.choice(_TOPICS)} – {created:%B %Y}",
        "description": " ".join(dice.choices(_GOALS, k=3)),
        "goal": goal,
        "agent_behavior": dice.choice((None, "Never suggests answers.", "Asks for an example each time.")),
        "status": status,
        "channel": dice.choice(_CHANNELS),
        "completion_threshold": dice.choice((70, 80, 100)),
        "timeframe_start": _text(begins),
        "timeframe_end": _text(ends),
        "interview_order": dice.choice(_ORDERS),
        "interview_duration_minutes": dice.choice((15, 20, 30, 45)),
        "created_by": f"user_{dice.randrange(16**8):08x}",
        "created_at": _text(created),
        "updated_at": _text(created + timedelta(minutes=dice.randrange(60 * 24 * 60))),
        "timezone": dice.choice(_ZONES),
        "start_immediately": dice.random() < 0.5,  # noqa: PLR2004
        "scheduling_mode": dice.choice(("availability", "quick")),
        "quick_mode_hours": dice.choice((None, 8, 24)),
        "weekly_availability": dice.choice(_WEEKS),
        "project_context": " ".join(dice.choices(_GOALS, k=6)) + "x" * padding,
        "success_criteria": dice.choice((None, "Three improvements the team agrees on.")),
        "interview_context_for_employee": "Your answers are shared as themes, never as quotes.",
        "interview_type": dice.choice((None, "speaking_default")),
        "welcome_screen": "Hi, good to have you here.",
        "closing_message": "Thank you! You will see the results in two weeks.",
        "folder": dice.choice(_FOLDERS),
        "recurring_interval": dice.choice((None, None, "monthly")),
        "contact_count": contacts,
        "completed_count": completed,
        "scheduled_count": 0 if status == "draft" else dice.randrange(contacts - completed + 1),
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
