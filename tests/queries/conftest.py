"""The pair of warehouses that the queries are asked of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer
from tests.queries.twins import Twins, tell_story, twin_warehouses


@pytest.fixture
def twins(sqlite_at_head: str, postgres_at_head: str) -> Iterator[Twins]:
    """Both warehouses, empty."""
    with twin_warehouses(sqlite_at_head, postgres_at_head) as pair:
        yield pair


@pytest.fixture(scope="module")
def story(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Both warehouses after six weeks of syncs. Only to be read."""
    path: Path = tmp_path_factory.mktemp("story") / "warehouse.db"
    url = postgres_server.create_database()
    with twin_warehouses(f"sqlite:///{path}", url) as pair:
        tell_story(pair)
        yield pair
    postgres_server.drop_database(url)
