"""What a warehouse looks like and who may write to it: reliability 59 to 62."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from etl.config import Warehouse as WarehouseSettings
from etl.errors import SchemaNotAtHead, WarehouseError, WarehouseRefused
from etl.secret import Secret
from etl.standin import StandIn
from etl.tables import metadata, sync_runs
from etl.warehouse import Warehouse, open_warehouse
from etl.warehouse.schema import ensure_schema, look, migrate, require_head, revision_of, revisions
from tests.acceptance.program import (
    Program,
    fates,
    id_of,
    interviews_of,
    populate,
    sync_here,
    wait_until,
)
from tests.config.loading import without_privileges
from tests.load.house import House, body, made, workspace
from tests.postgres import PostgresServer, url_of
from tests.warehouse.mounts import make_read_only, small_disk
from tests.warehouse.triggers import once_at_commit

PATIENT = {"timeout_seconds": 20, "deadline_seconds": 60}


@pytest.fixture
def house(warehouse_url: str) -> Iterator[House]:
    """A new warehouse at head, once of each kind."""
    house = House(warehouse_url)
    yield house
    house.close()


def _execute(house: House, *statements: str) -> None:
    with house.warehouse.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _refused(house: House, *, auto_migrate: bool = False) -> str:
    with pytest.raises(WarehouseError) as refused:
        ensure_schema(house.warehouse, auto_migrate=auto_migrate)
    assert refused.value.exit_code == 3
    return str(refused.value)


# --- 59: the schema ---


def test_behind_is_refused_unless_it_may_be_migrated(house: House) -> None:
    for revision in revisions()[:-1]:
        migrate(house.warehouse, revision)
        message = _refused(house)
        assert "behind" in message
        assert "ontora-etl migrate" in message
        assert revision in message
    ensure_schema(house.warehouse, auto_migrate=True)
    assert house.load(workspace(), body(made(2))).counts.inserted == 2


def test_ahead_is_always_refused(house: House) -> None:
    _execute(house, "UPDATE alembic_version SET version_num = '9999'")
    for auto_migrate in (False, True):
        assert "ahead" in _refused(house, auto_migrate=auto_migrate)
    with pytest.raises(SchemaNotAtHead, match="ahead"):
        migrate(house.warehouse)
    assert house.ask("SELECT version_num FROM alembic_version") == "9999"


@pytest.mark.parametrize("revision", ["ae1027a6acf", *revisions()])
def test_another_programs_revisions_are_not_ours(house: House, revision: str) -> None:
    migrate(house.warehouse, "base")
    _execute(house, f"INSERT INTO alembic_version VALUES ('{revision}')")
    assert "another program's: of ours there is no table" in _refused(house, auto_migrate=True)
    for act in (migrate, look, require_head):
        with pytest.raises(SchemaNotAtHead, match="another program's"):
            act(house.warehouse)
    assert house.ask("SELECT version_num FROM alembic_version") == revision


def test_several_revisions_are_not_guessed_at(house: House) -> None:
    _execute(house, "INSERT INTO alembic_version VALUES ('0001')")
    assert "holds several revisions (0001, " in _refused(house)
    with pytest.raises(SchemaNotAtHead, match="several revisions"):
        migrate(house.warehouse)


def test_migrated_while_a_program_is_at_work(house: House) -> None:
    """As when a newer release migrates beside a daemon: no run is opened, and none that was is loaded."""
    asked, plain = workspace(), made(4)
    house.load(asked, body(plain[:3]))
    run_id = house.start(asked)
    for revision, what in (("9999", "ahead"), (revisions()[0], "behind")):
        _execute(house, f"UPDATE alembic_version SET version_num = '{revision}'")
        with pytest.raises(SchemaNotAtHead, match=what):
            house.start(asked)
        assert [run["id"] for run in house.rows(sync_runs)][-1] == run_id
        with pytest.raises(SchemaNotAtHead, match=what):
            house.load(asked, body(plain), run_id=run_id)
    assert len(house.present()) == 3
    _execute(house, f"UPDATE alembic_version SET version_num = '{revisions()[-1]}'")
    assert house.counts(asked, plain) == {"received": 4, "inserted": 1, "unchanged": 3}


def test_absent_is_migrated(house: House) -> None:
    migrate(house.warehouse, "base")
    ensure_schema(house.warehouse, auto_migrate=False)
    with house.warehouse.reading() as connection:
        assert revision_of(connection) == revisions()[-1]


def test_half_migrated_is_refused_and_nothing_is_lost(house: House) -> None:
    """A revision that lies: what it says is to come is there already."""
    house.load(workspace(), body(made(2)))
    _execute(house, "UPDATE alembic_version SET version_num = '0002'")
    assert "behind" in _refused(house)
    assert "already exists" in _refused(house, auto_migrate=True)
    assert len(house.present()) == 2


@pytest.mark.parametrize("table", ["interview_digests", "rejected_rows", "sync_runs"])
def test_a_table_dropped_by_hand_is_named(house: House, table: str) -> None:
    _execute(
        house,
        *(f"DROP VIEW IF EXISTS {view}" for view in ("sync_health", "workspace_summary")),
        f"DROP TABLE {table}",
    )
    for auto_migrate in (False, True):
        message = _refused(house, auto_migrate=auto_migrate)
        assert f"table {table} missing: restore it from a backup" in message
        assert "migrate" not in message


def test_a_column_dropped_by_hand_is_named(house: House) -> None:
    _execute(house, "ALTER TABLE interview_digests DROP COLUMN digest")
    assert "column interview_digests.digest missing" in _refused(house)


def test_a_virtual_table_of_a_module_that_is_not_here_harms_nothing(tmp_path: Path) -> None:
    house = House(f"sqlite:///{tmp_path / 'warehouse.db'}")
    _execute(
        house,
        "PRAGMA writable_schema = ON",
        "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING vec0(x)')",
        "PRAGMA writable_schema = OFF",
    )
    house.close()
    ensure_schema(house.warehouse, auto_migrate=False)
    house.close()


def test_columns_and_tables_added_by_hand_harm_nothing(house: House) -> None:
    _execute(
        house,
        *(f"ALTER TABLE {name} ADD COLUMN our_note TEXT" for name in metadata.tables),
        "CREATE TABLE our_table (id INTEGER)",
        "CREATE INDEX our_index ON interviews (folder)",
    )
    ensure_schema(house.warehouse, auto_migrate=False)
    plain = made(12)
    house.load(workspace(), body(plain))
    _execute(house, "UPDATE interviews SET our_note = 'ours'")
    changed = [plain[0] | {"folder": "new"}, *plain[1:-1], {"no": "interview"}]
    counts = house.counts(workspace(), changed)
    assert counts == {"received": 12, "updated": 1, "unchanged": 10, "rejected": 1, "deleted": 1}
    assert house.ask("SELECT count(*) FROM interviews WHERE our_note = 'ours'") == 12


# --- 60: roles ---


@pytest.mark.parametrize("spelled", ["postgresql://db", "postgresql+psycopg://db"])
def test_the_driver_is_ours_however_the_address_is_spelled(spelled: str) -> None:
    with closing(open_warehouse(WarehouseSettings(url=Secret(spelled)))) as warehouse:
        assert warehouse.engine.url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ("", "", "ontora-etl"),
        ("application_name=nightly", "", "nightly"),
        ("", "from-outside", "from-outside"),
    ],
)
def test_what_the_address_says_is_heeded(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, options: str, environ: str, expected: str
) -> None:
    if environ:
        monkeypatch.setenv("PGAPPNAME", environ)
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}connect_timeout=7&{options}"
    with (
        closing(open_warehouse(WarehouseSettings(Secret(url)))) as warehouse,
        warehouse.reading() as connection,
    ):
        name = connection.exec_driver_sql("SELECT current_setting('application_name')").scalar_one()
        driver: Any = connection.connection.driver_connection
        timeout = driver.info.get_parameters()["connect_timeout"]
    assert (name, timeout) == (expected, "7")


@pytest.mark.parametrize("option", ["row_factory=x", "context=x", "connect_timeout=abc", "nonsense=1"])
def test_an_option_that_cannot_be_used_is_a_line_and_no_traceback(postgres_url: str, option: str) -> None:
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}{option}"
    with (
        pytest.raises(WarehouseError),
        closing(open_warehouse(WarehouseSettings(Secret(url)))) as warehouse,
        warehouse.reading(),
    ):
        pass


@pytest.mark.parametrize("missing", ["database", "role"])
def test_what_the_server_does_not_know_is_told_apart_from_a_server_that_is_gone(
    postgres_url: str, missing: str
) -> None:
    user = f"{urlsplit(postgres_url).username}@"
    url = f"{postgres_url}x" if missing == "database" else postgres_url.replace(user, "nobody_here@")
    with (
        pytest.raises(WarehouseError, match=f'{missing} ".*" does not exist: check user and database'),
        closing(open_warehouse(WarehouseSettings(Secret(url)))) as warehouse,
        warehouse.reading(),
    ):
        pass


def test_hosts_among_the_options_are_named() -> None:
    url = "postgresql:///db?host=one.example&host=two.example"
    with closing(open_warehouse(WarehouseSettings(Secret(url)))) as warehouse:
        assert warehouse.place == "postgresql://one.example,two.example/db"


@pytest.fixture
def role(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """A role that may log in and no more; and the database at head, with five interviews."""
    name = "role_" + postgres_url.rpartition("_")[2]
    with postgres_server.connect(postgres_url) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE {name}")


def _as_role(tmp_path: Path, url: str, role: str, api: StandIn) -> Program:
    populate(api, "acme", count=5)
    program = Program(tmp_path, url_of(role, url))
    program.configure(api.base_url, "acme", api=PATIENT)
    return program


@contextmanager
def _as_role_beside_admin(
    server: PostgresServer, url: str, role: str, schema: str = ""
) -> Iterator[tuple[Warehouse, psycopg.Connection[Any]]]:
    """The warehouse as the role opens it, and a session of its administrator."""
    settings = WarehouseSettings(url=Secret(url_of(role, url)), schema=schema)
    with closing(open_warehouse(settings)) as warehouse, server.connect(url) as admin:
        yield warehouse, admin


def _migrate_and_grant(server: PostgresServer, url: str, role: str, rights: str) -> None:
    House(url).close()
    with server.connect(url) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        admin.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role}")
        if "INSERT" in rights:
            admin.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")


def test_a_role_that_may_write_but_not_create(
    api: StandIn, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    program = _as_role(tmp_path, postgres_url, role, api)
    with postgres_server.connect(postgres_url) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    refused, check = program.sync(), program.run("check")
    assert (refused.exit_code, check.exit_code) == (3, 3)
    assert "this user may not create tables in postgresql://" in refused.stderr
    assert refused.stderr.removeprefix("error: ") in check.stdout
    _migrate_and_grant(postgres_server, postgres_url, role, "SELECT, INSERT, UPDATE, DELETE")
    assert fates(program.sync().workspace("acme")) == {"received": 5, "inserted": 5}
    api.set_interviews(id_of("acme"), [one | {"folder": "x"} for one in interviews_of("acme", 4)])
    done = program.sync()
    assert fates(done.workspace("acme")) == {"received": 4, "updated": 4, "deleted": 1}
    assert program.run("check").exit_code == 0


def test_a_role_that_may_only_read(
    api: StandIn, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    program = _as_role(tmp_path, postgres_url, role, api)
    _migrate_and_grant(postgres_server, postgres_url, role, "SELECT")
    refused = program.sync()
    assert refused.exit_code == 3, refused.stdout
    assert "may not write" in refused.stderr
    assert program.run("status").exit_code == 0
    assert api.requests == []


@pytest.mark.parametrize(
    "missing",
    [
        *(f"{right} ON interviews_history" for right in ("SELECT", "INSERT", "UPDATE")),
        *("INSERT ON rejected_rows", "UPDATE ON webhook_deliveries", "DELETE ON interview_digests"),
        *("USAGE ON SEQUENCE rejected_rows_id_seq", "USAGE ON SEQUENCE sync_runs_id_seq"),
    ],
)
def test_a_role_that_lacks_one_right(
    postgres_server: PostgresServer, postgres_url: str, role: str, missing: str
) -> None:
    _migrate_and_grant(postgres_server, postgres_url, role, "SELECT, INSERT, UPDATE, DELETE")
    with _as_role_beside_admin(postgres_server, postgres_url, role) as (warehouse, admin):
        ensure_schema(warehouse, auto_migrate=False)
        admin.execute(f"REVOKE {missing} FROM {role}")
        with pytest.raises(WarehouseError, match=r"may not write .*: grant it .* USAGE on the sequences"):
            ensure_schema(warehouse, auto_migrate=False)


def test_check_finds_the_rights_that_sync_will_miss(
    api: StandIn, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    program = _as_role(tmp_path, postgres_url, role, api)
    _migrate_and_grant(postgres_server, postgres_url, role, "SELECT, INSERT, UPDATE, DELETE")
    with postgres_server.connect(postgres_url) as admin:
        admin.execute("REVOKE TEMPORARY ON DATABASE " + postgres_url.rpartition("/")[2] + " FROM PUBLIC")
    refused, check = program.sync(), program.run("check")
    assert (refused.exit_code, check.exit_code) == (3, 3)
    assert refused.stderr.removeprefix("error: ") in check.stdout
    assert "FAIL  rights: this user may not write" in check.stdout


def test_a_role_that_may_create_in_the_schema_may_migrate_it(
    postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    with _as_role_beside_admin(postgres_server, postgres_url, role, "ours") as (warehouse, admin):
        refused = r"may not create tables in schema ours of .* CREATE on the database"
        with pytest.raises(WarehouseError, match=refused):
            migrate(warehouse)
        admin.execute("CREATE SCHEMA ours")
        with pytest.raises(WarehouseError, match=refused):
            migrate(warehouse)
        admin.execute(f"GRANT CREATE, USAGE ON SCHEMA ours TO {role}")
        migrate(warehouse)
        ensure_schema(warehouse, auto_migrate=False)


def test_a_schema_of_the_role_that_came_later_hides_nothing(
    postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    _migrate_and_grant(postgres_server, postgres_url, role, "SELECT, INSERT, UPDATE, DELETE")
    with _as_role_beside_admin(postgres_server, postgres_url, role) as (warehouse, admin):
        admin.execute(f"CREATE SCHEMA AUTHORIZATION {role}")
        ensure_schema(warehouse, auto_migrate=False)
        with (
            closing(open_warehouse(WarehouseSettings(Secret(postgres_url)))) as beside,
            beside.locked(workspace().id) as is_ours,
            warehouse.locked(workspace().id) as is_theirs,
        ):
            assert (is_ours, is_theirs) == (True, False)


def test_a_migration_goes_where_the_tables_are(postgres_server: PostgresServer, postgres_url: str) -> None:
    with (
        closing(open_warehouse(WarehouseSettings(Secret(postgres_url)))) as warehouse,
        postgres_server.connect(postgres_url) as admin,
    ):
        migrate(warehouse, "0003")
        admin.execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER")  # comes first on the search_path
        migrate(warehouse)
        query = (
            "SELECT DISTINCT schemaname FROM pg_views WHERE viewname IN ('sync_health', 'workspace_summary')"
        )
        assert admin.execute(query).fetchall() == [("public",)]
        assert admin.execute("SELECT current_schema() <> 'public'").fetchone() == (True,)


@pytest.mark.parametrize("is_migrated", [False, True])
def test_a_session_in_which_nobody_may_write(
    postgres_server: PostgresServer, postgres_url: str, *, is_migrated: bool
) -> None:
    """As on a standby."""
    with closing(open_warehouse(WarehouseSettings(Secret(postgres_url)))) as warehouse:
        if is_migrated:
            migrate(warehouse)
        with postgres_server.connect(postgres_url) as admin:
            database = postgres_url.rpartition("/")[2]
            admin.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        warehouse.close()
        with pytest.raises(WarehouseError, match="lets nobody write in this session: connect to the primary"):
            ensure_schema(warehouse, auto_migrate=False)
        if is_migrated:
            require_head(warehouse)  # to be looked at, it is good enough


def test_a_role_that_may_make_its_schema(
    postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    with _as_role_beside_admin(postgres_server, postgres_url, role, "its_own") as (warehouse, admin):
        admin.execute(f"GRANT CREATE ON DATABASE {postgres_url.rpartition('/')[2]} TO {role}")
        migrate(warehouse)
        ensure_schema(warehouse, auto_migrate=False)


def test_a_search_path_that_leads_nowhere(
    api: StandIn, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, role: str
) -> None:
    program = _as_role(tmp_path, postgres_url, role, api)
    with postgres_server.connect(postgres_url) as admin:
        admin.execute(f"ALTER ROLE {role} SET search_path = nowhere")
    for done in (program.sync(), program.run("check"), program.run("migrate")):
        assert done.exit_code == 3
        assert "grant it CREATE and USAGE on a schema of its search_path" in done.stdout + done.stderr


def test_a_warehouse_that_was_restored_since_the_run_was_opened(house: House) -> None:
    """What it was before does not know the run: nor may its answer stand there as newer than others."""
    migrate(house.warehouse)
    asked, plain = workspace(), made(4)
    house.load(asked, body(plain[:3]))
    run_id = house.start(asked)
    _execute(house, f"DELETE FROM sync_runs WHERE id = {run_id}")
    with pytest.raises(WarehouseRefused, match="does not hold this run"):
        house.load(asked, body(plain), run_id=run_id)
    assert house.counts(asked, plain) == {"received": 4, "inserted": 1, "unchanged": 3}


# --- 61: pgbouncer ---


@pytest.fixture
def pgbouncer_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """An empty database behind a pgbouncer in transaction mode."""
    folder = Path(f"/tmp/etl-pgbouncer-{os.getpid()}")  # noqa: S108  # readable for the user that it runs as
    folder.mkdir()
    try:
        with _pgbouncer(postgres_server, folder) as port:
            yield urlsplit(postgres_url)._replace(netloc=f"postgres@127.0.0.1:{port}").geturl()
    finally:
        shutil.rmtree(folder)


@contextmanager
def _pgbouncer(server: PostgresServer, folder: Path) -> Iterator[int]:
    """Its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    parts = urlsplit(server.url())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host={parts.hostname} port={parts.port}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {folder / "users"}
        pool_mode = transaction
        default_pool_size = 6
        """.replace("\n        ", "\n")
    )
    words: list[str | Path] = [program, folder / "pgbouncer.ini"]
    if getpass.getuser() == "root":
        words[1:1] = ["-u", "nobody"]
        folder.chmod(0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        wait_until(lambda: b"up" in (folder / "log").read_bytes() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait()


def test_behind_pgbouncer_in_transaction_mode(api: StandIn, tmp_path: Path, pgbouncer_url: str) -> None:
    names = ("acme", "beta", "gamma")
    populate(api, *names, count=40)
    program = Program(tmp_path, pgbouncer_url)
    program.configure(api.base_url, *names, api=PATIENT)
    for change in range(4):
        for name in names:
            rows = [one | {"contact_count": change} for one in interviews_of(name, 40 - change)]
            api.set_interviews(id_of(name), rows)
        both = [program.start("sync", "--json") for _ in range(2)]
        finished = [running.wait() for running in both]
        for done in finished:
            assert done.exit_code == 0, done.stderr
        statuses = {e["status"] for done in finished for e in done.json["workspaces"]}
        assert statuses <= {"succeeded", "skipped"}
        program.sync()
        expected = [(change, 3 * (40 - change))]
        query = "SELECT contact_count, count(*) FROM interviews WHERE _deleted_at IS NULL GROUP BY 1"
        assert program.rows(query) == expected
    assert program.sync("--full").workspace("acme")["unchanged"] == 37
    _assert_never_backwards(House(pgbouncer_url))
    program.close()


def test_a_session_lost_behind_pgbouncer_at_commit(
    api: StandIn, program: Program, pgbouncer_url: str, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """The end of the session and the failure of COMMIT arrive together: the driver has no word for that."""
    populate(api, "acme")
    program.warehouse_url = pgbouncer_url
    program.configure(api.base_url, "acme", api=PATIENT)
    program.sync()
    end = "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(5)"
    once_at_commit(postgres_server, postgres_url, "interviews", end)
    api.set_interviews(id_of("acme"), [one | {"folder": "new"} for one in interviews_of("acme")])
    done = program.sync()
    assert done.workspace("acme")["updated"] == 5, done.stderr
    assert "loading again" in done.stderr


def _assert_never_backwards(house: House) -> None:
    asked, plain = workspace(), made(3)
    early = house.start(asked)
    house.load(asked, body(plain))
    late = house.load(asked, body([one | {"folder": "late"} for one in plain]), run_id=early)
    assert (late.counts.received, late.counts.stale) == (3, 3)
    house.close()


@pytest.mark.postgres
@pytest.mark.parametrize("change", ["DROP SCHEMA ont CASCADE", "ALTER SCHEMA ont RENAME TO former"])
def test_a_schema_that_is_gone_is_no_lock_that_another_holds(
    api: StandIn, program: Program, postgres_server: PostgresServer, postgres_url: str, change: str
) -> None:
    populate(api, "acme")
    program.warehouse_url = postgres_url
    program.configure(api.base_url, "acme", warehouse={"schema": "ont"})
    with closing(sync_here(program)) as passes:
        assert next(passes)[0].status == "succeeded"
        with postgres_server.connect(postgres_url) as admin:
            admin.execute(change)
        (report,) = next(passes)
    assert report.status == "failed"
    assert "its schema is missing" in str(report.error)


# --- 62: places of an SQLite file ---


def test_a_file_that_is_replaced_or_removed_under_open_sessions(api: StandIn, tmp_path: Path) -> None:
    path, backup = tmp_path / "warehouse.db", tmp_path / "backup.db"
    populate(api, "acme")
    program = Program(tmp_path, f"sqlite:///{path}")
    program.configure(api.base_url, "acme")

    def remove() -> None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)

    with closing(sync_here(program)) as passes:
        next(passes)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        remove()
        backup.rename(path)
        api.set_interviews(id_of("acme"), interviews_of("acme", 6))
        assert next(passes)[0].counts.inserted == 1
        assert program.rows("SELECT count(*) FROM interviews") == [(6,)]
        remove()
        (report,) = next(passes)
    assert (report.status, report.error_code) == ("failed", "warehouse_error")


def test_a_backup_put_in_place_is_not_mixed_with_the_log_of_the_file_before(
    api: StandIn, tmp_path: Path
) -> None:
    path, backup = tmp_path / "warehouse.db", tmp_path / "copy.db"
    program = Program(tmp_path, f"sqlite:///{path}")
    populate(api, "acme")
    program.configure(api.base_url, "acme", api=PATIENT)
    program.run("migrate")
    with closing(sync_here(program)) as passes:
        next(passes)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        api.set_interviews(id_of("acme"), interviews_of("acme", 3000))
        assert next(passes)[0].counts.inserted == 2995
        assert path.with_name("warehouse.db-wal").exists()
        backup.rename(path)
        assert next(passes)[0].counts.inserted == 2995
        assert program.rows("PRAGMA integrity_check") == [("ok",)]
        assert program.rows("SELECT count(*) FROM interviews") == [(3000,)]


def test_a_backup_is_put_in_place_while_several_threads_open_sessions(tmp_path: Path) -> None:
    path, backup = tmp_path / "warehouse.db", tmp_path / "copy.db"
    with closing(House(f"sqlite:///{path}")) as house:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        at_once = threading.Barrier(3)

        def read(_: int) -> int:
            at_once.wait(10)
            with house.warehouse.reading() as connection:
                return int(connection.exec_driver_sql("SELECT count(*) FROM sync_runs").scalar_one())

        with ThreadPoolExecutor(3) as threads:
            for _ in range(40):
                house.start(workspace())
                shutil.copy(backup, tmp_path / "next.db")
                (tmp_path / "next.db").rename(path)
                assert list(threads.map(read, range(3))) == [0, 0, 0]


def test_a_file_that_is_removed_during_a_load(sqlite_at_head: str) -> None:
    with closing(House(sqlite_at_head)) as house:

        def remove_within() -> None:
            with house.warehouse.of_a_run(10) as connection:
                connection.exec_driver_sql("DELETE FROM notices")
                Path(sqlite_at_head.removeprefix("sqlite:///")).unlink()

        with pytest.raises(WarehouseRefused, match="removed or replaced"):
            remove_within()


def test_a_lock_file_that_another_user_left() -> None:
    """As of root, who synced by hand and was killed: it is locked all the same, if it may be read."""
    with small_disk(1) as folder:
        warehouse = open_warehouse(WarehouseSettings(Secret(f"sqlite:///{folder}/warehouse.db")))
        lock = folder / f"warehouse.db.{workspace().id}.lock"
        with closing(warehouse):
            lock.touch(0o644)
            with without_privileges(), warehouse.locked(workspace().id) as is_ours:
                assert is_ours
            lock.touch(0o600)
            with (
                without_privileges(),
                pytest.raises(WarehouseError, match=rf"{lock}: Permission denied"),
                warehouse.locked(workspace().id),
            ):
                pass


def test_a_link_to_the_file_leads_to_the_same_lock(sqlite_at_head: str) -> None:
    file = Path(sqlite_at_head.removeprefix("sqlite:///"))
    link = file.with_name("link.db")
    link.symlink_to(file)
    here = open_warehouse(WarehouseSettings(Secret(sqlite_at_head)))
    there = open_warehouse(WarehouseSettings(Secret(f"sqlite:///{link}")))
    with (
        closing(here),
        closing(there),
        here.locked(workspace().id) as is_ours,
        there.locked(workspace().id) as is_theirs,
    ):
        assert (is_ours, is_theirs) == (True, False)


@pytest.mark.parametrize(
    "name",
    ["a b.db", "what?.db", "100%.db", "%20.db", "a%2Fb.db", "größe.db", "日本.db", "#1&x=y.db", "'q'.db"],
)
def test_a_path_with_odd_characters(api: StandIn, tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"in {name}"
    folder.mkdir()
    program = Program(tmp_path, f"sqlite:///{folder / name}")
    populate(api, "acme")
    program.configure(api.base_url, "acme", api=PATIENT)
    done = program.sync()
    assert done.exit_code == 0, done.stderr
    assert program.rows("SELECT count(*) FROM interviews") == [(5,)]
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_read_only_disk(api: StandIn, tmp_path: Path) -> None:
    populate(api, "acme")
    with small_disk(8) as disk:
        program = Program(tmp_path, f"sqlite:///{disk / 'warehouse.db'}")
        program.configure(api.base_url, "acme", api=PATIENT)
        assert program.sync().exit_code == 0
        make_read_only(disk)
        refused = program.sync()
        assert refused.exit_code == 3, refused.stdout
        assert str(disk) in refused.stderr
        program.warehouse_url = f"sqlite:///{disk / 'new.db'}"
        program.configure(api.base_url, "acme", api=PATIENT)
        assert program.sync().exit_code == 3
