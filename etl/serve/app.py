"""The addresses and what answers at each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any, TypeVar
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from etl.clock import utc_now
from etl.errors import EtlError
from etl.secret import Secret
from etl.serve import queries
from etl.serve.deliveries import Deliveries
from etl.serve.face import DaemonFace
from etl.serve.guard import Guard
from etl.serve.metrics import Metrics, Scrape
from etl.serve.pages import REFRESH_SECONDS, Live, Pages, find_state
from etl.serve.queries import Overview, Past
from etl.serve.shared import Shared
from etl.serve.unrecorded import with_streaks
from etl.serve.webhooks import Webhooks
from etl.sync.report import Report
from etl.warehouse.schema import require_head

log = logging.getLogger("ontora_etl.serve")

T = TypeVar("T")

MOST_BEAT_SECONDS = 30
_THREADS = 3  # as many connections to the warehouse, at most
_SCRAPE_SECONDS = 8.0  # Prometheus waits for 10
_PROBE_SECONDS = 4.0  # config/kubernetes for 5
_READY_SECONDS = 2.0
_OVERVIEW_SECONDS = 2.0
_PAGE_SECONDS = 1.0
_PAGE_REST_SECONDS = 5.0
_MOST_PAGES = 200


@dataclass(slots=True)
class Site:
    """All that answers, for one daemon."""

    daemon: DaemonFace
    environ: Mapping[str, str]
    clock: Callable[[], datetime] = utc_now
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "serve"))
    renderer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "render"))
    metrics: Metrics = field(default_factory=Metrics)
    pages: Pages = field(default_factory=Pages)
    deliveries: Deliveries = field(init=False)
    webhooks: Webhooks = field(init=False)
    _readiness: Shared[str] = field(init=False)
    _overview: Shared[Overview] = field(init=False)
    _rendered: dict[tuple[str | None, bool], Shared[str]] = field(default_factory=dict)
    _pasts: dict[str, Shared[Past | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(lambda: self.daemon.warehouse, self.in_thread, self.clock)
        self.webhooks = Webhooks(
            self.daemon, self.deliveries, self.metrics.count_webhook, self.environ, self.clock
        )
        self._readiness = Shared(self._look_at_schema, _READY_SECONDS, _READY_SECONDS)
        self._overview = Shared(self._read_overview, _OVERVIEW_SECONDS)

    def app(self, token: Secret | None) -> Guard:
        """The ASGI application."""
        style = files("etl.serve").joinpath("style.css").read_bytes()

        async def stylesheet(request: Request) -> Response:  # noqa: ARG001
            return Response(style, media_type="text/css")

        routes = [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.scrape),
            Route("/style.css", stylesheet),
            Route("/webhooks/{workspace:path}", self.webhooks.receive, methods=["POST"]),
            Route("/workspaces/{name:path}", self.workspace),
            Route("/", self.index),
        ]
        starlette = Starlette(routes=routes)
        starlette.router.redirect_slashes = False  # a redirect would be built from the Host that was sent
        return Guard(starlette, token)

    async def start(self) -> None:
        """Begin to count runs and to remember webhooks."""
        self.daemon.observers.append(self.observe)
        await self.deliveries.start()

    async def close(self) -> None:
        """Write what is unwritten."""
        self.daemon.observers.remove(self.observe)
        self.webhooks.close()
        await self.deliveries.close()
        for threads in (self.threads, self.renderer):
            threads.shutdown(wait=False, cancel_futures=True)

    def observe(self, report: Report) -> None:
        """Count a run."""
        self.metrics.observe(report)

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """What the function reads of the warehouse, from one of our own threads: the syncs' stay theirs."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    async def in_renderer(self, function: Callable[..., T]) -> T:
        """What it makes of what was read, from a thread that no warehouse can hold up."""
        return await asyncio.get_running_loop().run_in_executor(self.renderer, function)

    # --- health ---

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002  # Starlette's signature
        age_seconds = time.monotonic() - self.daemon.last_beat
        healthy = age_seconds < MOST_BEAT_SECONDS
        status = "ok" if healthy else "the scheduler does not breathe"
        answer = {"status": status, "scheduler_beat_age_seconds": round(age_seconds, 3)}
        return JSONResponse(answer, 200 if healthy else 503)

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                fault = await self._readiness.get()
        except TimeoutError:
            fault = "the warehouse does not answer"
        # In full only in the log: this address is open to everyone.
        return JSONResponse({"status": fault or "ok"}, 503 if fault else 200)

    async def _look_at_schema(self) -> str:
        try:
            await self.in_thread(require_head, self.daemon.warehouse)
        except EtlError as error:
            log.warning("not ready: %s", error)
            return error.code
        return ""

    # --- what is read of the warehouse ---

    async def _read_overview(self) -> Overview:
        settings, warehouse, now = self.daemon.settings, self.daemon.warehouse, self.clock()

        def read() -> Overview:
            with warehouse.reading() as connection:
                return queries.read_overview(settings, connection, now)

        overview: Overview = await self.in_thread(read)
        return overview

    async def _present(self) -> Overview:
        """The overview, with what the daemon alone knows."""
        return with_streaks(await self._overview.get(), self.daemon.streaks)

    async def _past(self, workspace_id: str) -> Past | None:
        async def produce() -> Past | None:
            warehouse, now = self.daemon.warehouse, self.clock()

            def read() -> Past | None:
                with warehouse.reading() as connection:
                    return queries.read_past(connection, UUID(workspace_id), now)

            past: Past | None = await self.in_thread(read)
            return past

        if workspace_id not in self._pasts:
            self._pasts[workspace_id] = Shared(produce, _OVERVIEW_SECONDS)
        return await self._pasts[workspace_id].get()

    # --- metrics and pages ---

    async def scrape(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(_SCRAPE_SECONDS):
                overview = await self._present()
        except (EtlError, TimeoutError):
            overview = None
        daemon = self.daemon
        names = tuple(workspace.name for workspace in daemon.settings.workspaces if workspace.enabled)
        failures = {name: daemon.streaks[name].failures for name in names if name in daemon.streaks}
        scrape = Scrape(names, daemon.queue_length, len(daemon.running), daemon.last_beat, failures, overview)
        accept = request.headers.get("accept", "")
        text, content_type = await self.in_renderer(lambda: self.metrics.text(scrape, accept))
        return Response(text, headers={"Content-Type": content_type})

    async def index(self, request: Request) -> Response:
        refreshing = _refreshes(request)

        async def render() -> str:
            overview = await self._present()
            return await self._render(self.pages.index, overview, refreshing=refreshing)

        return await self._page((None, refreshing), render)

    async def workspace(self, request: Request) -> Response:
        name, refreshing = request.path_params["name"], _refreshes(request)

        async def render() -> str:
            overview = await self._present()
            past = await self._past(find_state(overview, name)["workspace_id"])
            return await self._render(self.pages.workspace, overview, name, past, refreshing=refreshing)

        return await self._page((name, refreshing), render)

    async def _render(self, template: Callable[..., str], *facts: Any, refreshing: bool) -> str:
        live, now = self._live(), self.clock()
        return await self.in_renderer(lambda: template(*facts, live, now, refreshing=refreshing))

    async def _page(self, key: tuple[str | None, bool], render: Callable[[], Awaitable[str]]) -> Response:
        """The page of the workspace, or without one the index; as it was, if that is not long ago."""
        refreshing = key[1]
        headers = {"Refresh": str(REFRESH_SECONDS)} if refreshing else None
        if key not in self._rendered:
            if len(self._rendered) >= _MOST_PAGES:
                self._rendered.clear()
            # What it took to read has its own rest: two would add up.
            self._rendered[key] = Shared(render, _PAGE_SECONDS, _PAGE_REST_SECONDS)
        try:
            return HTMLResponse(await self._rendered[key].get(), 200, headers)
        except KeyError:
            self._rendered.pop(key, None)  # of many who asked at once, the first to hear of it
            return PlainTextResponse("there is no such workspace\n", 404)
        except (EtlError, TimeoutError) as error:
            message = str(error) or "the warehouse takes too long to answer"
            text = self.pages.sorry(
                "The warehouse does not answer", message, self.clock(), refreshing=refreshing
            )
            return HTMLResponse(text, 503, headers)

    def _live(self) -> Live:
        daemon = self.daemon
        return Live(
            settings=daemon.settings,
            queue_length=daemon.queue_length,
            running=frozenset(daemon.running),
            next_runs={w.name: daemon.next_run_at(w.name) for w in daemon.settings.workspaces if w.enabled},
            scheduler_breathes=time.monotonic() - daemon.last_beat < MOST_BEAT_SECONDS,
        )


def _refreshes(request: Request) -> bool:
    return request.query_params.get("refresh") != "off"
