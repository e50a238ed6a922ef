"""The daemon as a real process between a stand-in API and a warehouse, to be signalled, starved and asked."""

from __future__ import annotations

import hmac
import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import distinct, func, select

from etl.config import Warehouse as WarehouseSettings
from etl.errors import WarehouseError
from etl.secret import Secret
from etl.standin import StandIn, generate_interviews
from etl.tables import interviews, sync_runs
from etl.warehouse import open_warehouse
from tests.acceptance.program import COMMAND, id_of, wait_until
from tests.serve.stage import free_port


@dataclass
class Rig:
    """A configuration, a stand-in API, and the daemon between them and a warehouse."""

    api: StandIn
    folder: Path
    url: str
    sections: str = '[sync]\nschedule = "every 1s"\n[run]\ngrace_seconds = 10\n'
    names: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 30
    port: int = field(default_factory=free_port)

    @property
    def config(self) -> Path:
        return self.folder / "etl.toml"

    def add(self, name: str, count: int = 3, key: str = "") -> str:
        """A workspace at the API, and in the configuration from the next `write` or `start` on."""
        workspace_id = id_of(name)
        self.api.add_workspace(
            workspace_id,
            key=f"key-{name}",
            interviews=list(generate_interviews(count, workspace_id=workspace_id)),
        )
        self.environ[f"ONTORA_API_KEY_{name.upper()}"] = key or f"key-{name}"
        self.names.append(name)
        return workspace_id

    def write(self, *, more: str = "") -> None:
        tables = [f'[[workspaces]]\nname = "{n}"\nid = "{id_of(n)}"\n' for n in self.names]
        api = f'[api]\nbase_url = "{self.api.base_url}"\nmax_attempts = 1\n'
        api += f"timeout_seconds = {self.timeout_seconds}\n"
        self.config.write_text(
            f'{api}[warehouse]\nurl = "{self.url}"\n{self.sections}{"".join(tables)}{more}'
        )

    def start(self, *options: str, listen: bool = False) -> subprocess.Popen[bytes]:
        """The daemon by the README's own lines, with the address of its HTTP side where it is to listen."""
        self.write()
        more = ["--listen", f"127.0.0.1:{self.port}"] if listen else []
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [COMMAND, *options, "--config", str(self.config), "run", *more],
            stderr=log,
            stdout=log,
            env=os.environ | self.environ,
        )
        log.close()
        if listen:
            wait_until(self.is_listening)
        return self.process

    def is_listening(self) -> bool:
        try:
            return self.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str) -> httpx.Response:
        """What the HTTP side answers."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=30)

    def metric(self, name: str, workspace: str = "") -> float:
        """A metric's value now, of one workspace or of the whole."""
        label = f'{{workspace="{workspace}"}}' if workspace else ""
        start = f"ontora_etl_{name}{label} "
        lines = self.get("/metrics").text.splitlines()
        return next(float(line.removeprefix(start)) for line in lines if line.startswith(start))

    def post_webhook(self, name: str, secret: str, delivery_id: str = "", body: bytes = b"") -> int:
        """The answer's status to a webhook as Ontora sends it."""
        stamp = datetime.now(UTC).isoformat()
        body = body or json.dumps({"event": "campaign.started", "timestamp": stamp}).encode()
        headers = {
            "X-Ontora-Event": "campaign.started",
            "X-Ontora-Delivery-Id": delivery_id or str(uuid4()),
            "X-Ontora-Signature": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest(),
        }
        url = f"http://127.0.0.1:{self.port}/webhooks/{name}"
        return httpx.post(url, content=body, headers=headers, trust_env=False).status_code

    def sync(self, *names: str) -> int:
        """The exit code of `ontora-etl sync`: the cron job beside the daemon."""
        self.write()
        command = [str(COMMAND), "--config", str(self.config), "sync", *names]
        environ = os.environ | self.environ
        return subprocess.run(command, env=environ, capture_output=True, check=False).returncode

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def exit_code(self, seconds: float = 15) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def end(self) -> int:
        self.signal(signal.SIGTERM)
        return self.exit_code()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def runs(self, name: str | None = None) -> list[Any]:
        """The ledger, oldest first; nothing while the warehouse is away."""
        with closing(open_warehouse(WarehouseSettings(Secret(self.url)))) as warehouse:
            try:
                with warehouse.reading() as connection:
                    rows = connection.execute(select(sync_runs).order_by(sync_runs.c.id)).all()
            except WarehouseError:
                return []
        return [row for row in rows if name in (None, row.workspace_name)]

    def last_run_id(self) -> int:
        return self._ask(select(func.coalesce(func.max(sync_runs.c.id), 0)))

    def wait_until_fresh(self, after_id: int = 0) -> None:
        """Return when each workspace has succeeded since that run."""
        runs = sync_runs.c
        succeeded = select(func.count(distinct(runs.workspace_name))).where(
            runs.id > after_id, runs.status == "succeeded", runs.workspace_name.in_(self.names)
        )
        wait_until(lambda: self._ask(succeeded) == len(self.names), 40, pause_seconds=0.1)

    def _ask(self, query: Any) -> int:
        """A number that the warehouse answers; -1 while it is away."""
        with closing(open_warehouse(WarehouseSettings(Secret(self.url)))) as warehouse:
            try:
                with warehouse.reading() as connection:
                    return int(connection.execute(query).scalar_one())
            except WarehouseError:
                return -1

    def interviews(self) -> int:
        with (
            closing(open_warehouse(WarehouseSettings(Secret(self.url)))) as warehouse,
            warehouse.reading() as connection,
        ):
            return int(connection.execute(select(func.count()).select_from(interviews)).scalar_one())

    def succeeded(self, name: str, at_least: int = 1) -> Callable[[], bool]:
        return lambda: sum(r.status == "succeeded" for r in self.runs(name)) >= at_least

    def requests(self, name: str) -> int:
        return sum(seen.workspace_id == id_of(name) for seen in self.api.requests)


def assert_accounted_for(runs: list[Any]) -> None:
    """No run is left running, and no two of a workspace overlap."""
    assert not [run for run in runs if run.status == "running"]
    by_name: dict[str, list[Any]] = {}
    for run in runs:
        by_name.setdefault(run.workspace_name, []).append(run)
    for own in by_name.values():
        assert all(a.finished_at <= b.started_at for a, b in pairwise(own))
