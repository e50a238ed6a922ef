"""`run`: the daemon."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from etl.cli.app import Context
from etl.errors import ConfigError, UsageError
from etl.open_files import make_room_for_files

if TYPE_CHECKING:
    from etl.config import Serve, Settings
    from etl.daemon import Daemon
    from etl.secret import Secret

# Unlike a sync, which ends before its cycles matter, a daemon must not let them pile up.
_OBJECTS_BEFORE_COLLECTING = 10_000


@click.command("run")
@click.option("--listen", metavar="HOST:PORT", help="Serve status, metrics and webhooks there.")
@click.pass_obj
def command(context: Context, listen: str | None) -> int:
    """Sync each workspace on its schedule until SIGTERM or SIGINT; SIGHUP re-reads the configuration.

    \b
    Example:
      ontora-etl run
      ontora-etl --log-format json run --listen 127.0.0.1:8080
    """
    told: list[int] = []
    _heed_signals(lambda number, _: told.append(number))
    from etl.daemon import Daemon  # noqa: PLC0415
    from etl.warehouse import open_warehouse  # noqa: PLC0415
    from etl.warehouse.schema import ensure_schema  # noqa: PLC0415

    context.start_logging("info")
    settings = context.settings()
    serve = _serve(settings.serve, listen)
    make_room_for_files(settings.api.concurrency, _most_connections(serve))
    warehouse = open_warehouse(settings.warehouse, settings.api.concurrency)
    try:
        with ThreadPoolExecutor(1) as opener:  # a signal reaches this thread, whatever the warehouse does
            opening = opener.submit(ensure_schema, warehouse, auto_migrate=settings.warehouse.auto_migrate)
            opening.result()
        gc.freeze()  # what starting made stays for good
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)
        daemon = Daemon(settings, warehouse)
        signal.signal(signal.SIGHUP, lambda *_: daemon.reload())
        if told:  # since the configuration was read, or just before
            daemon.reload()
        asyncio.run(_live(daemon, serve, _token(settings, serve)))
    finally:
        _heed_signals()  # the event loop took its own handlers with it
        warehouse.close()
    return 0


def _heed_signals(hang_up: Callable[[int, object], object] = lambda *_: None) -> None:
    """Before and after the daemon's life: SIGTERM and SIGINT end the process with 0, SIGHUP does not."""
    signal.signal(signal.SIGHUP, hang_up)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # the database undoes what is open


def _serve(serve: Serve, listen: str | None) -> Serve:
    """`[serve]` with the option laid over it. Raises UsageError for an address that cannot be used."""
    from etl.config import is_unprotected, split_listen  # noqa: PLC0415

    if listen is None:
        return serve
    try:
        split_listen(listen)
    except ValueError as error:
        raise UsageError(f"--listen {error}") from None
    serve = replace(serve, listen=listen)
    if is_unprotected(serve):
        raise UsageError(
            f"--listen {listen}: others can reach this address",
            remedy="name a token's variable in [serve] token_env, or write insecure = true there",
        )
    return serve


def _most_connections(serve: Serve) -> int:
    """How many may come from outside. Raises UsageError where the HTTP side's packages are not installed."""
    if not serve.listen:
        return 0
    try:
        from etl.serve import MOST_CONNECTIONS  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").startswith("etl"):
            raise
        raise UsageError(
            f"the HTTP side needs {error.name}, which is not installed",
            remedy="pip install 'ontora-etl[serve]'",
        ) from error
    return MOST_CONNECTIONS


def _token(settings: Settings, serve: Serve) -> Secret | None:
    """What protects the HTTP side. Raises ConfigError where its variable is not as it should be."""
    from etl.config import read_secret_env  # noqa: PLC0415

    if not (serve.listen and serve.token_env):
        return None
    try:
        return read_secret_env(serve.token_env, os.environ)
    except ConfigError as error:
        place = f"{settings.source}: [serve] token_env"
        raise ConfigError([f"{place}: {fault}" for fault in error.faults]) from None


async def _live(daemon: Daemon, serve: Serve, token: Secret | None) -> None:
    async with AsyncExitStack() as stack:
        if serve.listen:
            from etl.serve import start_server  # noqa: PLC0415

            await stack.enter_async_context(start_server(daemon, serve.listen, token))
        await daemon.run()
