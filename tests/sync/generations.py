"""A workspace that changes from answer to answer, and what a warehouse holds after each of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from tests.acceptance.program import Program, id_of, interviews_of
from tests.load.house import House, body, workspace

NAME = "acme"
_Ask = Callable[[str], list[tuple[Any, ...]]]


class State(NamedTuple):
    """Interviews as (id, digest, present), how many versions ended in which way, ids of open rejects."""

    interviews: list[tuple[Any, ...]]
    ended: list[tuple[Any, ...]]
    rejects: list[tuple[Any, ...]]


class NeverKilled:
    """A warehouse that takes the same answers, and in which nothing ever goes wrong."""

    def __init__(self, folder: Path) -> None:
        self._house = House(f"sqlite:///{folder / 'never-killed.db'}")

    def load(self, raw: bytes) -> State:
        """Load the answer; what the warehouse then holds."""
        self._house.load(workspace(UUID(id_of(NAME))), raw)
        return _state(self._rows)

    def history(self) -> list[tuple[Any, ...]]:
        """Every ended version, as (id, digest, change)."""
        return _history(self._rows)

    def close(self) -> None:
        self._house.close()

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._house.warehouse.reading() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]


def answers(count: int, changed_fraction: float = 0.2) -> Iterator[bytes]:
    """Answer after answer: each changes some rows, loses a few, regains some, breaks two."""
    rows = interviews_of(NAME, count)
    yield body(rows)
    generation = 0
    while True:
        generation += 1
        dice = random.Random(generation)
        for place in dice.sample(range(count), int(count * changed_fraction)):
            rows[place] = rows[place] | {"contact_count": generation}
        answer = [row for row in rows if dice.random() > changed_fraction / 7]
        for place in (1, -1):
            answer[place] = answer[place] | {"status": None}
        yield body(answer)


def state_of(program: Program) -> State:
    """What the program's warehouse holds."""
    return _state(program.rows)


def history_of(program: Program) -> list[tuple[Any, ...]]:
    """Every ended version in the program's warehouse, as (id, digest, change)."""
    return _history(program.rows)


def _state(ask: _Ask) -> State:
    present = ask("SELECT id, _row_hash, _deleted_at IS NULL FROM interviews")
    return State(
        sorted((str(interview_id), digest, bool(here)) for interview_id, digest, here in present),
        sorted(ask("SELECT _change, count(*) FROM interviews_history GROUP BY _change")),
        sorted(
            (str(interview_id),)
            for (interview_id,) in ask("SELECT interview_id FROM rejected_rows WHERE resolved_at IS NULL")
        ),
    )


def _history(ask: _Ask) -> list[tuple[Any, ...]]:
    ended = ask("SELECT id, _row_hash, _change FROM interviews_history")
    return sorted((str(interview_id), *rest) for interview_id, *rest in ended)
