"""The addresses in the configuration: the API's, the warehouse's, and the one the daemon listens on.

Like all of `values`, they raise ValueError with the rest of a sentence; none repeats the address, which may
hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qs, unquote, urlsplit

from etl.config.settings import Serve
from etl.secret import Secret

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql+psycopg://"
_POSTGRES_SPELLINGS = ("postgres://", "postgresql://", _POSTGRES)
_POSTGRES_URL = re.compile(
    r"""([^:/?@]*(:[^@?]*)?@)?  # user:password@
        (?P<host>\[[0-9a-fA-F:.]+\]|[^:/?@\[\]]*)  # host, or an IPv6 address, or none: the local socket
        (:(?P<port>[0-9]*))?
        (/[^?]*)?(?P<options>\?.*)?  # /database?options
    """,
    re.VERBOSE,
)
_LISTEN = re.compile(r"(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_HIGHEST_PORT = 65535
_LONGEST_BASE_URL = 2000  # the HTTP client takes 65,536 characters, servers fewer
_LABEL = "(?!xn--)[a-z0-9_-]{1,63}"
_PLAIN_HOST = re.compile(rf"(?=.*[a-z])(?:{_LABEL}\.)*{_LABEL}\.?")


def base_url(given: str) -> str:
    """The API's address without a slash at its end: https, or http to this machine alone."""
    if _has_blanks(given):
        raise ValueError("must be an address without spaces or control characters")
    if len(given) > _LONGEST_BASE_URL:
        raise ValueError(f"must be at most {_LONGEST_BASE_URL} characters long")
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError:  # a broken IPv6 address or port
        raise ValueError("is no valid address; write one like https://api.ontora.com") from None
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: the key comes from api_key_env or api_key_file")
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        raise ValueError("must be an address like https://api.ontora.com")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "must begin with https://: over http:// anyone on the way reads the key and the answers"
        )
    if "?" in given or "#" in given:
        raise ValueError("must end with the path: no ? and no #")
    if not _is_host(host, given):
        raise ValueError("names a host that cannot exist; write an address like https://api.ontora.com")
    return given.rstrip("/")


def warehouse_url(given: str) -> Secret:
    """The warehouse's address with the driver named: a file of SQLite, or a Postgres."""
    if not given.isprintable():
        raise ValueError("must not hold control characters")
    if given.startswith("sqlite:"):
        return Secret(_sqlite(given))
    spelling = next((spelling for spelling in _POSTGRES_SPELLINGS if given.startswith(spelling)), None)
    if spelling:
        return Secret(_postgres(given.removeprefix(spelling)))
    if given.startswith(("postgres", "postgresql+")):
        raise ValueError("must begin with postgresql:// (psycopg 3 is the driver)")
    raise ValueError("must begin with sqlite:/// or postgresql://")


def _sqlite(given: str) -> str:
    path = given.removeprefix(_SQLITE)
    if given in {"sqlite:", "sqlite:/", "sqlite://", _SQLITE} or ":memory:" in path or "mode=memory" in path:
        raise ValueError("must name a file: of a warehouse in memory nothing would remain")
    if not given.startswith(_SQLITE):
        raise ValueError(
            "must be sqlite:/// and the file's path: sqlite:///warehouse.db, sqlite:////var/lib/warehouse.db"
        )
    return given


def _postgres(rest: str) -> str:
    match = _POSTGRES_URL.fullmatch(rest)
    if not unquote(rest).isprintable():
        raise ValueError("must not hold control characters, not even as %00")
    if not match or _has_blanks(rest):
        raise ValueError(
            "must be postgresql://user@host/database; in passwords write @ as %40, ? as %3F, blank as %20"
        )
    hosts = [match["host"], *parse_qs((match["options"] or "").removeprefix("?")).get("host", [])]
    if not all(map(_can_be_looked_up, ",".join(hosts).split(","))):
        raise ValueError("names a host that cannot exist")
    if match["port"] is not None and not (match["port"] and 0 < int(match["port"]) <= _HIGHEST_PORT):
        raise ValueError(f"must have a port from 1 to {_HIGHEST_PORT}, or none")
    return _POSTGRES + rest


def listen(given: str) -> str:
    """The HOST:PORT to listen on; empty for none."""
    if given:
        split_listen(given)
    return given


def split_listen(given: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT. Raises ValueError. Port 0 lets the system choose."""
    match = _LISTEN.fullmatch(given)
    if not match or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError('must be HOST:PORT, like "127.0.0.1:8080" or "[::1]:8080"; 0.0.0.0 is every address')
    return match["v6"] or match["host"], int(match["port"])


def is_unprotected(serve: Serve) -> bool:
    """True where others could reach the HTTP side without a token, and nobody said that this is meant."""
    if not serve.listen or serve.token_env or serve.insecure:
        return False
    return not is_loopback(split_listen(serve.listen)[0])


def is_loopback(host: str) -> bool:
    """True for the names and addresses that mean this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_host(host: str, url: str) -> bool:
    """False for what the HTTP client would stumble over: it judges all that is not plainly right."""
    if _PLAIN_HOST.fullmatch(host) or _is_ip(host):
        return True
    if not _can_be_looked_up(host):
        return False
    import httpx  # noqa: PLC0415  # not cheap, and hardly ever needed

    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, ValueError):
        return False


def _can_be_looked_up(host: str) -> bool:
    """False for a name that Python itself would stumble over; True for none, and for the path of a socket."""
    try:
        return host.startswith("/") or bool(host.encode("idna") or not host)
    except UnicodeError:  # an empty label, one of more than 63 letters
        return False


def _is_ip(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _has_blanks(given: str) -> bool:
    return any(letter.isspace() or not letter.isprintable() for letter in given)
