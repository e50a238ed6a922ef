"""How answers look: tables and panels on a terminal, plain lines when piped, JSON when asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {
    "succeeded": "green",
    "ok": "green",
    "failed": "bold red",
    "skipped": "yellow",
    "interrupted": "yellow",
    "running": "cyan",
}
# Folded where the terminal is narrow, but not below so many characters.
_FREE_TEXT = {"workspace": 10, "workspace_name": 10, "message": 30, "warning": 40}
_GAP = 2
_FRAME = 4


def console() -> Console:
    """Stdout. Markup is off: a workspace may be called `[red]`."""
    return Console(markup=False, highlight=False, emoji=False)


def print_json(answer: Any) -> None:  # whatever JSON can say
    """One JSON document on stdout, instants in ISO 8601."""
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    empty: str,
    *,
    optional: Sequence[str] = (),
) -> None:
    """Rows as a table on a terminal, as tab-separated lines with a head when piped.

    A terminal's width is dear: there, `optional` columns are left out where no row has anything in them, and
    the first of them where the rest does not fit.
    """
    out = console()
    if not rows:
        click.echo(empty)
        return
    if not out.is_terminal:
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(_cell(row[column]) for column in columns))
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=None, padding=(0, _GAP, 0, 0))
    shown = _fitting(columns, rows, optional, out.width)
    for column in shown:
        numeric = all(isinstance(row[column], int | float) for row in rows)
        free = column in _FREE_TEXT  # a status, a number or an instant in two pieces could not be read
        table.add_column(
            Text(_heading(column)),
            justify="right" if numeric else "left",
            overflow="fold" if free else "ellipsis",
            no_wrap=not free,
        )
    for row in rows:
        table.add_row(*(Text(_glance(row[c]), style=STATUS_STYLES.get(str(row[c]), "")) for c in shown))
    out.print(table)


def print_panel(title: str, lines: Sequence[str]) -> None:
    """Lines worth a second look: framed on a terminal that has room for each of them, as they are elsewhere.

    Never folded: some of them are there to be copied.
    """
    out = console()
    if not out.is_terminal or max(map(cell_len, lines)) + _FRAME > out.width:
        for line in lines:
            click.echo(line)
        return
    out.print(Panel(Text("\n".join(lines)), title=title, title_align="left", expand=False))


def _fitting(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], optional: Sequence[str], width: int
) -> list[str]:
    shown = [column for column in columns if column not in optional or any(row[column] for row in rows)]
    for column in [column for column in optional if column in shown]:
        if sum(_least_width(column, rows) + _GAP for column in shown) <= width:
            break
        shown.remove(column)
    return shown


def _least_width(column: str, rows: Sequence[Mapping[str, Any]]) -> int:
    whole = max(len(_heading(column)), *(len(_glance(row[column])) for row in rows))
    return min(whole, _FREE_TEXT.get(column, whole))


def _heading(column: str) -> str:
    return column.replace("_", " ").removesuffix(" name").removesuffix(" at").removeprefix("duration ")


def _glance(value: object) -> str:
    """The cell without what goes without saying: the year, to the second."""
    return _cell(value).partition("-")[2] if isinstance(value, datetime) else _cell(value)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.2f}"
    return " ".join(str(value).split())


def age_text(age: timedelta | None) -> str:
    """An age in its two greatest units: `2 d 3 h`."""
    if age is None:
        return "never"
    seconds = int(age.total_seconds())
    parts = [
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    ]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])
