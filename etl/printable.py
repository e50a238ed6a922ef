"""Text from elsewhere, made fit for one line: of a terminal, a log, a table."""

from __future__ import annotations

LONGEST_NAME = 60
"""Of a field that the API invents."""


def printable(text: str, longest: int) -> str:
    """The text on one line and no longer than so: control characters, which may move a cursor, become `?`."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text[: longest + 1])
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
