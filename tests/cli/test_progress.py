"""What a person at a terminal sees while a sync runs: on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from etl.standin import StandIn, write_answer
from tests.acceptance.program import COMMAND, Program, id_of, populate

_ROWS = 5_000


def _on_a_terminal(program: Program, *words: str) -> str:
    """All that the command writes where stdout and stderr are a terminal."""
    controller, terminal = pty.openpty()
    environ = {**program.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(
        [str(COMMAND), *words],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environ,
        cwd=program.folder,
    ) as process:
        os.close(terminal)
        said = b""
        while piece := _read(controller):
            said += piece
    os.close(controller)
    assert process.returncode == 0, said.decode()
    return said.decode()


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65_536)
    except OSError:  # so Linux says that the other side is closed
        return b""


def test_a_bar_with_bytes_rows_and_rates(program: Program, api: StandIn, tmp_path: Path) -> None:
    populate(api, "acme")
    size = write_answer(tmp_path / "answer.json", _ROWS, workspace_id=id_of("acme"))
    api.set_body(id_of("acme"), tmp_path / "answer.json")
    api.bytes_per_second = size / 0.6
    program.configure(api.base_url, "acme")
    seen = _on_a_terminal(program, "sync")
    assert "acme" in seen
    assert re.search(r"downloading \d+\.\d MB, \d+\.\d MB/s", seen)
    assert re.search(r"loading [\d,]+ rows, [\d,]+/s", seen)
    assert "succeeded" in seen
    assert "5000" in seen


def test_nothing_moves_where_nobody_watches(program: Program, api: StandIn) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    done = program.run("sync")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
