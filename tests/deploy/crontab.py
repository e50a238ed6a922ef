"""What `config/crontab` would do, and what cron does with a line."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

CRONTAB = Path(__file__).parents[2] / "config" / "crontab"
PROGRAM_FOLDER = "/opt/ontora-etl/bin"
CONFIG_FOLDER = "/etc/ontora-etl"
STATE_FOLDER = "/var/lib/ontora-etl"
PATIENCE_SECONDS = 60
_ASSIGNMENT = re.compile(r"(?P<name>[A-Z_]+) *= *(?P<value>.*)")


def variables() -> dict[str, str]:
    found = (_ASSIGNMENT.fullmatch(line) for line in CRONTAB.read_text().splitlines())
    return {match["name"]: match["value"] for match in found if match}


def jobs(*, commented: bool = False) -> Iterator[tuple[str, str]]:
    """The (schedule, command) pairs; with `commented`, those behind a # instead."""
    for line in CRONTAB.read_text().splitlines():
        words = line.removeprefix("# ") if commented else line
        if (commented == line.startswith("#")) and re.match(r"[*0-9]", words):
            yield split(words)


def split(line: str) -> tuple[str, str]:
    """The schedule and the command of a crontab's line."""
    *times, command = line.split(maxsplit=5)
    return " ".join(times), command


def as_cron(
    command: str,
    home: Path,
    places: Mapping[str, Path],
    given: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command by sh with cron's own few variables, and those `given` in the crontab.

    `places` says where the folders that it names are on this machine. Stdout has all that cron would mail.
    """
    environ = {"HOME": str(home), "LOGNAME": "etl", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    for name, value in (given or {}).items():
        environ[name] = _moved(value, places)
    return subprocess.run(
        ["/bin/sh", "-c", _moved(command, places)],
        env=environ,
        cwd=home,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def _moved(text: str, places: Mapping[str, Path]) -> str:
    for theirs, ours in places.items():
        text = text.replace(theirs, str(ours))
    return text
