"""The HTTP room: one request → one whole answer, spooled. Knows nothing of interviews.

httpx's timeouts are per read, so the deadline over all attempts and waits is kept here.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self
from urllib.request import getproxies

import httpx
from msgspec import Struct

from etl import __version__
from etl.config import Api
from etl.errors import (
    AnswerTimeout,
    ConnectError,
    DeadlineExceeded,
    IncompleteAnswer,
    RateLimited,
    SyncError,
    UnexpectedAnswer,
)
from etl.extract.inflate import broken_compression, pieces
from etl.extract.refusals import masked, refusal, told
from etl.extract.retry import RETRIED_STATUS, Retriable, backoff_seconds, retry_after_seconds
from etl.extract.spool import Answer, Spool
from etl.meter import Meter
from etl.secret import Secret

_LONGEST_REASON = 200
# Once TLS is set up, its faults come as they are.
_BREAKS = (httpx.TransportError, ssl.SSLError)
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]+)""", re.IGNORECASE)


class Request(Struct, frozen=True):
    """A GET of one resource. `key_source` says in messages where the key came from."""

    path: str
    params: Mapping[str, str]
    key: Secret
    key_source: str
    auth: str = "api_key"

    def headers(self) -> dict[str, str]:
        """The authentication header; the only place where the key is spelled out."""
        if self.auth == "bearer":
            return {"Authorization": f"Bearer {self.key.reveal()}"}
        return {"X-API-Key": self.key.reveal()}


def heeds_proxies() -> bool:
    """Whether the environment names a proxy: for httpx's `trust_env`.

    Only then does NO_PROXY matter, and httpx stumbles over ranges of IPv6 in it.
    """
    return bool(getproxies().keys() & {"http", "https", "all"})


class Downloads:
    """The clients of a pass: never more than `api.concurrency` of them in use, each on one connection.

    A client each, because httpx's own pool looks at every idle connection for every request: that was a
    tenth of the time of small syncs. Redirects are not followed, so the key never leaves the origin, and
    cookies are not kept: one workspace's would be sent with another's key. Proxy variables are honoured.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._free = asyncio.Semaphore(api.concurrency)
        self._idle: list[httpx.AsyncClient] = []
        self._verify: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        while self._idle:
            await self._idle.pop().aclose()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one download; waits for one to come free. No deadline runs meanwhile.

        Raises ConnectError where the environment's certificates or proxies cannot be used.
        """
        async with self._free:
            client = self._idle.pop() if self._idle else self._open()
            try:
                yield client
            finally:
                self._idle.append(client)

    def _open(self) -> httpx.AsyncClient:
        try:
            if self._verify is None:
                # No certificates to load where none will be shown (base_url is then a loopback address).
                self._verify = httpx.create_ssl_context(verify=self._api.base_url.startswith("https:"))
            return httpx.AsyncClient(
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",  # the one that is unpacked here, in small pieces
                    "User-Agent": f"ontora-etl/{__version__}",
                },
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                timeout=httpx.Timeout(self._api.timeout_seconds),
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
                follow_redirects=False,
                event_hooks={"response": [_set_redirect_aside]},
                verify=self._verify,
                # What is not encrypted stays on this machine: a proxy would read the key.
                trust_env=self._api.base_url.startswith("https:") and heeds_proxies(),
            )
        except OSError as error:
            raise ConnectError(
                f"the certificates to trust cannot be read ({error.strerror or error})",
                remedy="check SSL_CERT_FILE and SSL_CERT_DIR in the environment",
            ) from error
        except (httpx.InvalidURL, ValueError, ImportError) as error:  # whose words may hold a password
            raise ConnectError(
                f"the proxy of the environment cannot be used ({type(error).__name__})",
                remedy="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY hold http:// addresses, NO_PROXY no IPv6 ranges",
            ) from error


async def _set_redirect_aside(response: httpx.Response) -> None:
    """Hide from httpx where a redirect points: it would read that even to follow nothing, and may stumble."""
    response.extensions["location"] = response.headers.pop("location", "")


async def fetch(client: httpx.AsyncClient, request: Request, api: Api, meter: Meter) -> Answer:
    """The whole answer to `request`, after as many attempts as it takes and the settings allow.

    Raises a SyncError whose code says why there is none.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + api.deadline_seconds
    failure: Retriable | None = None
    try:
        async with asyncio.timeout_at(deadline):
            for attempt in range(1, api.max_attempts + 1):
                meter.attempts, meter.bytes_received = attempt, 0
                try:
                    return await _attempt(client, request, api, meter)
                except Retriable as retriable:
                    failure = retriable
                if attempt == api.max_attempts:
                    raise _final(failure.fault, attempt) from failure
                await asyncio.sleep(_pause_seconds(failure, attempt, deadline - loop.time()))
    except TimeoutError:
        last = f"; before that: {failure.fault.message}" if failure else ""
        raise DeadlineExceeded(
            f"no whole answer within api.deadline_seconds ({api.deadline_seconds:g} s){last}",
            remedy="raise the deadline if the answer is really that large, or look at the network",
        ) from failure
    raise AssertionError("unreachable: the last attempt returns or raises")


async def probe(client: httpx.AsyncClient, request: Request, api: Api) -> None:
    """Ask once and look at how the answer begins; raises the SyncError that a sync would meet."""
    try:
        async with asyncio.timeout(api.timeout_seconds):
            async with _response(client, request, api) as response:
                async for piece in pieces(response):
                    if text := piece.removeprefix(b"\xef\xbb\xbf").lstrip():
                        if not text.startswith(b"["):
                            raise UnexpectedAnswer(
                                "the answer is JSON, but not an array", remedy="is api.base_url right?"
                            )
                        return
            raise UnexpectedAnswer("the answer is empty", remedy="is api.base_url right?")
    except Retriable as retriable:
        raise retriable.fault from retriable
    except TimeoutError:
        raise AnswerTimeout(f"{api.base_url} did not answer for {api.timeout_seconds:g} s") from None


def _pause_seconds(failure: Retriable, attempt: int, left_seconds: float) -> float:
    asked = failure.retry_after_seconds
    if asked is None:
        pause = backoff_seconds(attempt)
        if pause >= left_seconds:
            raise _final(failure.fault, attempt)
        return pause
    if asked >= left_seconds:
        back = datetime.now(UTC) + timedelta(seconds=min(asked, 10**9))
        raise RateLimited(
            f"{failure.fault.message}; the API asks to come back in {asked:.0f} s",
            remedy=f"past the deadline; sync this workspace again after {back:%Y-%m-%d %H:%M:%S} UTC",
        )
    return asked


def _final(fault: SyncError, attempts: int) -> SyncError:
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return type(fault)(f"{fault.message} (after {times})", remedy=fault.remedy)


async def _attempt(client: httpx.AsyncClient, request: Request, api: Api, meter: Meter) -> Answer:
    spool: Spool | None = None
    try:
        async with _response(client, request, api) as response:
            spool = Spool(api.max_response_bytes)
            async for piece in pieces(response):
                spool.write(piece)
                meter.bytes_received = spool.size
        answer, spool = spool.seal(), None
        return answer
    finally:
        if spool is not None:
            spool.discard()


@asynccontextmanager
async def _response(client: httpx.AsyncClient, request: Request, api: Api) -> AsyncIterator[httpx.Response]:
    """A response that may be data. What the wire does to it becomes a SyncError, or a Retriable one."""
    begun = False  # whether headers have come: tells a cut body from a refused connection
    try:
        # Put together here: httpx would read the address three times, a tenth of the time of a small answer.
        url = httpx.URL(api.base_url + request.path, params=request.params)
        async with client.stream("GET", url, headers=request.headers()) as response:
            begun = True
            if response.status_code != httpx.codes.OK:
                await _refuse(response, request, api)
            _check_form(response, request.key)
            yield response
    except httpx.DecodingError as error:
        raise broken_compression() from error
    except httpx.TimeoutException as error:
        what = "connect" if isinstance(error, httpx.ConnectTimeout) else "answer"
        raise Retriable(
            AnswerTimeout(
                f"{api.base_url} did not {what} for {api.timeout_seconds:g} s",
                remedy="look at the network, or raise api.timeout_seconds",
            )
        ) from error
    except _BREAKS as error:
        raise _broken(error, request.key, api, begun=begun) from error
    except (OverflowError, ExceptionGroup) as error:  # of a port beyond 65535, in one or the other
        if begun:
            raise
        raise ConnectError(
            f"cannot reach {api.base_url} (a port that cannot be)",
            remedy="check the ports of the proxies in the environment",
        ) from error


def _broken(error: Exception, key: Secret, api: Api, *, begun: bool) -> Exception:
    why = told(str(error) or type(error).__name__, key, _LONGEST_REASON)
    if begun:
        fault: SyncError = IncompleteAnswer(
            f"the connection to {api.base_url} broke inside the answer ({why})", remedy="look at the network"
        )
        return Retriable(fault)
    if isinstance(error, httpx.RemoteProtocolError):
        return Retriable(
            ConnectError(
                f"{api.base_url} sent no proper answer ({why})",
                remedy="is there a proxy or a firewall between?",
            )
        )
    fault = ConnectError(
        f"cannot reach {api.base_url} ({why})", remedy="check api.base_url, DNS and any proxy"
    )
    if _is_certificate_fault(error):
        return ConnectError(
            fault.message, remedy="its certificate is not trusted; asking again will not help"
        )
    return Retriable(fault)


def _is_certificate_fault(error: BaseException) -> bool:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLCertVerificationError):
            return True
        link = link.__cause__ or link.__context__
    return False


async def _refuse(response: httpx.Response, request: Request, api: Api) -> None:
    body = b""
    try:
        async with asyncio.timeout(api.timeout_seconds / 2):  # sooner than who waits for all of it
            async for piece in pieces(response):
                body += piece
                if len(body) > 64 * 1024:  # an error has no reason to be long
                    break
    except (UnexpectedAnswer, httpx.DecodingError, TimeoutError, *_BREAKS):
        body = b""  # not packed as it says, or cut: the status says enough
    fault = refusal(response, body, request.key, request.key_source)
    if response.status_code in RETRIED_STATUS:
        wait = retry_after_seconds(response.headers.get("retry-after"), datetime.now(UTC))
        raise Retriable(fault, retry_after_seconds=wait)
    raise fault


def _check_form(response: httpx.Response, key: Secret) -> None:
    """An answer is data only if it says that it is JSON in UTF-8."""
    content_type = response.headers.get("content-type", "application/json")
    if not _media_type(content_type).lower().endswith(("/json", "+json")):
        said = _media_type(masked(content_type, key))
        raise UnexpectedAnswer(
            f"the answer is {told(said, key, _LONGEST_REASON) or 'untyped'}, not JSON",
            remedy="a proxy or an outage page may have answered in the API's place",
        )
    if _charset(content_type) not in ("utf-8", "utf8", "us-ascii"):
        said = _charset(masked(content_type, key))
        raise UnexpectedAnswer(
            f"the answer is in {told(said, key, _LONGEST_REASON)}, not UTF-8",
            remedy="JSON is UTF-8; is a proxy between?",
        )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip()


def _charset(content_type: str) -> str:
    named = _CHARSET.search(content_type)
    return named[1].lower() if named else "utf-8"
