"""What every acceptance test starts from: a stand-in API, and the command in an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
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
def program(tmp_path: Path, sqlite_at_head: str) -> Iterator[Program]:
    """The command, with an empty SQLite warehouse."""
    with closing(Program(tmp_path, sqlite_at_head)) as program:
        yield program


@pytest.fixture
def new_program(tmp_path: Path) -> Iterator[Program]:
    """The command, with an SQLite warehouse that does not exist yet."""
    with closing(Program(tmp_path)) as program:
        yield program


@pytest.fixture
def rig(api: StandIn, tmp_path: Path, sqlite_at_head: str) -> Iterator[Rig]:
    """What the daemon needs, with an empty SQLite warehouse."""
    made = Rig(api, tmp_path, sqlite_at_head)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def either(tmp_path: Path, warehouse_at_head: str) -> Iterator[Program]:
    """The command, once with an empty SQLite warehouse and once with a Postgres."""
    with closing(Program(tmp_path, warehouse_at_head)) as program:
        yield program


@pytest.fixture
def new_either(tmp_path: Path, warehouse_url: str) -> Iterator[Program]:
    """The command, once of each kind, with a warehouse in which no migration has run."""
    with closing(Program(tmp_path, warehouse_url)) as program:
        yield program
