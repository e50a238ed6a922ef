"""Ontora's webhooks: whether one is genuine and new. It is a hint to sync, and nothing in it is data."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from etl.config import Workspace, read_secret_env
from etl.errors import ConfigError
from etl.serve.deliveries import Deliveries
from etl.serve.face import DaemonFace

log = logging.getLogger("ontora_etl.serve")

MOST_BODY_BYTES = 64 * 1024
SKEW = timedelta(minutes=5)
BODY_SECONDS = 10.0
SETTLE_SECONDS = 2.0  # hooks of so many seconds become one sync
_PREFIX = "sha256="
_MILLISECONDS_FROM = 10_000_000_000  # a greater number of seconds would be the year 2286


class Refused(Exception):
    """The webhook is not heeded: the HTTP status, and how the metrics count it."""

    def __init__(self, status: int, outcome: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome


@dataclass(slots=True)
class Webhooks:
    """`POST /webhooks/{workspace}`. `count` is told of each: the workspace's name, and what came of it."""

    daemon: DaemonFace
    deliveries: Deliveries
    count: Callable[[str, str], None]
    environ: Mapping[str, str]
    clock: Callable[[], datetime]
    _decoy: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _soon: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    async def receive(self, request: Request) -> Response:
        """The answer: 202 for a new one, 200 for one heard before, else why not."""
        name: str = request.path_params["workspace"]
        workspace = self._workspace(name)
        try:
            body = await _body(request)
            delivery_id = self._check(request, body, workspace)
        except Refused as refusal:
            self.count(workspace.name if workspace else "", refusal.outcome)
            log.info("webhook for %.80r refused: %s", name, refusal)
            headers = {"Connection": "close"} if refusal.status in {408, 413} else None
            return JSONResponse({"detail": str(refusal)}, refusal.status, headers)
        if not self.deliveries.is_new(workspace.id, delivery_id, body):  # type: ignore[union-attr]
            self.count(name, "replayed")
            return JSONResponse({"status": "heard before"}, 200)
        self.count(name, "accepted")
        self._sync_soon(name)
        return JSONResponse({"status": "accepted"}, 202)

    def close(self) -> None:
        """Forget the syncs that were to come: the next start finds the webhooks in the warehouse."""
        for timer in self._soon.values():
            timer.cancel()

    def _workspace(self, name: str) -> Workspace | None:
        found = None
        for workspace in self.daemon.settings.workspaces:
            if workspace.name == name and workspace.enabled and workspace.webhook_secret_env:
                found = workspace
        return found

    def _check(self, request: Request, body: bytes, workspace: Workspace | None) -> UUID:
        """The delivery's id. Raises Refused unless all is as Ontora sends it."""
        secret = self._secret(workspace)
        # Signed and compared for an unknown workspace too: how long it takes tells nothing.
        genuine = _is_signed(request, body, secret or self._decoy)
        if workspace is None or secret is None:
            raise Refused(404, "unknown_workspace", "no webhooks are expected for this workspace")
        if not genuine:
            raise Refused(401, "bad_signature", "the signature is missing or wrong")
        sent_at = _timestamp(body)
        if abs(self.clock() - sent_at) > SKEW:
            raise Refused(401, "stale", "the timestamp is more than five minutes away from now")
        return _delivery_id(request)

    def _secret(self, workspace: Workspace | None) -> bytes | None:
        if workspace is None:
            return None
        try:
            return read_secret_env(workspace.webhook_secret_env, self.environ).reveal().encode()
        except ConfigError as error:
            log.warning("workspace %s: webhooks are refused: %s", workspace.name, error)
            return None

    def _sync_soon(self, name: str) -> None:
        if name not in self._soon:
            loop = asyncio.get_running_loop()
            self._soon[name] = loop.call_later(SETTLE_SECONDS, self._sync, name)

    def _sync(self, name: str) -> None:
        del self._soon[name]
        self.daemon.request_sync(name, "webhook")


async def _body(request: Request) -> bytes:
    too_large = Refused(413, "too_large", f"the body is larger than {MOST_BODY_BYTES} bytes")
    if (
        int(request.headers.get("content-length", "0")) > MOST_BODY_BYTES
    ):  # h11 lets nothing but digits through
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Refused(408, "slow", "the body did not come in time") from None
    except ClientDisconnect:
        raise Refused(400, "malformed", "the body did not come whole") from None
    return bytes(body)


def _is_signed(request: Request, body: bytes, secret: bytes) -> bool:
    expected = _PREFIX + hmac.new(secret, body, hashlib.sha256).hexdigest()
    given = request.headers.getlist("x-ontora-signature")
    signature = given[0].strip() if len(given) == 1 else ""
    return hmac.compare_digest(signature.encode("latin-1"), expected.encode())


def _timestamp(body: bytes) -> datetime:
    """When the webhook says that it was sent. Raises Refused for what is no such JSON object."""
    malformed = Refused(400, "malformed", "the body is not a JSON object with a timestamp")
    try:
        document: Any = msgspec.json.decode(body)
        stamp = document["timestamp"]
        if isinstance(stamp, str):
            instant = datetime.fromisoformat(stamp.strip())
        elif isinstance(stamp, int | float) and not isinstance(stamp, bool):
            instant = datetime.fromtimestamp(stamp / 1000 if stamp >= _MILLISECONDS_FROM else stamp, UTC)
        else:
            raise malformed
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError, ValueError, OverflowError, OSError):
        raise malformed from None


def _delivery_id(request: Request) -> UUID:
    given = request.headers.get("x-ontora-delivery-id", "")
    try:
        if len(given) == len(str(UUID(int=0))):
            return UUID(given)
    except ValueError:
        pass
    raise Refused(400, "malformed", "X-Ontora-Delivery-Id is not a uuid")
