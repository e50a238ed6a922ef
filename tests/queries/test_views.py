"""The views say the same on both databases, and what they say follows from what the syncs observed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from etl.column_types import instant_text
from etl.dictionary import relations
from etl.views import VIEWS
from etl.warehouse.schema import migrate
from tests.queries.twins import Twins, days_ago, interviews_of, today, workspace

VIEW_KEYS = {view.name: ", ".join(view.key) for view in VIEWS}
LARGEST = 2**63 - 1


def _versions_of(twins: Twins, interview_id: str, *columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT * FROM interview_versions WHERE id = '{interview_id}' ORDER BY _valid_from"
    return [tuple(row[column] for column in columns) for row in twins.rows(query)]


def _of_the_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"seconds_since_success": None} for row in rows]


@pytest.mark.parametrize("view", [name for name in VIEW_KEYS if name != "sync_health"])
def test_a_view_is_equal_on_both_after_the_same_syncs(story: Twins, view: str) -> None:
    rows = story.rows(f"SELECT * FROM {view} ORDER BY {VIEW_KEYS[view]}")

    assert rows


def test_sync_health_is_equal_on_both_but_for_the_passing_seconds(story: Twins) -> None:
    query = "SELECT * FROM sync_health ORDER BY workspace_name"
    in_sqlite, in_postgres = story.sqlite_rows(query), story.postgres_rows(query)

    assert _of_the_clock(in_sqlite) == _of_the_clock(in_postgres)
    assert [row["rejects_open"] for row in in_sqlite] == [1, 0]
    assert {row["last_status"] for row in in_sqlite} == {"succeeded"}
    for one, other in zip(in_sqlite, in_postgres, strict=True):
        assert 0 <= other["seconds_since_success"] - one["seconds_since_success"] <= 60
    assert in_sqlite[0]["seconds_since_success"] > 10 * 3600


@pytest.mark.parametrize("view", VIEW_KEYS)
def test_a_view_of_an_empty_warehouse_is_empty(twins: Twins, view: str) -> None:
    assert twins.rows(f"SELECT * FROM {view}") == []


def test_a_day_ends_in_the_state_that_the_last_sync_before_midnight_observed(story: Twins) -> None:
    answers = story.rows("SELECT * FROM interview_daily ORDER BY id, day")

    told = {
        (r["day"], r["id"]): (r["name"], r["status"], r["completed_count"], r["is_deleted"]) for r in answers
    }
    expected: dict[tuple[str, str], tuple[Any, ...]] = {}
    for days in range(40, -1, -1):
        day = days_ago(days)
        seen: dict[str, tuple[Any, ...]] = {}
        for at, workspace_id, answer in story.observed:
            if at >= day + timedelta(days=1):
                continue
            for state in (s for i, s in list(seen.items()) if i not in answer and s[4] == workspace_id):
                seen[state[5]] = (*state[:3], 1, *state[4:])
            for i, it in answer.items():
                seen[i] = (it["name"], it["status"], it["completed_count"], 0, workspace_id, i)
        expected |= {(f"{day:%Y-%m-%d}", i): state[:4] for i, state in seen.items()}
    assert told == expected
    assert len(answers) == len(told)


def test_weeks_begin_on_monday_and_end_on_sunday_or_today(story: Twins) -> None:
    days = story.rows("SELECT DISTINCT day, week, is_week_end, days_ago FROM interview_daily ORDER BY day")

    for row in days:
        day = today() - timedelta(days=row["days_ago"])
        assert row["day"] == f"{day:%Y-%m-%d}"
        assert row["week"] == f"{day - timedelta(days=day.weekday()):%Y-%m-%d}"
        assert row["is_week_end"] == (day.weekday() == 6 or row["days_ago"] == 0)


def test_history_by_hand(twins: Twins) -> None:
    one, *others = interviews_of("acme", 20)
    one |= {"status": "active", "completed_count": 1, "created_at": "2026-01-01T00:00:00Z"}
    times = [days_ago(days, hour=12) for days in (9, 8, 7, 6, 5)]
    done = one | {"status": "completed"}
    for at, answer in zip(times, ([one], [done], [], [done], [done]), strict=True):
        twins.sync("acme", at, [*answer, *others])

    began, completed, gone, back, _ = map(instant_text, times)
    columns = ("_valid_from", "_valid_to", "status", "_change", "is_deleted", "is_current", "days_ago")
    assert _versions_of(twins, one["id"], *columns) == [
        (began, completed, "active", "updated", 0, 0, 9),
        (completed, gone, "completed", "deleted", 0, 0, 8),
        (gone, back, "completed", "restored", 1, 0, 7),
        (back, None, "completed", None, 0, 1, 6),
    ]


def test_a_workspace_that_has_no_interviews_yet(twins: Twins) -> None:
    twins.sync("acme", days_ago(1), [])
    (row,) = twins.rows("SELECT interviews, contacts, completions, scheduled FROM workspace_summary")
    assert row == {"interviews": 0, "contacts": 0, "completions": 0, "scheduled": 0}


def test_a_day_that_is_still_to_come_is_not_shown(twins: Twins) -> None:
    """The clock of the first sync was ahead, and has been set right."""
    twins.sync("acme", days_ago(-1, hour=12), interviews_of("acme", 2))
    assert twins.rows("SELECT * FROM interview_daily") == []


def test_a_version_that_begins_at_midnight_belongs_to_the_new_day(twins: Twins) -> None:
    (one,) = interviews_of("acme", 1)
    one["completed_count"] = 1
    last_moment = days_ago(3) - timedelta(microseconds=1)
    twins.sync("acme", days_ago(5, hour=23), [one])
    twins.sync("acme", last_moment, [one | {"completed_count": 2}])
    twins.sync("acme", days_ago(3), [one | {"completed_count": 3}])

    days = twins.rows("SELECT days_ago, completed_count FROM interview_daily ORDER BY day")

    assert [(row["days_ago"], row["completed_count"]) for row in days] == [
        (5, 1),
        (4, 2),
        (3, 3),
        (2, 3),
        (1, 3),
        (0, 3),
    ]


@pytest.mark.parametrize(
    ("fields", "overdue"),
    [
        ({}, 1),
        ({"timeframe_end": None}, 0),
        ({"timeframe_end": "2999-01-01T00:00:00Z"}, 0),
        ({"status": "completed"}, 0),
        ({"status": "paused"}, 1),
        ({"completed_count": 10}, 0),
        ({"completed_count": 11}, 0),
        ({"contact_count": 0, "completed_count": 0}, 0),
    ],
)
def test_overdue(twins: Twins, fields: dict[str, Any], overdue: int) -> None:
    (one,) = interviews_of("acme", 1)
    late = {
        "status": "active",
        "timeframe_end": "2026-01-01T00:00:00Z",
        "contact_count": 10,
        "completed_count": 9,
    }
    twins.sync("acme", days_ago(0), [one | late | fields])

    (row,) = twins.rows("SELECT is_overdue, open_contacts, completion_rate FROM interviews_current")

    assert row["is_overdue"] == overdue
    assert row["open_contacts"] >= 0


@pytest.mark.parametrize(
    "counts", [(LARGEST, -1), (-1, LARGEST), (-LARGEST - 1, LARGEST), (LARGEST, LARGEST)]
)
def test_absurd_counters_break_no_view(twins: Twins, counts: tuple[int, int]) -> None:
    absurd = dict(zip(("contact_count", "completed_count"), counts, strict=True))
    twins.sync("acme", days_ago(2), [interview | absurd for interview in interviews_of("acme", 3)])

    for view in ("interviews_current", "interview_versions", "interview_daily", "workspace_summary"):
        assert twins.rows(f"SELECT * FROM {view} ORDER BY {VIEW_KEYS[view]}")


def test_the_years_at_the_ends_of_the_calendar_break_no_view(twins: Twins) -> None:
    first, last = interviews_of("acme", 2)
    first["created_at"], last["created_at"] = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    twins.sync("acme", days_ago(2), [first, last])

    rows = twins.rows("SELECT created_day, created_week FROM interviews_current ORDER BY created_day")

    assert [tuple(row.values()) for row in rows] == [
        ("0001-01-01", "0001-01-01"),
        ("9999-12-31", "9999-12-27"),
    ]
    assert len(twins.rows("SELECT days_since_created FROM interview_versions ORDER BY created_at")) == 2


def test_a_summary_counts_each_interview_once(twins: Twins) -> None:
    statuses = ("draft", "active", "active", "paused", "completed", "archived", "active")
    world = [
        interview | {"status": status, "contact_count": 10, "completed_count": 4, "scheduled_count": 2}
        for interview, status in zip(interviews_of("acme", 7), statuses, strict=True)
    ]
    twins.sync("acme", days_ago(2), world)
    twins.sync("acme", days_ago(1), world[:-1])

    (row,) = twins.rows("SELECT * FROM workspace_summary")

    assert row == {
        "workspace_id": str(workspace("acme").id),
        "workspace_name": "acme",
        "interviews": 6,
        "draft": 1,
        "active": 2,
        "paused": 1,
        "completed": 1,
        "other": 1,
        "deleted": 1,
        "contacts": 60,
        "completions": 24,
        "scheduled": 12,
        "last_success_at": instant_text(days_ago(1)),
        "completion_rate": 0.4,
    }


def test_columns_types_and_comments_are_as_documented(twins: Twins) -> None:
    described = twins.postgres_rows(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type,
            obj_description(c.oid, 'pg_class') AS about, col_description(c.oid, a.attnum) AS comment
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace
        ORDER BY c.relname, a.attnum
        """
    )
    found = [tuple(row.values()) for row in described]
    documented = [
        (
            view.name,
            c.name,
            c.type.replace("timestamptz", "timestamp with time zone"),
            view.comment,
            c.comment,
        )
        for view in sorted(VIEWS, key=lambda view: view.name)
        for c in view.columns
    ]
    assert found == documented
    for view in VIEWS:
        names = twins.sqlite_rows(f"SELECT name FROM pragma_table_info('{view.name}') ORDER BY cid")
        assert [row["name"] for row in names] == [column.name for column in view.columns]


def test_what_is_documented_as_never_null_never_is(story: Twins) -> None:
    for view in (relation for relation in relations() if relation.kind == "view"):
        for column in (column for column in view.columns if not column.nullable):
            assert story.rows(f"SELECT 1 AS n FROM {view.name} WHERE {column.name} IS NULL") == []


def test_down_and_up_again_keeps_the_data(twins: Twins) -> None:
    twins.sync("acme", days_ago(1), interviews_of("acme", 3))
    before = twins.rows("SELECT * FROM interview_daily ORDER BY id, day")

    for warehouse in twins.warehouses:
        _, down = migrate(warehouse, "0003")
        assert down == "0003"
        migrate(warehouse)

    assert twins.rows("SELECT * FROM interview_daily ORDER BY id, day") == before
