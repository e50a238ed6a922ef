"""`runs`: the ledger."""

from __future__ import annotations

import click

from etl.cli.app import Context

_COLUMNS = (
    "id",
    "workspace_name",
    "trigger",
    "status",
    "started_at",
    "duration_seconds",
    "received",
    "inserted",
    "updated",
    "unchanged",
    "stale",
    "duplicate",
    "rejected",
    "deleted",
    "restored",
    "held_deletes",
    "error_code",
)
# What a narrow terminal does without, first to last: errors stand below the table.
_OPTIONAL = (
    "error_code",
    "trigger",
    "duplicate",
    "stale",
    "unchanged",
    "restored",
    "held_deletes",
    "rejected",
    "deleted",
    "updated",
    "inserted",
)


@click.command("runs")
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print every column as JSON.")
@click.pass_obj
def command(context: Context, name: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001
    """Show the run ledger, newest first, of all workspaces or of NAME.

    \b
    Example:
      ontora-etl runs acme --limit 5
    """
    from etl import ledger  # noqa: PLC0415
    from etl.cli.render import print_json, print_table  # noqa: PLC0415
    from etl.cli.warehouse import reading  # noqa: PLC0415

    with reading(context, name) as (_, connection, workspace_id):
        rows = [dict(row._mapping) for row in ledger.runs(connection, workspace_id, limit)]
    if as_json:
        print_json(rows)
        return
    print_table("Runs", _COLUMNS, rows, "no runs yet", optional=_OPTIONAL)
    for row in rows:
        if row["error"]:
            click.echo(f"run {row['id']}: {row['error']}")
