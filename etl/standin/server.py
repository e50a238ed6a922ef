"""A stand-in for the Ontora API on this machine: the documented contract, and faults on request.

Source: the API's documentation of authentication, errors and `GET /v1/interviews`.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from etl.standin.faults import Fault
from etl.standin.misbehaviour import act
from etl.standin.world import Census, Seen, World

_PATH = "/v1/interviews"
_SCOPE = "interviews"
_PACED_BYTES = 512 * 1024


class StandIn:
    """The stand-in API, listening from `with` on. All methods may be called from any thread at any time."""

    def __init__(
        self, *, port: int = 0, gzip: bool = False, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.gzip = gzip
        self.latency_seconds = 0.0
        self.bytes_per_second: float | None = None  # the wire's pace for files; None for as fast as it goes
        self.requests: list[Seen] = []
        self.census = Census()
        self.worlds: dict[str, World] = {}
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.api = self
        if ssl_context is not None:
            self._server.socket = ssl_context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if ssl_context else "http"
        self.base_url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="stand-in", daemon=True
        ).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()  # ends every stall
        self._server.shutdown()
        self._server.server_close()

    @property
    def peak_connections(self) -> int:
        """The most connections that were ever open at once."""
        return self.census.peak

    @property
    def open_connections(self) -> int:
        """The connections that are open now."""
        return self.census.open

    def add_workspace(
        self,
        workspace_id: uuid.UUID | str,
        *,
        key: str,
        interviews: Iterable[Mapping[str, Any]] = (),
        scopes: tuple[str, ...] = (_SCOPE,),
        expired: bool = False,
    ) -> None:
        """A workspace with one key; `expired` keys and keys without the scope are refused as documented."""
        world = World(key, scopes, expired)
        world.set_interviews(interviews)
        self.worlds[str(workspace_id)] = world

    def set_key(self, workspace_id: uuid.UUID | str, key: str) -> None:
        """The workspace's key is rotated."""
        self.worlds[str(workspace_id)].key = key

    def set_interviews(self, workspace_id: uuid.UUID | str, interviews: Iterable[Mapping[str, Any]]) -> None:
        """The workspace's interviews from now on."""
        self.worlds[str(workspace_id)].set_interviews(interviews)

    def set_body(
        self,
        workspace_id: uuid.UUID | str,
        raw: bytes | Path,
        *,
        content_type: str = "application/json",
        encoding: str | None = None,
    ) -> None:
        """Answer these bytes, whatever the filters; a file is sent without being read into memory."""
        world = self.worlds[str(workspace_id)]
        world.body, world.content_type, world.encoding = raw, content_type, encoding

    def script(self, workspace_id: uuid.UUID | str, *faults: Fault) -> None:
        """Misbehave in the next requests, a fault each; afterwards answer as usual."""
        self.worlds[str(workspace_id)].faults.extend(faults)

    def always(self, workspace_id: uuid.UUID | str, fault: Fault | None) -> None:
        """Misbehave in every request until told otherwise."""
        self.worlds[str(workspace_id)].standing_fault = fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    api: StandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent: clients that hang up, and faults that hang up on them, are the point."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ontora-stand-in"
    sys_version = ""
    server: _Server
    closing: threading.Event

    def setup(self) -> None:
        super().setup()
        self.closing = self.server.api.closing
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self) -> None:
        with self.server.api.census:
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Silent."""

    def do_GET(self) -> None:  # the base class's name
        api = self.server.api
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        auth, key = self._credentials()
        self._record(parts.path, query, auth)
        if api.latency_seconds:
            self.closing.wait(api.latency_seconds)
        if parts.path != _PATH:
            self._say(404, {"detail": "Not Found"})
            return
        world = self._allowed(query, key)
        if world is None:
            return
        body = world.answer(query.get("project_id"), query.get("status"))
        fault = world.faults.popleft() if world.faults else world.standing_fault
        if fault is not None:
            act(self, fault, body.read_bytes() if isinstance(body, Path) else body)
        elif isinstance(body, Path):
            self._send_file(body)
        else:
            headers = {"Content-Encoding": world.encoding} if world.encoding else {}
            self.answer(200, body, headers, world.content_type)

    def _credentials(self) -> tuple[str | None, str | None]:
        if key := self.headers.get("x-api-key"):
            return "api_key", key
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return ("bearer", token) if scheme.lower() == "bearer" and token else (None, None)

    def _record(self, path: str, query: dict[str, str], auth: str | None) -> None:
        secret = {"x-api-key", "authorization"}
        headers = {k.lower(): v for k, v in self.headers.items() if k.lower() not in secret}
        self.server.api.requests.append(
            Seen("GET", path, query, headers, auth, query.get("workspace_id"), time.monotonic())
        )

    def _allowed(self, query: Mapping[str, str], key: str | None) -> World | None:
        """The workspace asked for, or None where the request was refused as documented."""
        worlds = self.server.api.worlds
        owner = next((world for world in worlds.values() if key is not None and world.key == key), None)
        if owner is None or owner.expired:
            self._say(401, {"detail": "Invalid or missing API key", "code": "invalid_api_key"})
            return None
        problems = [_not_a_uuid(name) for name in ("workspace_id", "project_id") if not _is_uuid(query, name)]
        if problems:
            self._say(422, {"detail": problems})
            return None
        asked = worlds.get(str(uuid.UUID(query["workspace_id"])))
        if asked is None or asked.key != key:
            self._say(403, {"detail": "The key is bound to another workspace", "code": "workspace_forbidden"})
            return None
        if _SCOPE not in asked.scopes:
            self._say(403, {"detail": f"The key lacks the scope {_SCOPE}", "code": "insufficient_scope"})
            return None
        return asked

    def _say(self, status: int, answer: Mapping[str, Any]) -> None:
        self.answer(status, json.dumps(answer).encode())

    def answer(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Send a complete response, packed where both sides want it."""
        sent = {"Content-Type": content_type or "application/json", **(headers or {})}
        wanted = "gzip" in self.headers.get("accept-encoding", "")
        if self.server.api.gzip and wanted and status == 200 and "Content-Encoding" not in sent:  # noqa: PLR2004
            body = gzip.compress(body, 1)
            sent["Content-Encoding"] = "gzip"
        self.connection.sendall(self.head(status, {"Content-Length": str(len(body)), **sent}) + body)

    def head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Status line and headers, with the request id that every answer carries."""
        reason = self.responses.get(status, ("",))[0]
        lines = [f"HTTP/1.1 {status} {reason}", f"x-request-id: req_{uuid.uuid4().hex[:12]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _send_file(self, path: Path) -> None:
        headers = {"Content-Type": "application/json", "Content-Length": str(path.stat().st_size)}
        self.connection.sendall(self.head(200, headers))
        pace, began = self.server.api.bytes_per_second, time.monotonic()
        with path.open("rb") as file:
            if pace is None:
                self.connection.sendfile(file)
                return
            while self.connection.sendfile(file, file.tell(), _PACED_BYTES):
                self.closing.wait(max(0.0, began + file.tell() / pace - time.monotonic()))


def _is_uuid(query: Mapping[str, str], name: str) -> bool:
    if name not in query:
        return name != "workspace_id"
    try:
        uuid.UUID(query[name])
    except ValueError:
        return False
    return True


def _not_a_uuid(name: str) -> dict[str, Any]:
    return {"loc": ["query", name], "msg": "Input should be a valid UUID", "type": "uuid_parsing"}
