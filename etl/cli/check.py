"""`check`: is everything in place? A line for each thing that must be."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import asdict

from etl.cli.app import Context
from etl.errors import ConfigError, EtlError
from etl.printable import LONGEST_NAME, printable

if TYPE_CHECKING:
    from etl.config import Settings, Workspace
    from etl.extract import Downloads

log = logging.getLogger("ontora_etl.check")


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str
    exit_code: int = 0


def _good(what: str, said: str) -> Finding:
    return Finding(what, ok=True, said=said)


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_obj
def command(context: Context, as_json: bool) -> int:  # noqa: FBT001
    """Test the configuration, its secrets, the warehouse, its schema, and one request per workspace.

    \b
    Example:
      ontora-etl check
    """
    from etl.cli.render import print_json  # noqa: PLC0415

    context.start_logging()
    findings = list(_findings(context))
    if as_json:
        answer = [{key: value for key, value in asdict(f).items() if key != "exit_code"} for f in findings]
        print_json({"status": "ok" if all(f.ok for f in findings) else "failed", "checks": answer})
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.said}")
    codes = {finding.exit_code for finding in findings}
    return next((code for code in (2, 3, 1) if code in codes), 0)  # what to mend first


def _findings(context: Context) -> Iterable[Finding]:
    try:
        settings = context.settings()
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("configuration", ok=False, said=fault, exit_code=error.exit_code)
        return
    enabled = [workspace for workspace in settings.workspaces if workspace.enabled]
    workspaces = "1 workspace" if len(enabled) == 1 else f"{len(enabled)} workspaces"
    yield _good("configuration", f"{settings.source}, {workspaces} enabled")
    yield from _secret_findings(settings, enabled)
    yield from _warehouse_findings(settings)
    yield from asyncio.run(_workspace_findings(settings, enabled))


def _secret_findings(settings: Settings, enabled: Iterable[Workspace]) -> Iterable[Finding]:
    """The secrets beside the API keys: without one, the HTTP side does not start, or nobody is told."""
    from etl.config import NOTIFY_VARIABLE, read_secret_env  # noqa: PLC0415

    named = {
        "[serve] token_env": settings.serve.token_env if settings.serve.listen else "",
        "[notify] webhook_url_env": settings.notify.webhook_url_env,
        "[notify] heartbeat_url_env": settings.notify.heartbeat_url_env,
        **{f"webhooks of {workspace.name}": workspace.webhook_secret_env for workspace in enabled},
    }
    for what, variable in named.items():
        if not variable or (variable == NOTIFY_VARIABLE and not os.environ.get(variable)):
            continue  # that one may be named and not exported: then nobody is told
        try:
            read_secret_env(variable, os.environ)
        except ConfigError as error:
            yield Finding(what, ok=False, said=str(error), exit_code=error.exit_code)
        else:
            yield _good(what, f"environment variable {variable} is set")


def _warehouse_findings(settings: Settings) -> Iterable[Finding]:
    from datetime import UTC, datetime  # noqa: PLC0415

    from etl.status import workspace_status  # noqa: PLC0415
    from etl.warehouse import open_warehouse  # noqa: PLC0415
    from etl.warehouse.schema import (  # noqa: PLC0415
        Schema,
        require_fit,
        require_head,
        require_rights,
        require_rights_to_begin,
        revision_of,
        standing,
    )

    what = "warehouse"
    try:
        with closing(open_warehouse(settings.warehouse)) as warehouse:
            revision = None
            if warehouse.exists():
                with warehouse.reading() as connection:
                    require_fit(warehouse, connection)
                    revision = revision_of(connection)
                    if revision is None:
                        require_rights_to_begin(warehouse, connection)
                yield _good(what, f"{warehouse.place} is reachable")
            else:
                yield _good(what, f"{warehouse.place} is not there yet, and can be made")
            what = "schema"
            if standing(revision) is Schema.ABSENT:
                yield _good(what, "empty: the first sync will migrate it")
                return
            require_head(warehouse)
            yield _good(what, f"at head ({revision})")
            what = "rights"
            require_rights(warehouse)
            yield _good(what, "a sync may write what it must")
            with warehouse.reading() as connection:
                for state in workspace_status(settings, connection, datetime.now(UTC)):
                    if state["unknown_fields"]:
                        fields = ", ".join(printable(name, LONGEST_NAME) for name in state["unknown_fields"])
                        yield _good(f"fields of {state['name']}", f"unknown, kept in _extra: {fields}")
    except EtlError as error:
        yield Finding(what, ok=False, said=str(error), exit_code=error.exit_code)


async def _workspace_findings(settings: Settings, enabled: Iterable[Workspace]) -> list[Finding]:
    from etl.extract import Downloads  # noqa: PLC0415

    async with Downloads(settings.api) as downloads:
        return list(
            await asyncio.gather(*(_try_workspace(downloads, settings, workspace) for workspace in enabled))
        )


async def _try_workspace(downloads: Downloads, settings: Settings, workspace: Workspace) -> Finding:
    from etl.config import read_api_key  # noqa: PLC0415
    from etl.extract import probe_interviews  # noqa: PLC0415

    what = f"workspace {workspace.name}"
    try:
        async with downloads.client() as client:
            await probe_interviews(client, workspace, read_api_key(workspace, os.environ), settings.api)
    except EtlError as error:
        return Finding(what, ok=False, said=f"{error} [{error.code}]", exit_code=error.exit_code)
    except Exception as error:  # the workspace's boundary: the others are looked at all the same
        log.exception("%s: internal error", what)
        return Finding(what, ok=False, said=f"internal error ({type(error).__name__})", exit_code=1)
    return _good(what, f"the API accepts the key from {workspace.key_source}")
