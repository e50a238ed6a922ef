"""Migrations: up, down and up with data inside, the same on both dialects, and equal to `etl/tables.py`."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import timeit
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from etl.config import Warehouse as WarehouseSettings
from etl.errors import SchemaNotAtHead, UsageError, WarehouseError
from etl.secret import Secret
from etl.tables import interviews, interviews_history, metadata, rejected_rows, sync_runs, workspaces
from etl.warehouse import Warehouse, open_warehouse
from etl.warehouse.schema import (
    _alembic_config,
    ensure_schema,
    look,
    migrate,
    migration_sql,
    require_head,
    revision_of,
    revisions,
)
from tests.load.house import B, House, body, made, workspace
from tests.postgres import PostgresServer


@pytest.fixture
def house(warehouse_url: str) -> Iterator[House]:
    """A new warehouse at head, once of each kind."""
    house = House(warehouse_url)
    yield house
    house.close()


def _live_a_little(house: House) -> None:
    """Rows in every table: two workspaces, versions, a delete, a reject."""
    plain = made(12)
    house.load(workspace(), body(plain))
    house.load(workspace(), body([plain[0] | {"folder": "new"}, *plain[1:10], plain[10] | {"name": None}]))
    house.load(workspace(B), body(made(3, B)))


def _revision(warehouse: Warehouse) -> str | None:
    with warehouse.reading() as connection:
        return revision_of(connection)


def test_down_and_up_again_keeps_what_older_schemas_can_hold(house: House) -> None:
    _live_a_little(house)
    oldest = (interviews, workspaces, sync_runs, rejected_rows)
    before = {table.name: house.rows(table) for table in oldest}
    past = house.rows(interviews_history)
    assert all(before.values())
    assert past
    for place in range(len(revisions()) - 2, -1, -1):
        here = revisions()[place]
        assert migrate(house.warehouse, here) == (revisions()[place + 1], here)
        with pytest.raises(SchemaNotAtHead, match="behind"):
            require_head(house.warehouse)
    migrate(house.warehouse)
    require_head(house.warehouse)
    assert {table.name: house.rows(table) for table in oldest} == before
    assert house.rows(interviews_history) == []  # the first schema knows no history
    again = house.load(workspace(), body(made(12)), full=True)
    assert (again.counts.received, again.counts.restored) == (12, 1)


def test_history_survives_a_step_down_that_does_not_concern_it(house: House) -> None:
    _live_a_little(house)
    past = house.rows(interviews_history)
    migrate(house.warehouse, "2")
    migrate(house.warehouse)
    assert house.rows(interviews_history) == past
    unchanged = house.counts(workspace(B), made(3, B))
    assert unchanged == {"received": 3, "unchanged": 3}


def test_a_workspace_goes_on_after_its_digests_were_dropped(house: House) -> None:
    _live_a_little(house)
    migrate(house.warehouse, "2")
    migrate(house.warehouse)
    three = made(3, B)
    assert house.counts(workspace(B), three[::-1]) == {"received": 3, "unchanged": 3}
    changed = [three[0] | {"folder": "x"}, *three[1:]]
    assert house.counts(workspace(B), changed) == {"received": 3, "updated": 1, "unchanged": 2}


def test_a_hold_outlives_the_migration_that_measures_it_by_a_number(house: House) -> None:
    house.load(workspace(), body(made(40)))
    assert house.counts(workspace(), made(5))["held_deletes"] == 35
    others = made(90)[40:]
    assert house.counts(workspace(), made(5) + others)["held_deletes"] == 35
    migrate(house.warehouse, "6")
    migrate(house.warehouse)
    assert house.rows(workspaces)[0]["held_of"] == 40
    assert house.counts(workspace(), made(5) + others, full=True)["held_deletes"] == 35


def test_down_to_nothing_and_up_again(house: House) -> None:
    _live_a_little(house)
    migrate(house.warehouse, "base")
    with house.warehouse.reading() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
        assert inspect(connection).get_view_names() == []
    migrate(house.warehouse)
    assert house.load(workspace(), body(made(3))).counts.inserted == 3


def test_migrating_at_head_changes_nothing(house: House) -> None:
    assert migrate(house.warehouse) == (revisions()[-1], revisions()[-1])


def test_the_revisions_are_alembics_own() -> None:
    script = ScriptDirectory.from_config(_alembic_config())
    assert list(revisions()) == [revision.revision for revision in script.walk_revisions()][::-1]
    assert script.get_heads() == [revisions()[-1]]


def test_head_is_what_the_tables_say(house: House) -> None:
    def ours(name: str | None, kind: str, _: Any) -> bool:
        return kind != "table" or name in metadata.tables

    with house.warehouse.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": ours})
        assert compare_metadata(context, metadata) == []
        for table in metadata.sorted_tables:
            found = _shape(connection, table.name)
            assert found["columns"] == [(c.name, bool(c.nullable)) for c in table.columns]


def test_names_are_the_same_on_both_dialects(sqlite_url: str, postgres_url: str) -> None:
    shapes = []
    for url in (sqlite_url, postgres_url):
        house = House(url)
        with house.warehouse.reading() as connection:
            inspector = inspect(connection)
            names = sorted([*inspector.get_table_names(), *inspector.get_view_names()])
            shapes.append({name: _shape(connection, name) for name in names})
        house.close()
    # A key that numbers itself is part of its column in SQLite, and SQLAlchemy gives it no name there.
    assert shapes[0]["sync_runs"].pop("key_name") is None
    assert shapes[1]["sync_runs"].pop("key_name") == "pk_sync_runs"
    assert shapes[0] == shapes[1]
    assert {"interviews", "interviews_current", "alembic_version"} <= shapes[0].keys()


@pytest.mark.postgres
def test_postgres_carries_every_comment(postgres_url: str) -> None:
    house = House(postgres_url)
    with house.warehouse.reading() as connection:
        inspector = inspect(connection)
        for table in metadata.sorted_tables:
            assert inspector.get_table_comment(table.name)["text"] == table.comment
            found = {column["name"]: column["comment"] for column in inspector.get_columns(table.name)}
            assert found == {column.name: column.comment for column in table.columns}
            assert None not in found.values()
    house.close()


@pytest.mark.postgres
def test_every_integer_column_has_64_bits(postgres_url: str) -> None:
    house = House(postgres_url)
    query = """
        SELECT coalesce(string_agg(table_name || '.' || column_name, ', '), '')
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type IN ('integer', 'smallint', 'numeric')
    """
    assert house.ask(query) == ""
    house.close()


def test_the_printed_ddl_takes_every_step_down_and_up(house: House) -> None:
    _live_a_little(house)
    before = {table.name: house.rows(table) for table in (interviews, interviews_history)}
    for here in (*reversed(revisions()[1:-1]), *revisions()[2:]):
        _run_printed(house, here)
        assert _revision(house.warehouse) == here
    require_head(house.warehouse)
    assert {table.name: house.rows(table) for table in (interviews, interviews_history)} == before
    assert migration_sql(house.warehouse, "head", look(house.warehouse)) == ""


@pytest.mark.parametrize("printed", [True, False])
def test_the_printed_ddl_builds_the_same_schema(house: House, printed: bool) -> None:
    with house.warehouse.reading() as connection:
        names = [*metadata.tables, "alembic_version"]
        before = {name: _shape(connection, name) for name in names}
    if printed:
        _run_printed(house, "base")
        with house.warehouse.reading() as connection:
            assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
            assert inspect(connection).get_view_names() == []
    else:
        migrate(house.warehouse, "base")
    assert migration_sql(house.warehouse, "base", look(house.warehouse)) == ""
    _run_printed(house, "head")
    require_head(house.warehouse)
    with house.warehouse.reading() as connection:
        assert {name: _shape(connection, name) for name in names} == before
    assert house.load(workspace(), body(made(3))).counts.inserted == 3


def _run_printed(house: House, to: str) -> None:
    ddl = migration_sql(house.warehouse, to, look(house.warehouse))
    assert (ddl.splitlines()[0], ddl.split()[-1]) == ("BEGIN;", "COMMIT;")
    house.warehouse.close()
    if house.warehouse.dialect.name == "sqlite":
        with closing(sqlite3.connect(house.warehouse.place)) as database:
            database.executescript(ddl)
    else:
        with psycopg.connect(house.url, autocommit=True) as connection:
            connection.execute(ddl.encode())


def test_nothing_is_printed_for_a_warehouse_that_is_ahead(house: House) -> None:
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaNotAtHead, match="ahead"):
        look(house.warehouse)


# --- a schema of its own ---

_THERE = "SELECT count(*) FROM pg_tables WHERE schemaname = 'Ours' AND tablename = 'interviews'"


def _in_schema(url: str) -> Warehouse:
    return open_warehouse(WarehouseSettings(url=Secret(url), schema="Ours"))


def test_the_printed_ddl_makes_its_schema_and_stays_inside(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with (
        closing(_in_schema(postgres_url)) as warehouse,
        postgres_server.connect(postgres_url) as someone,
    ):
        ddl = migration_sql(warehouse, "2", look(warehouse))
        assert 'CREATE SCHEMA IF NOT EXISTS "Ours"' in ddl
        someone.execute(ddl.encode())
        ddl = migration_sql(warehouse, "head", look(warehouse))
        assert "CREATE SCHEMA" not in ddl
    with closing(_in_schema(postgres_url)) as warehouse, postgres_server.connect(postgres_url) as someone:
        someone.execute(ddl.encode())
        ensure_schema(warehouse, auto_migrate=False)
        assert someone.execute(_THERE).fetchone() == (1,)
        assert someone.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (
            0,
        )


def test_alembic_on_the_command_line_makes_the_schema(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    refused = _alembic("postgresql://127.0.0.1:1/none")
    assert "FAILED: cannot use the warehouse" in refused.stdout
    assert refused.stderr == ""  # no traceback
    done = _alembic(postgres_url)
    assert done.returncode == 0, done.stderr
    with postgres_server.connect(postgres_url) as someone:
        assert someone.execute(_THERE).fetchone() == (1,)
    with closing(_in_schema(postgres_url)) as warehouse:
        require_head(warehouse)


def _alembic(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("alembic"), "upgrade", "head"],
        cwd=Path(__file__).parents[2],
        env={
            "PATH": os.defpath,
            "ONTORA_ETL_WAREHOUSE_URL": url,
            "ONTORA_ETL_WAREHOUSE_SCHEMA": "Ours",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("unknown", ["7777", "0001x", "hea"])
def test_an_unknown_revision_is_refused(house: House, unknown: str) -> None:
    with pytest.raises(UsageError, match="no revision"):
        migrate(house.warehouse, unknown)


@pytest.mark.postgres
def test_a_view_of_others_that_stands_in_the_way_is_named(postgres_url: str) -> None:
    with closing(House(postgres_url)) as house:
        with house.warehouse.writing() as connection:
            connection.exec_driver_sql("CREATE VIEW mine AS SELECT id FROM interviews_current")
        with pytest.raises(WarehouseError, match=r"view mine depends on .*: drop that, migrate"):
            migrate(house.warehouse, "0003")
        require_head(house.warehouse)


@pytest.mark.parametrize(
    "left",
    [
        "CREATE VIEW mine AS SELECT a FROM gone",
        "CREATE TRIGGER mine AFTER INSERT ON workspaces BEGIN INSERT INTO gone VALUES (1); END",
        "CREATE INDEX mine ON workspaces (held_of)",
    ],
)
def test_what_others_left_in_a_file_and_stands_in_the_way_is_named(sqlite_url: str, left: str) -> None:
    with closing(House(sqlite_url)) as house:
        with house.warehouse.writing() as connection:
            connection.exec_driver_sql(left)
        with pytest.raises(WarehouseError, match=r"error in (view|trigger|index) mine.*: drop that, migrate"):
            migrate(house.warehouse, "0006")
        require_head(house.warehouse)


def test_a_migration_that_fails_leaves_no_half(house: House) -> None:
    """DDL is transactional on both: whatever breaks in between, the schema is the one before."""
    migrate(house.warehouse, "2")
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE webhook_deliveries (x INTEGER)")
    with pytest.raises(Exception, match=r"webhook_deliveries"):
        migrate(house.warehouse)
    assert _revision(house.warehouse) == "0002"
    with house.warehouse.writing() as connection:
        assert not inspect(connection).has_table("interview_digests")
        connection.exec_driver_sql("DROP TABLE webhook_deliveries")
    migrate(house.warehouse)
    require_head(house.warehouse)


@pytest.mark.parametrize(
    "count", [2000, pytest.param(20_000, marks=[pytest.mark.stress, pytest.mark.timeout(1800)])]
)
def test_history_of_30_syncs_answers_for_one_id_in_milliseconds(house: House, count: int) -> None:
    asked, plain = workspace(), made(count)
    house.load(asked, body(plain))
    dice = random.Random(30)
    for sync in range(1, 31):
        changed = {0, *dice.sample(range(count), count // 100 - 1)}
        plain = [
            one | {"completed_count": 1000 + sync} if place in changed else one
            for place, one in enumerate(plain)
        ]
        assert house.load(asked, body(plain)).counts.updated == len(changed)
    assert house.ask("SELECT count(*) FROM interviews_history") >= 30 * (count // 100 - 1)
    one = plain[0]["id"]
    with house.warehouse.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
    for relation, versions in (("interviews_history", 30), ("interview_versions", 31)):
        query = f"SELECT * FROM {relation} WHERE id = '{one}' ORDER BY _valid_from"
        with house.warehouse.reading() as connection:
            plan = _plan(connection, query)
            assert (
                "pk_interviews_history" in plan or "sqlite_autoindex_interviews_history_1 (id=?)" in plan
            ), plan
            assert "Seq Scan on interviews_history" not in plan
            assert len(connection.exec_driver_sql(query).all()) == versions
            assert _seconds(connection, query) < 0.01


def _seconds(connection: Connection, query: str) -> float:
    return min(timeit.repeat(lambda: connection.exec_driver_sql(query).all(), number=1))


def _plan(connection: Connection, query: str) -> str:
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {query}"))


def _shape(connection: Connection, name: str) -> dict[str, Any]:
    """What both dialects must agree on: columns, nullability, and the names of keys, checks and indexes."""
    inspector = inspect(connection)
    view = name in inspector.get_view_names()
    return {
        # A view's columns have no constraints to compare.
        "columns": [(c["name"], None if view else c["nullable"]) for c in inspector.get_columns(name)],
        "key": None if view else inspector.get_pk_constraint(name).get("constrained_columns"),
        "key_name": None if view else inspector.get_pk_constraint(name).get("name"),
        "unique": [] if view else sorted(str(u["name"]) for u in inspector.get_unique_constraints(name)),
        "checks": [] if view else sorted(str(c["name"]) for c in inspector.get_check_constraints(name)),
        "indexes": []
        if view
        else sorted(
            str(i["name"]) for i in inspector.get_indexes(name) if not i.get("duplicates_constraint")
        ),
    }
