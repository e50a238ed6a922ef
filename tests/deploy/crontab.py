"""What `config/crontab` would do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CRONTAB = Path(__file__).parents[2] / "config" / "crontab"
_ASSIGNMENT = re.compile(r"(?P<name>[A-Z_]+) *= *(?P<value>.*)")


def variables() -> dict[str, str]:
    found = (_ASSIGNMENT.fullmatch(line) for line in CRONTAB.read_text().splitlines())
    return {match["name"]: match["value"] for match in found if match}


def jobs(*, commented: bool = False) -> Iterator[tuple[str, str]]:
    """The (schedule, command) pairs; with `commented`, those behind a # instead."""
    for line in CRONTAB.read_text().splitlines():
        words = line.removeprefix("# ") if commented else line
        if (commented == line.startswith("#")) and re.match(r"[*0-9]", words):
            *times, command = words.split(maxsplit=5)
            yield " ".join(times), command
