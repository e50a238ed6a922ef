"""What holds for every interview, not only for those that someone thought of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etl.errors import UnexpectedAnswer
from etl.normalize import Notes, Reject, Row, normalize
from tests.normalize.elements import COLUMNS, read, stored
from tests.strategies import (
    DEFAULTS,
    OPTIONAL,
    REQUIRED,
    WORKSPACE_ID,
    Json,
    instants,
    interviews,
    json_values,
    mangled,
    spelled,
    storable,
    uuids,
)

INSTANTS = ("timeframe_start", "timeframe_end", "created_at", "updated_at")
UUIDS = ("id", "workspace_id", "project_id")
FIELDS = {"workspace_id": uuids(WORKSPACE_ID), **REQUIRED, **OPTIONAL}


def instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def mended(value: Json) -> Json:
    """The value with every text and key as a warehouse can hold it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [mended(inner) for inner in value]
    if isinstance(value, dict):
        return {storable(key): mended(inner) for key, inner in value.items()}
    return value


def meaning(interview: dict[str, Any]) -> dict[str, Any]:
    """What the interview says, whatever its spelling, with the API's defaults filled in."""
    said: dict[str, Any] = {}
    for field in FIELDS:
        value = interview.get(field)
        if value is None:
            said[field] = DEFAULTS.get(field)
        elif field in INSTANTS:
            said[field] = instant(value)
        elif field in UUIDS:
            said[field] = UUID(value)
        else:
            said[field] = mended(value)
    return said


def stored_meaning(row: Row) -> dict[str, Any]:
    """The same, taken from the row's cells by a warehouse's rules."""
    cells: dict[str, Any] = dict(zip(COLUMNS, row.values, strict=True))
    for field in INSTANTS:
        if cells[field] is not None:
            assert len(cells[field]) == len("2026-01-01 00:00:00.000000")
            cells[field] = datetime.fromisoformat(cells[field]).replace(tzinfo=UTC)
    for field in UUIDS:
        if cells[field] is not None:
            assert cells[field] == str(UUID(cells[field]))
            cells[field] = UUID(cells[field])
    if cells["weekly_availability"] is not None:
        cells["weekly_availability"] = json.loads(cells["weekly_availability"])
    return {field: cells[field] for field in FIELDS}


def row_of(raw: bytes) -> Row:
    made = read(raw)
    assert isinstance(made, Row), made
    return made


@settings(deadline=None)
@given(interviews().flatmap(lambda interview: st.tuples(st.just(interview), spelled(interview))))
def test_a_valid_interview_is_stored_as_it_was_meant(case: tuple[dict[str, Any], bytes]) -> None:
    interview, raw = case
    row = row_of(raw)
    assert stored_meaning(row) == meaning(interview)
    assert dict(zip(COLUMNS, row.values, strict=True))["_extra"] is None
    for cell in row.values:
        if isinstance(cell, str):
            assert "\0" not in cell
            cell.encode()  # no lone surrogate either


@settings(deadline=None)
@given(st.data())
def test_key_order_whitespace_and_escapes_change_nothing(data: st.DataObject) -> None:
    interview = data.draw(interviews())
    shuffled = dict(data.draw(st.permutations(list(interview.items()))))
    assert row_of(data.draw(spelled(shuffled))) == row_of(json.dumps(interview).encode())
    try:
        unescaped = json.dumps(shuffled, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate has no other spelling
        return
    assert row_of(unescaped) == row_of(json.dumps(interview).encode())


@settings(deadline=None)
@given(st.data())
def test_the_hash_changes_with_any_fields_meaning(data: st.DataObject) -> None:
    before = data.draw(interviews())
    field = data.draw(st.sampled_from([name for name in FIELDS if name != "workspace_id"]))
    after = {**before, field: data.draw(FIELDS[field])}
    assume(meaning(before)[field] != meaning(after)[field])
    hashes = [row_of(json.dumps(interview).encode()).values[-1] for interview in (before, after)]
    assert hashes[0] != hashes[1]


@settings(deadline=None)
@given(st.data())
def test_equal_instants_and_uuids_make_equal_rows_however_they_are_spelled(data: st.DataObject) -> None:
    interview = data.draw(interviews())
    respelled = dict(interview)
    for field in INSTANTS:
        if interview[field] is not None:
            respelled[field] = data.draw(instants(instant(interview[field])))
    for field in UUIDS:
        if interview[field] is not None:
            respelled[field] = data.draw(uuids(UUID(interview[field])))
    for field, default in DEFAULTS.items():
        if interview.get(field) is None:
            respelled[field] = data.draw(st.sampled_from([None, default]))
    assert row_of(json.dumps(respelled).encode()) == row_of(json.dumps(interview).encode())


@settings(deadline=None)
@given(interviews(), st.dictionaries(st.text(max_size=10), json_values, min_size=1, max_size=4))
def test_unknown_fields_are_kept_whole(interview: dict[str, Any], unknown: dict[str, Json]) -> None:
    unknown = {name: value for name, value in unknown.items() if name not in FIELDS}
    assume(unknown)
    plain = stored(json.dumps(interview).encode())
    cells = stored(json.dumps({**unknown, **interview}).encode())
    assert json.loads(str(cells["_extra"])) == mended(unknown)
    assert cells["_row_hash"] != plain["_row_hash"]
    assert {**cells, "_extra": None, "_row_hash": None} == {**plain, "_row_hash": None}


@settings(max_examples=200, deadline=None)
@given(mangled())
def test_any_json_value_makes_a_row_or_a_reject(value: Json) -> None:
    raw = json.dumps(value).encode()
    made = normalize(raw, 3, b"", WORKSPACE_ID, Notes())
    if isinstance(made, Row):
        assert isinstance(value, dict)
        assert len(made.values) == len(COLUMNS)
        return
    assert made.reason
    assert made.message.startswith((f"{made.field}: ", "expected an interview, got "))
    assert json.loads(made.payload) == mended(value)
    assert "\n" not in made.message


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = draw(mangled().flatmap(spelled))
    at = draw(st.integers(0, len(raw)))
    if draw(st.booleans()):
        return raw[:at]
    return raw[:at] + draw(st.binary(min_size=1, max_size=2)) + raw[at + 1 :]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | damaged())
def test_any_bytes_make_a_row_a_reject_or_an_unexpected_answer(raw: bytes) -> None:
    try:
        made = normalize(raw, 3, b"", WORKSPACE_ID, Notes())
    except UnexpectedAnswer as error:
        assert "element 3" in str(error)  # noqa: PT017  # other errors are what is looked for
    else:
        assert isinstance(made, Row | Reject)
