"""What every acceptance test starts from: a stand-in API, and the command in an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.standin import StandIn
from tests.acceptance.program import Program
from tests.acceptance.rig import Rig


@pytest.fixture
def api() -> Iterator[StandIn]:
    """A stand-in API without workspaces."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The command, with an SQLite warehouse that does not exist yet."""
    program = Program(tmp_path)
    yield program
    program.end()


@pytest.fixture
def rig(api: StandIn, tmp_path: Path, sqlite_url: str) -> Iterator[Rig]:
    """What the daemon needs, with an SQLite warehouse that does not exist yet."""
    made = Rig(api, tmp_path, sqlite_url)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def either(tmp_path: Path, warehouse_url: str) -> Iterator[Program]:
    """The command, once with an SQLite warehouse and once with a Postgres."""
    program = Program(tmp_path, warehouse_url)
    yield program
    program.end()
