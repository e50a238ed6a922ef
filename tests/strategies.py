"""What the API sends, or might send, as Hypothesis strategies: for tests of any room."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

WORKSPACE_ID = UUID("9eed4812-253d-59ff-9b47-82190ea2ccf9")

Json = None | bool | int | float | str | list[Any] | dict[str, Any]

# NUL, lone surrogates and whole pairs, what separates cells and rows, what JSON and SQL quote, both
# directions of writing, what combines and what is not in the first plane.
_AWKWARD = "\0\x1d\x1e\x1f\t\r\n\\\"'`},{[]:;%$ \u2028\u202e\u05d0\u0301\ud800\udc00\ufffd\ufeff\U0001f600"
_PHRASES = ("},{", "'; drop table interviews; --", "\\u0000", "\\N", "\\.", "null", "\u202eabc", "")

plain_texts = st.text(max_size=40)
awkward_texts = st.text(alphabet=st.sampled_from(_AWKWARD), max_size=12)
texts = st.sampled_from(_PHRASES) | plain_texts | awkward_texts

integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1])

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=4)


@st.composite
def uuids(draw: st.DrawFn, value: UUID | None = None) -> str:
    """A uuid in one of the spellings that are accepted."""
    uuid = draw(st.uuids()) if value is None else value
    return draw(st.sampled_from([str(uuid), str(uuid).upper(), uuid.hex]))


@st.composite
def instants(draw: st.DrawFn, value: datetime | None = None) -> str:
    """An instant in one of the spellings that are accepted; of `value`, where it is given, in UTC."""
    moment = value or draw(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
    minutes = draw(st.sampled_from([0, 0, 60, -60, 345, 23 * 60 + 59, -(23 * 60 + 59)]))
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    text = local.replace(tzinfo=None).isoformat(draw(st.sampled_from("Tt ")), "microseconds")
    if draw(st.booleans()):
        text = text.rstrip("0").removesuffix(".") if "." in text else text
    if minutes == 0:
        return text + draw(st.sampled_from(["Z", "z", "+00:00", "-00:00", ""]))
    return f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


REQUIRED: dict[str, st.SearchStrategy[Any]] = {
    "id": uuids(),
    "project_id": _optional(uuids()),
    "name": texts,
    "description": _optional(texts),
    "goal": _optional(texts),
    "agent_behavior": _optional(texts),
    "status": st.sampled_from(["draft", "active", "paused", "completed"]) | texts,
    "channel": texts,
    "completion_threshold": integers,
    "timeframe_start": _optional(instants()),
    "timeframe_end": _optional(instants()),
    "interview_order": texts,
    "interview_duration_minutes": integers,
    "created_by": _optional(texts),
    "created_at": instants(),
    "updated_at": instants(),
}
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "timezone": _optional(texts),
    "start_immediately": _optional(st.booleans()),
    "scheduling_mode": _optional(texts),
    "quick_mode_hours": _optional(integers),
    "weekly_availability": _optional(objects),
    "project_context": _optional(texts),
    "success_criteria": _optional(texts),
    "interview_context_for_employee": _optional(texts),
    "interview_type": _optional(texts),
    "welcome_screen": _optional(texts),
    "closing_message": _optional(texts),
    "folder": _optional(texts),
    "recurring_interval": _optional(texts),
    "contact_count": _optional(integers),
    "completed_count": _optional(integers),
    "scheduled_count": _optional(integers),
}
DEFAULTS = {
    "start_immediately": True,
    "scheduling_mode": "availability",
    "contact_count": 0,
    "completed_count": 0,
    "scheduled_count": 0,
}


def interviews(workspace_id: UUID = WORKSPACE_ID) -> st.SearchStrategy[dict[str, Any]]:
    """An interview that must load: the always-sent fields and any choice of the others."""
    required = {"workspace_id": uuids(workspace_id), **REQUIRED}
    return st.fixed_dictionaries(required, optional=OPTIONAL)


@st.composite
def mangled(draw: st.DrawFn, workspace_id: UUID = WORKSPACE_ID) -> Json:
    """An element that may or may not load: an interview with a fault or two, or something else."""
    if draw(st.integers(0, 4)) == 0:
        return draw(json_values)
    interview = draw(interviews(workspace_id))
    for _ in range(draw(st.integers(1, 2))):
        field = draw(st.sampled_from(["workspace_id", *REQUIRED, *OPTIONAL]) | texts)
        if draw(st.booleans()):
            interview.pop(field, None)
        else:
            interview[field] = draw(json_values)
    return interview


@st.composite
def spelled(draw: st.DrawFn, value: Json) -> bytes:
    """JSON text of the value, with blanks wherever they are allowed, also before commas."""
    blanks = draw(st.lists(st.sampled_from(["", "", " ", "\n", "\t\r\n  "]), min_size=1, max_size=7))
    used = 0

    def blank() -> str:
        nonlocal used
        used += 1
        return blanks[used % len(blanks)]

    def write(part: Json) -> str:
        if isinstance(part, dict):
            pairs = [
                f"{blank()}{json.dumps(k)}{blank()}:{blank()}{write(v)}{blank()}" for k, v in part.items()
            ]
            return "{" + (",".join(pairs) or blank()) + "}"
        if isinstance(part, list):
            return "[" + (",".join(f"{blank()}{write(v)}{blank()}" for v in part) or blank()) + "]"
        return json.dumps(part)

    return f"{blank()}{write(value)}{blank()}".encode()


def storable(text: str) -> str:
    """The text as a warehouse holds it: NUL and lone surrogates are U+FFFD."""
    paired: str = json.loads(json.dumps(text))  # a high and a low surrogate side by side are one character
    return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in paired)
