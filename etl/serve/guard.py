"""Around every answer: the token, the few methods there are, strict headers, and no fault that gets out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etl.secret import Secret

log = logging.getLogger("ontora_etl.serve")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "interest-cohort=()",
    "Cache-Control": "no-store",
}
MOST_HEADER_BYTES = 16 * 1024
_METHODS = frozenset({"GET", "HEAD", "POST"})
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_OPEN_PREFIX = "/webhooks/"


class Guard:
    """The application, guarded. Without a token everyone who reaches the port may look."""

    def __init__(self, app: ASGIApp, token: Secret | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_strictly(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            await (self._refusal(scope) or self._app)(scope, receive, send_strictly)
        except Exception:  # the request's boundary: a fault of ours is logged whole, and the daemon goes on
            log.exception("%s failed", scope["path"])
            if not begun:
                answer = PlainTextResponse("internal error\n", 500)
                await answer(scope, receive, send_strictly)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if scope["method"] not in _METHODS:
            return PlainTextResponse("method not allowed\n", 405, {"Allow": ", ".join(sorted(_METHODS))})
        # What comes in one piece, the parser takes at any length.
        if sum(len(name) + len(content) for name, content in scope["headers"]) > MOST_HEADER_BYTES:
            return PlainTextResponse("the headers are too large\n", 431, {"Connection": "close"})
        path: str = scope["path"]
        if self._token is None or path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX):
            return None
        if _same(_credential(Headers(scope=scope).get("authorization", "")), self._token.reveal()):
            return None
        answer = PlainTextResponse("a token is needed: Authorization: Bearer …\n", 401)
        answer.headers.append("WWW-Authenticate", 'Bearer realm="ontora-etl"')
        answer.headers.append("WWW-Authenticate", 'Basic realm="ontora-etl", charset="UTF-8"')
        return answer


def _credential(header: str) -> str:
    """The bearer token, or the password of HTTP basic: so that a browser can ask for it."""
    scheme, _, credential = header.partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credential.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _same(given: str, expected: str) -> bool:
    """Whether they are equal; how long it takes says nothing about either, not even the length."""
    digests = (hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest() for value in (given, expected))
    return hmac.compare_digest(*digests)
