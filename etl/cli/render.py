"""How answers look: tables and panels on a terminal, plain lines when piped, JSON when asked."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from etl.cli.cells import cell_text
from etl.cli.streams import is_terminal, is_unicode


def print_json(answer: Any) -> None:  # whatever JSON can say
    """One JSON document on stdout, instants in ISO 8601."""
    text = json.dumps(
        _finite(answer), ensure_ascii=not is_unicode(sys.stdout), indent=2, default=_plain, allow_nan=False
    )
    click.echo(text)


def _finite(value: Any) -> Any:
    """JSON has no word for a number beyond a double, which an interview's own JSON may hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


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
    if not rows:
        click.echo(empty)
    elif is_terminal(sys.stdout):
        from etl.cli.terminal import show_table  # noqa: PLC0415  # rich, which nobody needs who reads a pipe

        show_table(title, columns, rows, optional)
    else:
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(cell_text(row[column]) for column in columns))


def print_panel(title: str, lines: Sequence[str]) -> None:
    """Lines worth a second look: framed on a terminal that has room for each of them, as they are elsewhere.

    Never folded: some of them are there to be copied.
    """
    if is_terminal(sys.stdout):
        from etl.cli.terminal import show_panel  # noqa: PLC0415

        show_panel(title, lines)
    else:
        click.echo("\n".join(lines))
