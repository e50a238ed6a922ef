"""What is sent to COPY, as Postgres itself reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.warehouse import copy_csv
from tests.postgres import PostgresServer

AWKWARD = "\x01\x1d\x1e\x1f\x7f\t\r\n\\N.x\b\f\v\"',[]{}u0001nrtbf\u2028\ufffd\U0001f600"
MARKS = [
    *("", "null", "NULL", r"\N", r"\.", "\\", "\\\\", '"', '",', '","', ',null,"', "],[", "]\n["),
    *("\\n", "\\\n", '\\"', "\\u001f", "\\\\u001f", "\\x00", "true", "12", "\r\n", "\n\\.\n"),
]
COLUMNS = "(place bigint, a text, b text, number bigint, truth boolean, bytes bytea)"

texts = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
    | st.text(st.sampled_from(AWKWARD), max_size=8)
    | st.sampled_from(MARKS)
)
rows = st.tuples(
    texts,
    texts,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.booleans(),
    st.none() | st.binary(max_size=8),
)

Row = tuple[Any, ...]
Read = Callable[[list[Row]], list[Row]]


@pytest.fixture(scope="module")
def read(postgres_server: PostgresServer) -> Iterator[Read]:
    """What Postgres makes of rows that are copied into it."""
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE TEMPORARY TABLE copied {COLUMNS}")

        def copy(copied: list[Row]) -> list[Row]:
            connection.execute("TRUNCATE copied")
            placed = [(place, *row) for place, row in enumerate(copied)]
            with connection.cursor().copy(f"COPY copied FROM STDIN ({copy_csv.OPTIONS})") as into:
                into.write(copy_csv.copy_csv(placed, [5]))
            return connection.execute(
                "SELECT a, b, number, truth, bytes FROM copied ORDER BY place"
            ).fetchall()

        yield copy


@pytest.mark.parametrize("few", [0, 10**6], ids=["many-escapes", "few-escapes"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=6))
def test_a_batch_is_read_as_it_was(
    read: Read, monkeypatch: pytest.MonkeyPatch, few: int, batch: list[Row]
) -> None:
    monkeypatch.setattr(copy_csv, "_FEW_A_ROW", few)
    assert read(batch) == batch


def test_every_character_that_can_be_stored(read: Read) -> None:
    low = "".join(map(chr, range(1, 0x300)))
    rest = "".join(map(chr, [*range(0x2000, 0x2100), *range(0xFFF0, 0x10000), 0x1F600]))
    batch = [(low, rest, 0, True, b""), *[(mark, mark * 2, None, None, bytes(range(256))) for mark in MARKS]]
    assert read(batch) == batch
    assert read(batch * 3) == batch * 3


@pytest.mark.parametrize(
    ("row", "line"),
    [
        pytest.param([None, "", "null"], b'null,"","null"\n', id="null-is-neither-empty-nor-a-word"),
        pytest.param([True, False, 0, -1], b"true,false,0,-1\n", id="numbers"),
        pytest.param(['say "hi"', "C:\\new"], b'"say \\"hi\\"","C:\\\\new"\n', id="csv-escapes"),
        pytest.param(["a\nb\tc\x1f"], b'"a\nb\tc\x1f"\n', id="no-escapes-of-json"),
        pytest.param(["\u05e9\U0001f600"], '"\u05e9\U0001f600"\n'.encode(), id="utf-8"),
    ],
)
def test_a_row_is_spelled_as_csv(row: list[Any], line: bytes) -> None:
    assert copy_csv.copy_csv([row]) == line
    assert copy_csv.copy_csv([row, row]) == line * 2


def test_bytes_are_spelled_in_hexadecimal() -> None:
    assert copy_csv.copy_csv([(1, b"\x00\xff")], [1]) == b'1,"\\\\x00ff"\n'


def test_an_empty_batch_is_empty() -> None:
    assert copy_csv.copy_csv([]) == b""
