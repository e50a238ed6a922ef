"""The databases that every test may ask for. How they start: tests/postgres.py.

The checkout is on the tests' import path (`pythonpath` in pyproject.toml), and `tests` is a namespace
package: a test says `from tests.postgres import PostgresServer`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from etl.config import Warehouse as WarehouseSettings
from etl.secret import Secret
from etl.warehouse import open_warehouse
from etl.warehouse.schema import migrate
from tests.postgres import Kit, PostgresServer, a_kit, private_server, shared_server
from tests.receiver import Receiver, a_receiver


@pytest.fixture(scope="session")
def postgres_kit() -> Iterator[Kit]:
    """What the servers of this test process are made of."""
    with a_kit() as kit:
        yield kit


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """The server of this test process. Do not stop it: that is what `own_postgres` is for."""
    with shared_server(lambda: request.getfixturevalue("postgres_kit")) as server:
        yield server


@pytest.fixture
def own_postgres(postgres_kit: Kit) -> Iterator[PostgresServer]:
    """A server for this test alone, to stop, crash and start again. It writes through to the disk."""
    with private_server(postgres_kit, fsync=True) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A new, empty Postgres database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'warehouse.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def warehouse_url(request: pytest.FixtureRequest) -> str:
    """A database in which no migration has run, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "warehouse.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    _migrate(url)
    yield url
    postgres_server.drop_database(url)


def _migrate(url: str) -> None:
    with closing(open_warehouse(WarehouseSettings(Secret(url)))) as warehouse:
        migrate(warehouse)


@pytest.fixture
def sqlite_at_head(_sqlite_template: Path, tmp_path: Path) -> str:
    """An empty SQLite warehouse at head: copied, for to migrate one takes longer than most tests."""
    path = shutil.copyfile(_sqlite_template, tmp_path / "warehouse.db")
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_at_head(_postgres_template: str, postgres_server: PostgresServer) -> Iterator[str]:
    """An empty Postgres warehouse at head."""
    url = postgres_server.create_database(template=_postgres_template)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def warehouse_at_head(request: pytest.FixtureRequest) -> str:
    """An empty warehouse at head, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_at_head")
    return url


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where notifications and pings arrive."""
    with a_receiver() as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever needs a Postgres, so that `-m "not postgres"` is the fast half."""
    for item in items:
        if {"postgres_server", "own_postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")
