"""Someone else's session in the warehouse, and the lock that it may hold."""

from __future__ import annotations

import sqlite3
import time
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


def waits_for_a_lock(program: Program) -> bool:
    """Whether a statement waits for such a lock."""
    if program.warehouse_url.startswith("sqlite"):
        if not list(program.folder.glob("*.lock")):
            return False
        time.sleep(1.5)  # a run is under way; where it waits, nothing tells
        return True
    return program.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'") != []
