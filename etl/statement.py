"""SQL as text, readable as SQL, with parameters that have one name and one type wherever they stand."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import BigInteger, Float, Text, TextClause, bindparam, text
from sqlalchemy.types import TypeEngine

from etl.column_types import Identifier, Instant, Json

_TYPES: dict[str, type[TypeEngine[Any]]] = {
    "applied_counts": Json,
    "applied_digest": Text,
    "applied_run_id": BigInteger,
    "duration_seconds": Float,
    "error": Text,
    "error_code": Text,
    "high_watermark": Instant,
    "name": Text,
    "now": Instant,
    "observed_at": Instant,
    "program_version": Text,
    "project_id": Identifier,
    "revision": Text,
    "run_id": BigInteger,
    "started_at": Instant,
    "status": Text,
    "trigger": Text,
    "unknown_fields": Json,
    "warnings": Json,
    "workspace_id": Identifier,
}


# As `execution_options`: see `warehouse.Dialect.create_engine`.
LAST = {"last": True}


def in_one_trip(first: str, second: str) -> dict[str, tuple[TextClause, ...]]:
    """Two statements, by dialect, of which the first answers nothing. Their parameters are given together.

    Postgres takes them as one: a round trip less.
    """
    return {
        "postgresql": (statement(f"{first}; {second}"),),
        "sqlite": (statement(first), statement(second)),
    }


def statement(words: str, **columns: TypeEngine[Any]) -> TextClause:
    """The SQL as a statement to execute; every `:parameter` gets its type, a number where none is named.

    `columns` says of result columns how they come back.
    """
    names = sorted(set(re.findall(r"(?<!:):(\w+)", words)))
    clause = text(words).bindparams(*(bindparam(name, type_=_TYPES.get(name, BigInteger)) for name in names))
    return clause.columns(**columns) if columns else clause  # type: ignore[return-value]  # executes alike
