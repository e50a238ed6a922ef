"""Step 1, stage: the answer into scratch tables, reading only the elements whose bytes are new."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from etl.load import sql
from etl.load.job import Job
from etl.load.reading import Reading, element_digest
from etl.load.scratch import SCRATCH, STAGED_COLUMNS, known, seen, staged
from etl.normalize import Reject
from etl.tables import CONTENT_COLUMNS
from etl.warehouse import Cell, Dialect

_FETCHED_AT_A_TIME = 10_000
_AFTER_ID = (None,) * (len(CONTENT_COLUMNS) - 2)


def stage(connection: Connection, dialect: Dialect, reading: Reading, job: Job, *, by_digest: bool) -> None:
    """Fill `seen`, `known` and `staged` from the answer; the counts of `reading` are then complete.

    By digest, an element that came with equal bytes last time is known and not read again: that costs a
    hundredth of reading it.
    """
    dialect.create_scratch(connection, SCRATCH)
    wanted = None
    if by_digest:
        _stage_digests(connection, dialect, reading)
        dialect.analyze(connection, (seen,))
        connection.execute(sql.STAGE_KNOWN, {"workspace_id": job.workspace_id})
        wanted = _unknown_positions(connection, reading.received)
    with dialect.bulk_insert(connection, staged.name, STAGED_COLUMNS) as write:
        for rows, rejects in reading.batches(wanted):
            write([(row.position, row.digest, None, None, None, *row.values) for row in rows])
            write(staged_rejects(rejects))
    dialect.analyze(connection, (known, staged))


def staged_rejects(rejects: Iterable[Reject]) -> list[tuple[Cell, ...]]:
    """Rejects as rows of `staged`: the id where legible; for `_row_hash` the digest of the payload."""
    return [
        (
            reject.position,
            b"",
            reject.reason,
            reject.message,
            reject.payload,
            reject.interview_id,
            *_AFTER_ID,
            element_digest(reject.payload.encode()).hex(),
        )
        for reject in rejects
    ]


def _stage_digests(connection: Connection, dialect: Dialect, reading: Reading) -> None:
    with dialect.bulk_insert(connection, seen.name, ("position", "digest")) as write:
        for window in reading.windows():
            write([(n, element_digest(element)) for n, element in enumerate(window.elements, window.first)])


def _unknown_positions(connection: Connection, received: int) -> Callable[[int], bool]:
    """Whether the element at a position must be read; one bit of memory per element."""
    bits = bytearray(received // 8 + 1)
    stream = {"yield_per": _FETCHED_AT_A_TIME}
    with connection.execute(sql.UNKNOWN_POSITIONS, execution_options=stream) as result:
        for (position,) in result:
            bits[position >> 3] |= 1 << (position & 7)
    return lambda position: bool(bits[position >> 3] & (1 << (position & 7)))
