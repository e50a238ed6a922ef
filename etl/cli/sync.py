"""`sync`: one pass, then exit. The cron job."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from etl.cli.app import Context
from etl.cli.streams import is_terminal
from etl.errors import SchemaNotAtHead, UsageError, WarehouseDamaged, WarehouseError
from etl.open_files import make_room_for_files
from etl.printable import printable

if TYPE_CHECKING:
    from etl.config import Settings, Workspace
    from etl.meter import Meter
    from etl.sync import Options, Report
    from etl.warehouse import Warehouse


_MOST_NAMED = 20
_SHOW_CURSOR = "\x1b[?25h"  # which the progress bars hide


@click.command("sync")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--full", is_flag=True, help="Read and compare every row; skip every shortcut.")
@click.option("--dry-run", is_flag=True, help="Do everything, show what would change, change nothing.")
@click.option("--accept-deletes", is_flag=True, help="Apply deletes that were held.")
@click.option("--json", "as_json", is_flag=True, help="Print the pass as one JSON object.")
@click.pass_obj
def command(
    context: Context,
    names: tuple[str, ...],
    full: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    accept_deletes: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Sync all workspaces, or those named, once; then exit.

    Exits with 0 where every workspace synced (or is being synced by another process), with 1 where one
    failed, with 2 where the configuration or the command is wrong, with 3 where the warehouse cannot be used.

    \b
    Example:
      ontora-etl sync
      ontora-etl sync acme --dry-run
    """
    from etl import notify  # noqa: PLC0415
    from etl.sync import Options  # noqa: PLC0415
    from etl.warehouse import open_warehouse  # noqa: PLC0415
    from etl.warehouse.schema import ensure_schema, require_head  # noqa: PLC0415

    context.start_logging()
    settings = context.settings()
    chosen = choose(settings, names)
    make_room_for_files(min(settings.api.concurrency, len(chosen)))
    warehouse = open_warehouse(settings.warehouse, settings.api.concurrency)
    try:
        if dry_run:
            require_head(warehouse)
        else:
            ensure_schema(warehouse, auto_migrate=settings.warehouse.auto_migrate)
        options = Options(full=full, accept_deletes=accept_deletes, dry_run=dry_run)
        reports, stopped_by = asyncio.run(_pass(settings, warehouse, chosen, options))
        if stopped_by is None and not dry_run:
            notify.after_pass(settings, warehouse, reports)
    finally:
        warehouse.close()
    if stopped_by is not None:
        context.say("warning", f"stopped by {signal.Signals(stopped_by).name}; nothing half done is left")
        return 128 + stopped_by
    _show(reports, as_json=as_json, dry_run=dry_run)
    _log(reports, context.log_format)
    if any(report.error_code in (WarehouseDamaged.code, SchemaNotAtHead.code) for report in reports):
        return WarehouseError.exit_code
    return 1 if any(report.status == "failed" for report in reports) else 0


def choose(settings: Settings, names: Sequence[str]) -> list[Workspace]:
    """The named workspaces, or all that are enabled. Raises UsageError for a name that is not configured."""
    if not names:
        return [workspace for workspace in settings.workspaces if workspace.enabled]
    from etl.config.values import did_you_mean  # noqa: PLC0415

    by_name = {workspace.name: workspace for workspace in settings.workspaces}
    if unknown := [name for name in dict.fromkeys(names) if name not in by_name]:
        near = [did_you_mean(name, by_name).removeprefix("; ") for name in unknown]
        named = [
            f"{name!r} ({meant})" if meant else f"{name!r}" for name, meant in zip(unknown, near, strict=True)
        ]
        raise UsageError(
            f"no workspace {', '.join(named)} in {settings.source}",
            remedy=f"configured are {_some(list(by_name))}",
        )
    return [by_name[name] for name in dict.fromkeys(names)]


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


async def _pass(
    settings: Settings, warehouse: Warehouse, chosen: Sequence[Workspace], options: Options
) -> tuple[list[Report], int | None]:
    """The reports, and the signal that ended the pass early, if one did."""
    from etl.meter import Meter  # noqa: PLC0415
    from etl.sync import sync_workspaces  # noqa: PLC0415

    meters = [Meter(workspace.name) for workspace in chosen]
    task = asyncio.ensure_future(sync_workspaces(settings, warehouse, chosen, options, meters))
    stopped_by: list[int] = []

    def stop(number: int) -> None:
        if stopped_by:  # asked twice: at once. The databases undo what is open, the kernel frees the locks.
            if is_terminal(sys.stderr):
                sys.stderr.write(_SHOW_CURSOR)
                sys.stderr.flush()
            os._exit(128 + number)
        stopped_by.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    with _progress(meters):
        try:
            return await task, None
        except asyncio.CancelledError:
            return [], stopped_by[0]
        finally:  # before the loop closes its pipe: a signal in between would leave a traceback
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _progress(meters: Sequence[Meter]) -> AbstractContextManager[None]:
    if not is_terminal(sys.stderr):
        return nullcontext()
    from etl.cli.progress import progress  # noqa: PLC0415

    return progress(meters)


def _show(reports: Sequence[Report], *, as_json: bool, dry_run: bool) -> None:
    from etl.cli.render import print_json  # noqa: PLC0415

    failed = any(report.status == "failed" for report in reports)
    if as_json:
        answer: dict[str, object] = {
            "status": "failed" if failed else "succeeded",
            "workspaces": [report.as_dict() for report in reports],
        }
        if dry_run:
            answer["dry_run"] = True
            answer["changes"] = {report.name: _changes(report) for report in reports}
        print_json(answer)
    else:
        show_reports(reports)
        if dry_run:
            for report in reports:
                _show_changes(report)
            click.echo("dry run: nothing was written")
        else:
            _show_hint(reports)


def _log(reports: Sequence[Report], log_format: str) -> None:
    from etl.sync import RunLog  # noqa: PLC0415

    run_log = RunLog()
    for report in reports:
        if report.error and log_format == "text":
            click.echo(f"error: {report.name}: {report.error} [{report.error_code}]", err=True)
        else:
            run_log.write(report, "manual")


# What a narrow terminal does without, first to last.
_LESS_WANTED = ("duplicate", "stale", "unchanged", "restored", "held_deletes")


def show_reports(reports: Sequence[Report]) -> None:
    """The pass as a table; columns that are all zero are left out."""
    from etl.cli.render import print_table  # noqa: PLC0415

    rows = [
        {
            "workspace": report.name,
            "status": report.status,
            **report.counts.as_dict(),
            "seconds": report.duration_seconds,
        }
        for report in reports
    ]
    always = ("workspace", "status", "received", "inserted", "updated", "unchanged", "seconds")
    columns = [c for c in (rows[0] if rows else {}) if c in always or any(row[c] for row in rows)]
    print_table("Sync", columns, rows, "no workspace is enabled", optional=_LESS_WANTED)


def _show_hint(reports: Sequence[Report]) -> None:
    from etl.cli.render import print_panel  # noqa: PLC0415

    if rejected := sum(report.counts.rejected for report in reports):
        rows = "1 row" if rejected == 1 else f"{rejected} rows"
        print_panel("Rejected", [f"{rows} could not be loaded; which, and why: ontora-etl rejects"])


def _changes(report: Report) -> list[dict[str, object]]:
    return [
        {
            "id": change.interview_id,
            "name": change.name,
            "fate": change.fate,
            "fields": {name: {"old": o, "new": n} for name, (o, n) in change.fields.items()},
        }
        for change in report.changes.shown
    ]


def _show_changes(report: Report) -> None:
    for change in report.changes.shown:
        click.echo(f'{report.name}: {change.interview_id} "{_short(change.name)}" would be {change.fate}')
        for name, (old, new) in change.fields.items():
            click.echo(f"    {name}: {_short(old)} -> {_short(new)}")
    if report.changes.more:
        click.echo(f"{report.name}: and {report.changes.more} more")


def _short(value: object) -> str:
    return "null" if value is None else printable(" ".join(str(value).split()), 100)
