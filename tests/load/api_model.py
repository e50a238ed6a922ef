"""A model of the API: three workspaces' interviews, as they are and as an answer spells them."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import UUID, uuid5

from tests.load.house import A, B, C
from tests.load.model import Element

WORKSPACES = tuple(str(one) for one in (A, B, C))
_PLAIN: dict[str, Any] = {
    "project_id": None,
    "name": "Shift handover",
    "description": None,
    "goal": "Find out where time is lost",
    "agent_behavior": None,
    "status": "active",
    "channel": "google_meet",
    "completion_threshold": 80,
    "timeframe_start": None,
    "timeframe_end": "2026-04-01T08:00:00Z",
    "interview_order": "as_listed",
    "interview_duration_minutes": 20,
    "created_by": "user_1",
    "created_at": "2026-01-01T08:00:00Z",
    "updated_at": "",
    "timezone": "Europe/Berlin",
    "start_immediately": True,
    "scheduling_mode": "availability",
    "quick_mode_hours": None,
    "weekly_availability": {"mon": [{"from": "09:00", "to": "17:00"}]},
    "project_context": None,
    "success_criteria": None,
    "interview_context_for_employee": None,
    "interview_type": None,
    "welcome_screen": 'Grüß Gott, \\ \t "hi"',
    "closing_message": None,
    "folder": None,
    "recurring_interval": None,
    "contact_count": 5,
    "completed_count": 0,
    "scheduled_count": 0,
}
CORRUPTIONS = ("missing_field", "wrong_type", "invalid_instant", "invalid_uuid", "foreign_workspace")


class Api:
    """What the API would answer, and every way in which that changes."""

    def __init__(self) -> None:
        self.worlds: dict[str, list[dict[str, Any]]] = {workspace: [] for workspace in WORKSPACES}
        self.graves: list[dict[str, Any]] = []
        self.corrupt: dict[str, str] = {}
        self.echoes: dict[str, list[dict[str, Any]]] = {workspace: [] for workspace in WORKSPACES}
        self.noise: dict[str, list[str]] = {workspace: [] for workspace in WORKSPACES}
        self.spelling: dict[str, int] = dict.fromkeys(WORKSPACES, 0)
        self.made = 0
        self.edits = 0

    def change(self, kind: str, workspace: str, choice: int) -> None:
        """One change of this kind; nothing where there is nothing to change."""
        world = self.worlds[workspace]
        if kind == "create":
            self._create(workspace)
        elif kind == "restore" and self.graves:
            back = self.graves.pop(choice % len(self.graves))
            self.worlds[back["workspace_id"]].append(back)
        elif kind == "quiet":
            self.echoes[workspace].clear()
            self.noise[workspace].clear()
        elif kind == "noise":
            self.noise[workspace].append(random.Random(choice).choice(("7", "null", '"x"', "[]", "[7,null]")))
        elif kind == "reorder":
            random.Random(choice).shuffle(world)
        elif kind == "respell":
            self.spelling[workspace] = choice % 3
        elif kind == "clear":
            self.graves += world
            world.clear()
        elif world:
            self._change_one(kind, workspace, choice % len(world), choice)

    def _create(self, workspace: str) -> None:
        self.made += 1
        interview = {"id": str(uuid5(UUID(workspace), str(self.made))), "workspace_id": workspace, **_PLAIN}
        self.worlds[workspace].append(interview | {"updated_at": _instant(100), "_extra": None})

    def _change_one(self, kind: str, workspace: str, at: int, choice: int) -> None:
        world = self.worlds[workspace]
        one = world[at]
        self.edits += 1
        if kind == "edit":
            world[at] = one | {"name": f"edit {self.edits}", "updated_at": _moved(one, 1 + choice % 3)}
        elif kind == "count":  # counters move without updated_at
            world[at] = one | {"contact_count": self.edits}
        elif kind == "age":
            world[at] = one | {"name": f"aged {self.edits}", "updated_at": _moved(one, -1 - choice % 3)}
        elif kind == "extend":
            world[at] = one | {"_extra": {"mood": self.edits, "zeal": ["\x1f", None]} if choice % 2 else None}
        elif kind == "delete":
            self.graves.append(world.pop(at))
        elif kind == "corrupt":
            self.corrupt[one["id"]] = CORRUPTIONS[choice % len(CORRUPTIONS)]
        elif kind == "heal":
            self.corrupt.pop(one["id"], None)
        elif kind == "duplicate":
            echo = one | {"name": f"echo {self.edits}", "updated_at": _moved(one, choice % 3 - 1)}
            self.echoes[workspace].append(one if choice % 4 == 3 else echo)
        elif kind == "move":
            there = WORKSPACES[choice % 3]
            self.worlds[there].append(world.pop(at) | {"workspace_id": there, "updated_at": _moved(one, 1)})

    def answer(self, workspace: str) -> list[Element]:
        """The elements of the workspace's answer."""
        elements = [self._element(one, workspace) for one in self.worlds[workspace]]
        for number, echo in enumerate(self.echoes[workspace]):
            elements.insert(number * 3 % (len(elements) + 1), self._element(echo, workspace))
        return elements + [
            Element(text, None, None, "not_an_object", text[0]) for text in self.noise[workspace]
        ]

    def _element(self, content: dict[str, Any], workspace: str) -> Element:
        sent = {name: value for name, value in content.items() if name != "_extra"}
        sent |= content["_extra"] or {}
        reason = self.corrupt.get(content["id"], "")
        read_id: str | None = content["id"]
        if reason == "missing_field":
            del sent["status"]
        elif reason == "wrong_type":
            sent["contact_count"] = "12"
        elif reason == "invalid_instant":
            sent["created_at"] = "2026-02-30T00:00:00Z"
        elif reason == "invalid_uuid":
            sent["id"], read_id = "not-a-uuid-" + content["id"], None
        elif reason == "foreign_workspace":
            sent["workspace_id"] = WORKSPACES[WORKSPACES.index(workspace) - 1]
        text = _spelled(sent, self.spelling[workspace])
        return Element(text, read_id, None if reason else content, reason)


def answer_text(elements: list[Element]) -> bytes:
    """The answer on the wire."""
    return ("[" + ",\n".join(element.text for element in elements) + "]").encode()


def _spelled(sent: dict[str, Any], spelling: int) -> str:
    if spelling == 1:
        return json.dumps(sent, ensure_ascii=False)
    if spelling == 2:
        return json.dumps(dict(reversed(sent.items())), separators=(",", ":"))
    return json.dumps(sent, separators=(",", ":"))


def _instant(minute: int) -> str:
    return f"2026-02-01T{minute // 60:02}:{minute % 60:02}:00Z"


def _moved(one: dict[str, Any], minutes: int) -> str:
    text = one["updated_at"]
    return _instant(max(0, int(text[11:13]) * 60 + int(text[14:16]) + minutes))
