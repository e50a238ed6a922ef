"""`demo`: see it work before there is an account."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import click

from etl.cli.app import Context
from etl.errors import UsageError


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the demo's database goes.  [default: a new temporary folder]",
)
@click.pass_obj
def command(context: Context, folder: Path | None) -> int:
    """Run the main job with no account: a stand-in API on this machine, synced into SQLite.

    \b
    Example:
      ontora-etl demo --dir /tmp/ontora-demo
    """
    from etl.cli.render import print_panel, print_table  # noqa: PLC0415
    from etl.cli.sync import show_reports  # noqa: PLC0415
    from etl.demo import QUERIES, run_demo  # noqa: PLC0415

    context.start_logging("error")
    where = _checked(folder) if folder else _new_folder()
    demo = run_demo(where)
    click.echo("1. Three workspaces, synced for the first time:\n")
    show_reports(demo.first)
    click.echo(
        "\n2. Some interviews moved on, two were deleted, one is new, one arrived malformed. Synced again:\n"
    )
    show_reports(demo.second)
    for report in (*demo.first, *demo.second):
        if report.error:
            click.echo(f"error: {report.name}: {report.error}", err=True)
    warnings = [
        {"workspace": report.name, "warning": warning["message"]}
        for report in demo.second
        for warning in report.warnings
    ]
    if warnings:
        print_table("Warnings", ("workspace", "warning"), warnings, "")
    config, database = shlex.quote(str(demo.config)), shlex.quote(str(demo.database))
    click.echo("\n3. All of it stays on this machine:\n")
    print_panel(
        "Look around",
        [
            "The database, and the configuration that it was synced by:",
            f"  {demo.database}",
            f"  {demo.config}",
            "How fresh it is (or with runs, or rejects):",
            f"  {_called()} --config {config} status",
            "To paste one of the queries below into:",
            f"  sqlite3 {database}",
        ],
    )
    click.echo()
    for question, query in QUERIES:
        click.echo(f"-- {question}\n{query}\n")
    return 1 if any(report.status != "succeeded" for report in (*demo.first, *demo.second)) else 0


def _called() -> str:
    """The command as it can be called from here."""
    called = sys.argv[0]
    is_found = shutil.which("ontora-etl") is not None or Path(called).name != "ontora-etl"
    return "ontora-etl" if is_found else shlex.quote(called)


def _checked(folder: Path) -> Path:
    if not str(folder).isprintable():
        raise UsageError("--dir holds control characters, or no UTF-8", remedy="name another folder")
    try:
        used = [name for name in ("warehouse.db", "etl.toml") if os.path.lexists(folder.absolute() / name)]
    except OSError as error:
        raise UsageError(f"cannot look into {folder} ({error.strerror})", remedy="name another") from None
    if used:
        raise UsageError(f"{folder} holds {' and '.join(used)} already", remedy="name a new folder")
    return folder


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="ontora-etl-demo-"))
    except OSError as error:
        raise UsageError(
            f"no temporary folder can be made ({error.strerror})", remedy="set TMPDIR, or name one with --dir"
        ) from None
