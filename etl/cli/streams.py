"""The standard streams, guarded: what becomes of the output never changes what a command does.

A reader that has left (`ontora-etl runs | head`) is no error. What could not be written for any other reason
is told at the end, and is exit 1 where nothing worse happened.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Sink(io.FileIO):
    """A descriptor to write to that takes everything; `fault` says why something was lost."""

    fault = ""

    def write(self, piece: ReadableBuffer, /) -> int:
        view = memoryview(piece).cast("B")
        try:
            return super().write(view)
        except BrokenPipeError:
            pass
        except OSError as error:
            self.fault = error.strerror or type(error).__name__
        return len(view)


def guard() -> None:
    """Stand between the program and its standard streams, open or not."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except (
            OSError
        ):  # closed: else the next file to be opened, perhaps the warehouse, would be in its place
            os.open(os.devnull, os.O_RDWR)
    out, err = _Sink(1, "w", closefd=False), _Sink(2, "w", closefd=False)
    sys.stdout = _text(out, sys.stdout, "replace", line_buffering=out.isatty())
    sys.stderr = _text(err, sys.stderr, "backslashreplace", line_buffering=True)


def _text(sink: _Sink, instead_of: TextIO | None, errors: str, *, line_buffering: bool) -> TextIO:
    encoding = instead_of.encoding if instead_of else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(sink), encoding=encoding, errors=errors, line_buffering=line_buffering
    )


def is_terminal(stream: TextIO) -> bool:
    """Whether people look at it: as rich decides, but known before rich is imported."""
    compatible = os.environ.get("TTY_COMPATIBLE", "")
    if compatible in ("0", "1"):
        return compatible == "1"
    force = os.environ.get("FORCE_COLOR")
    return stream.isatty() if force is None else force != ""


def is_unicode(stream: TextIO) -> bool:
    """Whether it can show every character."""
    return codecs.lookup(stream.encoding).name == "utf-8"


def leave(code: int) -> NoReturn:
    """End at once: everything is closed by now, and taking the interpreter apart takes 0.1 s."""
    sys.stdout.flush()
    if fault := getattr(getattr(sys.stdout.buffer, "raw", None), "fault", ""):
        sys.stderr.write(f"error: cannot write the output: {fault}\n")
        code = code or 1
    sys.stderr.flush()
    os._exit(code)
