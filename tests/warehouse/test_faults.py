"""The database fails under a load: reliability 56 to 58. Never half, and whole at the next run."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event

from etl.config import load_settings
from etl.errors import LoadConflict, WarehouseLost
from etl.meter import Meter
from etl.standin import StandIn
from etl.sync import Options, Report, sync_workspaces
from etl.tables import interviews, interviews_history, metadata
from etl.warehouse import Warehouse, copy_csv, open_warehouse, postgres
from etl.warehouse.schema import ensure_schema
from tests.acceptance.program import Program, fates, id_of, interviews_of, populate
from tests.load.house import House, body, made, workspace
from tests.postgres import PostgresServer
from tests.warehouse.mounts import small_disk
from tests.warehouse.triggers import once_at_commit

PATIENT = {"timeout_seconds": 20, "deadline_seconds": 60}
MERGE = "INSERT INTO interviews ("


@pytest.fixture
def house(postgres_at_head: str) -> Iterator[House]:
    """A new Postgres warehouse at head."""
    house = House(postgres_at_head)
    yield house
    house.close()


@contextmanager
def _before_statement(warehouse: Warehouse, act: Callable[[Connection, str], None]) -> Iterator[None]:
    """Call this before each statement of the warehouse's sessions, COMMIT included."""

    def execute(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:  # noqa: ARG001
        act(connection, statement)

    def commit(connection: Connection) -> None:
        act(connection, "COMMIT")

    event.listen(warehouse.engine, "before_cursor_execute", execute)
    event.listen(warehouse.engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(warehouse.engine, "before_cursor_execute", execute)
        event.remove(warehouse.engine, "commit", commit)


def _terminate(server: PostgresServer, connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    with server.connect() as beside:
        beside.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])


def _all_rows(house: House) -> dict[str, Any]:
    """All that a load may change. The ledger and the workspace's last attempt are written before it."""
    rows = {
        table.name: house.rows(table)
        for table in metadata.sorted_tables
        if table.name not in {"sync_runs", "webhook_deliveries"}
    }
    for row in rows["workspaces"]:
        for name in ("last_attempt_at", "last_run_id", "consecutive_failures"):
            del row[name]
    return rows


# A cursor whose session is gone cannot be closed: the driver says so when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_session_ends_before_each_statement_of_a_load(
    house: House, postgres_server: PostgresServer
) -> None:
    asked, plain = workspace(), made(30)
    house.load(asked, body(plain))
    before = _all_rows(house)
    changed = body([one | {"folder": "new"} for one in plain[:20]] + [plain[20] | {"name": None}])
    met: list[str] = []
    for fatal in range(1, 100):
        run_id = house.start(asked)
        met = []

        def end_it(connection: Connection, statement: str, met: list[str] = met, fatal: int = fatal) -> None:
            met.append(statement)
            if len(met) == fatal:
                _terminate(postgres_server, connection)

        with _before_statement(house.warehouse, end_it):
            try:
                house.load(asked, changed, run_id=run_id)
            except WarehouseLost:
                assert len(met) >= fatal
                assert _all_rows(house) == before, met[-1]
                continue
        assert len(met) < fatal  # it ran to its end: every statement has been tried
        break
    assert fatal > 15
    assert "COMMIT" in met
    row = house.row(plain[0]["id"])
    assert (row["folder"], len(house.rows(interviews_history))) == ("new", 29)


def test_a_lock_whose_session_ends_costs_that_session_alone(
    house: House, postgres_server: PostgresServer
) -> None:
    name = house.url.rpartition("/")[2]
    backends = "SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY backend_start"
    held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' LIMIT 1"
    house.warehouse.close()
    counted = []
    with postgres_server.connect() as beside:
        for _ in range(4):
            with ExitStack() as locks:
                for number in range(8):
                    assert locks.enter_context(house.warehouse.locked(UUID(int=number)))
                beside.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({held}) AS one")
            counted.append(len(beside.execute(backends, [name]).fetchall()))
    assert counted == [7] * 4


def test_the_session_ends_during_copy(
    house: House, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, plain = workspace(), made(30)
    real = copy_csv.copy_csv
    doomed = [True]
    pids: list[int] = []

    def copy_or_fail(rows: Any, binary: Any) -> bytes:
        if doomed:
            doomed.clear()
            with postgres_server.connect() as beside:
                beside.execute("SELECT pg_terminate_backend(%s, 5000)", [pids[-1]])
        return real(rows, binary)

    def note(connection: Connection, statement: str) -> None:  # noqa: ARG001
        driver: Any = connection.connection.driver_connection
        pids.append(driver.info.backend_pid)

    monkeypatch.setattr(postgres, "copy_csv", copy_or_fail)
    with _before_statement(house.warehouse, note):
        with pytest.raises(WarehouseLost):
            house.load(asked, body(plain))
        assert house.rows(interviews) == []
        house.load(asked, body(plain))
        doomed.append(True)
        with pytest.raises(WarehouseLost):
            house.load(asked, body(plain[:20]), full=True)
    assert len(house.present()) == 30
    assert house.load(asked, body(plain[:25])).counts.deleted == 5


def test_a_serialization_failure_is_worth_another_try(house: House, postgres_server: PostgresServer) -> None:
    """As servers that are spread over several machines answer under any level."""
    asked, plain = workspace(), made(5)
    house.load(asked, body(plain))
    changed = body([one | {"folder": "new"} for one in plain])
    refuse = "RAISE serialization_failure USING MESSAGE = 'try again'"
    once_at_commit(postgres_server, house.url, "interviews", refuse)
    run_id = house.start(asked)
    with pytest.raises(LoadConflict, match="try again"):
        house.load(asked, changed, run_id=run_id)
    assert house.load(asked, changed, run_id=run_id).counts.updated == 5


@pytest.fixture
def acme(api: StandIn, tmp_path: Path, postgres_at_head: str) -> Program:
    """A patient program with one workspace, and a Postgres."""
    program = Program(tmp_path, postgres_at_head)
    populate(api, "acme")
    program.configure(api.base_url, "acme", api=PATIENT)
    return program


def test_a_session_lost_after_a_conflict_is_worth_another_try_too(
    api: StandIn, acme: Program, postgres_at_head: str, postgres_server: PostgresServer
) -> None:
    acme.sync()
    api.set_interviews(id_of("acme"), [one | {"folder": "new"} for one in interviews_of("acme")])
    once_at_commit(postgres_server, postgres_at_head, "interviews", "RAISE serialization_failure")
    merges: list[str] = []

    def end_the_second(connection: Connection, statement: str) -> None:
        merges.extend([statement] if MERGE in statement else [])
        if MERGE in statement and len(merges) == 2:
            _terminate(postgres_server, connection)

    report = _sync(acme, end_the_second)
    assert (report.status, report.counts.updated, len(merges)) == ("succeeded", 5, 3), report.error


def test_a_conflict_at_the_opening_of_a_run_is_worth_another_try(
    acme: Program, postgres_at_head: str, postgres_server: PostgresServer
) -> None:
    once_at_commit(postgres_server, postgres_at_head, "sync_runs", "RAISE serialization_failure")
    assert acme.sync().workspace("acme")["status"] == "succeeded"


def test_numbers_that_were_given_before_are_told_with_their_place(
    acme: Program, postgres_at_head: str, postgres_server: PostgresServer
) -> None:
    """A standby fed by logical replication knows the rows, but not how far the sequences are."""
    acme.sync()
    with postgres_server.connect(postgres_at_head) as admin:
        admin.execute(
            "INSERT INTO sync_runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', r.id + n))).* "
            "FROM sync_runs r, generate_series(1, 20) n"
        )
        failed = acme.sync().workspace("acme")
        assert failed["error_code"] == "warehouse_error"
        assert failed["error"].startswith("the warehouse at postgresql://")
        admin.execute(failed["error"].partition("in their schema, run: ")[2])
    assert acme.sync().workspace("acme")["run_id"] == 22


def test_a_deadlock_is_worth_another_try(
    api: StandIn, tmp_path: Path, postgres_at_head: str, postgres_server: PostgresServer
) -> None:
    program = Program(tmp_path, postgres_at_head)
    populate(api, "acme", count=10)
    program.configure(api.base_url, "acme", api=PATIENT)
    program.sync()
    api.set_interviews(id_of("acme"), [one | {"folder": "new"} for one in interviews_of("acme", 10)])
    first, *_, last = sorted(one["id"] for one in interviews_of("acme", 10))
    with postgres_server.connect(postgres_at_head, autocommit=False) as beside:
        beside.execute("SET deadlock_timeout = '60s'")  # so that the load is the one to go
        beside.execute("UPDATE interviews SET name = name WHERE id = %s", [last])
        running = program.start("sync", "--json")
        _wait_for_lock(postgres_server, postgres_at_head)
        beside.execute("UPDATE interviews SET name = name WHERE id = %s", [first])
    done = running.wait()
    assert done.exit_code == 0, done.stderr
    assert fates(done.workspace("acme")) == {"received": 10, "updated": 10}


def _wait_for_lock(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    pause = threading.Event()
    with server.connect() as beside:
        for _ in range(600):
            row = beside.execute(query, [name]).fetchone()
            if row and row[0]:
                return
            pause.wait(0.05)
    raise AssertionError("the load waits for no lock")


def _sync(program: Program, act: Callable[[Connection, str], None] = lambda *_: None) -> Report:
    """A pass in this process, with something done before each statement."""
    settings = load_settings(program.config, program.environ)
    warehouse = open_warehouse(settings.warehouse, 1)
    try:
        ensure_schema(warehouse, auto_migrate=False)
        with _before_statement(warehouse, act):
            work = sync_workspaces(
                settings, warehouse, settings.workspaces, Options(), [Meter("")], environ=program.environ
            )
            (report,) = asyncio.run(work)
            return report
    finally:
        warehouse.close()


def test_the_server_restarts_under_a_load(
    own_postgres: PostgresServer, api: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(tmp_path, own_postgres.create_database())
    populate(api, "acme", count=300)
    program.configure(api.base_url, "acme", api=PATIENT)
    own_postgres.stop()
    done = program.sync()
    assert done.exit_code == 3
    assert "cannot use the warehouse" in done.stderr
    own_postgres.start()
    restarts: list[str] = []

    def restart(where: str) -> None:
        if where not in restarts:
            restarts.append(where)
            own_postgres.stop("immediate")
            own_postgres.start()

    # During COPY of the first load.
    real = copy_csv.copy_csv

    def copy_or_fail(rows: Any, binary: Any) -> bytes:
        restart("COPY")
        return real(rows, binary)

    with monkeypatch.context() as patched:
        patched.setattr(postgres, "copy_csv", copy_or_fail)
        report = _sync(program)
    assert (report.status, report.counts.inserted) == ("succeeded", 300)

    # During the merge and before COMMIT: once more from the spooled answer, without asking the API again.
    for number, where in enumerate((MERGE, "COMMIT")):
        changed = [one | {"contact_count": number + 1000} for one in interviews_of("acme", 300)]
        api.set_interviews(id_of("acme"), changed)
        asked = len(api.requests)
        merging: list[bool] = []

        def act(_: Connection, statement: str, where: str = where, merging: list[bool] = merging) -> None:
            merging.extend([True] if MERGE in statement else [])
            if merging and where in statement:
                restart(where)

        report = _sync(program, act)
        assert (report.status, report.counts.updated) == ("succeeded", 300), report.error
        assert len(api.requests) == asked + 1
        assert program.rows("SELECT DISTINCT contact_count FROM interviews") == [(number + 1000,)]
        assert program.rows("SELECT count(*) FROM interviews_history") == [(300 * (number + 1),)]
    assert restarts == ["COPY", MERGE, "COMMIT"]
    assert program.sync().workspace("acme")["unchanged"] == 300
    program.close()


def test_the_commit_arrives_but_its_answer_does_not(
    api: StandIn, tmp_path: Path, postgres_at_head: str, postgres_server: PostgresServer
) -> None:
    program = Program(tmp_path, postgres_at_head)
    populate(api, "acme", count=20)
    program.configure(api.base_url, "acme", api=PATIENT)
    loading: list[str] = []

    def act(connection: Connection, statement: str) -> None:
        loading.extend([statement] if "applied_digest" in statement else [])
        if statement == "COMMIT" and loading and "done" not in loading:
            loading.append("done")
            connection.exec_driver_sql("COMMIT")
            _terminate(postgres_server, connection)

    report = _sync(program, act)
    assert "done" in loading
    assert (report.status, report.counts.received) == ("succeeded", 20)
    assert program.rows("SELECT count(*) FROM interviews") == [(20,)]
    assert program.rows("SELECT count(*) FROM interviews_history") == [(0,)]
    assert program.rows("SELECT status, received FROM sync_runs") == [("succeeded", 20)]


def test_the_disk_is_full_under_sqlite(api: StandIn, tmp_path: Path) -> None:
    populate(api, "acme", count=20)
    with small_disk(20) as disk:
        program = Program(tmp_path, f"sqlite:///{disk / 'warehouse.db'}")
        program.configure(api.base_url, "acme", api=PATIENT)
        assert program.sync().exit_code == 0
        before = program.interviews()
        (disk / "ballast").write_bytes(b"x" * 18_500_000)
        api.set_interviews(id_of("acme"), interviews_of("acme", 3000))
        done = program.sync()
        assert done.exit_code == 1
        assert done.workspace("acme")["error_code"] == "warehouse_full"
        assert program.interviews() == before
        (disk / "ballast").unlink()
        again = program.sync()
        assert fates(again.workspace("acme")) == {"received": 3000, "inserted": 2980, "unchanged": 20}, (
            again.stderr
        )


def test_the_disk_is_full_under_postgres(own_postgres: PostgresServer, api: StandIn, tmp_path: Path) -> None:
    populate(api, "acme", count=20)
    with small_disk(24) as disk, own_postgres.connect() as admin:
        folder = disk / "space"
        folder.mkdir()
        _give_to_the_server(own_postgres, folder)
        admin.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        admin.execute("CREATE DATABASE full_one TEMPLATE template0 TABLESPACE small")
        program = Program(tmp_path, own_postgres.url("full_one"))
        program.configure(api.base_url, "acme", api=PATIENT)
        assert program.sync().exit_code == 0
        before = program.interviews()
        free = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(b"x" * (free - 1_000_000))
        api.set_interviews(id_of("acme"), interviews_of("acme", 3000))
        done = program.sync()
        assert done.exit_code == 1, done.stderr
        assert done.workspace("acme")["error_code"] == "warehouse_full"
        assert program.interviews() == before
        (disk / "ballast").unlink()
        again = program.sync()
        assert fates(again.workspace("acme")) == {"received": 3000, "inserted": 2980, "unchanged": 20}
        admin.execute("DROP DATABASE full_one WITH (FORCE)")
        own_postgres.stop("fast")


def _give_to_the_server(server: PostgresServer, folder: Path) -> None:
    with server.connect() as admin:
        row = admin.execute("SHOW data_directory").fetchone()
    assert row is not None
    if os.geteuid() == 0:
        shutil.chown(folder, Path(row[0]).stat().st_uid)
