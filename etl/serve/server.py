"""The server as a guest of the daemon's event loop: it takes no signals, and it leaves when told."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn

from etl.config import split_listen
from etl.errors import ConfigError
from etl.secret import Secret
from etl.serve.app import Site
from etl.serve.face import DaemonFace
from etl.serve.guard import MOST_HEADER_BYTES
from etl.serve.wire import MOST_CONNECTIONS, PatientProtocol

log = logging.getLogger("ontora_etl.serve")

_KEEP_ALIVE_SECONDS = 5
_GRACE_SECONDS = 3
_BACKLOG = 1024
_TICK_SECONDS = 1.0


class _Guest(uvicorn.Server):
    """Signals are the daemon's. It looks up once a second, for the header Date, and when told to leave."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def leave(self) -> None:
        """End, once the answers under way are given."""
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        # uvicorn's own loop looks up ten times a second: more than all the rest of an idle daemon does.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._told.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def start_server(
    daemon: DaemonFace, listen: str, token: Secret | None, *, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[None]:
    """Serve while the context lasts. Raises ConfigError where it is not possible to listen there."""
    listener = _listener(listen)
    site = Site(daemon, environ)
    config = uvicorn.Config(
        site.app(token),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what a client does wrong is not our log's concern
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS + 1,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        backlog=_BACKLOG,
    )
    server = _Guest(config)
    await site.start()
    log.info("listening on http://%s", _address(listener))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="serve")
    serving.add_done_callback(_say_why)
    try:
        yield
    finally:
        server.leave()
        await asyncio.wait([serving])
        await site.close()
        listener.close()


def _say_why(serving: asyncio.Task[None]) -> None:
    """The syncs go on without it; but it never ends by itself."""
    if not serving.cancelled() and (error := serving.exception()):
        log.error("the HTTP side ended", exc_info=error)


def _listener(listen: str) -> socket.socket:
    try:
        host, port = split_listen(listen)
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except ValueError as error:
        raise ConfigError([f"serve.listen {error}"]) from None
    except OSError as error:
        raise ConfigError([f"cannot listen on {listen}: {error.strerror or error}"]) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
