"""The ways in which the stand-in API can misbehave, each a small fact; `misbehaviour.py` acts them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Status:
    """Answers with this status and body."""

    code: int
    body: bytes = b'{"detail":"as told"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """429, with this Retry-After where one is given."""

    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect to another address."""

    code: int
    location: str


@dataclass(frozen=True, slots=True)
class Body:
    """Answers with these bytes, whatever the workspace holds."""

    raw: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResetBeforeHeaders:
    """Resets the connection once the request is read."""


@dataclass(frozen=True, slots=True)
class ResetMidBody:
    """Resets the connection after so many bytes of the body."""

    after_bytes: int = 10


@dataclass(frozen=True, slots=True)
class ShortBody:
    """Closes the connection so many bytes before the announced length."""

    missing_bytes: int = 1


@dataclass(frozen=True, slots=True)
class ChunkedWithoutEnd:
    """Sends the whole body in chunks, but never the last, empty one."""


@dataclass(frozen=True, slots=True)
class SilentHeaders:
    """Reads the request, then says nothing for so long."""

    seconds: float = 3600


@dataclass(frozen=True, slots=True)
class StallMidBody:
    """Sends so many bytes of the body, then nothing for so long."""

    after_bytes: int = 10
    seconds: float = 3600


@dataclass(frozen=True, slots=True)
class Drip:
    """Sends the body so slowly, and blanks for ever after."""

    bytes_per_second: float = 10


@dataclass(frozen=True, slots=True)
class DripHeaders:
    """Sends header after header, one a tick, and never an end."""

    headers_per_second: float = 5


@dataclass(frozen=True, slots=True)
class GzipBomb:
    """A small gzip body that inflates to so many bytes of blanks."""

    inflated_bytes: int


@dataclass(frozen=True, slots=True)
class BrokenGzip:
    """Says gzip, and sends something else."""


@dataclass(frozen=True, slots=True)
class CloseAfter:
    """Answers as usual, then closes the connection that it had promised to keep."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Answers as usual, so much later."""

    seconds: float


Fault = (
    Status
    | RateLimit
    | Redirect
    | Body
    | ResetBeforeHeaders
    | ResetMidBody
    | ShortBody
    | ChunkedWithoutEnd
    | SilentHeaders
    | StallMidBody
    | Drip
    | DripHeaders
    | GzipBomb
    | BrokenGzip
    | CloseAfter
    | Latency
)
