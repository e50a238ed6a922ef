"""What every acceptance test starts from: a stand-in API, and the command in an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.standin import StandIn
from tests.acceptance.program import Program


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
def either(tmp_path: Path, warehouse_url: str) -> Iterator[Program]:
    """The command, once with an SQLite warehouse and once with a Postgres."""
    program = Program(tmp_path, warehouse_url)
    yield program
    program.end()
