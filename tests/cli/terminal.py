"""Commands on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess

from tests.acceptance.program import COMMAND, Program


def on_a_terminal(program: Program, *words: str, columns: int = 100) -> str:
    """All that the command writes where stdout and stderr are a terminal."""
    controller, terminal = pty.openpty()
    environ = {**program.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
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
