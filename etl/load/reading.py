"""The spooled answer, read window by window into rows and rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO

import msgspec
import xxhash
from msgspec import Struct, field

from etl.errors import SchemaMismatch
from etl.extract import Window, windows
from etl.load.job import Job, warning
from etl.meter import Meter
from etl.normalize import NORMALIZATION_VERSION, Notes, Reject, Row, normalize
from etl.stop import Stop

_SHARE_THAT_IS_NO_ACCIDENT = 0.5


class Reading(Struct):
    """One pass over an answer, and what it has noticed so far."""

    file: IO[bytes]
    job: Job
    meter: Meter
    stop: Stop
    notes: Notes = field(default_factory=Notes)
    received: int = 0
    newest: str = ""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def windows(self) -> Iterator[Window]:
        """The answer's windows; raises Interrupted between two where the process is told to stop."""
        for window in windows(self.file):
            self.stop.check()
            yield window
            self.received = window.first + len(window.elements)
            self.meter.rows = self.received
            self.meter.bytes_loaded = self.file.tell()

    def batches(
        self, wanted: Callable[[int], bool] | None = None
    ) -> Iterator[tuple[list[Row], list[Reject]]]:
        """Rows and rejects, a pair of lists per window, of the wanted positions (all, if not said)."""
        workspace_id, notes = self.job.workspace_id, self.notes
        for window in self.windows():
            notes.replaced_characters += window.replaced
            rows: list[Row] = []
            rejects: list[Reject] = []
            for position, element in enumerate(window.elements, window.first):
                if wanted is not None and not wanted(position):
                    continue
                made = normalize(
                    bytes(element),
                    position,
                    element_digest(element),
                    workspace_id,
                    notes,
                    suspect=window.suspect,
                )
                if isinstance(made, Row):
                    rows.append(made)
                else:
                    rejects.append(made)
            self._note(rows, rejects)
            yield rows, rejects

    def _note(self, rows: list[Row], rejects: list[Reject]) -> None:
        if rows:
            self.newest = max(self.newest, *[row.updated_at for row in rows])
        for reject in rejects:
            kind = (reject.reason, reject.field)
            self.reasons[kind] += 1
            self.examples.setdefault(kind, reject.message)

    @property
    def rejected(self) -> int:
        """How many elements so far are no interviews of this workspace."""
        return self.reasons.total()

    def refuse_drift(self, *, losing: bool) -> None:
        """Raise SchemaMismatch where more than half of the elements were rejected for one reason.

        A single element is no pattern: it is rejected, however small the answer. But where the answer is
        also `losing` interviews, it is not to be believed.
        """
        for kind, times in self.reasons.most_common(1):
            if (times > 1 or losing) and times > self.received * _SHARE_THAT_IS_NO_ACCIDENT:
                raise SchemaMismatch(
                    f"{times} of {self.received} rows were rejected for one reason ({self.examples[kind]})",
                    remedy="the API seems to have changed: nothing was applied; look for a newer ontora-etl",
                )

    def warnings(self) -> list[dict[str, object]]:
        """What was mended in the elements that were read."""
        found = []
        if count := self.notes.naive_instants:
            found.append(
                warning("naive_instants", f"{count} instants without an offset, taken as UTC", count=count)
            )
        if count := self.notes.replaced_characters:
            message = f"{count} NUL characters or lone surrogates, stored as U+FFFD"
            found.append(warning("replaced_characters", message, count=count))
        return found


def element_digest(raw: bytes | msgspec.Raw) -> bytes:
    """16 bytes that tell an element's raw bytes, and the way of reading them, from all others."""
    return xxhash.xxh3_128_digest(raw, NORMALIZATION_VERSION)
