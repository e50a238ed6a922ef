r"""Rows → COPY's CSV format, by way of JSON, which msgspec writes many times faster than Python could.

A JSON array is a line of CSV but for its brackets and its escapes. Text is quoted, and `\` stands before a
quote and before itself, as ESCAPE says; a bare `null` is NULL, and no quoted text is. But `\n` and the like
are JSON's alone: CSV has the characters themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from etl.warehouse.dialect import Cell

OPTIONS = r"FORMAT csv, NULL 'null', ESCAPE E'\\'"

_encode = msgspec.json.Encoder().encode
# A pair of backslashes is passed over whole, so that what follows is not taken for its second half.
_ESCAPE = re.compile(rb"\\(?:\\|[nrtbf]|u00[0-9a-f]{2})")
_CHARACTERS = {rb"\n": b"\n", rb"\r": b"\r", rb"\t": b"\t", rb"\b": b"\b", rb"\f": b"\f", rb"\\": rb"\\"}
_PAIR = b"\x1e"  # JSON spells out no control character
_FEW_A_ROW = 32  # from about here on, passes over the whole text are faster


def copy_csv(rows: Sequence[Sequence[Cell]], binary: Sequence[int] = ()) -> bytes:
    """The rows in COPY's CSV format with OPTIONS, UTF-8; `binary` are the places of cells that are bytes."""
    if not rows:
        return b""
    lines = [_encode(row)[1:-1] for row in (_spelled(rows, binary) if binary else rows)]
    text = b"\n".join(lines) + b"\n"
    escapes = text.count(b"\\")
    if not escapes:
        return text
    return _some_replaced(text) if escapes <= _FEW_A_ROW * len(rows) else _many_replaced(text)


def _spelled(rows: Sequence[Sequence[Cell]], binary: Sequence[int]) -> Iterable[list[Cell]]:
    for row in rows:
        cells = list(row)
        for at in binary:
            if isinstance(cell := cells[at], bytes):
                cells[at] = "\\x" + cell.hex()
        yield cells


def _some_replaced(text: bytes) -> bytes:
    return _ESCAPE.sub(_character, text)


def _many_replaced(text: bytes) -> bytes:
    text = text.replace(rb"\\", _PAIR)
    for escape, character in _CHARACTERS.items():
        if escape in text:
            text = text.replace(escape, character)
    if rb"\u" in text:  # rare
        return _ESCAPE.sub(_character, text.replace(_PAIR, rb"\\"))
    return text.replace(_PAIR, rb"\\")


def _character(escape: re.Match[bytes]) -> bytes:
    return _CHARACTERS.get(escape[0]) or bytes([int(escape[0][4:], 16)])
