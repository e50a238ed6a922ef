"""The answer as a file without a name, which the kernel removes however the process ends.

A small one stays in memory: to make a file takes longer than to read it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Self

import xxhash
from msgspec import Struct

from etl.errors import ResponseTooLarge, SpoolError

BYTES_IN_MEMORY = 256 * 1024


class Answer(Struct, frozen=True):
    """A whole answer: its bytes as a file, their number and their digest."""

    file: IO[bytes]
    size: int
    digest: bytes

    def close(self) -> None:
        """Give the space back."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Spool:
    """Takes an answer piece by piece while it arrives."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._hash = xxhash.xxh3_128()
        self._file: IO[bytes] = io.BytesIO()
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Append; what no longer fits in memory goes to the system's folder for temporary files (`TMPDIR`).

        Raises ResponseTooLarge past the limit, SpoolError where the disk refuses.
        """
        self.size += len(piece)
        if self.size > self._max_bytes:
            raise ResponseTooLarge(
                f"the answer is longer than api.max_response_bytes ({self._max_bytes:,} bytes)",
                remedy="raise the limit if a workspace can really be that large",
            )
        self._hash.update(piece)
        with spooling():
            if self.size > BYTES_IN_MEMORY and isinstance(self._file, io.BytesIO):
                begun = self._file
                self._file = tempfile.TemporaryFile(prefix="ontora-etl-", buffering=0)  # noqa: SIM115
                _write_all(self._file, begun.getbuffer())
            _write_all(self._file, memoryview(piece))

    def seal(self) -> Answer:
        """What has arrived, as a whole answer."""
        return Answer(self._file, self.size, self._hash.digest())

    def discard(self) -> None:
        """Give the space back: the attempt failed."""
        self._file.close()


@contextmanager
def spooling() -> Iterator[None]:
    """What the disk refuses inside becomes a SpoolError."""
    try:
        yield
    except OSError as error:
        raise _spool_error(error) from error


def _write_all(file: IO[bytes], rest: memoryview) -> None:
    while written := file.write(rest):
        rest = rest[written:]


def _spool_error(error: OSError) -> SpoolError:
    try:
        where = f" in {tempfile.gettempdir()}"
    except OSError:  # there is no such folder that can be written to
        where = ""
    return SpoolError(
        f"cannot keep the answer{where} ({error.strerror or error})",
        remedy="make room there, or point TMPDIR to a disk with room for one answer",
    )
