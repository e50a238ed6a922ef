"""A first afternoon's script: httpx, and SQLAlchemy's on_conflict_do_update, 1,000 rows a batch."""

from __future__ import annotations

import os
from typing import Any

import httpx
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    create_engine,
    make_url,
)
from sqlalchemy.dialects.postgresql import insert

_BATCH = 1_000
_KINDS = {bool: Boolean, int: BigInteger}
_INSTANTS = ("timeframe_start", "timeframe_end", "created_at", "updated_at")
_NUMBERS = ("quick_mode_hours",)  # null in the first row


def main() -> None:
    """Fetch, create the table, upsert."""
    response = httpx.get(
        os.environ["BENCH_ADDRESS"], headers={"X-API-Key": os.environ["BENCH_KEY"]}, timeout=600
    )
    response.raise_for_status()
    rows = response.json()
    columns: list[Column[Any]] = [Column("id", Text, primary_key=True)]
    for name, value in rows[0].items():
        if name in _INSTANTS:
            columns.append(Column(name, DateTime(timezone=True)))
        elif name == "weekly_availability":
            columns.append(Column(name, JSON))
        elif name != "id":
            columns.append(Column(name, BigInteger if name in _NUMBERS else _KINDS.get(type(value), Text)))
    table = Table("interviews", MetaData(), *columns)
    engine = create_engine(make_url(os.environ["BENCH_DATABASE"]).set(drivername="postgresql+psycopg"))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        statement = insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=["id"],
            set_={column.name: statement.excluded[column.name] for column in table.columns},
        )
        for first in range(0, len(rows), _BATCH):
            connection.execute(statement, rows[first : first + _BATCH])


if __name__ == "__main__":
    main()
