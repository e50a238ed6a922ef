"""An answer other than 200 → the error that says it in the API's own words. Source: "Errors" of the API.

The key is masked should a server echo it, and what the server says is made fit for a line: it goes to
terminals and into the ledger.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from etl.errors import (
    InsufficientScope,
    InvalidApiKey,
    RateLimited,
    RequestRefused,
    ServerError,
    SyncError,
    UnexpectedAnswer,
    UnexpectedRedirect,
    WorkspaceForbidden,
)
from etl.printable import printable
from etl.secret import Secret

_LONGEST_DETAIL = 300
_LONGEST_WORD = 100  # a code, a request id, a host


def refusal(response: httpx.Response, body: bytes, key: Secret, key_source: str) -> SyncError:
    """The SyncError for a response whose status is not 200."""
    status = response.status_code
    if 300 <= status < 400:  # noqa: PLR2004
        where = _host(masked(response.extensions.get("location", ""), key))
        return UnexpectedRedirect(
            f"the API redirects ({status}) to {told(where, key, _LONGEST_WORD)}",
            remedy="set api.base_url to the API's final address",
        )
    code, detail = _code_and_detail(body)
    request_id = response.headers.get("x-request-id", "")
    words = [
        f"{status} {told(code, key, _LONGEST_WORD)}".strip(),
        told(detail, key, _LONGEST_DETAIL),
        f"request id {told(request_id, key, _LONGEST_WORD)}" if request_id else "",
    ]
    said = ", ".join(word for word in words if word)
    if status == HTTPStatus.UNAUTHORIZED:
        return InvalidApiKey(
            f"the API refused the key from {key_source}: {said}", remedy="renew the key there"
        )
    if status == HTTPStatus.FORBIDDEN and code == "insufficient_scope":
        return InsufficientScope(
            f"the key from {key_source} lacks a scope: {said}", remedy="give the key the scope interviews"
        )
    if status == HTTPStatus.FORBIDDEN and code == "workspace_forbidden":
        return WorkspaceForbidden(
            f"the key from {key_source} belongs to another workspace: {said}",
            remedy="a key is bound to one workspace: check the workspace's id and its key",
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"the API limits the rate: {said}", remedy="sync this workspace less often")
    if status >= 500:  # noqa: PLR2004
        return ServerError(f"the API failed: {said}", remedy="the next run asks again")
    if 200 <= status < 300:  # noqa: PLR2004
        return UnexpectedAnswer(
            f"the API answered without the interviews: {said}", remedy="is api.base_url right?"
        )
    return RequestRefused(
        f"the API refused the request: {said}", remedy="check the workspace's id and filters"
    )


def masked(text: str, key: Secret) -> str:
    """What the other side says, without the key: in whatever case it is echoed, and however escaped.

    To be done before the text is cut: half a key must not be seen either.
    """
    spelled = "".join(rf"\\{{0,2}}{re.escape(letter)}" for letter in key.reveal())
    return re.sub(spelled, "***", text, flags=re.IGNORECASE)


def told(text: str, key: Secret, longest: int) -> str:
    """What the other side says, masked and fit for a line."""
    return printable(" ".join(masked(text, key).split()), longest)


def _host(location: str) -> str:
    try:
        host = urlsplit(location).netloc.rpartition("@")[2]
    except ValueError:
        return "an address that is none"
    return host or "the same host"


def _code_and_detail(body: bytes) -> tuple[str, str]:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", ""  # a proxy's page: the status says enough
    if not isinstance(parsed, dict):
        return "", ""
    code, detail = parsed.get("code"), parsed.get("detail")
    if isinstance(detail, list):  # 422: a list of {loc, msg, type}
        detail = "; ".join(_problem(part) for part in detail if isinstance(part, dict))
    return str(code or ""), str(detail or "")


def _problem(part: dict[str, Any]) -> str:
    loc = part.get("loc")
    place = ".".join(map(str, loc)) if isinstance(loc, list) else str(loc or "")
    said = str(part.get("msg") or "")
    return f"{place}: {said}" if place else said
