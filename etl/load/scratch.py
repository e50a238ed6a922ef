"""The temporary tables of a load: where an answer stands before the warehouse believes it.

The indexes are SQLite's, which joins by looking up. Postgres joins these by hashing, and gets none.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, Table, Text

from etl.column_types import Identifier
from etl.tables import CONTENT_COLUMNS, interviews

_metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s"})


def _scratch(name: str, *columns: Column[Any] | Index) -> Table:
    # A pooler's sessions outlive programs, and these tables live as long: other columns, another name.
    layout = " ".join(f"{c.name} {c.type!r} {c.nullable}" for c in columns if isinstance(c, Column))
    return Table(
        f"ontora_etl_{name}_{crc32(layout.encode()):08x}",
        _metadata,
        *columns,
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )


seen = _scratch(
    "seen",  # every element, by the digest of its bytes
    Column("position", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index(None, "digest"),
)

known = _scratch(
    "known",  # elements whose bytes are those of an interview's last time
    Column("position", BigInteger, nullable=False),
    Column("interview_id", Identifier, nullable=False),
    Index(None, "position"),
    Index(None, "interview_id"),
)

staged = _scratch(
    "staged",  # elements that had to be read: a row, or a reject where `reason` is set
    Column("position", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("reason", Text),
    Column("message", Text),
    Column("payload", Text),
    *(Column(name, interviews.c[name].type) for name in CONTENT_COLUMNS),
    Index(None, "position"),
    Index(None, "id"),
)

classified = _scratch(
    "classified",  # what becomes of each of them, and which interviews are gone
    Column("position", BigInteger),
    Column("id", Identifier, nullable=False),
    Column("fate", Text, nullable=False),
    Column("restored", Boolean, nullable=False),
    Column("old_run_id", BigInteger),
    Column("old_workspace_id", Identifier),
    Index(None, "position"),
)

SCRATCH = (seen, known, staged, classified)

STAGED_COLUMNS = tuple(column.name for column in staged.columns)
