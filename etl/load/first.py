"""A workspace's very first load: straight into the table. Half the work of staging it first.

It is a bet that the answer holds each interview once and few rejects. A lost bet costs the time, no more:
the transaction is rolled back, and the ordinary load follows in another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import IO

from sqlalchemy import Connection

from etl.column_types import instant_text
from etl.extract.spool import spooling
from etl.load.job import Counts, Job
from etl.load.reading import Reading
from etl.load.rejects import keep_rejects
from etl.normalize import Reject
from etl.tables import CONTENT_COLUMNS, interview_digests, interviews
from etl.warehouse import Cell, Dialect
from etl.warehouse.dialect import Fault

_COLUMNS = (*CONTENT_COLUMNS, "_first_seen_at", "_synced_at", "_deleted_at", "_run_id")
_MOST_REJECTS = 1000
_MOST_REJECTED_CHARACTERS = 4_000_000
_ID_BYTES = 36
_RECORD_BYTES = _ID_BYTES + 16  # an interview's id as text, the digest of its element
_RECORDS_AT_A_TIME = 10_000
_DIGEST_BYTES_IN_MEMORY = 1024 * 1024


class LostBet(Exception):
    """It is no plain first load: to be rolled back, and loaded once more with `Job.staged`."""


def load_first(
    connection: Connection, dialect: Dialect, reading: Reading, job: Job, observed_at: datetime
) -> Counts:
    """Load every row of the answer as new. Raises LostBet."""
    try:
        return _load(connection, dialect, reading, job, observed_at)
    except dialect.errors as error:
        if dialect.fault(error) is Fault.EXISTS:
            raise LostBet from error
        raise


def _load(
    connection: Connection, dialect: Dialect, reading: Reading, job: Job, observed_at: datetime
) -> Counts:
    rejected: list[Reject] = []
    rejected_characters = 0
    inserted = 0
    written = instant_text(observed_at)
    workspace_id = str(job.workspace_id)
    tail: tuple[Cell, ...] = (written, written, None, job.run_id)
    with tempfile.SpooledTemporaryFile(_DIGEST_BYTES_IN_MEMORY, prefix="ontora-etl-") as digests:
        with dialect.bulk_insert(connection, interviews.name, _COLUMNS) as write:
            for rows, rejects in reading.batches():
                write([row.values + tail for row in rows])
                with spooling():
                    digests.write(b"".join([row.id.encode() + row.digest for row in rows]))
                inserted += len(rows)
                rejected += rejects
                rejected_characters += sum(len(reject.payload) for reject in rejects)
                if len(rejected) > _MOST_REJECTS or rejected_characters > _MOST_REJECTED_CHARACTERS:
                    raise LostBet
        with dialect.bulk_insert(
            connection, interview_digests.name, ("workspace_id", "interview_id", "digest")
        ) as write:
            with spooling():
                digests.seek(0)
            for records in _records(digests):
                write([(workspace_id, record[:_ID_BYTES].decode(), record[_ID_BYTES:]) for record in records])
    if rejected:
        keep_rejects(connection, dialect, job, observed_at, rejected)
    return Counts(received=reading.received, inserted=inserted, rejected=len(rejected))


def _records(file: IO[bytes]) -> Iterator[list[bytes]]:
    while block := file.read(_RECORD_BYTES * _RECORDS_AT_A_TIME):
        yield [block[at : at + _RECORD_BYTES] for at in range(0, len(block), _RECORD_BYTES)]
