"""A daemon in name only, with a real warehouse behind it, and the real server before it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
from sqlalchemy import insert

from etl.config import KeySource, Policy, Settings, Workspace
from etl.config import Warehouse as WarehouseSettings
from etl.ledger import Trigger
from etl.secret import Secret
from etl.serve import DaemonFace, start_server
from etl.streak import Streak
from etl.sync.report import Report
from etl.tables import interviews, interviews_history, sync_runs, workspaces
from etl.warehouse import Warehouse, open_warehouse
from etl.warehouse.schema import ensure_schema

NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SECRET = "whsec_4f1c0d9be2"
OTHER_SECRET = "whsec_another"
ENVIRON = {"HOOK_ACME": SECRET, "HOOK_GLOBEX": OTHER_SECRET}


def workspace(name: str, **keys: Any) -> Workspace:
    keys = {"key_source": KeySource("env", "KEY"), **keys}
    return Workspace(name=name, id=uuid5(NAMESPACE, name), **keys)


ACME = workspace("acme", webhook_secret_env="HOOK_ACME")
GLOBEX = workspace("globex", webhook_secret_env="HOOK_GLOBEX")
SILENT = workspace("silent")
UNSET = workspace("unset", webhook_secret_env="HOOK_THAT_IS_NOT_SET")
DISABLED = workspace("disabled", webhook_secret_env="HOOK_ACME", enabled=False)
ALL = (ACME, GLOBEX, SILENT, UNSET, DISABLED)


@dataclass
class FakeDaemon:
    settings: Settings
    warehouse: Warehouse
    queue_length: int = 0
    running: dict[str, float] = field(default_factory=dict)
    streaks: dict[str, Streak] = field(default_factory=dict)
    observers: list[Callable[[Report], None]] = field(default_factory=list)
    requested: list[tuple[str, str]] = field(default_factory=list)
    stood_still_at: float | None = None

    @property
    def last_beat(self) -> float:
        return time.monotonic() - 0.5 if self.stood_still_at is None else self.stood_still_at

    def request_sync(self, workspace_name: str, trigger: Trigger) -> bool:
        self.requested.append((workspace_name, trigger))
        return True

    def next_run_at(self, name: str) -> datetime | None:
        return datetime.now(UTC) + timedelta(minutes=7, seconds=30) if name else None


@dataclass
class Stage:
    """A running server and what it serves."""

    daemon: FakeDaemon
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, **options)

    def raw(self, request: bytes, seconds: float = 5) -> bytes:
        """Whatever comes back for these bytes until the server closes or is silent for so long."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            received = b""
            try:
                connection.sendall(request)
                while piece := connection.recv(65536):
                    received += piece
            except (TimeoutError, ConnectionError):
                pass
            return received


def settings_of(url: str, *members: Workspace) -> Settings:
    return Settings(Path("etl.toml"), tuple(members or ALL), warehouse=WarehouseSettings(Secret(url)))


@contextmanager
def a_daemon(url: str, *members: Workspace) -> Iterator[FakeDaemon]:
    settings = settings_of(url, *members)
    warehouse = open_warehouse(settings.warehouse)
    ensure_schema(warehouse, auto_migrate=False)
    try:
        yield FakeDaemon(settings, warehouse)
    finally:
        warehouse.close()


@contextmanager
def serving(
    daemon: FakeDaemon, token: Secret | None = None, environ: Mapping[str, str] = ENVIRON
) -> Iterator[Stage]:
    """The server on a loop in a thread of its own, as within the daemon."""
    port = free_port()
    ready: threading.Event = threading.Event()
    done: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    failure: list[BaseException] = []

    async def main() -> None:
        face: DaemonFace = daemon
        leave = asyncio.Event()
        async with start_server(face, f"127.0.0.1:{port}", token, environ=environ):
            done.append((asyncio.get_running_loop(), leave))
            ready.set()
            await leave.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  # shown by the test that waits
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(30)
    if failure:
        raise failure[0]
    loop, leave = done[0]
    try:
        yield Stage(daemon, port, loop)
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(30)
        if failure:
            raise failure[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- what is in the warehouse ---

_CONTENT: dict[str, Any] = {
    "channel": "google_meet",
    "completion_threshold": 80,
    "interview_order": "seniority_high_first",
    "interview_duration_minutes": 30,
    "start_immediately": True,
    "scheduling_mode": "availability",
    "contact_count": 0,
    "completed_count": 0,
    "scheduled_count": 0,
    "goal": "SECRET-GOAL",
    "_row_hash": "0",
    "_run_id": 1,
}


def put_workspace(warehouse: Warehouse, owner: Workspace, **state: Any) -> None:
    with warehouse.writing() as connection:
        connection.execute(insert(workspaces).values(workspace_id=owner.id, name=owner.name, **state))


def put_runs(warehouse: Warehouse, owner: Workspace, runs: list[dict[str, Any]]) -> int:
    """Runs of the workspace, oldest first; the id of the last."""
    last = 0
    with warehouse.writing() as connection:
        for run in runs:
            last = connection.execute(
                insert(sync_runs)
                .values(
                    **{
                        "workspace_id": owner.id,
                        "workspace_name": owner.name,
                        "trigger": "schedule",
                        "status": "succeeded",
                        "program_version": "test",
                        **run,
                    }
                )
                .returning(sync_runs.c.id)
            ).scalar_one()
    return last


def put_interview(
    warehouse: Warehouse, owner: Workspace, number: int, status: str, since: datetime, **columns: Any
) -> None:
    with warehouse.writing() as connection:
        connection.execute(insert(interviews).values(**_row(owner, number, status, since, columns)))


def put_version(
    warehouse: Warehouse,
    owner: Workspace,
    number: int,
    status: str,
    begin: datetime,
    end: datetime,
    change: str = "updated",
) -> None:
    row = _row(owner, number, status, begin, {})
    del row["_first_seen_at"], row["_synced_at"]
    with warehouse.writing() as connection:
        connection.execute(
            insert(interviews_history).values(**row, _valid_from=begin, _valid_to=end, _change=change)
        )


def _row(
    owner: Workspace, number: int, status: str, since: datetime, columns: dict[str, Any]
) -> dict[str, Any]:
    return {
        **_CONTENT,
        "id": uuid5(owner.id, str(number)),
        "workspace_id": owner.id,
        "name": f"SECRET-NAME {number}",
        "status": status,
        "created_at": since,
        "updated_at": since,
        "_first_seen_at": since,
        "_synced_at": since,
        **columns,
    }


__all__ = ["ACME", "ALL", "GLOBEX", "OTHER_SECRET", "SECRET", "SILENT", "Policy", "Stage", "serving"]
