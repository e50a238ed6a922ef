"""What a person at a terminal sees while a sync runs: on a real pseudo-terminal."""

from __future__ import annotations

import re
from pathlib import Path

from etl.standin import StandIn, write_answer
from tests.acceptance.program import Program, id_of, populate
from tests.cli.terminal import on_a_terminal

_ROWS = 20_000  # enough that loading them lasts for some redraws


def test_a_bar_with_bytes_rows_and_rates(program: Program, api: StandIn, tmp_path: Path) -> None:
    populate(api, "acme")
    size = write_answer(tmp_path / "answer.json", _ROWS, workspace_id=id_of("acme"))
    api.set_body(id_of("acme"), tmp_path / "answer.json")
    api.bytes_per_second = size / 0.6
    program.configure(api.base_url, "acme")
    seen = on_a_terminal(program, "sync")
    assert "acme" in seen
    assert re.search(r"downloading \d+\.\d MB, \d+\.\d MB/s", seen)
    assert re.search(r"loading [\d,]+ rows, [\d,]+/s", seen)
    assert "succeeded" in seen
    assert str(_ROWS) in seen


def test_nothing_moves_where_nobody_watches(program: Program, api: StandIn) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    done = program.run("sync")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
