"""COPY's text format, read back by its documented rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.warehouse import Cell
from etl.warehouse.copy_text import copy_text

SEPARATORS = "\x1d\x1e\x1f"
AWKWARD = SEPARATORS + "\t\r\n\\N.x\b\f\v\"',\u2028\ufffd\U0001f600"
UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

texts = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
    | st.text(st.sampled_from(AWKWARD), max_size=6)
    | st.sampled_from(["", r"\N", r"\.", "\\", "\\\t", "\\\n", "NULL", "\\x00"])
)
cells = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=8) | texts
batches = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6)
)


def parsed(copied: bytes) -> list[list[str | None]]:
    """Rows of cells, as the server reads them: None for NULL, text for the rest."""
    text = copied.decode()
    assert text == "" or text.endswith("\n")
    assert "\r" not in text  # COPY takes a bare one for the end of a line, and complains
    return [[cell(part) for part in line.split("\t")] for line in text.split("\n")[:-1]]


def cell(part: str) -> str | None:
    if part == r"\N":
        return None
    return re.sub(r"\\(.)", lambda escape: UNESCAPED.get(escape[1], escape[1]), part, flags=re.DOTALL)


def sent(value: Cell) -> str | None:
    if value is None:
        return None
    return "\\x" + value.hex() if isinstance(value, bytes) else str(value)


@settings(deadline=None)
@given(batches)
def test_a_batch_is_read_back_as_it_was(rows: list[list[Cell]]) -> None:
    copied = copy_text(rows)
    assert parsed(copied) == [[sent(value) for value in row] for row in rows]
    assert b"\\.\n" not in copied.split(b"\\\\.\n")  # the old mark of the end


@settings(deadline=None)
@given(batches)
def test_the_fast_path_and_the_cell_by_cell_path_agree(rows: list[list[Cell]]) -> None:
    # A row that holds a separator sends the whole batch the slow way; its own line is then cut off.
    width = len(rows[0]) if rows else 1
    for separator in SEPARATORS:
        marked: list[list[Cell]] = [*rows, [separator] * width]
        last = ("\t".join([separator] * width) + "\n").encode()
        assert copy_text(marked) == copy_text(rows) + last


@pytest.mark.parametrize(
    ("row", "line"),
    [
        pytest.param([None, "", "None"], b"\\N\t\tNone\n", id="null-is-not-empty-text"),
        pytest.param(["\\N", "\\."], b"\\\\N\t\\\\.\n", id="text-that-looks-like-a-mark"),
        pytest.param([True, False, 0, -1], b"True\tFalse\t0\t-1\n", id="numbers"),
        pytest.param([b"\x00\xff"], b"\\\\x00ff\n", id="bytes"),
        pytest.param(["a\tb\nc\rd\\e"], b"a\\tb\\nc\\rd\\\\e\n", id="escapes"),
        pytest.param(["\x1f", None, "\x1e"], b"\x1f\t\\N\t\x1e\n", id="our-own-separators"),
        pytest.param(["\x1d", None], b"\x1d\t\\N\n", id="our-own-null"),
        pytest.param(["\u05e9\U0001f600"], "\u05e9\U0001f600\n".encode(), id="utf-8"),
    ],
)
def test_a_row_is_spelled_as_copy_wants_it(row: list[Cell], line: bytes) -> None:
    assert copy_text([row]) == line
    assert copy_text([row, row]) == line * 2


def test_an_empty_batch_is_empty() -> None:
    assert copy_text([]) == b""
