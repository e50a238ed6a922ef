"""How Alembic reaches the warehouse: from the program, and from `alembic` on the command line.

The program hands its connection over. On the command line the configuration file or
`ONTORA_ETL_WAREHOUSE_URL` says which warehouse is meant, as for every other command.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from etl.config import Warehouse, find_config, load_settings
from etl.config.addresses import warehouse_url
from etl.errors import EtlError
from etl.tables import metadata
from etl.warehouse import open_warehouse
from etl.warehouse.schema import migrating

config = context.config


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=False,  # SQLite and Postgres spell the same default differently
        render_as_batch=connection.dialect.name == "sqlite",
        include_name=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


def _is_ours(name: str | None, kind: str, parents: Any) -> bool:  # noqa: ARG001  # Alembic's signature
    # A warehouse may hold other people's tables: they are none of our business.
    return kind != "table" or name in metadata.tables


def _print_sql() -> None:
    context.configure(
        dialect_name=config.attributes.get("dialect_name") or "postgresql",
        target_metadata=metadata,
        literal_binds=True,
        transactional_ddl=True,  # on SQLite, too
    )
    with context.begin_transaction():
        for statement in config.attributes.get("first", ()):
            context.execute(statement)
        context.run_migrations()


def _run_from_command_line() -> None:
    try:
        with (
            closing(open_warehouse(_warehouse_settings())) as warehouse,
            migrating(warehouse) as connection,
        ):
            _run(connection)
    except EtlError as error:  # which Alembic would show as a traceback
        raise CommandError(str(error)) from error


def _warehouse_settings() -> Warehouse:
    if url := os.environ.get("ONTORA_ETL_WAREHOUSE_URL"):  # needs no configuration file
        schema = "" if url.startswith("sqlite:") else os.environ.get("ONTORA_ETL_WAREHOUSE_SCHEMA", "")
        return Warehouse(url=warehouse_url(url), schema=schema)
    return load_settings(find_config(None, os.environ), os.environ, require_keys=False).warehouse


if context.is_offline_mode():
    _print_sql()
elif "connection" in config.attributes:
    _run(config.attributes["connection"])
else:
    _run_from_command_line()
