"""A command run to its end: how long, how much CPU, how much memory.

Linux counts a child's peak from before its exec, when it still wears its parent's memory: this process stays
small, and generates nothing into memory.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KEY = "ont_live_benchmark"

# What would make the program's start unlike a user's.
_UNUSUAL = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONDEVMODE")
_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in _UNUSUAL and not name.startswith("ONTORA_")
} | {"ONTORA_API_KEY": KEY}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took, and what it said."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def byte_compile() -> None:
    """As after an installation: no start compiles anything."""
    # Where a start looks for them, whatever the environment of this process says.
    for folder in (REPOSITORY / "etl", REPOSITORY / "migrations", Path(sysconfig.get_path("purelib"))):
        compileall.compile_dir(folder, quiet=2)


def environment(more: dict[str, str]) -> dict[str, str]:
    """What every measured process sees, and this."""
    return _ENVIRONMENT | more


def start(command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """The command in the environment of every measured one, its output unread."""
    return subprocess.Popen(
        [str(word) for word in command],
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )


def run(command: Sequence[str | Path]) -> Measured:
    """The command, measured. Raises RuntimeError where it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=REPOSITORY,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said = output.read().decode(errors="replace")
        if process.returncode:
            talk = errors.read().decode(errors="replace")
            raise RuntimeError(f"{command} ended with {process.returncode}:\n{said[-2000:]}{talk[-2000:]}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said)
