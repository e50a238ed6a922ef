"""How each fault looks on the wire. What cannot be said through HTTP is written to the socket itself."""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Mapping
from typing import Protocol

from etl.standin import faults
from etl.standin.faults import Fault


class Wire(Protocol):
    """A connection whose request has been read."""

    connection: socket.socket
    close_connection: bool
    closing: threading.Event

    def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = ""
    ) -> None:
        """Send a complete, well-formed response."""

    def head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """The bytes of a status line and headers."""


def act(wire: Wire, fault: Fault, body: bytes) -> None:
    """Misbehave; `body` is what a well-behaved answer would have held."""
    match fault:
        case faults.Status(code, raw, headers, content_type):
            wire.answer(code, raw, headers, content_type)
        case faults.Body(raw, content_type, status, headers):
            wire.answer(status, raw, headers, content_type)
        case faults.RateLimit(retry_after):
            headers = {} if retry_after is None else {"Retry-After": retry_after}
            wire.answer(429, b'{"detail":"Too many requests","code":"rate_limited"}', headers)
        case faults.Redirect(code, location):
            wire.answer(code, b"", {"Location": location})
        case faults.BrokenGzip():
            wire.answer(200, b"this is no gzip", {"Content-Encoding": "gzip"})
        case faults.CloseAfter():
            wire.answer(200, body)
            wire.close_connection = True
        case faults.Latency(seconds):
            wire.closing.wait(seconds)
            wire.answer(200, body)
        case _:
            _break(wire, fault, body)


def _break(wire: Wire, fault: Fault, body: bytes) -> None:  # noqa: C901  # one fault, one case
    wire.close_connection = True
    head = wire.head(200, {"Content-Length": str(len(body)), "Content-Type": "application/json"})
    match fault:
        case faults.ResetBeforeHeaders():
            _reset(wire.connection)
        case faults.ResetMidBody(after_bytes):
            wire.connection.sendall(head + body[:after_bytes])
            wire.closing.wait(0.05)  # else the reset may overtake what was sent
            _reset(wire.connection)
        case faults.ShortBody(missing_bytes):
            wire.connection.sendall(head + body[:-missing_bytes])
        case faults.ChunkedWithoutEnd():
            chunked = wire.head(200, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"})
            wire.connection.sendall(chunked + b"%x\r\n%b\r\n" % (len(body), body))
        case faults.SilentHeaders(seconds):
            wire.closing.wait(seconds)
        case faults.StallMidBody(after_bytes, seconds):
            wire.connection.sendall(head + body[:after_bytes])
            wire.closing.wait(seconds)
        case faults.Drip(bytes_per_second):
            _drip(wire, body, 1 / bytes_per_second)
        case faults.DripHeaders(headers_per_second):
            wire.connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not wire.closing.wait(1 / headers_per_second):
                wire.connection.sendall(b"X-More: to come\r\n")
        case faults.GzipBomb(inflated_bytes):
            _explode(wire, inflated_bytes)
        case _:
            raise AssertionError(f"no such fault: {fault}")


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _drip(wire: Wire, body: bytes, pause_seconds: float) -> None:
    wire.connection.sendall(
        wire.head(200, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"})
    )
    position = 0
    while not wire.closing.wait(pause_seconds):
        piece = body[position : position + 1] or b" "
        wire.connection.sendall(b"1\r\n%b\r\n" % piece)
        position += 1


def _explode(wire: Wire, inflated_bytes: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blanks = b" " * 1_000_000
    packed = b"".join(packer.compress(blanks) for _ in range(inflated_bytes // len(blanks))) + packer.flush()
    headers = {
        "Content-Length": str(len(packed)),
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    wire.connection.sendall(wire.head(200, headers) + packed)
