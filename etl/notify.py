"""Telling people: what a pass calls for, said once each. Every message is derived from the ledger.

So neither a restart nor a cron job of its own process repeats one or forgets one. Nothing here ever fails a
sync: what cannot be sent is logged, with the host alone: the address is a secret.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import Connection, func, select

from etl.config import Notify, Settings, read_secret_env
from etl.errors import ConfigError, EtlError, SchemaMismatch
from etl.secret import Secret
from etl.sync import Report
from etl.tables import sync_runs
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.notify")

_TIMEOUT_SECONDS = 10.0
_ATTEMPTS = 2


def after_pass(
    settings: Settings,
    warehouse: Warehouse,
    reports: Sequence[Report],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Say what the pass calls for, and ping the dead man's switch where every workspace succeeded."""
    tell(settings.notify, warehouse, reports, environ)
    succeeded = {report.name for report in reports if report.status == "succeeded"}
    if reports and {workspace.name for workspace in settings.workspaces if workspace.enabled} <= succeeded:
        ping(settings.notify, environ)


def tell(
    notify: Notify, warehouse: Warehouse, reports: Iterable[Report], environ: Mapping[str, str] = os.environ
) -> None:
    """Post what these runs call for, in one message."""
    if not notify.webhook_url_env:
        return
    try:
        with warehouse.reading() as connection:
            lines = [
                line for report in reports for line in notices(connection, report, notify.after_failures)
            ]
    except EtlError as error:
        log.warning("nobody can be told what these runs call for: %s", error)
        return
    if lines:
        text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        _send("POST", notify.webhook_url_env, environ, {"text": text})


def ping(notify: Notify, environ: Mapping[str, str] = os.environ) -> None:
    """Tell the dead man's switch that all is well."""
    if notify.heartbeat_url_env:
        _send("GET", notify.heartbeat_url_env, environ)


def notices(connection: Connection, report: Report, after_failures: int) -> list[str]:
    """What the run calls for, a line each; nothing where the ledger does not know the run."""
    if report.run_id is None or report.status not in ("succeeded", "failed"):
        return []
    workspace_id = UUID(report.workspace_id)
    before = _last_succeeded(connection, workspace_id, report.run_id)
    failures = _failures(connection, workspace_id, before.id if before else 0, report.run_id)
    found = []
    if report.status == "failed":
        mismatch = SchemaMismatch.code
        if report.error_code == mismatch and (not failures or failures[-1] != mismatch):
            found.append(f"workspace {report.name}: {report.error}")
        if len(failures) + 1 == after_failures:
            times = "once" if after_failures == 1 else f"{after_failures} times in a row"
            since = f"; last success: {before.finished_at:%Y-%m-%d %H:%M} UTC" if before else ""
            found.append(
                f"workspace {report.name} failed {times}: {report.error} [{report.error_code}]{since}"
            )
        return found
    if len(failures) >= after_failures or SchemaMismatch.code in failures:
        times = "1 failed run" if len(failures) == 1 else f"{len(failures)} failed runs"
        found.append(f"workspace {report.name} is fresh again, after {times}")
    if report.counts.held_deletes and not (before and before.held_deletes):
        found += [
            f"workspace {report.name}: {warning['message']}"
            for warning in report.warnings
            if warning["code"] == "deletes_held"
        ]
    return found


def _last_succeeded(connection: Connection, workspace_id: UUID, run_id: int) -> Any:
    """The row of the last run before this one that succeeded, if there is one."""
    return connection.execute(
        select(sync_runs.c.id, sync_runs.c.finished_at, sync_runs.c.held_deletes)
        .where(
            sync_runs.c.workspace_id == workspace_id,
            sync_runs.c.id < run_id,
            sync_runs.c.status == "succeeded",
        )
        .order_by(sync_runs.c.id.desc())
        .limit(1)
    ).first()


def _failures(connection: Connection, workspace_id: UUID, after_id: int, before_id: int) -> list[str]:
    """The error codes of the runs between the two that failed, oldest first."""
    return list(
        connection.execute(
            select(func.coalesce(sync_runs.c.error_code, ""))
            .where(
                sync_runs.c.workspace_id == workspace_id,
                sync_runs.c.id > after_id,
                sync_runs.c.id < before_id,
                sync_runs.c.status == "failed",
            )
            .order_by(sync_runs.c.id)
        ).scalars()
    )


def _send(method: str, variable: str, environ: Mapping[str, str], message: Any = None) -> None:
    try:
        url = read_secret_env(variable, environ)
    except ConfigError as error:
        log.warning("cannot notify: %s", error)
        return
    for attempt in range(1, _ATTEMPTS + 1):
        fault, worth_another = _attempt(method, url, message)
        if not fault:
            return
        if attempt == _ATTEMPTS or not worth_another:
            log.warning("cannot notify %s (address from %s): %s", _host(url), variable, fault)
            return


def _attempt(method: str, url: Secret, message: Any) -> tuple[str, bool]:
    """What went wrong, if anything did, and whether trying again may help. Never the address."""
    try:
        answer = httpx.request(method, url.reveal(), json=message, timeout=_TIMEOUT_SECONDS)
    except httpx.TransportError as error:
        return type(error).__name__, not isinstance(error, httpx.UnsupportedProtocol)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, ImportError) as error:
        return type(error).__name__, False
    return ("", False) if answer.is_success else (f"it answered {answer.status_code}", answer.is_server_error)


def _host(url: Secret) -> str:
    try:
        return httpx.URL(url.reveal()).host or "(no host)"
    except (httpx.InvalidURL, ValueError):
        return "(no address)"
