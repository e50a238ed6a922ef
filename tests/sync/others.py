"""Someone else's session in the warehouse, and the lock that it may hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from tests.acceptance.program import Program


@contextmanager
def connected(program: Program) -> Iterator[Any]:
    """A session of someone else's: nothing begins or commits by itself."""
    if program.warehouse_url.startswith("sqlite"):
        path = program.warehouse_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as database:
            yield database
    else:
        with psycopg.connect(program.warehouse_url, autocommit=True) as connection:
            yield connection


def lock_ledger(session: Any) -> None:
    """Nobody else writes what is remembered of workspaces until this session's ROLLBACK."""
    if isinstance(session, sqlite3.Connection):
        session.execute("BEGIN IMMEDIATE")
    else:
        session.execute("BEGIN")
        session.execute("SELECT 1 FROM workspaces FOR UPDATE")


def lock_everything(session: Any) -> None:
    """Nobody else writes interviews until this session's ROLLBACK."""
    if isinstance(session, sqlite3.Connection):
        session.execute("BEGIN IMMEDIATE")
    else:
        session.execute("BEGIN")
        session.execute("LOCK TABLE interviews IN ACCESS EXCLUSIVE MODE")
