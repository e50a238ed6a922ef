"""`rejects`: what could not be loaded, and why."""

from __future__ import annotations

import click

from etl.cli.app import Context

_COLUMNS = (
    "workspace_name",
    "interview_id",
    "reason",
    "message",
    "times_seen",
    "first_seen_at",
    "last_seen_at",
    "resolved_at",
)


@click.command("rejects")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, every column but the payload.")
@click.option("--payload", is_flag=True, help="With the raw JSON of each row.")
@click.pass_obj
def command(context: Context, name: str | None, as_json: bool, payload: bool) -> None:  # noqa: FBT001
    """Show the rows that could not be loaded, and why; those still open first.

    \b
    Example:
      ontora-etl rejects acme --payload
    """
    from etl import ledger  # noqa: PLC0415
    from etl.cli.render import print_json, print_table  # noqa: PLC0415
    from etl.cli.warehouse import reading  # noqa: PLC0415

    with reading(context, name) as (_, connection, workspace_id):
        rows = [dict(row._mapping) for row in ledger.rejects(connection, workspace_id)]
    if as_json:
        hidden = () if payload else ("payload",)
        print_json([{key: value for key, value in row.items() if key not in hidden} for row in rows])
        return
    print_table(
        "Rejected rows",
        _COLUMNS,
        rows,
        "nothing was rejected",
        optional=("first_seen_at", "reason", "last_seen_at", "resolved_at"),
    )
    if payload:
        for row in rows:
            click.echo(f"\n{row['workspace_name']} {row['interview_id'] or '(no id)'}: {row['message']}")
            click.echo(row["payload"])
