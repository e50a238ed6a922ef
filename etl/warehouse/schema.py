"""Is the schema what this program needs? And how it becomes so.

Alembic is imported only where a migration runs: a sync need not pay for it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateSchema

import etl
from etl.errors import SchemaNotAtHead, UsageError, WarehouseError
from etl.tables import metadata
from etl.warehouse.connection import Warehouse

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION_TABLE = "alembic_version"
REVISION = f"SELECT version_num FROM {_VERSION_TABLE}"
_REFILLED = {"interview_digests", "notices", "webhook_deliveries"}


class Schema(Enum):
    """Where a warehouse's schema stands against this program."""

    ABSENT = "empty: no migration has run"
    BEHIND = "behind this program"
    HEAD = "at head"
    AHEAD = "ahead of this program: a newer one wrote it"


def migrations_folder() -> Path:
    """The migrations: inside the package where installed, beside it in a checkout."""
    package = Path(etl.__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


@cache
def revisions() -> tuple[str, ...]:
    """Every revision this program knows, oldest first: the numbers its migration files begin with."""
    files = (migrations_folder() / "versions").glob("[0-9]*.py")
    return tuple(sorted(file.name.partition("_")[0] for file in files))


def head() -> str:
    """The revision that this program needs."""
    return revisions()[-1]


def revision_of(connection: Connection) -> str | None:
    """The warehouse's revision; None where no migration has ever run.

    Raises SchemaNotAtHead where the table of revisions holds several.
    """
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found: Sequence[str] = connection.execute(text(REVISION)).scalars().all()
    if len(found) > 1:
        raise SchemaNotAtHead(
            f"{_VERSION_TABLE} holds several revisions ({', '.join(sorted(found))})",
            remedy="leave the one that the tables are at",
        )
    return found[0] if found else None


def standing(revision: str | None) -> Schema:
    """What a revision means to this program."""
    if revision is None:
        return Schema.ABSENT
    if revision not in revisions():
        return Schema.AHEAD
    return Schema.HEAD if revision == head() else Schema.BEHIND


def ensure_schema(warehouse: Warehouse, *, auto_migrate: bool) -> None:
    """Bring an empty warehouse to head, and one that is behind if allowed; refuse any other.

    Raises SchemaNotAtHead with the command to run, WarehouseError.
    """
    with warehouse.reading() as connection:
        require_fit(warehouse, connection)
        revision = revision_of(connection)
        schema = standing(revision)
        wanting = schema is Schema.ABSENT or (schema is Schema.BEHIND and auto_migrate)
        if not wanting:
            _require_head(warehouse, connection, revision)
            _require_rights(warehouse, connection)
    if wanting:
        migrate(warehouse)


def require_fit(warehouse: Warehouse, connection: Connection) -> None:
    """Raise WarehouseError where the database is none that a warehouse can be in."""
    if obstacle := warehouse.dialect.obstacle(connection):
        why, remedy = obstacle
        raise WarehouseError(f"{warehouse.place} {why}", remedy=remedy)


def require_rights_to_begin(warehouse: Warehouse, connection: Connection) -> None:
    """Raise WarehouseError where the role lacks a right that the first migration needs."""
    if not warehouse.dialect.may_create(connection):
        _refuse_read_only(warehouse, connection)
        schema = warehouse.schema
        if schema:
            remedy = (
                f"grant it CREATE and USAGE on {schema}; where that does not exist, CREATE on the database"
            )
        else:
            remedy = "grant it CREATE and USAGE on a schema of its search_path, or name one: warehouse.schema"
        raise WarehouseError(
            f"this user may not create tables in {f'schema {schema} of ' if schema else ''}{warehouse.place}",
            remedy=remedy,
        )


def require_rights(warehouse: Warehouse) -> None:
    """Raise WarehouseError where the role lacks a right that a sync needs. The warehouse is at head."""
    with warehouse.reading() as connection:
        _require_rights(warehouse, connection)


def _require_rights(warehouse: Warehouse, connection: Connection) -> None:
    if not warehouse.dialect.may_write(connection):
        _refuse_read_only(warehouse, connection)
        raise WarehouseError(
            f"this user may not write to {warehouse.place} as a sync must",
            remedy=warehouse.dialect.rights,
        )


def _refuse_read_only(warehouse: Warehouse, connection: Connection) -> None:
    if warehouse.dialect.is_read_only(connection):
        raise WarehouseError(
            f"{warehouse.place} lets nobody write in this session",
            remedy="connect to the primary server, or set default_transaction_read_only = off for the role",
        )


def require_head(warehouse: Warehouse) -> None:
    """Raise SchemaNotAtHead unless the warehouse is at head and has every table and column.

    Where there is none, none is made in order to look.
    """
    if not warehouse.exists():
        raise _no_warehouse(warehouse)
    with warehouse.reading() as connection:
        require_fit(warehouse, connection)
        _require_head(warehouse, connection, revision_of(connection))


def _require_head(warehouse: Warehouse, connection: Connection, revision: str | None) -> None:
    if revision is None:
        raise _no_warehouse(warehouse)
    present = warehouse.dialect.columns(connection)
    _require_ours(warehouse, present, revision)
    require_revision(revision, warehouse.place)
    if missing := _missing(present):
        raise SchemaNotAtHead(
            f"the schema of {warehouse.place} is damaged: {', '.join(missing)} missing",
            remedy="restore it from a backup",
        )


def require_revision(revision: str | None, place: str = "the warehouse") -> None:
    """Raise SchemaNotAtHead unless the revision is the one that this program needs."""
    schema = standing(revision)
    if schema is not Schema.HEAD:
        raise SchemaNotAtHead(
            f"the schema of {place} is {schema.value} (it is at {revision or 'no revision'}, "
            f"this program at {head()})",
            remedy="upgrade ontora-etl" if schema is Schema.AHEAD else "run: ontora-etl migrate",
        )


def _require_ours(warehouse: Warehouse, present: dict[str, set[str]], revision: str | None) -> None:
    """Other programs call the table of their revisions the same."""
    if revision is not None and not present.keys() & metadata.tables.keys():
        raise SchemaNotAtHead(
            f"the {_VERSION_TABLE} of {warehouse.place} (at {revision}) is another program's: "
            "of ours there is no table",
            remedy="name another database in warehouse.url, or for Postgres a warehouse.schema",
        )


def _no_warehouse(warehouse: Warehouse) -> SchemaNotAtHead:
    return SchemaNotAtHead(
        f"{warehouse.place} holds no warehouse yet",
        remedy="the first `ontora-etl sync` makes it, or run: ontora-etl migrate",
    )


def _missing(present: dict[str, set[str]]) -> list[str]:
    """Tables and columns that someone removed by hand. Columns added by hand harm nothing."""
    missing = [f"table {name}" for name in metadata.tables if name not in present]
    for name, table in metadata.tables.items():
        if name in present:
            missing += [f"column {name}.{c.name}" for c in table.columns if c.name not in present[name]]
    return missing


@contextmanager
def migrating(warehouse: Warehouse) -> Iterator[Connection]:
    """The transaction of a migration: no other goes on beside it, and the schema it works in exists.

    Looked for first: even where it exists, CREATE SCHEMA asks for rights that its owner need not have.
    """
    with warehouse.writing() as connection:
        require_fit(warehouse, connection)
        warehouse.dialect.lock_schema(connection)
        if revision_of(connection) is None:
            require_rights_to_begin(warehouse, connection)
        if warehouse.schema and not inspect(connection).has_schema(warehouse.schema):
            connection.execute(CreateSchema(warehouse.schema))
        yield connection


def migrate(
    warehouse: Warehouse, to: str = "head", *, keep_data: bool = False
) -> tuple[str | None, str | None]:
    """Bring the schema to a revision; the revisions before and after. One process at a time.

    Raises SchemaNotAtHead where the warehouse is ahead, UsageError for an unknown revision, and with
    `keep_data` where a step down would drop rows that are worth keeping.
    """
    from alembic import command  # noqa: PLC0415

    _require_known(to)
    with migrating(warehouse) as connection:
        before = revision_of(connection)
        _require_ours(warehouse, warehouse.dialect.columns(connection), before)
        _refuse_ahead(warehouse, before)
        config = _alembic_config()
        config.attributes["connection"] = connection
        target = head() if to == "head" else _padded(to)
        if _is_down(target, before):
            filled = _filled_tables(connection) if keep_data else set()
            command.downgrade(config, target)
            if lost := sorted(filled - set(inspect(connection).get_table_names())):
                raise UsageError(  # and all is as before: the transaction ends with it
                    f"going back to {target} would drop {', '.join(lost)} with all that they hold",
                    remedy="back them up; --drop-data drops them",
                )
        else:
            command.upgrade(config, target)
        after = revision_of(connection)
    return before, after


def _refuse_ahead(warehouse: Warehouse, revision: str | None) -> None:
    if standing(revision) is Schema.AHEAD:
        raise SchemaNotAtHead(
            f"the schema of {warehouse.place} is {Schema.AHEAD.value} (it is at {revision})",
            remedy="upgrade ontora-etl",
        )


def _filled_tables(connection: Connection) -> set[str]:
    """Those that hold rows; not those that the next syncs fill again, or that only spare a repetition."""
    names = set(inspect(connection).get_table_names()) & metadata.tables.keys() - _REFILLED
    return {name for name in names if connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first()}


class Present(Struct, frozen=True):
    """What there is already, for DDL that someone else will run."""

    revision: str | None = None
    has_schema: bool = False


def look(warehouse: Warehouse) -> Present:
    """What the warehouse holds; where there is none, nothing is made in order to look.

    Raises SchemaNotAtHead where it is ahead, WarehouseError where it cannot be reached.
    """
    if not warehouse.exists():
        return Present()
    with warehouse.reading() as connection:
        revision = revision_of(connection)
        has_schema = bool(warehouse.schema) and inspect(connection).has_schema(warehouse.schema)
        _require_ours(warehouse, warehouse.dialect.columns(connection), revision)
    _refuse_ahead(warehouse, revision)
    return Present(revision, has_schema)


def migration_sql(warehouse: Warehouse, to: str, present: Present) -> str:
    """The DDL that `migrate` would run on what is present; empty where nothing is left to do."""
    from alembic import command  # noqa: PLC0415

    _require_known(to)
    since = present.revision
    target = head() if to == "head" else _padded(to)
    if target == (since or "base"):
        return ""
    out = io.StringIO()
    config = _alembic_config(out)
    config.attributes["dialect_name"] = warehouse.dialect.name
    config.attributes["first"] = _statements_before(warehouse.schema, present)
    if _is_down(target, since):
        command.downgrade(config, f"{since}:{target}", sql=True)
    else:
        command.upgrade(config, f"{since or 'base'}:{target}", sql=True)
    # A step down to base leaves that table behind, empty.
    return out.getvalue().replace(
        f"CREATE TABLE {_VERSION_TABLE}", f"CREATE TABLE IF NOT EXISTS {_VERSION_TABLE}"
    )


def _statements_before(schema: str, present: Present) -> list[str]:
    if not schema:
        return []
    name = '"' + schema.replace('"', '""') + '"'
    create = [] if present.has_schema else [f"CREATE SCHEMA IF NOT EXISTS {name}"]
    return [*create, f"SET search_path TO {name}"]


def _is_down(target: str, since: str | None) -> bool:
    return since is not None and (target == "base" or target < since)


def _alembic_config(out: io.StringIO | None = None) -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config(output_buffer=out) if out else Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _require_known(to: str) -> None:
    if to not in ("head", "base") and _padded(to) not in revisions():
        raise UsageError(f"no revision {to}", remedy=f"known are base, {', '.join(revisions())} and head")


def _padded(revision: str) -> str:
    return revision.zfill(4) if revision.isdigit() else revision
