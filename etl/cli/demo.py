"""`demo`: see it work before there is an account."""

from __future__ import annotations

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
    from etl.cli.render import print_table  # noqa: PLC0415
    from etl.cli.sync import show_reports  # noqa: PLC0415
    from etl.demo import QUERIES, run_demo  # noqa: PLC0415

    context.start_logging("error")
    where = folder or Path(tempfile.mkdtemp(prefix="ontora-etl-demo-"))
    if (where / "warehouse.db").exists():
        raise UsageError(f"{where} holds a demo already", remedy="name another folder, or remove it")
    demo = run_demo(where)
    click.echo("1. Three workspaces, synced for the first time:\n")
    show_reports(demo.first)
    click.echo(
        "\n2. Some interviews moved on, two were deleted, one is new, one arrived malformed. Synced again:\n"
    )
    show_reports(demo.second)
    warnings = [
        {"workspace": report.name, "warning": warning["message"]}
        for report in demo.second
        for warning in report.warnings
    ]
    if warnings:
        print_table("Warnings", ("workspace", "warning"), warnings, "")
    click.echo(f"\n3. The database is {demo.database}; its configuration is {demo.config}.")
    click.echo(f"   Look around with: ontora-etl --config {demo.config} status (or runs, or rejects)")
    click.echo(f"   Paste one of these into: sqlite3 {demo.database}\n")
    for question, query in QUERIES:
        click.echo(f"-- {question}\n{query}\n")
    return 1 if any(report.status != "succeeded" for report in (*demo.first, *demo.second)) else 0
