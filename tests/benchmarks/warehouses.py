"""The two warehouses: empty ones, copies of filled ones, and what the database alone needs."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from psycopg import sql

from tests.benchmarks import floors
from tests.benchmarks.program import configuration, migrate
from tests.postgres import PostgresServer


class Bench(Protocol):
    """A kind of warehouse."""

    name: str

    def empty(self) -> str:
        """The URL of a new warehouse, migrated, without rows."""

    def copy(self, url: str) -> str:
        """The URL of a copy, as if it had long been at rest."""

    def drop(self, url: str) -> None:
        """Remove it."""

    def settle(self) -> None:
        """Let what was written before reach the disk before the next clock starts."""

    def finished(self, url: str) -> Path:
        """The rows of a filled warehouse, ready for `floor`."""

    def floor(self, finished: Path, url: str) -> float:
        """Seconds the database alone needs for these rows, into this empty warehouse's table."""


class PostgresBench:
    """Databases of one server with default settings, fsync on."""

    name = "Postgres"

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._numbers = itertools.count()
        self._empty = self._new("template0")
        migrate(configuration(folder, "http://127.0.0.1:9", self._empty, {"w": UUID(int=1)}))

    def empty(self) -> str:
        return self._new(_name(self._empty))

    def copy(self, url: str) -> str:
        with self._server.connect(url) as connection:
            connection.execute("VACUUM ANALYZE")  # as autovacuum does within the quarter of an hour
        return self._new(_name(url))

    def drop(self, url: str) -> None:
        self._server.drop_database(url)

    def settle(self) -> None:
        with self._server.connect() as connection:
            connection.execute("CHECKPOINT")

    def finished(self, url: str) -> Path:
        rows = self._folder / f"rows-{next(self._numbers)}.copy"
        self._psql(url, f"\\copy interviews TO '{rows}'\n")
        return rows

    def floor(self, finished: Path, url: str) -> float:
        return self._psql(url, f"\\copy interviews FROM '{finished}'\n")

    def finished_by_workspace(self, url: str, workspaces: Sequence[UUID]) -> Path:
        """A psql script of one transaction a workspace, that loads their rows."""
        folder = self._folder / f"many-{next(self._numbers)}"
        folder.mkdir()
        self._psql(
            url,
            "".join(
                f"\\copy (SELECT * FROM interviews WHERE workspace_id = '{one}') TO '{folder / str(one)}'\n"
                for one in workspaces
            ),
        )
        script = folder / "load.psql"
        script.write_text("".join(f"\\copy interviews FROM '{folder / str(one)}'\n" for one in workspaces))
        return script

    def floor_by_workspace(self, script: Path, url: str) -> float:
        """Seconds of that script."""
        return floors.psql(self._server.bin_dir / "psql", url, str(script))

    def _psql(self, url: str, commands: str) -> float:
        script = self._folder / "commands.psql"
        script.write_text(commands, encoding="utf-8")
        return floors.psql(self._server.bin_dir / "psql", url, str(script))

    def _new(self, template: str) -> str:
        name = f"bench_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        with self._server.connect() as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self._server.url(name)


class SqliteBench:
    """Files in one folder."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._empty = self._new()
        migrate(configuration(folder, "http://127.0.0.1:9", self._empty, {"w": UUID(int=1)}))

    def empty(self) -> str:
        return self.copy(self._empty)

    def copy(self, url: str) -> str:
        source = sqlite3.connect(_path(url))
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        source.close()
        copy = self._new()
        shutil.copyfile(_path(url), _path(copy))
        return copy

    def drop(self, url: str) -> None:
        for file in self._folder.glob(f"{_path(url).name}*"):
            file.unlink()

    def settle(self) -> None:
        os.sync()

    def finished(self, url: str) -> Path:
        return _path(self.copy(url))

    def floor(self, finished: Path, url: str) -> float:
        return floors.sqlite_insert(finished, _path(url))

    def _new(self) -> str:
        return f"sqlite:///{self._folder / f'bench-{next(self._numbers)}.db'}"


def _name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))
