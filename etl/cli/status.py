"""`status`: how fresh each workspace is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from etl.cli.app import Context

_COLUMNS = ("workspace", "last_success_at", "age", "active", "deleted", "held", "rejects", "last_run")


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    from etl.schedule import parse_duration  # noqa: PLC0415

    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option(
    "--max-age",
    metavar="DURATION",
    callback=_duration,
    help="Exit with 1 if an enabled workspace's last success is older (e.g. 90m).",
)
@click.pass_obj
def command(context: Context, as_json: bool, max_age: timedelta | None) -> int:  # noqa: FBT001
    """Show each workspace's last success, its interviews and its last run.

    \b
    Example:
      ontora-etl status --max-age 2h || echo 'stale!'
    """
    from etl.cli.render import print_json  # noqa: PLC0415
    from etl.cli.warehouse import reading  # noqa: PLC0415
    from etl.status import workspace_status  # noqa: PLC0415

    with reading(context) as (settings, connection, _):
        states = workspace_status(settings, connection, datetime.now(UTC))
    too_old = [
        state
        for state in states
        if max_age
        and state["configured"]
        and (state["age_seconds"] is None or state["age_seconds"] > max_age.total_seconds())
    ]
    if as_json:
        print_json({"status": "stale" if too_old else "ok", "workspaces": states})
    else:
        _show(states)
        for state in too_old:
            context.say("error", f"{state['name']}: last success is older than allowed")
    return 1 if too_old else 0


def _show(states: list[dict[str, Any]]) -> None:
    from etl.cli.render import print_table  # noqa: PLC0415
    from etl.measures import age_text  # noqa: PLC0415

    rows = [
        {
            "workspace": state["name"],
            "last_success_at": state["last_success_at"],
            "age": age_text(state["age_seconds"]),
            "active": state["active"],
            "deleted": state["deleted"],
            "held": state["held_deletes"],
            "rejects": state["rejects_open"],
            "last_run": state["last_status"] or "never",
        }
        for state in states
    ]
    print_table("Workspaces", _COLUMNS, rows, "no workspaces", optional=("deleted", "held", "rejects"))
    for state in states:
        if state["last_error"]:
            click.echo(f"{state['name']}: {state['last_error']}")
        if not state["configured"]:
            click.echo(f"{state['name']}: no longer synced: it is not in the configuration, or not enabled")
