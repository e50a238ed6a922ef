"""`migrate`: the warehouse's schema to head, or the DDL for someone else to run."""

from __future__ import annotations

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
    warehouse = open_warehouse(settings.warehouse)
    try:
        if as_sql:
            _print_sql(warehouse, to)
            return
        before, after = migrate(warehouse, to, keep_data=not drop_data)
    finally:
        warehouse.close()
    if before == after:
        click.echo(f"the schema of {warehouse.place} is at {after or 'base'} already")
    else:
        click.echo(f"the schema of {warehouse.place} went from {before or 'nothing'} to {after or 'base'}")


def _print_sql(warehouse: Warehouse, to: str) -> None:
    from etl.errors import SchemaNotAtHead, WarehouseError  # noqa: PLC0415
    from etl.warehouse.schema import Present, look, migration_sql  # noqa: PLC0415

    try:
        present = look(warehouse)
    except SchemaNotAtHead:
        raise
    except WarehouseError as error:
        if to == "base":  # the way down depends on where it begins
            raise
        present = Present()
        click.echo(f"warning: {error}; so this is the DDL from the very beginning", err=True)
    if ddl := migration_sql(warehouse, to, present):
        click.echo(ddl, nl=False)
    else:
        where = present.revision or "base"
        click.echo(
            f"the schema of {warehouse.place} is at {where} already: there is nothing to run", err=True
        )
