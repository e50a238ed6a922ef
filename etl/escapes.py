"""Characters that JSON can spell but a warehouse cannot hold become U+FFFD.

Postgres stores no NUL, and a lone surrogate is no character at all. Both dialects must tell the same
story, so they are replaced in the raw JSON, where every string and every key is covered at once.
"""

from __future__ import annotations

import re

# Escapes are consumed one by one, so that `\\\\u0000` (a backslash, then plain text) stays as it is.
_ESCAPE = re.compile(
    rb"\\(?:"
    rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair: one character
    rb"|u[0-9a-fA-F]{4}"
    rb"|.)",
    re.DOTALL,
)
_LONE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")
_REPLACEMENT = rb"\ufffd"


def may_hold_unstorable(raw: bytes) -> bool:
    """Whether a closer look is due: a plain search, far cheaper than the replacement."""
    return b"\\u0000" in raw or b"\\ud" in raw or b"\\uD" in raw


def replace_unstorable(raw: bytes) -> tuple[bytes, int]:
    """The JSON text with NUL and lone surrogates replaced, and how many there were."""
    count = 0

    def replace(match: re.Match[bytes]) -> bytes:
        nonlocal count
        escape = match[0]
        if _LONE.fullmatch(escape) is None:
            return escape
        count += 1
        return _REPLACEMENT

    return _ESCAPE.sub(replace, raw), count
