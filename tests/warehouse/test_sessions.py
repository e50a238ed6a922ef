"""However a server, a database or a role is set up, a sync does the same; and sessions may end at rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType

import pytest
from sqlalchemy import Connection, select

from etl.config import Warehouse as WarehouseSettings
from etl.errors import WarehouseError
from etl.secret import Secret
from etl.standin import StandIn
from etl.tables import interviews, interviews_history, rejected_rows, workspaces
from etl.warehouse import open_warehouse, postgres, sqlite
from etl.warehouse.schema import ensure_schema, migrate, require_head
from tests.acceptance.program import Program, id_of, interviews_of, populate, sync_here
from tests.load.house import House, body, made, workspace
from tests.postgres import PostgresServer, url_of

_SETTINGS = {
    "an encoding that cannot hold all": "client_encoding = 'LATIN1'",
    "no encoding at all": "client_encoding = 'SQL_ASCII'",
    "dates for people": "DateStyle = 'German, DMY'",
    "intervals for people": "IntervalStyle = 'postgres_verbose'",
    "bytes in the old form": "bytea_output = 'escape'",
    "strings in the old form": "standard_conforming_strings = off",
    "few digits": "extra_float_digits = -15",
    "another zone": "TimeZone = 'Asia/Kathmandu'",
    "serializable": "default_transaction_isolation = 'serializable'",
}


def _set(server: PostgresServer, url: str, setting: str) -> None:
    """Every session of this database begins with this setting."""
    with server.connect(url) as admin:
        admin.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")


def _two_loads(house: House) -> None:
    plain = made(6)
    house.load(workspace(), body([*plain, 5]))
    changed = plain[0] | {"name": "ü € 😀 \\ '", "weekly_availability": {"ü\\": ["€", 1.5]}, "new €": 1}
    house.load(workspace(), body([changed, *plain[2:], 5]))


@pytest.mark.parametrize("setting", _SETTINGS.values(), ids=_SETTINGS)
def test_what_a_database_is_set_to_changes_nothing(
    postgres_server: PostgresServer, sqlite_url: str, postgres_url: str, setting: str
) -> None:
    _set(postgres_server, postgres_url, setting)
    with closing(House(sqlite_url)) as one, closing(House(postgres_url)) as other:
        for house in (one, other):
            _two_loads(house)
        for table in (interviews, interviews_history, rejected_rows, workspaces):
            assert one.rows(table) == other.rows(table)


@pytest.mark.parametrize(
    ("zone", "updated_at"),
    [("Asia/Tokyo", "9999-12-31T23:59:59.999999Z"), ("America/New_York", "0001-01-01T00:00:00Z")],
)
def test_the_last_and_the_first_instant_can_be_read_in_every_zone(
    postgres_server: PostgresServer,
    api: StandIn,
    program: Program,
    postgres_url: str,
    zone: str,
    updated_at: str,
) -> None:
    """There they are of years that Python lacks; the watermark stays for ever."""
    _set(postgres_server, postgres_url, f"TimeZone = '{zone}'")
    program.warehouse_url = postgres_url
    populate(api, "acme", "globex")
    api.set_interviews(id_of("acme"), [one | {"updated_at": updated_at} for one in interviews_of("acme")])
    program.configure(api.base_url, "acme", "globex")
    assert program.sync().exit_code == 0
    for words in (["status"], ["status", "--json"], ["runs"], ["runs", "--json"], ["check"]):
        assert program.run(*words).exit_code == 0
    assert program.run("runs", "acme", "--json").json[0]["high_watermark"][:4] == updated_at[:4]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_every_transaction_is_read_committed(
    postgres_server: PostgresServer, api: StandIn, program: Program, postgres_url: str, level: str
) -> None:
    """Under a stricter level loads and migrations that are under way at once would fail each other."""
    _set(postgres_server, postgres_url, f"default_transaction_isolation = '{level}'")
    names = [f"ws-{number}" for number in range(6)]
    populate(api, *names)
    program.warehouse_url = postgres_url
    program.configure(api.base_url, *names)
    migrating = [program.start("migrate") for _ in range(3)]
    assert [running.wait().exit_code for running in migrating] == [0, 0, 0]
    with closing(open_warehouse(WarehouseSettings(url=Secret(postgres_url)))) as warehouse:
        for begun in (warehouse.reading(), warehouse.writing(), warehouse.of_a_run(10)):
            with begun as connection:
                found = connection.exec_driver_sql("SELECT current_setting('transaction_isolation')")
                assert found.scalar_one() == "read committed"
    for change in range(3):
        for name in names:
            rows = [one | {"contact_count": change} for one in interviews_of(name)]
            api.set_interviews(id_of(name), rows)
        assert program.sync().exit_code == 0


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_character_is_refused(
    postgres_server: PostgresServer, api: StandIn, program: Program, encoding: str
) -> None:
    url = postgres_server.create_database(f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with closing(open_warehouse(WarehouseSettings(url=Secret(url)))) as warehouse:
            with pytest.raises(WarehouseError, match=f"is in {encoding}, which .* ENCODING 'UTF8'"):
                migrate(warehouse)
            with pytest.raises(WarehouseError, match=encoding):
                ensure_schema(warehouse, auto_migrate=False)
        program.warehouse_url = url
        populate(api, "acme")
        program.configure(api.base_url, "acme")
        check = program.run("check")
        assert check.exit_code == 3
        assert f"FAIL  warehouse: postgresql://{url.rpartition('@')[2]} is in {encoding}" in check.stdout
        for command in ("sync", "status"):
            refused = program.run(command)
            assert (refused.exit_code, f"is in {encoding}" in refused.stderr) == (3, True)
    finally:
        postgres_server.drop_database(url)


@pytest.mark.parametrize(
    ("url", "of"),
    [
        ("sqlite_url", (sqlite, (99, 0))),
        pytest.param("postgres_url", (postgres, 99_00_00), marks=pytest.mark.postgres),
    ],
)
def test_a_database_that_is_too_old_is_refused(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, url: str, of: tuple[ModuleType, object]
) -> None:
    module, oldest = of
    monkeypatch.setattr(module, "_OLDEST", oldest)
    settings = WarehouseSettings(url=Secret(request.getfixturevalue(url)))
    with closing(open_warehouse(settings)) as warehouse:
        for refused in (migrate, lambda warehouse: ensure_schema(warehouse, auto_migrate=False)):
            with pytest.raises(WarehouseError, match="or newer"):
                refused(warehouse)


@pytest.fixture
def house(postgres_at_head: str) -> Iterator[House]:
    """A new Postgres warehouse at head."""
    with closing(House(postgres_at_head)) as house:
        yield house


@pytest.mark.parametrize(
    "limit", ["statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"]
)
def test_time_limits_for_people_do_not_end_a_load(
    postgres_server: PostgresServer, house: House, limit: str
) -> None:
    with house.warehouse.reading() as connection:
        if connection.exec_driver_sql(f"SELECT current_setting('{limit}', true)").scalar() is None:
            pytest.skip(f"this server knows no {limit}")
    _set(postgres_server, house.url, f"{limit} = '100ms'")
    house.warehouse.close()  # the sessions from before know nothing of it

    def take_time(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        time.sleep(0.3)

    house.load(workspace(), body(made(3)), before_commit=take_time)
    with house.warehouse.locked(workspace().id) as is_ours:
        time.sleep(0.3)
        with house.warehouse.locked(workspace().id) as is_theirs:
            assert (is_ours, is_theirs) == (True, False)


def test_a_host_that_is_gone_is_found_out_by_the_server(house: House) -> None:
    """Otherwise its workspace stays locked for as long as the server's system keeps dead connections."""
    query = "SELECT current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_count')"
    with house.warehouse.writing() as connection:
        assert connection.exec_driver_sql(query).one() == ("20", "3")
    asked: list[str] = []
    with house.warehouse.locked(workspace().id), house.warehouse.reading() as connection:
        query = "SELECT query FROM pg_stat_activity WHERE state = 'idle in transaction'"
        asked = list(connection.exec_driver_sql(query).scalars())
    assert any("tcp_keepalives_idle" in query and "advisory" in query for query in asked)


def test_whoever_only_looks_waits_for_others_locks_but_not_for_good(
    postgres_server: PostgresServer, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_ORDINARY_WAIT_SECONDS", 0.2)
    with postgres_server.connect(house.url, autocommit=False) as beside:
        beside.execute("LOCK TABLE workspaces IN ACCESS EXCLUSIVE MODE")
        with (
            pytest.raises(WarehouseError, match="another session holds a lock"),
            house.warehouse.reading() as connection,
        ):
            connection.execute(select(workspaces))


def test_a_migration_waits_for_others_locks_but_not_for_good(
    postgres_server: PostgresServer, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits, all who come after wait behind it."""
    migrate(house.warehouse, "0006")  # the way from there alters a table
    monkeypatch.setattr(postgres, "_ORDINARY_WAIT_SECONDS", 1)
    with postgres_server.connect(house.url, autocommit=False) as beside:
        beside.execute("SELECT 1 FROM workspaces")
        with pytest.raises(WarehouseError, match="another session holds a lock"):
            migrate(house.warehouse)
        beside.rollback()
        _set(postgres_server, house.url, "lock_timeout = '100ms'")
        house.warehouse.close()
        beside.execute("SELECT pg_advisory_xact_lock(hashtextextended('ontora-etl migrate', 0))")
        migrating = threading.Thread(target=migrate, args=(house.warehouse,))
        migrating.start()
        migrating.join(2)  # another migration may take its time
        assert migrating.is_alive()
    migrating.join(30)
    require_head(house.warehouse)


def test_what_a_large_load_has_staged_does_not_stay(sqlite_url: str) -> None:
    with closing(House(sqlite_url)) as house:
        for count, stays in ((20, True), (12_000, False)):
            house.load(workspace(), body(made(count)), full=True)
            with house.warehouse.reading() as connection:
                pages = connection.exec_driver_sql("PRAGMA temp.page_count").scalar_one()
            assert (pages > 0) == stays


def test_a_session_in_which_nobody_may_write_is_left(postgres_server: PostgresServer, house: House) -> None:
    """As after a failover in which the address led to a standby for a while."""
    _set(postgres_server, house.url, "default_transaction_read_only = on")
    house.warehouse.close()
    with pytest.raises(WarehouseError, match="read-only transaction"):
        house.start(workspace())
    with postgres_server.connect() as admin:
        admin.execute(f"ALTER DATABASE {house.url.rpartition('/')[2]} RESET default_transaction_read_only")
    assert house.start(workspace()) == 1


def test_a_lock_holds_back_no_vacuum(postgres_server: PostgresServer, house: House) -> None:
    _set(postgres_server, house.url, "default_transaction_isolation = 'repeatable read'")
    house.warehouse.close()
    with house.warehouse.locked(workspace().id), postgres_server.connect(house.url) as beside:
        sessions = beside.execute(
            "SELECT state, backend_xmin FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert sessions == [("idle in transaction", None)]


def test_sessions_that_ended_at_rest_are_replaced(
    postgres_server: PostgresServer, api: StandIn, program: Program, postgres_url: str
) -> None:
    """As after a restart, a failover or `idle_session_timeout`: the next pass is none the worse."""
    populate(api, "acme", "beta", "gamma")
    program.warehouse_url = postgres_url
    program.configure(api.base_url, "acme", "beta", "gamma")
    passes = sync_here(program)
    next(passes)
    with postgres_server.connect(postgres_url) as admin:
        ended = admin.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert ended is not None
    assert ended[0] > 0
    assert [(report.status, report.error) for report in next(passes)] == [("succeeded", None)] * 3
    passes.close()


def test_a_role_of_few_sessions(
    postgres_server: PostgresServer, api: StandIn, program: Program, postgres_url: str
) -> None:
    names = [f"ws-{number}" for number in range(12)]
    database = postgres_url.rpartition("/")[2]
    role = f"few_{database}"
    with postgres_server.connect() as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 5")
        admin.execute(f"ALTER DATABASE {database} OWNER TO {role}")
        program.warehouse_url = url_of(role, postgres_url)
        populate(api, *names)
        program.configure(api.base_url, *names, api={"concurrency": 2})  # as the README says: 2 × 2 + 1
        assert program.sync().exit_code == 0
        admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
        refused = program.sync()
        assert refused.exit_code == 1
        assert "too many connections" in refused.stderr
        assert "lower api.concurrency" in refused.stderr
        admin.execute(f"ALTER DATABASE {database} OWNER TO CURRENT_USER")
        admin.execute(f"DROP OWNED BY {role}")
        postgres_server.drop_database(postgres_url)
        admin.execute(f"DROP ROLE {role}")
