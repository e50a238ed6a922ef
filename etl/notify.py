"""Telling people: what workspaces call for (`notices`), posted in one message, and the dead man's switch.

Nothing here ever fails a sync: what cannot be sent is logged, with the host alone: the address is a secret.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx

from etl import notices
from etl.config import Notify, Settings, read_secret_env
from etl.errors import ConfigError, EtlError
from etl.extract import heeds_proxies
from etl.notices import Notice, Told, Watched
from etl.secret import Secret
from etl.sync import Report
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.notify")

T = TypeVar("T")

_TIMEOUT_SECONDS = 10.0
_ATTEMPTS = 2
_PEN = UUID("6f1d5d0e-7d0c-4a4e-9d5e-6c1f5a0a7e11")  # whoever holds it tells; no workspace has this id


def after_pass(
    settings: Settings,
    warehouse: Warehouse,
    reports: Sequence[Report],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Say what the workspaces call for, and ping the dead man's switch where every one succeeded.

    Of all that are enabled, not only of this pass's: one before may have been stopped before it could tell.
    """
    names = {report.name for report in reports}
    watched = [Watched(w.id, w.name) for w in settings.workspaces if w.enabled or w.name in names]
    tell(settings.notify, warehouse, watched, Told(), environ)
    succeeded = {report.name for report in reports if report.status == "succeeded"}
    if reports and {workspace.name for workspace in settings.workspaces if workspace.enabled} <= succeeded:
        ping(settings.notify, environ)


def tell(
    notify: Notify,
    warehouse: Warehouse,
    watched: Sequence[Watched],
    told: Told,
    environ: Mapping[str, str] = os.environ,
) -> bool:
    """Post what these workspaces call for, in one message; False where something is left to tell."""
    if not notify.webhook_url_env:
        return True
    due, is_all = _due(notify, warehouse, watched, told)
    if not due and not told.has_unwritten:
        return is_all
    with _pen(warehouse) as is_ours:
        if not is_ours:
            return False
        due, is_all = _due(notify, warehouse, watched, told)  # again: whoever had the pen may have told it
        lines = [notice.line for notice in due if notice.line]
        if lines:
            text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            if not _send("POST", notify.webhook_url_env, environ, {"text": text}):
                return False
        told.note(due)
        _write(warehouse, told)
        return is_all


def ping(notify: Notify, environ: Mapping[str, str] = os.environ) -> None:
    """Tell the dead man's switch that all is well."""
    if notify.heartbeat_url_env:
        _send("GET", notify.heartbeat_url_env, environ)


def _due(
    notify: Notify, warehouse: Warehouse, watched: Sequence[Watched], told: Told
) -> tuple[list[Notice], bool]:
    """What is to be told, and whether that is all: the ledger could be asked."""
    try:
        with warehouse.reading() as connection:
            told.read(connection)
            return notices.due(connection, watched, told, notify.after_failures), True
    except EtlError as error:
        log.warning("what people are to be told is not in full known: %s", error)
        return notices.due_without_ledger(watched, told, notify.after_failures), False


def _write(warehouse: Warehouse, told: Told) -> None:
    """Remember it for all processes; where that fails, the next look tries again."""
    try:
        with warehouse.writing() as connection:
            told.write(connection, datetime.now(UTC))
    except EtlError as error:
        log.warning("what people have been told cannot be remembered yet: %s", error)
        return
    told.written()


@contextmanager
def _pen(warehouse: Warehouse) -> Iterator[bool]:
    """The right to tell: True, or False where another process has it. Where nobody can say so, True."""
    held = ExitStack()
    try:
        is_ours = held.enter_context(warehouse.locked(_PEN))
    except EtlError:
        is_ours = True
    try:
        yield is_ours
    finally:
        with suppress(EtlError):  # the session that had it is gone, and the right with it
            held.close()


def _send(method: str, variable: str, environ: Mapping[str, str], message: Any = None) -> bool:
    """Whether it was delivered."""
    try:
        url = read_secret_env(variable, environ)
    except ConfigError as error:
        log.warning("cannot notify: %s", error)
        return False
    for attempt in range(1, _ATTEMPTS + 1):
        fault, worth_another = _attempt(method, url, message)
        if not fault:
            return True
        if attempt == _ATTEMPTS or not worth_another:
            log.warning("cannot notify %s (address from %s): %s", _host(url), variable, fault)
            break
    return False


def _attempt(method: str, url: Secret, message: Any) -> tuple[str, bool]:
    """What went wrong, if anything did, and whether trying again may help. Never the address."""
    try:
        answer = _within(_TIMEOUT_SECONDS, lambda: _ask(method, url, message))
    except TimeoutError:
        return f"no answer within {_TIMEOUT_SECONDS:g} s", True
    except httpx.TransportError as error:
        return type(error).__name__, not isinstance(error, httpx.UnsupportedProtocol)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError, OSError, ImportError) as error:
        return type(error).__name__, False
    return ("", False) if answer.is_success else (f"it answered {answer.status_code}", answer.is_server_error)


def _ask(method: str, url: Secret, message: Any) -> httpx.Response:
    """The answer's head; what follows may be long, or never end."""
    with (
        httpx.Client(
            timeout=_TIMEOUT_SECONDS, trust_env=heeds_proxies(), verify=httpx.create_ssl_context()
        ) as client,
        client.stream(method, url.reveal(), json=message) as answer,
    ):
        return answer


def _within(seconds: float, function: Callable[[], T]) -> T:
    """What the function returns or raises, or TimeoutError: then it is left to itself.

    httpx's own timeout begins anew with each byte, and looking up a host knows none.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(function())
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(seconds)


def _host(url: Secret) -> str:
    try:
        return httpx.URL(url.reveal()).host or "(no host)"
    except (httpx.InvalidURL, ValueError):
        return "(no address)"
