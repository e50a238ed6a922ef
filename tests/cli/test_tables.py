"""Tables on terminals of both usual widths: whole words, and no line that the terminal would break."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from rich.console import Console

from etl.cli.streams import is_terminal
from etl.standin import StandIn
from tests.acceptance.program import Program, id_of, interviews_of, populate
from tests.cli.terminal import on_a_terminal

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_LONG_NAME = "Vandelay Industries (Europe, Middle East and Africa)"


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
@pytest.mark.parametrize("value", [None, "", "0", "1"])
@pytest.mark.parametrize("tty", [False, True])
def test_what_is_a_terminal_is_so_for_rich_too(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, tty: bool
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: tty)
    assert is_terminal(stream) == Console(file=stream).is_terminal


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Three runs of two workspaces, with something in nearly every column. Only to be read."""
    with StandIn() as api, closing(Program(tmp_path_factory.mktemp("synced"))) as program:
        populate(api, "acme", _LONG_NAME, count=6)
        program.configure(api.base_url, "acme", _LONG_NAME)
        program.sync()
        first, second, *rest = interviews_of("acme", 6)
        updated = first | {"status": "archived", "updated_at": "2027-01-01T00:00:00Z"}
        bad = second | {"contact_count": "twelve"}
        api.set_interviews(id_of("acme"), [updated, bad, *rest[:-1], rest[0]])
        program.sync()
        api.set_key(id_of(_LONG_NAME), "another")
        assert program.sync().exit_code == 1
        yield program


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("runs", ["started", "succeeded", "failed", "received"]),
        ("status", ["last success", "rejects", "succeeded", "failed"]),
        ("rejects", ["acme", interviews_of("acme")[1]["id"], "contact_count:", "integer", "string"]),
    ],
)
def test_a_table_fits(synced: Program, command: str, whole: list[str], columns: int) -> None:
    seen = _STYLE.sub("", on_a_terminal(synced, command, columns=columns)).splitlines()
    table = [line for line in seen if not re.match(r"(run \d+|.*): the API", line)]
    assert max(map(len, table)) <= columns
    assert not [word for word in whole if word not in "\n".join(table)]
    assert "…" not in "".join(table)


def test_what_deserves_a_second_look_is_framed_where_it_fits(program: Program) -> None:
    seen = _STYLE.sub("", on_a_terminal(program, "demo", "--dir", "here"))
    assert re.search(r"^╭─ Look around ─+╮\s*$", seen, re.MULTILINE)
    assert re.search(r"^│   sqlite3 here/warehouse.db +│\s*$", seen, re.MULTILINE)
    narrow = _STYLE.sub("", on_a_terminal(program, "demo", "--dir", "a/longer/path/than/it/fits", columns=60))
    assert "\n  sqlite3 a/longer/path/than/it/fits/warehouse.db" in narrow
    assert "│" not in narrow
