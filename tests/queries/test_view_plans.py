"""The views stay quick: one interview's versions come from the indexes, a year of days in seconds."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from etl.tables import CONTENT_COLUMNS, interviews, interviews_history, workspaces
from tests.postgres import PostgresServer
from tests.queries.twins import Twins, days_ago, interviews_of, twin_warehouses, workspace

INTERVIEWS, DAYS, VERSIONS = 3_000, 365, 3
ONE = UUID(int=1234)
OF_ONE = f"SELECT * FROM interview_versions WHERE id = '{ONE}' ORDER BY _valid_from"


@pytest.fixture(scope="module")
def a_year(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Thousands of interviews that changed now and then for a year."""
    url = postgres_server.create_database()
    path = tmp_path_factory.mktemp("year") / "warehouse.db"
    with twin_warehouses(f"sqlite:///{path}", url) as twins:
        _fill(twins)
        yield twins
    postgres_server.drop_database(url)


def _fill(twins: Twins) -> None:
    dice = random.Random(4)
    first = days_ago(DAYS - 1)
    (made_up,) = interviews_of("acme", 1)
    content = {name: made_up.get(name) for name in CONTENT_COLUMNS} | {
        "workspace_id": workspace("acme").id,
        "project_id": None,
        "timeframe_start": None,
        "timeframe_end": None,
        "created_at": first,
        "updated_at": first,
        "_row_hash": "0" * 32,
        "_run_id": 1,
    }
    present, past = [], []
    for number in range(INTERVIEWS):
        content["id"] = UUID(int=number)
        changes = sorted(dice.sample(range(1, (DAYS - 1) * 24), VERSIONS))
        times = [first, *(first + timedelta(hours=hours) for hours in changes)]
        past += [
            content | {"_valid_from": start, "_valid_to": end, "_change": "updated"}
            for start, end in pairwise(times)
        ]
        present.append(content | {"_first_seen_at": first, "_synced_at": times[-1]})
    for warehouse in twins.warehouses:
        with warehouse.writing() as connection:
            connection.execute(workspaces.insert(), {"workspace_id": content["workspace_id"], "name": "acme"})
            connection.execute(interviews.insert(), present)
            connection.execute(interviews_history.insert(), past)
        with warehouse.writing() as connection:
            connection.exec_driver_sql("ANALYZE")


def test_sqlite_finds_one_interviews_versions_by_the_keys(a_year: Twins) -> None:
    plan = [row["detail"] for row in a_year.sqlite_rows(f"EXPLAIN QUERY PLAN {OF_ONE}")]

    for table in ("interviews_history", "interviews"):
        assert f"SEARCH {table} USING INDEX sqlite_autoindex_{table}_1 (id=?)" in plan


def test_postgres_finds_one_interviews_versions_by_the_keys(a_year: Twins) -> None:
    plan = "\n".join(row["QUERY PLAN"] for row in a_year.postgres_rows(f"EXPLAIN {OF_ONE}"))

    assert "Seq Scan" not in plan
    for key in ("pk_interviews_history", "pk_interviews"):
        assert f" on {key} " in plan or f" using {key} " in plan


@pytest.mark.parametrize(
    ("query", "rows", "allowed_seconds"),
    [
        (OF_ONE, VERSIONS + 1, 0.25),
        (f"SELECT * FROM interview_daily WHERE id = '{ONE}' ORDER BY day", DAYS, 0.5),
        ("SELECT id FROM interview_daily WHERE days_ago = 30 ORDER BY id", INTERVIEWS, 2),
        ("SELECT day, count(*) AS interviews FROM interview_daily GROUP BY day ORDER BY day", DAYS, 10),
    ],
    ids=["one interview's versions", "one interview's days", "one day", "every day"],
)
def test_a_year_is_told_quickly(a_year: Twins, query: str, rows: int, allowed_seconds: float) -> None:
    """The bounds leave room for a busy machine: alone, each takes less than a tenth."""
    started = time.monotonic()

    answer = a_year.rows(query)

    assert time.monotonic() - started < 2 * allowed_seconds
    assert len(answer) == rows


def test_every_interview_has_every_day_once(a_year: Twins) -> None:
    (answer,) = a_year.rows("SELECT count(*) AS n, count(DISTINCT day) AS days FROM interview_daily")

    assert answer == {"n": INTERVIEWS * DAYS, "days": DAYS}


@pytest.mark.slow
@pytest.mark.parametrize("size", [4_000, pytest.param(20_000, marks=pytest.mark.stress)])
def test_thirty_syncs_of_a_large_workspace_keep_a_history_that_answers_at_once(
    twins: Twins, size: int
) -> None:
    """1 % of the interviews changed by each sync, those of a fifth in turn."""
    share = size // 100
    elements = [json.dumps(interview) for interview in interviews_of("acme", size)]
    for sync in range(31):
        first = share * sync % (size // 5)
        for place in range(first, first + share if sync else 0):
            changed = json.loads(elements[place])
            elements[place] = json.dumps(changed | {"scheduled_count": changed["scheduled_count"] + 1})
        twins.sync_body("acme", days_ago(40 - sync), f"[{','.join(elements)}]".encode())

    (kept,) = twins.rows("SELECT count(*) AS versions FROM interview_versions")
    often_changed = json.loads(elements[share])["id"]
    started = time.monotonic()
    versions = twins.rows(
        f"SELECT * FROM interview_versions WHERE id = '{often_changed}' ORDER BY _valid_from"
    )

    assert time.monotonic() - started < 0.5
    assert len(versions) == 3
    assert kept["versions"] == size + 30 * share
