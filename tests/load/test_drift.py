"""The API's shape changes: reliability 44 and 45; and what is kept of rejected rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from etl.errors import SchemaMismatch, UnexpectedAnswer
from etl.tables import interviews, interviews_history, metadata, rejected_rows, sync_runs, workspaces
from tests.load.house import A, B, House, body, made, workspace


def _codes(warnings: list[dict[str, Any]]) -> list[str]:
    return [warning["code"] for warning in warnings]


@pytest.mark.parametrize("full", [False, True])
def test_new_fields_on_every_row_are_kept(house: House, full: bool) -> None:
    asked, plain = workspace(), made(4)
    house.load(asked, body(plain))
    grown = [one | {"sentiment": {"score": 0.5}, "_synced_at": "theirs", "id ": 7} for one in plain]
    outcome = house.load(asked, body(grown), full=full)
    assert outcome.counts.updated == 4
    (warning,) = outcome.warnings
    assert (warning["code"], warning["fields"]) == ("unknown_fields", ["_synced_at", "id ", "sentiment"])
    for row in house.rows(interviews):
        assert row["_extra"] == {"sentiment": {"score": 0.5}, "_synced_at": "theirs", "id ": 7}
        assert row["_synced_at"] == house.now
    assert house.rows(workspaces)[0]["unknown_fields"] == ["_synced_at", "id ", "sentiment"]
    assert house.rows(sync_runs)[-1]["warnings"] == [warning]
    again = house.load(asked, body(grown), full=full)
    assert (again.counts.unchanged, _codes(again.warnings)) == (4, ["unknown_fields"])


def test_names_of_new_fields_are_told_on_one_line_and_not_at_length(house: House) -> None:
    asked, plain = workspace(), made(1)
    odd = {"a\nb\x1b[31m": 1, "L" * 100_000: 2}
    (warning,) = house.load(asked, body([plain[0] | odd])).warnings
    assert warning["fields"] == ["L" * 59 + "…", "a?b?[31m"]
    assert warning["message"].endswith(f"kept in _extra: {'L' * 59}…, a?b?[31m")
    assert house.row(plain[0]["id"])["_extra"] == odd
    assert house.load(asked, body(plain)).warnings == []


def test_a_new_field_on_one_row_is_kept_and_goes_again(house: House) -> None:
    asked, plain = workspace(), made(4)
    house.load(asked, body(plain))
    grown = [plain[0] | {"mood": "good"}, *plain[1:]]
    assert house.counts(asked, grown) == {"received": 4, "updated": 1, "unchanged": 3}
    assert house.row(plain[0]["id"])["_extra"] == {"mood": "good"}
    assert [row["_extra"] for row in house.rows(interviews)].count(None) == 3
    assert house.counts(asked, plain) == {"received": 4, "updated": 1, "unchanged": 3}
    assert house.row(plain[0]["id"])["_extra"] is None
    assert house.rows(interviews_history)[-1]["_extra"] == {"mood": "good"}


@pytest.mark.parametrize("full", [False, True])
def test_a_field_that_is_gone_again_is_no_longer_warned_of(house: House, full: bool) -> None:
    asked, plain = workspace(), made(4)
    house.load(asked, body([plain[0] | {"mood": "good"}, *plain[1:]]))
    assert house.load(asked, body(plain), full=full).warnings == []
    assert house.rows(workspaces)[0]["unknown_fields"] is None


def test_an_optional_field_gone_from_all_rows_takes_its_default(house: House) -> None:
    asked, plain = workspace(), made(4, contact_count=9, scheduling_mode="quick", folder="x")
    house.load(asked, body(plain))
    gone = {"contact_count", "scheduling_mode", "folder", "start_immediately"}
    thinner = [{name: value for name, value in one.items() if name not in gone} for one in plain]
    assert house.counts(asked, thinner) == {"received": 4, "updated": 4}
    for row in house.rows(interviews):
        assert (row["contact_count"], row["scheduling_mode"], row["folder"]) == (0, "availability", None)
        assert row["start_immediately"] is True


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("loaded_before", [False, True])
@pytest.mark.parametrize(
    ("change", "says"),
    [({"status": 5}, "status: expected string, got number"), (None, "name: required, but not sent")],
)
def test_drift_on_all_rows_applies_nothing(
    house: House, full: bool, loaded_before: bool, change: dict[str, Any] | None, says: str
) -> None:
    asked, plain = workspace(), made(12)
    if loaded_before:
        house.load(asked, body(plain))
    tables = [
        t for t in metadata.sorted_tables if t.name not in {"sync_runs", "webhook_deliveries", "notices"}
    ]
    before = [house.rows(table) for table in tables if table is not workspaces]
    drifted = [one | (change or {}) for one in plain[:9]]
    if change is None:
        for one in drifted:
            del one["name"]
    with pytest.raises(SchemaMismatch, match=says):
        house.load(asked, body(drifted), full=full)
    assert [house.rows(table) for table in tables if table is not workspaces] == before
    run, state = house.rows(sync_runs)[-1], house.rows(workspaces)[0]
    assert (run["status"], run["error_code"], run["received"]) == ("failed", "schema_mismatch", 0)
    assert (state["consecutive_failures"], state["held_deletes"]) == (1, 0)


def test_exactly_half_is_no_drift(house: House) -> None:
    plain = made(4)
    broken = [one | {"status": 5} for one in plain[:2]] + plain[2:]
    assert house.counts(workspace(), broken) == {"received": 4, "inserted": 2, "rejected": 2}


def test_many_reasons_are_no_drift(house: House) -> None:
    changes: list[dict[str, Any]] = [
        {"status": 5},
        {"name": None},
        {"contact_count": "1"},
        {"created_at": "soon"},
    ]
    broken = [one | change for one, change in zip(made(4), changes, strict=True)]
    assert house.counts(workspace(), broken) == {"received": 4, "rejected": 4}
    assert {row["reason"] for row in house.rows(rejected_rows)} == {
        "wrong_type",
        "null_not_allowed",
        "invalid_instant",
    }


def test_a_type_change_on_one_row_rejects_it(house: House) -> None:
    asked, plain = workspace(), made(4)
    house.load(asked, body(plain))
    broken = [plain[0] | {"completion_threshold": "12"}, *plain[1:]]
    assert house.counts(asked, broken) == {"received": 4, "unchanged": 3, "rejected": 1}
    (reject,) = house.rows(rejected_rows)
    assert reject["message"] == "completion_threshold: expected integer, got string"
    assert (str(reject["interview_id"]), reject["reason"]) == (plain[0]["id"], "wrong_type")
    assert json.loads(reject["payload"]) == broken[0]


@pytest.mark.parametrize("full", [False, True])
def test_a_single_bad_row_where_all_others_are_gone_is_no_news(house: House, full: bool) -> None:
    asked, plain = workspace(), made(10)
    house.load(asked, body(plain))
    with pytest.raises(SchemaMismatch, match="1 of 1 rows"):
        house.load(asked, body([plain[0] | {"status": 5}]), full=full)
    assert len(house.present()) == 10
    alone = workspace(B)
    house.load(alone, body(made(1, B)))
    assert house.counts(alone, [made(1, B)[0] | {"status": 5}], full=full) == {"received": 1, "rejected": 1}


@pytest.mark.parametrize("full", [False, True])
def test_a_reject_of_another_workspaces_interview_is_resolved_where_it_belongs(
    house: House, full: bool
) -> None:
    a, b, ours, (theirs,) = workspace(A), workspace(B), made(2), made(1, B)
    house.load(a, body([*ours, theirs]), full=full)
    house.load(b, body([theirs]), full=full)
    assert house.rows(rejected_rows)[0]["resolved_at"] is None  # the answer here still holds it
    house.load(a, body(ours), full=full)
    assert house.rows(rejected_rows)[0]["resolved_at"] == house.now


@pytest.mark.parametrize("full", [False, True])
def test_or_where_it_is_loaded_only_after_it_left(house: House, full: bool) -> None:
    a, b, ours, (theirs,) = workspace(A), workspace(B), made(2), made(1, B)
    house.load(a, body([*ours, theirs]), full=full)
    house.load(a, body(ours), full=full)
    assert house.rows(rejected_rows)[0]["resolved_at"] is None  # nowhere loaded yet
    house.load(b, body([theirs]), full=full)
    assert house.rows(rejected_rows)[0]["resolved_at"] == house.now


@pytest.mark.parametrize("full", [False, True])
def test_unknown_fields_of_a_row_that_was_filtered_out_meanwhile(house: House, full: bool) -> None:
    (x, y) = made(2)
    x, y = x | {"mood": 5, "status": "draft"}, y | {"status": "active"}
    house.load(workspace(), body([x, y]))
    house.load(workspace(status="active"), body([y]), full=full)
    both = house.load(workspace(), body([x, y]), full=full)
    assert [w["fields"] for w in both.warnings if w["code"] == "unknown_fields"] == [["mood"]]
    assert house.rows(workspaces)[0]["unknown_fields"] == ["mood"]


@pytest.mark.parametrize("full", [False, True])
def test_a_reject_that_recurs_is_one_row_and_resolved_when_it_loads(house: House, full: bool) -> None:
    asked, (one, two, three) = workspace(), made(3)
    broken = one | {"name": None}
    house.load(asked, body([two, broken]))
    first_seen = house.now
    house.load(asked, body([broken, two]), full=full)
    house.load(asked, body([broken, two]), full=full)  # the same answer
    house.load(asked, body([broken, broken, two, three]), full=full)
    (reject,) = house.rows(rejected_rows)
    assert (reject["times_seen"], reject["position"], reject["resolved_at"]) == (4, 1, None)
    assert (reject["first_seen_at"], reject["last_seen_at"]) == (first_seen, house.now)
    assert (reject["first_run_id"], reject["last_run_id"]) == (1, 4)
    house.load(asked, body([two, three]), full=full)
    assert house.rows(rejected_rows)[0]["resolved_at"] is None  # gone is not loaded
    house.load(asked, body([one, two, three]), full=full)
    resolved = house.rows(rejected_rows)[0]
    assert resolved == reject | {"resolved_at": house.now}
    house.load(asked, body([broken, two, three]), full=full)
    (open_again,) = house.rows(rejected_rows)
    assert (open_again["resolved_at"], open_again["times_seen"]) == (None, 5)


@pytest.mark.parametrize("full", [False, True])
def test_a_reject_is_resolved_though_nothing_of_its_workspace_was_loaded_before(
    house: House, full: bool
) -> None:
    asked, (one,) = workspace(), made(1)
    house.load(asked, body([one | {"name": None}]), full=full)
    house.load(asked, body([one]), full=full)
    assert house.rows(rejected_rows)[0]["resolved_at"] == house.now


def test_an_answer_broken_at_its_very_end_changes_nothing(house: House) -> None:
    asked, plain = workspace(), made(3)
    house.load(asked, body(plain))
    before = house.rows(interviews)
    changed = body([one | {"name": "new"} for one in plain])
    for broken in (changed[:-1], changed + b"[]", changed[:-1] + b",]", changed[:-1] + b",{]", b"{}", b""):
        for full in (False, True):
            with pytest.raises(UnexpectedAnswer):
                house.load(asked, broken, full=full)
    assert house.rows(interviews) == before
    assert house.rows(interviews_history) == []
