"""Never backwards (promise 3): stale rows, duplicates, late answers, clocks set back."""

from __future__ import annotations

import itertools
from datetime import timedelta
from uuid import UUID

import pytest

from etl import ledger
from etl.errors import WarehouseLost, WarehouseRefused
from etl.tables import interview_digests, interviews, interviews_history, rejected_rows, sync_runs, workspaces
from tests.load.house import NOON, A, B, House, body, load_killed, made, workspace

T0, T1, T2 = (f"2027-06-0{day}T00:00:00Z" for day in (1, 2, 3))
_FACTS = {"duration_seconds": 1.0, "bytes_received": 1, "attempts": 1}
both = pytest.mark.parametrize("full", [False, True])


@both
def test_an_older_row_is_stale_and_not_written(house: House, full: bool) -> None:
    asked, (one,) = workspace(), made(1, updated_at=T1)
    house.load(asked, body([one]))
    before = house.rows(interviews)
    older = one | {"name": "older", "updated_at": T0}
    for _ in range(2):
        assert house.counts(asked, [older], full=full) == {"received": 1, "stale": 1}
    assert house.counts(asked, [one], full=full) == {"received": 1, "unchanged": 1}
    assert (house.rows(interviews), house.rows(interviews_history)) == (before, [])


@both
def test_the_same_updated_at_with_other_content_is_an_update(house: House, full: bool) -> None:
    asked, (one,) = workspace(), made(1)
    house.load(asked, body([one]))
    for count in (100, 101, 100):
        assert house.counts(asked, [one | {"completed_count": count}], full=full) == {
            "received": 1,
            "updated": 1,
        }
        assert house.row(one["id"])["completed_count"] == count
    assert [row["_change"] for row in house.rows(interviews_history)] == ["updated"] * 3


@both
def test_an_hour_in_another_zone_is_the_same_hour(house: House, full: bool) -> None:
    asked, (one,) = workspace(), made(1, updated_at="2027-06-02T00:00:00Z")
    house.load(asked, body([one]))
    same = one | {"updated_at": "2027-06-02T05:45:00.000+05:45"}
    assert house.counts(asked, [same], full=full) == {"received": 1, "unchanged": 1}
    older = one | {"updated_at": "2027-06-02T05:44:59.999999+05:45"}
    assert house.counts(asked, [older], full=full) == {"received": 1, "stale": 1}


@both
@pytest.mark.parametrize("loaded_before", [False, True])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_equal_ids_the_newest_wins(
    house: House, full: bool, loaded_before: bool, order: tuple[int, ...]
) -> None:
    asked, (one,) = workspace(), made(1, updated_at=T0, name="0")
    if loaded_before:
        house.load(asked, body([one]))
    three = [one, one | {"updated_at": T1, "name": "1"}, one | {"updated_at": T2, "name": "2"}]
    answer = [three[place] for place in order]
    counts = house.counts(asked, answer, full=full)
    assert counts == {"received": 3, "updated" if loaded_before else "inserted": 1, "duplicate": 2}
    assert house.row(one["id"])["name"] == "2"
    for how in ({}, {"full": True}):
        assert house.counts(asked, answer, **how) == {"received": 3, "unchanged": 1, "duplicate": 2}
    assert len(house.rows(interview_digests)) == 1


@both
def test_of_equal_ids_and_instants_the_later_position_wins(house: House, full: bool) -> None:
    asked, (one, two) = workspace(), made(2)
    other = one | {"name": "other"}
    house.load(asked, body([one, two, other]), full=full)
    assert house.row(one["id"])["name"] == "other"
    counts = house.counts(asked, [other, two, one], full=full)
    assert counts == {"received": 3, "updated": 1, "unchanged": 1, "duplicate": 1}
    assert house.row(one["id"])["name"] == one["name"]


@both
def test_the_same_element_thrice_counts_once(house: House, full: bool) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    assert house.counts(asked, [one, two, one, one], full=full) == {
        "received": 4,
        "unchanged": 2,
        "duplicate": 2,
    }


@both
def test_an_answer_asked_for_earlier_changes_nothing(house: House, full: bool) -> None:
    asked, (one, two, three) = workspace(), made(3)
    house.load(asked, body([one, two]))
    early = house.start(asked)
    house.load(asked, body([one | {"name": "new"}, two, three]))
    tables = (interviews, interviews_history, interview_digests, rejected_rows)
    before = [house.rows(table) for table in tables]
    state = house.rows(workspaces)[0]
    late_answer = body([one | {"name": "late", "updated_at": T2}, {"no": "interview"}])
    outcome = house.load(asked, late_answer, run_id=early, full=full, accept_deletes=full)
    assert (outcome.counts.received, outcome.counts.stale) == (2, 2)
    assert [warning["code"] for warning in outcome.warnings] == ["superseded"]
    assert [house.rows(table) for table in tables] == before
    after = house.rows(workspaces)[0]
    assert {name for name in state if state[name] != after[name]} == {"last_success_at"}
    run = house.rows(sync_runs)[early - 1]
    assert (run["id"], run["status"], run["stale"]) == (early, "succeeded", 2)


def test_a_run_that_committed_without_being_told_so_counts_once(house: House) -> None:
    """The connection broke at the commit: the same run loads its answer again."""
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one]))
    answer, run_id = body([one, two, {"no": "interview"}]), house.start(asked)
    house.load(asked, answer, run_id=run_id)
    before = [house.rows(table) for table in (sync_runs, workspaces, rejected_rows, interviews)]
    again = house.load(asked, answer, run_id=run_id).counts
    assert (again.received, again.inserted, again.unchanged, again.rejected) == (3, 1, 1, 1)
    assert [house.rows(table) for table in (sync_runs, workspaces, rejected_rows, interviews)] == before


@both
def test_a_ledger_that_counts_anew_is_no_earlier_news(house: House, full: bool) -> None:
    """As after TRUNCATE … RESTART IDENTITY: what the numbers say of before and after is not so."""
    asked, (one, two) = workspace(), made(2)
    for _ in range(3):
        house.load(asked, body([one]))
    is_sqlite = house.warehouse.dialect.name == "sqlite"
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql("DELETE FROM sync_runs")
        anew = "DELETE FROM sqlite_sequence" if is_sqlite else "ALTER SEQUENCE sync_runs_id_seq RESTART"
        connection.exec_driver_sql(anew)
    for _ in range(3):  # the third has the very number of the one that was applied
        with pytest.raises(WarehouseRefused, match=r"counts its runs anew.* run: "):
            house.load(asked, body([one, two]), full=full)
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql(house.warehouse.dialect.count_on)
    assert house.counts(asked, [one, two], full=full) == {"received": 2, "inserted": 1, "unchanged": 1}


@pytest.mark.parametrize("other", [A, B])
def test_a_number_that_was_given_twice_is_the_later_runs(house: House, other: UUID) -> None:
    """As where a failover or a restore has lost the opening of a run that is still under way."""
    asked, plain = workspace(), made(3)
    started_at, run_id = house.now, house.start(asked)
    is_sqlite = house.warehouse.dialect.name == "sqlite"
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql("DELETE FROM sync_runs")
        anew = "DELETE FROM sqlite_sequence" if is_sqlite else "ALTER SEQUENCE sync_runs_id_seq RESTART"
        connection.exec_driver_sql(anew)
    house.now += timedelta(minutes=1)
    second_at = house.now
    assert house.start(workspace(other)) == run_id
    with pytest.raises(WarehouseRefused, match="does not hold this run any more"):
        house.load(asked, body(plain), run_id=run_id, started_at=started_at)
    assert house.rows(interviews) == []
    (run,) = house.rows(sync_runs)
    assert (run["workspace_id"], run["status"]) == (other, "running")
    second = house.load(workspace(other), body(made(2, other)), run_id=run_id, started_at=second_at)
    assert second.counts.inserted == 2


def test_a_run_that_has_committed_stays_succeeded_whatever_comes_after(house: House) -> None:
    asked = workspace()
    run_id = house.start(asked)
    house.load(asked, body(made(2)), run_id=run_id)
    before = house.rows(sync_runs), house.rows(workspaces)
    with house.warehouse.writing() as connection:
        ledger.fail_run(connection, run_id, asked.id, WarehouseLost("gone", remedy=""), _FACTS, house.now)
    assert (house.rows(sync_runs), house.rows(workspaces)) == before


def test_a_killed_load_does_not_count_as_applied(house: House) -> None:
    asked, (one,) = workspace(), made(1)
    early = house.start(asked)
    load_killed(house, asked, body([one | {"name": "killed"}]))
    assert house.rows(interviews) == []
    assert house.load(asked, body([one]), run_id=early).counts.inserted == 1


def test_a_clock_set_back_leaves_no_gap_and_no_overlap(house: House) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    house.now -= timedelta(hours=1)
    house.load(asked, body([one | {"name": "a"}, two]))
    house.load(asked, body([one | {"name": "b"}]))
    house.load(asked, body([one | {"name": "b"}, two]))
    for interview in (one, two):
        row = house.row(interview["id"])
        past = [h for h in house.rows(interviews_history) if h["id"] == row["id"]]
        assert len(past) == 2
        assert past[0]["_valid_from"] == row["_first_seen_at"] == NOON + timedelta(minutes=1)
        assert past[0]["_valid_to"] == past[1]["_valid_from"] < past[1]["_valid_to"] == row["_synced_at"]


@both
@pytest.mark.parametrize("newer_first", [False, True])
def test_an_interview_in_two_workspaces_at_once_is_the_newer_one(
    house: House, full: bool, newer_first: bool
) -> None:
    in_a = made(1, A, updated_at=T1)
    in_b = [in_a[0] | {"workspace_id": str(B), "updated_at": T2}]
    answers = {A: in_a, B: in_b}
    for _ in range(3):
        for name in (B, A) if newer_first else (A, B):
            house.load(workspace(name), body(answers[name]), full=full)
    row = house.row(in_a[0]["id"])
    assert (row["workspace_id"], row["_deleted_at"]) == (B, None)
    assert len(house.rows(interviews_history)) == (0 if newer_first else 1)


def test_each_change_of_an_interview_is_a_version(house: House) -> None:
    asked, (one,) = workspace(), made(1)
    seen = []
    for number in range(5):
        house.load(asked, body([one | {"name": str(number)}]))
        seen.append(house.now)
    past = house.rows(interviews_history)
    assert [(row["name"], row["_valid_from"], row["_valid_to"]) for row in past] == [
        (str(number), seen[number], seen[number + 1]) for number in range(4)
    ]
    assert house.row(one["id"])["_synced_at"] == seen[4]


def test_a_first_load_writes_no_history(house: House) -> None:
    house.load(workspace(), body(made(50)))
    assert house.rows(interviews_history) == []
