"""Deletes by absence: reliability 46 to 51."""

from __future__ import annotations

import itertools
import threading
from typing import Any
from uuid import UUID, uuid4

import pytest

from etl.config import Workspace
from etl.errors import LoadConflict
from etl.tables import interviews, interviews_history, workspaces
from tests.load.house import A, B, House, body, made, workspace

LATER, EARLIER = "2027-06-01T00:00:00Z", "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("present", "gone", "held"),
    [
        (10, 1, 0),
        (10, 6, 0),
        (10, 9, 0),
        (40, 40, 40),
        (40, 39, 39),
        (1000, 600, 600),
        (1000, 500, 0),
        (22, 11, 0),
    ],
)
def test_a_loss_is_believed_unless_it_is_large(house: House, present: int, gone: int, held: int) -> None:
    asked, all_of_them = workspace(), made(present)
    house.load(asked, body(all_of_them))
    outcome = house.load(asked, body(all_of_them[gone:]))
    assert (outcome.counts.deleted, outcome.counts.held_deletes) == (0 if held else gone, held)
    assert len(house.present()) == (present if held else present - gone)
    assert [w["code"] for w in outcome.warnings] == (["deletes_held"] if held else [])
    assert house.rows(workspaces)[0]["held_deletes"] == held


@pytest.mark.parametrize("present", [1, 3, 10])
def test_an_empty_answer_deletes_nothing_however_few_there_were(house: House, present: int) -> None:
    asked = workspace()
    house.load(asked, body(made(present)))
    assert house.counts(asked, []) == {"held_deletes": present}
    assert house.counts(asked, []) == {"held_deletes": present}
    assert len(house.present()) == present
    assert house.counts(asked, [], accept_deletes=True) == {"deleted": present}
    assert house.present() == set()
    assert house.counts(asked, []) == {}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        [503, "Service Unavailable"],
        [None, {"message": "x"}],
        [{}, {"id": 1}],
        [{"detail": "x"}, {"id": "iv_1"}, 3],
    ],
)
def test_an_answer_without_one_readable_interview_deletes_nothing(
    house: House, answer: list[object], full: bool
) -> None:
    asked = workspace(max_delete_fraction=1.0)
    house.load(asked, body(made(10)))
    assert house.counts(asked, answer, full=full) == {
        "received": len(answer),
        "rejected": len(answer),
        "held_deletes": 10,
    }
    assert len(house.present()) == 10
    assert house.counts(asked, answer, accept_deletes=True)["deleted"] == 10


def test_an_empty_answer_of_a_new_workspace_is_nothing_to_worry_about(house: House) -> None:
    outcome = house.load(workspace(), b"[]")
    assert not any(outcome.counts.as_dict().values())
    assert outcome.warnings == []


def test_held_deletes_stay_held_until_accepted_and_then_apply_once(house: House) -> None:
    asked, all_of_them = workspace(), made(40)
    house.load(asked, body(all_of_them))
    few = all_of_them[:5]
    assert house.counts(asked, few) == {"received": 5, "unchanged": 5, "held_deletes": 35}
    assert house.counts(asked, few) == {"received": 5, "unchanged": 5, "held_deletes": 35}
    assert house.counts(asked, few, full=True) == {"received": 5, "unchanged": 5, "held_deletes": 35}
    assert house.counts(asked, few, accept_deletes=True) == {"received": 5, "unchanged": 5, "deleted": 35}
    assert house.rows(workspaces)[0]["held_deletes"] == 0
    for how in ({}, {"accept_deletes": True}, {"full": True}):
        assert house.counts(asked, few, **how) == {"received": 5, "unchanged": 5}


@pytest.mark.parametrize("full", [False, True])
def test_what_comes_during_a_hold_does_not_make_the_loss_look_small(house: House, full: bool) -> None:
    asked, all_of_them = workspace(), made(80)
    before, after = all_of_them[:40], all_of_them[40:]
    house.load(asked, body(before))
    assert house.counts(asked, after, full=full) == {"received": 40, "inserted": 40, "held_deletes": 40}
    assert house.rows(workspaces)[0]["held_of"] == 40
    assert house.counts(asked, after, full=full) == {"received": 40, "unchanged": 40, "held_deletes": 40}
    reordered = after[1:] + after[:1]
    assert house.counts(asked, reordered, full=full)["held_deletes"] == 40
    assert house.rows(workspaces)[0]["held_of"] == 40
    half_back = [*after, *before[:20]]
    assert house.counts(asked, half_back, full=full)["deleted"] == 20  # no more than half of those before
    assert house.rows(workspaces)[0]["held_of"] is None


@pytest.mark.parametrize("full", [False, True])
def test_what_comes_back_during_a_hold_does_not_make_the_loss_look_small(house: House, full: bool) -> None:
    asked, (old, new) = workspace(max_delete_rows=0, max_delete_fraction=0.5), made(2)
    house.load(asked, body([old]))
    assert house.counts(asked, [new], accept_deletes=True) == {"received": 1, "inserted": 1, "deleted": 1}
    assert house.counts(asked, []) == {"held_deletes": 1}
    back = {"received": 1, "unchanged": 1, "restored": 1, "held_deletes": 1}
    assert house.counts(asked, [old], full=full) == back
    assert house.counts(asked, [old], full=full) == {"received": 1, "unchanged": 1, "held_deletes": 1}
    assert house.rows(workspaces)[0]["held_of"] == 1


@pytest.mark.parametrize("other", [{"status": "active"}, {"detect_deletes": False}])
def test_a_run_that_looks_for_no_deletes_does_not_end_a_hold(house: House, other: dict[str, Any]) -> None:
    asked, all_of_them = workspace(), made(100)
    house.load(asked, body(all_of_them[:40]))
    house.load(asked, body(all_of_them[:5]))
    later = all_of_them[:5] + all_of_them[40:]
    assert house.counts(asked, later)["held_deletes"] == 35
    assert house.counts(workspace(**other), later) == {"received": 65, "unchanged": 65}
    assert house.counts(asked, later)["held_deletes"] == 35


def test_held_deletes_are_forgotten_when_the_rows_are_back(house: House) -> None:
    asked, all_of_them = workspace(), made(40)
    house.load(asked, body(all_of_them))
    house.load(asked, b"[]")
    assert house.counts(asked, all_of_them) == {"received": 40, "unchanged": 40}
    assert house.rows(workspaces)[0]["held_deletes"] == 0


def test_the_threshold_is_the_workspaces_own(house: House) -> None:
    strict, loose = workspace(max_delete_rows=0, max_delete_fraction=0.0), workspace(max_delete_fraction=1.0)
    all_of_them = made(40)
    house.load(strict, body(all_of_them))
    assert house.counts(strict, all_of_them[1:])["held_deletes"] == 1
    assert house.counts(loose, all_of_them[39:])["deleted"] == 39


def test_without_detection_nothing_is_deleted(house: House) -> None:
    asked = workspace(detect_deletes=False)
    house.load(asked, body(made(5)))
    assert house.counts(asked, []) == {}
    assert house.counts(asked, made(5)[:1], accept_deletes=True) == {"received": 1, "unchanged": 1}
    assert len(house.present()) == 5
    assert house.counts(workspace(), made(5)[:1])["deleted"] == 4  # switched on: the same answer means more


@pytest.mark.parametrize("full", [False, True])
def test_gone_and_back(house: House, full: bool) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    house.load(asked, body([two]), full=full)
    gone = house.row(one["id"])
    assert gone["_deleted_at"] == house.now
    assert house.counts(asked, [one, two], full=full) == {"received": 2, "unchanged": 2, "restored": 1}
    back = house.row(one["id"])
    assert (back["_deleted_at"], back["_synced_at"]) == (None, house.now)
    assert back["_first_seen_at"] == gone["_first_seen_at"]
    assert back["_row_hash"] == gone["_row_hash"]
    assert [row["_change"] for row in house.rows(interviews_history)] == ["deleted", "restored"]


def test_gone_and_back_with_other_content(house: House) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    house.load(asked, body([two]))
    back = one | {"name": "back", "updated_at": LATER}
    assert house.counts(asked, [back, two]) == {"received": 2, "updated": 1, "unchanged": 1, "restored": 1}
    assert (house.row(one["id"])["name"], house.row(one["id"])["_deleted_at"]) == ("back", None)
    assert [row["_change"] for row in house.rows(interviews_history)] == ["deleted", "restored"]


def test_back_with_an_older_updated_at_is_restored_as_it_is_stored(house: House) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    house.load(asked, body([two]))
    older = one | {"name": "older", "updated_at": EARLIER}
    assert house.counts(asked, [older, two]) == {"received": 2, "stale": 1, "unchanged": 1, "restored": 1}
    assert (house.row(one["id"])["name"], house.row(one["id"])["_deleted_at"]) == (one["name"], None)
    assert house.counts(asked, [older, two]) == {"received": 2, "stale": 1, "unchanged": 1}


@pytest.mark.parametrize("full", [False, True])
def test_gone_twice_is_marked_once(house: House, full: bool) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    house.load(asked, body([two]))
    marked = house.row(one["id"])
    assert house.counts(asked, [two], full=full) == {"received": 1, "unchanged": 1}
    assert house.counts(asked, [two | {"folder": "new"}], full=full) == {"received": 1, "updated": 1}
    assert house.row(one["id"]) == marked


@pytest.mark.parametrize("first", [A, B])
def test_an_interview_that_moved_ends_in_its_new_workspace(house: House, first: UUID) -> None:
    one, two = made(2)
    moved = one | {"workspace_id": str(B), "updated_at": LATER}
    house.load(workspace(A), body([one, two]))
    house.load(workspace(B), b"[]")
    answers = {A: [two], B: [moved]}
    for workspace_id in (first, B if first == A else A):
        house.load(workspace(workspace_id), body(answers[workspace_id]))
    row = house.row(one["id"])
    assert (row["workspace_id"], row["_deleted_at"]) == (B, None)
    for workspace_id in (A, B, A):  # and stays there
        counts = house.counts(workspace(workspace_id), answers[workspace_id])
        assert counts == {"received": 1, "unchanged": 1}
    assert house.row(one["id"]) == row


def test_an_interview_that_moved_and_back(house: House) -> None:
    one, two = made(2)
    house.load(workspace(A), body([one, two]))
    house.load(workspace(B), body([one | {"workspace_id": str(B), "updated_at": "2027-01-01T00:00:00Z"}]))
    # A's answer has not caught up: what it says of the interview is old news.
    assert house.counts(workspace(A), [one, two]) == {"received": 2, "stale": 1, "unchanged": 1}
    back = one | {"updated_at": LATER}
    assert house.counts(workspace(A), [back, two]) == {"received": 2, "updated": 1, "unchanged": 1}
    assert house.counts(workspace(B), []) == {}
    assert house.row(one["id"])["workspace_id"] == A


@pytest.mark.postgres
@pytest.mark.parametrize("first", [A, B])
def test_a_move_seen_by_both_workspaces_at_once(postgres_house: House, first: UUID) -> None:
    house, (one, two) = postgres_house, made(2)
    house.load(workspace(A), body([one, two]))
    house.load(workspace(B), b"[]")
    answers = {A: [two], B: [one | {"workspace_id": str(B), "updated_at": LATER}]}
    _load_at_once(house, first, answers)
    row = house.row(one["id"])
    assert (row["workspace_id"], row["_deleted_at"]) == (B, None)
    _assert_whole_history(house, one["id"])


@pytest.mark.postgres
@pytest.mark.parametrize("first", [A, B])
def test_a_new_interview_seen_by_two_workspaces_at_once(postgres_house: House, first: UUID) -> None:
    house, (one, two) = postgres_house, made(2)
    here = made(1, B)
    house.load(workspace(A), body([two]))
    house.load(workspace(B), body(here))
    answers = {A: [one, two], B: [*here, one | {"workspace_id": str(B), "updated_at": LATER}]}
    _load_at_once(house, first, answers)
    assert house.row(one["id"])["workspace_id"] == B
    _assert_whole_history(house, one["id"])
    assert house.counts(workspace(A), answers[A]) == {"received": 2, "stale": 1, "unchanged": 1}


def _load_at_once(house: House, first: UUID, answers: dict[UUID, list[dict[str, Any]]]) -> None:
    """Load both answers; the second waits for the first one's commit, and is tried again as `sync` does."""
    other = workspace(B if first == A else A)
    run_id = house.start(other)

    def load_other() -> None:
        raw = body(answers[other.id])
        try:
            house.load(other, raw, run_id=run_id)
        except LoadConflict:
            house.load(other, raw, run_id=run_id)

    beside = threading.Thread(target=load_other)
    house.load(workspace(first), body(answers[first]), before_commit=lambda _: _start_and_wait(house, beside))
    beside.join()


@pytest.mark.postgres
@pytest.mark.parametrize("full", [False, True])
def test_a_move_that_meets_a_digest_being_written(postgres_house: House, full: bool) -> None:
    """The former workspace's load writes the digest of an interview that this one moves meanwhile."""
    house, a, b = postgres_house, workspace(A), workspace(B)
    moving, staying = (one | {"updated_at": "2028-01-01T00:00:00Z"} for one in made(2))
    theirs = made(1, B)
    house.load(a, body([moving, staying]))
    house.load(b, body(theirs))
    house.load(a, body([staying]))
    house.load(a, body([moving | {"updated_at": EARLIER}, staying]))  # restored, without a digest
    moved = moving | {"workspace_id": str(B)}
    beside = threading.Thread(target=_load_until_done, args=(house, b, [*theirs, moved]))
    house.load(a, body([moving, staying]), before_commit=lambda _: _start_and_wait(house, beside))
    beside.join()
    assert house.row(moving["id"])["workspace_id"] == B
    house.load(b, body(theirs), full=full)
    assert house.counts(a, [staying, moving], full=full)["restored"] == 1
    row = house.row(moving["id"])
    assert (row["workspace_id"], row["_deleted_at"]) == (A, None)


def _load_until_done(house: House, asked: Workspace, elements: list[dict[str, Any]]) -> None:
    run_id = house.start(asked)
    try:
        house.load(asked, body(elements), run_id=run_id)
    except LoadConflict:
        house.load(asked, body(elements), run_id=run_id)


def _assert_whole_history(house: House, interview_id: str) -> None:
    row = house.row(interview_id)
    ends = [h["_valid_to"] for h in house.rows(interviews_history) if str(h["id"]) == interview_id]
    begins = [h["_valid_from"] for h in house.rows(interviews_history) if str(h["id"]) == interview_id]
    assert [*begins, row["_synced_at"]] == [row["_first_seen_at"], *ends]


def _start_and_wait(house: House, beside: threading.Thread) -> None:
    """Start the other load, and go on once it waits for a lock of ours."""
    beside.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    for _ in range(1000):
        beside.join(0.01)
        if house.ask(waiting) and beside.is_alive():
            return
    raise AssertionError("the other load does not wait")


def test_a_status_filter_deletes_nothing_and_says_so(house: House) -> None:
    all_of_them = made(6)
    house.load(workspace(), body(all_of_them))
    filtered = workspace(status="active")
    active = [one | {"status": "active"} for one in all_of_them[:2]]
    outcome = house.load(filtered, body(active))
    assert (outcome.counts.deleted, outcome.counts.held_deletes) == (0, 0)
    assert [w["code"] for w in outcome.warnings] == ["deletes_not_detected"]
    assert [w["code"] for w in house.load(filtered, body(active)).warnings] == ["deletes_not_detected"]
    house.load(workspace(status="paused"), b"[]", accept_deletes=True)
    assert len(house.present()) == 6
    outcome = house.load(workspace(), body(active))  # no filter any more: now the others are gone
    assert (outcome.counts.deleted, outcome.warnings) == (4, [])


def test_a_project_filter_scopes_the_deletes(house: House) -> None:
    p, q = uuid4(), uuid4()
    of_p = made(3, project_id=str(p))
    of_q = [one | {"project_id": str(q)} for one in made(6)[3:]]
    house.load(workspace(), body([*of_p, *of_q]))
    assert house.counts(workspace(project_id=p), of_p[:2]) == {"received": 2, "unchanged": 2, "deleted": 1}
    assert house.counts(workspace(project_id=q), of_q) == {"received": 3, "unchanged": 3}
    assert house.counts(workspace(project_id=q), of_q[:1]) == {"received": 1, "unchanged": 1, "deleted": 2}
    assert house.counts(workspace(project_id=uuid4()), []) == {}
    assert house.counts(workspace(), [*of_p[:2], of_q[0]]) == {"received": 3, "unchanged": 3}
    assert house.counts(workspace(project_id=q), []) == {"held_deletes": 1}


def test_the_share_that_is_gone_is_that_of_the_project(house: House) -> None:
    p = uuid4()
    of_p = made(12, project_id=str(p))
    others = [one | {"project_id": None} for one in made(60)[12:]]
    house.load(workspace(), body([*of_p, *others]))
    assert house.counts(workspace(project_id=p), of_p[:1])["held_deletes"] == 11


@pytest.mark.parametrize("broken", [{"contact_count": "12"}, {"name": None}, {"workspace_id": str(B)}])
@pytest.mark.parametrize("full", [False, True])
def test_a_rejected_row_of_a_known_id_stays_present(house: House, broken: dict[str, Any], full: bool) -> None:
    one, two, three = made(3)
    house.load(workspace(), body([one, two, three]))
    before = house.rows(interviews)
    counts = house.counts(workspace(), [one, two, three | broken], full=full)
    assert counts == {"received": 3, "unchanged": 2, "rejected": 1}
    assert house.rows(interviews) == before


def test_a_rejected_row_restores_nothing(house: House) -> None:
    one, two, three = made(3)
    house.load(workspace(), body([one, two, three]))
    house.load(workspace(), body([one, two]))
    house.load(workspace(), body([one, two, three | {"name": None}]))
    assert house.row(three["id"])["_deleted_at"] is not None


def test_other_workspaces_are_never_touched(house: House) -> None:
    house.load(workspace(A), body(made(3, A)))
    house.load(workspace(B), body(made(3, B)))
    theirs = [row for row in house.rows(interviews) if row["workspace_id"] == A]
    for answer, accept in itertools.product(([], made(1, B)), (False, True)):
        house.load(workspace(B), body(answer), accept_deletes=accept)
    assert [row for row in house.rows(interviews) if row["workspace_id"] == A] == theirs


def test_history_keeps_the_whole_story_of_a_delete(house: House) -> None:
    asked, (one, two) = workspace(), made(2)
    house.load(asked, body([one, two]))
    began = house.now
    house.load(asked, body([two]))
    ended = house.now
    house.load(asked, body([one, two]))
    first, second = house.rows(interviews_history)
    assert (first["_valid_from"], first["_valid_to"], first["_change"]) == (began, ended, "deleted")
    assert (second["_valid_from"], second["_valid_to"], second["_change"]) == (ended, house.now, "restored")
    assert first["_row_hash"] == second["_row_hash"]


def test_without_history_deletes_are_marked_all_the_same(house: House) -> None:
    asked, (one, two) = workspace(history=False), made(2)
    house.load(asked, body([one, two]))
    assert house.counts(asked, [two | {"name": "new"}]) == {"received": 1, "updated": 1, "deleted": 1}
    assert house.rows(interviews_history) == []
    assert house.present() == {two["id"]}
