"""Tables and panels where people look at them: on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from etl.cli.cells import cell_text

_STATUS_STYLES = {
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


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], optional: Sequence[str]
) -> None:
    """Rows as a table no wider than the terminal, as long as leaving `optional` columns out helps."""
    out = _console()
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
        table.add_row(*(Text(_glance(row[c]), style=_STATUS_STYLES.get(str(row[c]), "")) for c in shown))
    out.print(table)


def show_panel(title: str, lines: Sequence[str]) -> None:
    """The lines in a frame, or bare where one of them would not fit into it."""
    out = _console()
    if max(map(cell_len, lines)) + _FRAME > out.width:
        click.echo("\n".join(lines))
        return
    out.print(Panel(Text("\n".join(lines)), title=title, title_align="left", expand=False))


def _console() -> Console:
    """Stdout. Markup is off: a workspace may be called `[red]`."""
    return Console(force_terminal=True, markup=False, highlight=False, emoji=False)


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
    return cell_text(value).partition("-")[2] if isinstance(value, datetime) else cell_text(value)
