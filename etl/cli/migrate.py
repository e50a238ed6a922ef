"""`migrate`: the warehouse's schema to head, or the DDL for someone else to run."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from etl.cli.app import Context

if TYPE_CHECKING:
    from etl.warehouse import Warehouse


@click.command("migrate")
@click.option(
    "--to", default="head", metavar="REV", help="The revision to go to, up or down.  [default: head]"
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the DDL and touch nothing.")
@click.option(
    "--drop-data", is_flag=True, help="Going back, drop tables that an older schema lacks, filled or not."
)
@click.pass_obj
def command(context: Context, to: str, as_sql: bool, drop_data: bool) -> None:  # noqa: FBT001
    """Bring the warehouse's schema to head (what this program needs), or to REV.

    \b
    Example:
      ontora-etl migrate
      ontora-etl migrate --sql > ddl.sql
    """
    from etl.warehouse import open_warehouse  # noqa: PLC0415
    from etl.warehouse.schema import migrate  # noqa: PLC0415

    context.start_logging()
    settings = context.settings(require_keys=False)
    if as_sql:
        with closing(open_warehouse(settings.warehouse)) as warehouse:
            ddl, notes = _ddl(warehouse, to)
        for note in notes:
            context.say("warning", note)
        click.echo(ddl, nl=False)  # with the warehouse closed: the other end of the pipe may be its own file
        return
    with closing(open_warehouse(settings.warehouse)) as warehouse:
        before, after = migrate(warehouse, to, keep_data=not drop_data)
    if before == after:
        click.echo(f"the schema of {warehouse.place} is at {after or 'base'} already")
    else:
        click.echo(f"the schema of {warehouse.place} went from {before or 'nothing'} to {after or 'base'}")


def _ddl(warehouse: Warehouse, to: str) -> tuple[str, list[str]]:
    """The DDL, and what is to be said about it."""
    from etl.errors import SchemaNotAtHead, WarehouseError  # noqa: PLC0415
    from etl.warehouse.schema import Present, look, migration_sql  # noqa: PLC0415

    notes = []
    try:
        present = look(warehouse)
    except SchemaNotAtHead:
        raise
    except WarehouseError as error:
        if to == "base":  # the way down depends on where it begins
            raise
        present = Present()
        notes.append(f"warning: {error}; so this is the DDL from the very beginning")
    ddl = migration_sql(warehouse, to, present)
    if not ddl:
        where = present.revision or "base"
        notes.append(f"the schema of {warehouse.place} is at {where} already: there is nothing to run")
    return ddl, notes
