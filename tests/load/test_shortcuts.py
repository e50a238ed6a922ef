"""The shorter ways of a load change nothing but the time it takes; and what is unchanged is not written."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from etl.config import Workspace
from etl.errors import SchemaMismatch, SpoolError
from etl.load import first
from etl.tables import interview_digests, interviews, interviews_history, rejected_rows, sync_runs, workspaces
from tests.load.api_model import WORKSPACES, Api, answer_text
from tests.load.house import A, B, House, body, made, workspace
from tests.load.model import Element

_EDITS = (
    *("create", "create", "edit", "count", "age", "extend", "delete", "restore", "corrupt", "heal"),
    *("duplicate", "quiet", "noise", "reorder", "respell", "move", "clear"),
)
_changes = st.lists(st.tuples(st.sampled_from(_EDITS), st.integers(0, 1), st.integers(0, 1000)), max_size=6)
_policies = st.fixed_dictionaries(
    {}, optional={"detect_deletes": st.booleans(), "max_delete_rows": st.sampled_from((0, 2, 10))}
)
Round = tuple[list[tuple[str, int, int]], int, str | None, int, dict[str, Any], bool]
_round = st.tuples(
    _changes,
    st.integers(0, 1),
    st.sampled_from((None, None, None, "active")),
    st.integers(0, 2),
    _policies,
    st.booleans(),
)
_TABLES = (interviews, interviews_history, rejected_rows, interview_digests, workspaces)
_ARBITRARY = {"id"}  # of a reject: a sequence may skip
_OF_WHAT_IS_READ = {"naive_instants", "replaced_characters"}  # what is known by its bytes is not read again
PLAIN = workspace()
# By the session's own count, undone ones included: every such row is dead sooner or later.
_ROWS_WRITTEN = """
    SELECT CAST(sum(n_tup_ins + n_tup_upd + n_tup_del) AS bigint) FROM pg_stat_xact_user_tables
    WHERE relname IN ('interviews', 'interviews_history', 'interview_digests', 'rejected_rows')
"""


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, House]]:
    """Two SQLite warehouses: one is loaded by every shortcut, the other by none."""
    folder = tmp_path_factory.mktemp("pair")
    houses = (House(f"sqlite:///{folder / 'short.db'}"), House(f"sqlite:///{folder / 'full.db'}"))
    yield houses
    for house in houses:
        house.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(_round, min_size=2, max_size=6))
def test_the_short_way_and_the_full_way_end_equal(pair: tuple[House, House], rounds: list[Round]) -> None:
    for house in pair:
        house.empty()
    api = Api()
    for number in range(6):
        api.change("create", WORKSPACES[number % 2], number)
    for changes, which, status, paused, policy, accept in rounds:
        for kind, where, choice in changes:
            api.change(kind, WORKSPACES[where], choice)
        for one in api.worlds[WORKSPACES[which]][:paused]:
            one["status"] = "paused"
        asked = workspace(UUID(WORKSPACES[which]), status=status, **policy)
        raw = answer_text([e for e in api.answer(WORKSPACES[which]) if _passes(e, status)])
        for _ in range(2):
            results = [
                _result(house, raw, asked, full=house is pair[1], accept_deletes=accept) for house in pair
            ]
            assert results[0] == results[1]
            assert _state(pair[0]) == _state(pair[1])


def _passes(element: Element, status: str | None) -> bool:
    return status is None or element.content is None or element.content["status"] == status


def test_the_first_answer_by_either_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    for kind in ("create",) * 12 + ("corrupt", "noise", "duplicate", "extend"):
        api.change(kind, WORKSPACES[0], 3)
    plain = answer_text([e for e in api.answer(WORKSPACES[0]) if e.content])
    awkward = answer_text(api.answer(WORKSPACES[0]))
    for raw in (b"[]", plain, awkward, body(made(3)), body([*made(2), 5])):
        results = []
        for full, most in ((False, 1000), (True, 1000), (False, 0)):  # at once, staged, a lost bet
            monkeypatch.setattr(first, "_MOST_REJECTS", most)
            house.empty()
            results.append((_result(house, raw, full=full), _state(house)))
        assert results[0] == results[1] == results[2]


def test_the_digests_of_a_large_first_answer_need_a_disk(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(first, "_DIGEST_BYTES_IN_MEMORY", 1)
    assert house.counts(workspace(), made(3)) == {"received": 3, "inserted": 3}
    house.empty()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SpoolError, match="gone"):
        house.counts(workspace(), made(3))
    assert house.rows(interviews) == []


def test_the_first_answer_may_hold_what_another_workspace_has(house: House) -> None:
    (one, two) = made(2, A)
    house.load(workspace(A), body([one, two]))
    theirs = [*made(1, B), one | {"workspace_id": str(B), "updated_at": "2028-01-01T00:00:00Z"}]
    assert house.counts(workspace(B), theirs) == {"received": 2, "inserted": 1, "updated": 1}
    assert len(house.rows(interviews_history)) == 1
    assert house.counts(workspace(B), theirs) == {"received": 2, "unchanged": 2}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(8)), first_order=st.permutations(range(8)), spelled=st.booleans())
def test_any_order_and_any_spelling_is_the_same_answer(
    pair: tuple[House, House], order: list[int], first_order: list[int], spelled: bool
) -> None:
    house, plain = pair[0], made(8)
    house.empty()
    house.load(workspace(), body([plain[place] for place in first_order]))
    before = house.rows(interviews)
    shuffled = [plain[place] for place in order]
    if spelled:
        raw = json.dumps([dict(reversed(one.items())) for one in shuffled], indent=3).encode()
    else:
        raw = body(shuffled)
    counts = house.load(workspace(), raw).counts
    assert (counts.received, counts.unchanged) == (8, 8)
    assert house.rows(interviews) == before


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_same_answer_twice_writes_no_row(
    house: House, writes: Callable[[], Counter[str]], full: bool, shuffled: bool
) -> None:
    plain = made(300)
    house.load(workspace(), body(plain))
    before = writes()
    assert len(before) == 300
    if shuffled:
        random.Random(5).shuffle(plain)
    assert house.counts(workspace(), plain, full=full) == {"received": 300, "unchanged": 300}
    assert writes() == before


@pytest.mark.parametrize("full", [False, True])
def test_one_change_writes_one_row(house: House, writes: Callable[[], Counter[str]], full: bool) -> None:
    plain = made(300)
    house.load(workspace(), body(plain))
    before = writes()
    house.load(workspace(), body([plain[0] | {"folder": "new"}, *plain[1:]]), full=full)
    (written,) = writes() - before
    assert written.startswith(plain[0]["id"])


def test_sqlite_is_written_only_in_the_ledger(sqlite_house: House) -> None:
    """An equal answer again: three rows for the run and its workspace, however many interviews there are."""
    house, asked, written = sqlite_house, workspace(), []
    for count in (50, 500):
        house.empty()
        raw, changes = body(made(count)), list[int]()

        def note(connection: Connection, changes: list[int] = changes) -> None:
            driver: Any = connection.connection.driver_connection
            changes.append(driver.total_changes)

        house.load(asked, raw)
        for run_id in [house.start(asked), house.start(asked)]:
            house.load(asked, raw, run_id=run_id, before_commit=note)
        written.append(changes[1] - changes[0])
    assert 0 < written[0] == written[1] <= 3


@pytest.mark.postgres
@pytest.mark.parametrize("full", [False, True])
def test_unchanged_syncs_leave_no_dead_rows(postgres_house: House, full: bool) -> None:
    house, asked, raw, written = postgres_house, workspace(), body(made(500)), list[int]()

    def note(connection: Connection) -> None:
        written.append(connection.exec_driver_sql(_ROWS_WRITTEN).scalar_one())

    house.warehouse.close()  # a new session has written nothing yet
    house.load(asked, raw, before_commit=note)
    assert written == [1000]  # the interviews and their digests
    house.warehouse.close()
    for _ in range(5):
        house.load(asked, raw, full=full, before_commit=note)
    assert written[1:] == [0] * 5


@pytest.mark.postgres
@pytest.mark.parametrize("shuffled", [False, True])
def test_unchanged_syncs_write_a_small_log_however_many_rows(postgres_house: House, shuffled: bool) -> None:
    """The log of an unchanged sync holds the ledger's few rows: as much for 200 rows as for 4,000."""
    house = postgres_house
    written = {}
    for count in (200, 4000):
        house.empty()
        plain = made(count)
        house.load(workspace(), body(plain))
        with house.warehouse.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("VACUUM")
        # The first ones set hints and make scratch tables; others write to this server's log too.
        written[count] = min(_log_written(house, plain, shuffled=shuffled) for _ in range(6))
    assert written[4000] < written[200] + 30_000
    assert written[4000] < 80_000


def _log_written(house: House, plain: list[dict[str, Any]], *, shuffled: bool) -> int:
    if shuffled:
        random.Random(len(plain)).shuffle(plain)
    raw = body(plain)
    position = "SELECT pg_current_wal_insert_lsn() - '0/0'"
    before = house.ask(position)
    assert house.load(workspace(), raw).counts.unchanged == len(plain)
    return int(house.ask(position) - before)


def _result(house: House, raw: bytes, asked: Workspace = PLAIN, **how: Any) -> Any:
    try:
        outcome = house.load(asked, raw, **how)
    except SchemaMismatch as refused:
        return refused.code
    return outcome.counts.as_dict(), [w for w in outcome.warnings if w["code"] not in _OF_WHAT_IS_READ]


def _state(house: House) -> list[list[dict[str, Any]]]:
    tables = [
        [
            {n: v for n, v in row.items() if n not in _ARBITRARY or table is not rejected_rows}
            for row in house.rows(table)
        ]
        for table in _TABLES
    ]
    runs = [(row["status"], row["high_watermark"], row["error_code"]) for row in house.rows(sync_runs)]
    return [*tables, [{"runs": runs}]]


@pytest.fixture
def writes(house: House) -> Iterator[Callable[[], Counter[str]]]:
    """Tells how often each interview has been written, even with what it held."""
    sqlite = house.warehouse.dialect.name == "sqlite"
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE writes (id TEXT)")
        if sqlite:
            note = "BEGIN INSERT INTO writes VALUES (new.id); END"
            for event in ("INSERT", "UPDATE"):
                connection.exec_driver_sql(f"CREATE TRIGGER note_{event} AFTER {event} ON interviews {note}")

    def written() -> Counter[str]:
        query = "SELECT id FROM writes" if sqlite else "SELECT id::text || xmin || ctid FROM interviews"
        with house.warehouse.reading() as connection:
            return Counter(row[0] for row in connection.exec_driver_sql(query))

    yield written
    with house.warehouse.writing() as connection:
        for event in ("INSERT", "UPDATE") if sqlite else ():
            connection.exec_driver_sql(f"DROP TRIGGER note_{event}")
        connection.exec_driver_sql("DROP TABLE writes")
