"""The spooled array, cut into small pieces, each a list of raw elements.

A piece is cut where the parser itself proves the cut right: the text before a comma, closed with `]`,
parses as an array only if that comma stands between two elements. Inside a string or a nested value the
piece would stay open. So memory holds one window, however long the answer (promise 8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

import msgspec

from etl.errors import UnexpectedAnswer
from etl.escapes import may_hold_unstorable, replace_unstorable

# Twice as fast as windows of MiB: pieces of this size stay in the processor's cache and the heap.
WINDOW_BYTES = 256 * 1024
_MOST_CUTS_TRIED = 4  # nearly always the first or second is right; then the brackets are counted
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_holds_nul = re.compile(rb"\\u0000").search  # twice as fast as `in`
_BLANK = b" \t\r\n"
_FIRST_LOOK_BYTES = 16
_DEEPEST = 100_000  # no parser goes so far; to count on would only take time
# How an element begins: with the same key as the others, and hardly as an object inside one.
_HEAD = re.compile(rb'[ \t\r\n]*(\{[ \t\r\n]*"[^"\\]*")')

# Strings, and brackets without brackets inside, are passed over whole. Nothing is given back (`++`, `*+`),
# so no text is read twice. Which bracket closes which is left to the parser.
# A loop ends in its empty alternative: before 3.11.5, Python went on where the last, failed round stood.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+|)*+"'
_LEAF = rb'[\[{](?:[^"\[\]{}]++|%b|)*+[\]}]' % _STRING
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|%b|%b|)*+(?P<bracket>[\[\]{}])' % (_STRING, _LEAF), re.DOTALL)
_BETWEEN_COMMAS = rb'(?:[^"\[\]{},]++|%b|%b|)*+' % (_STRING, _LEAF)
_OUTSIDE = re.compile(
    rb"(?:%b,|)*+(?P<after_comma>)%b(?P<bracket>[\[\]{}])?" % (_BETWEEN_COMMAS, _BETWEEN_COMMAS), re.DOTALL
)

_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Window(msgspec.Struct, gc=False):
    """Some elements in their order; `first` is the position of the first one, from 0.

    `replaced` counts the characters that no warehouse could hold, where the parser stumbled over them;
    `suspect` says that there may be more: NULs, over which it does not stumble.
    """

    first: int
    elements: list[msgspec.Raw]
    suspect: bool
    replaced: int = 0


def windows(file: IO[bytes], window_bytes: int = WINDOW_BYTES) -> Iterator[Window]:
    """The array's elements, window by window.

    Raises UnexpectedAnswer unless the file is exactly one complete JSON array.
    """
    file.seek(0)
    text = _skip_to_array(file)
    wanted = max(window_bytes, len(text) + 1)
    first = 0
    while True:
        text = _filled(text, file, wanted)
        if len(text) < wanted:
            if first and text.strip(_BLANK) == b"]":
                raise _not_an_array("a comma stands before the closing bracket")
            yield _last(text, first)
            return
        cut = _cut(text, first)
        if cut is None:
            if (short := _without_blanks_behind(text, first)) is None:
                wanted = 2 * max(wanted, len(text))
            else:
                text, wanted = short, max(window_bytes, 2 * len(short))
            continue
        window, end = cut
        yield window
        first += len(window.elements)
        text = text[end:]
        wanted = max(window_bytes, 2 * len(text))


def _filled(text: bytes, file: IO[bytes], wanted: int) -> bytes:
    """The text with so much more of the file that it is as long as wanted; shorter only at the file's end.

    Blanks before it are left out: there may be any number.
    """
    text = text.lstrip(_BLANK)
    while len(text) < wanted and (read := file.read(wanted - len(text))):
        text = text + read if text else read.lstrip(_BLANK)
    return text


def _without_blanks_behind(text: bytes, first: int) -> bytes | None:
    """The text with one blank for the many at its end; None where it has few, or they may be an element's."""
    short = text.rstrip(_BLANK)
    if 2 * len(short) > len(text):  # so that reading it costs no more than the blanks
        return None
    is_whole = _parse(short, first) or (short.endswith(b"]") and _parse(short[:-1], first))
    return short + b" " if is_whole else None


def _skip_to_array(file: IO[bytes]) -> bytes:
    start = file.read(_FIRST_LOOK_BYTES).removeprefix(_BYTE_ORDER_MARK)
    while not start.lstrip(_BLANK):
        start = file.read(4096)
        if not start:
            raise _not_an_array("it is empty")
    start = start.lstrip(_BLANK)
    if start[:1] != b"[":
        kinds = {b"{": "an object", b"<": "a page of HTML or XML", b"n": "null", b'"': "a string"}
        raise _not_an_array(f"it is {kinds.get(start[:1], 'something else')}")
    return start[1:]


def _cut(text: bytes, first: int) -> tuple[Window, int] | None:
    """The elements before the last comma that separates two, and where the rest begins."""
    if head := _HEAD.match(text):
        at = len(text)
        for _ in range(_MOST_CUTS_TRIED):  # a wrong guess costs a parse
            at = text.rfind(head[1], 0, at)
            if at < 0:
                break
            before = text[:at].rstrip(_BLANK)
            if before.endswith(b",") and (window := _parse(before[:-1], first)):
                return window, at
    return _cut_by_depth(text, first)


def _cut_by_depth(text: bytes, first: int) -> tuple[Window, int] | None:
    """The elements before the last comma outside every bracket and string: exact, but read from the start.

    So a window grows for one large element only, never because guesses fall inside elements.
    """
    comma = -1
    depth = at = 0
    while found := (_INSIDE if depth else _OUTSIDE).match(text, at):
        if not depth and found.end("after_comma") > at:
            comma = found.end("after_comma") - 1
        bracket = found["bracket"]
        if bracket is not None and bracket in b"[{":
            depth += 1
            if depth > _DEEPEST:
                raise _not_an_array("it is nested too deeply")
        elif depth:
            depth -= 1
        elif bracket == b"}" or (bracket and text[found.end() :].strip(_BLANK)):  # behind the array's own
            raise _not_an_array("it is malformed")
        else:  # the end, or that of what was read
            break
        at = found.end()
    if comma < 0:
        return None
    if not text[:comma].strip(_BLANK):
        raise _not_an_array("it begins with a comma")
    if window := _parse(text[:comma], first):
        return window, comma + 1
    raise _not_an_array("it is malformed")


def _parse(piece: bytes, first: int) -> Window | None:
    text = b"[%b]" % piece
    try:
        return Window(first, _decode_array(text), _holds_nul(text) is not None)
    except RecursionError:
        raise _not_an_array("it is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _parse_mended(text, first)


def _parse_mended(text: bytes, first: int) -> Window | None:
    # The parser refuses lone surrogates; the sender may spell them all the same.
    if not may_hold_unstorable(text):
        return None
    mended, replaced = replace_unstorable(text)
    if not replaced:
        return None
    try:
        return Window(first, _decode_array(mended), suspect=False, replaced=replaced)
    except RecursionError:
        raise _not_an_array("it is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _last(text: bytes, first: int) -> Window:
    whole = b"[" + text
    try:
        return Window(first, _decode_array(whole), _holds_nul(whole) is not None)
    except RecursionError:
        raise _not_an_array("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise _not_an_array("it is not UTF-8") from None
    except msgspec.MsgspecError as error:
        if mended := _parse_mended(whole, first):
            return mended
        raise _not_an_array(f"it is cut short or malformed: {error}") from None


def _not_an_array(why: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"the answer is not one complete JSON array: {why}",
        remedy="a proxy or an outage may have answered; nothing was applied, the next run asks again",
    )
