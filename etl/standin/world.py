"""What the stand-in API knows: workspaces, their keys, their interviews, and how it is told to behave."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etl.standin.faults import Fault


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came; of a key only its kind is kept."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    auth: str | None
    workspace_id: str | None
    at: float  # by the monotonic clock


@dataclass(slots=True)
class World:
    """A workspace of the stand-in API."""

    key: str
    scopes: tuple[str, ...]
    expired: bool = False
    interviews: tuple[Mapping[str, Any], ...] = ()
    body: bytes | Path | None = None
    content_type: str = "application/json"
    encoding: str | None = None
    faults: deque[Fault] = field(default_factory=deque)
    standing_fault: Fault | None = None
    answers: dict[tuple[str | None, str | None], bytes] = field(default_factory=dict)

    def set_interviews(self, interviews: Iterable[Mapping[str, Any]]) -> None:
        """These are the workspace's interviews from now on."""
        self.interviews, self.body, self.answers = tuple(interviews), None, {}

    def answer(self, project_id: str | None, status: str | None) -> bytes | Path:
        """The array of all interviews that the filters let through; serialised once per change."""
        if self.body is not None:
            return self.body
        filters = (project_id, status)
        if filters not in self.answers:
            self.answers[filters] = _serialised(self.interviews, project_id, status)
        return self.answers[filters]


def _serialised(interviews: Sequence[Mapping[str, Any]], project_id: str | None, status: str | None) -> bytes:
    chosen = [
        interview
        for interview in interviews
        if (project_id is None or interview.get("project_id") == project_id)
        and (status is None or interview.get("status") == status)
    ]
    return json.dumps(chosen, separators=(",", ":")).encode()


class Census:
    """How many connections are open, and how many were at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = 0
        self.peak = 0

    def __enter__(self) -> None:
        with self._lock:
            self.open += 1
            self.peak = max(self.peak, self.open)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self.open -= 1
