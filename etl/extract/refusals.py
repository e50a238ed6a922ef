"""An answer other than 200 → the error that says it in the API's own words. Source: "Errors" of the API.

The key is masked should a server echo it.
"""

from __future__ import annotations

from http import HTTPStatus
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
from etl.secret import Secret

_LONGEST_DETAIL = 300


def refusal(response: httpx.Response, body: bytes, key: Secret, key_source: str) -> SyncError:
    """The SyncError for a response whose status is not 200."""
    status = response.status_code
    if 300 <= status < 400:  # noqa: PLR2004
        where = urlsplit(response.headers.get("location", "")).netloc or "the same host"
        return UnexpectedRedirect(
            f"the API redirects ({status}) to {where}", remedy="set api.base_url to the API's final address"
        )
    code, detail = _code_and_detail(body)
    said = _said(response, code, detail).replace(key.reveal(), "***")
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


def _said(response: httpx.Response, code: str, detail: str) -> str:
    request_id = response.headers.get("x-request-id", "")
    words = [
        f"{response.status_code} {code}".strip(),
        detail,
        f"request id {request_id}" if request_id else "",
    ]
    return ", ".join(word for word in words if word)


def _code_and_detail(body: bytes) -> tuple[str, str]:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", ""  # a proxy's page: the status says enough
    if not isinstance(parsed, dict):
        return "", ""
    code, detail = parsed.get("code"), parsed.get("detail")
    if isinstance(detail, list):  # 422: a list of {loc, msg, type}
        parts = [problem for problem in detail if isinstance(problem, dict)]
        detail = "; ".join(
            f"{'.'.join(map(str, part.get('loc', [])))}: {part.get('msg', '')}" for part in parts
        )
    line = " ".join(str(detail or "").split())
    return str(code or "")[:60], line[:_LONGEST_DETAIL]
