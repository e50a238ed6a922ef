"""Warehouses to load into: one of each kind, migrated once and emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.load.house import House
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def _sqlite_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(f"sqlite:///{tmp_path_factory.mktemp('house') / 'warehouse.db'}")
    yield house
    house.close()


@pytest.fixture(scope="session")
def _postgres_house(postgres_server: PostgresServer) -> Iterator[House]:
    url = postgres_server.create_database()
    house = House(url)
    yield house
    house.close()
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_house(_sqlite_house: House) -> House:
    """An empty SQLite warehouse at head."""
    _sqlite_house.empty()
    return _sqlite_house


@pytest.fixture
def postgres_house(_postgres_house: House) -> House:
    """An empty Postgres warehouse at head."""
    _postgres_house.empty()
    return _postgres_house


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest) -> House:
    """An empty warehouse at head, once of each kind."""
    house: House = request.getfixturevalue(f"{request.param}_house")
    return house
