"""The daemon as a real process, with signals sent for real. Reliability 56, 64, 67, 68."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from etl.config import load_settings
from etl.errors import WarehouseError
from etl.standin import StandIn, generate_interviews
from etl.standin.faults import Latency, SilentHeaders, Status
from etl.tables import interviews, sync_runs
from etl.warehouse import open_warehouse
from tests.acceptance.program import id_of, wait_until
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


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

    @property
    def config(self) -> Path:
        return self.folder / "etl.toml"

    def add(self, name: str, count: int = 3, key: str = "") -> str:
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
        self.config.write_text(
            f'{api}[warehouse]\nurl = "{self.url}"\n{self.sections}{"".join(tables)}{more}'
        )

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        self.write()
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "etl", *options, "--config", str(self.config), "run"],
            stderr=log,
            stdout=log,
            env=os.environ | self.environ,
        )
        log.close()
        return self.process

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
        with closing(open_warehouse(load_settings(self.config, self.environ).warehouse)) as warehouse:
            try:
                with warehouse.reading() as connection:
                    rows = connection.execute(select(sync_runs).order_by(sync_runs.c.id)).all()
            except WarehouseError:
                return []
        return [row for row in rows if name in (None, row.workspace_name)]

    def interviews(self) -> int:
        with (
            closing(open_warehouse(load_settings(self.config, self.environ).warehouse)) as warehouse,
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


@pytest.fixture
def rig(api: StandIn, tmp_path: Path, sqlite_url: str) -> Iterator[Rig]:
    made = Rig(api, tmp_path, sqlite_url)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_keeps_fresh_and_ends_with_zero(rig: Rig, warehouse_url: str) -> None:
    rig.url = warehouse_url
    rig.add("acme")
    rig.add("globex")
    rig.start("--log-format", "json")
    wait_until(rig.succeeded("acme", 3))
    wait_until(rig.succeeded("globex", 3))
    assert rig.end() == 0
    runs = rig.runs()
    assert_accounted_for(runs)
    triggers = [run.trigger for run in rig.runs("acme")]
    assert triggers[0] == "catch_up"
    assert set(triggers[1:]) == {"schedule"}
    assert '"run_id": 1' in rig.log
    assert "key-acme" not in rig.log


def test_starts_by_catching_up_only_with_what_is_overdue(rig: Rig) -> None:
    rig.sections = '[sync]\nschedule = "every 1h"\n'
    rig.add("acme")
    rig.start()
    wait_until(rig.succeeded("acme"))
    assert rig.end() == 0
    rig.add("globex")
    rig.start()
    wait_until(rig.succeeded("globex"))
    assert rig.end() == 0
    assert len(rig.runs("acme")) == 1


def test_run_under_way_may_end_within_its_grace(rig: Rig) -> None:
    workspace_id = rig.add("acme")
    rig.api.always(workspace_id, Latency(1.5))
    rig.start()
    wait_until(lambda: rig.requests("acme") > 0)
    assert rig.end() == 0
    assert [run.status for run in rig.runs()] == ["succeeded"]


def test_run_longer_than_its_grace_is_interrupted(rig: Rig) -> None:
    rig.sections = '[sync]\nschedule = "every 1s"\n[run]\ngrace_seconds = 0.5\n'
    workspace_id = rig.add("acme")
    rig.api.always(workspace_id, SilentHeaders(60))
    rig.start()
    wait_until(lambda: rig.requests("acme") > 0)
    assert rig.end() == 0
    assert [(run.status, run.error_code) for run in rig.runs()] == [("interrupted", "interrupted")]
    assert list(rig.folder.glob("*.lock")) == []


@pytest.mark.parametrize("delay_seconds", [0.1, 0.3])
def test_sigterm_in_mid_load_leaves_nothing_half(rig: Rig, warehouse_url: str, delay_seconds: float) -> None:
    rig.url = warehouse_url
    rig.sections = '[sync]\nschedule = "every 1s"\n[run]\ngrace_seconds = 0\n'
    rig.add("acme", count=6000)
    rig.start()
    wait_until(lambda: rig.requests("acme") > 0)
    time.sleep(delay_seconds)
    assert rig.end() == 0
    runs = rig.runs()
    assert_accounted_for(runs)
    assert runs[-1].status in ("succeeded", "interrupted")
    assert rig.interviews() == (6000 if any(run.status == "succeeded" for run in runs) else 0)


def test_second_signal_ends_at_once(rig: Rig) -> None:
    workspace_id = rig.add("acme")
    rig.api.script(workspace_id, SilentHeaders(60))
    rig.start()
    wait_until(lambda: rig.requests("acme") > 0)
    rig.signal(signal.SIGTERM)
    wait_until(lambda: "waiting up to" in rig.log)
    begun = time.monotonic()
    rig.signal(signal.SIGINT)
    assert rig.exit_code() == 128 + signal.SIGINT
    assert time.monotonic() - begun < 2
    rig.start()
    wait_until(rig.succeeded("acme"))
    assert rig.end() == 0
    assert rig.runs()[0].status == "interrupted"
    assert_accounted_for(rig.runs())


def test_sighup_keeps_the_old_configuration_where_the_new_is_faulty(rig: Rig) -> None:
    rig.add("acme")
    rig.add("globex")
    process = rig.start()
    wait_until(rig.succeeded("acme"))
    wait_until(rig.succeeded("globex"))
    rig.write(more='[[workspaces]]\nname = "acme"\n')
    rig.signal(signal.SIGHUP)
    wait_until(lambda: "stays in force" in rig.log)
    assert "#3" in rig.log
    rig.write()
    wait_until(rig.succeeded("acme", len(rig.runs("acme")) + 2))
    assert process.poll() is None


def test_sighup_adds_removes_and_reschedules(rig: Rig) -> None:
    rig.add("acme")
    rig.add("globex")
    rig.environ["ONTORA_API_KEY"] = "key-initech"  # a running process learns of no new variables
    rig.start()
    wait_until(rig.succeeded("acme"))
    wait_until(rig.succeeded("globex"))
    rig.add("initech")
    del rig.environ["ONTORA_API_KEY_INITECH"]
    rig.names.remove("globex")
    rig.sections = '[sync]\nschedule = "every 1h"\n'
    rig.write()
    rig.signal(signal.SIGHUP)
    wait_until(lambda: "configuration read again" in rig.log)
    wait_until(rig.succeeded("initech"))
    time.sleep(0.5)
    before = len(rig.runs())
    time.sleep(1.5)
    assert len(rig.runs()) == before
    assert rig.end() == 0
    assert rig.runs("initech")[0].trigger == "catch_up"


def test_postgres_may_go_away_and_come_back(rig: Rig, own_postgres: PostgresServer) -> None:
    rig.url = own_postgres.create_database()
    for name in ("acme", "globex", "initech"):
        rig.add(name)
    process = rig.start()
    for _ in range(2):
        wait_until(rig.succeeded("acme", len(rig.runs("acme")) + 2))
        own_postgres.stop("immediate")
        failures = rig.log.count("warehouse_unreachable")
        wait_until(lambda failures=failures: rig.log.count("warehouse_unreachable") > failures)  # type: ignore[misc]
        own_postgres.start()
    for name in rig.names:
        wait_until(rig.succeeded(name, len(rig.runs(name)) + 2))
    assert process.poll() is None
    assert rig.end() == 0
    assert_accounted_for(rig.runs())
    assert all(rig.runs(name)[-1].status in ("succeeded", "interrupted") for name in rig.names)


def test_stopped_for_a_while_it_catches_up_once(rig: Rig) -> None:
    rig.add("acme")
    rig.start()
    wait_until(rig.succeeded("acme", 2))
    rig.signal(signal.SIGSTOP)
    time.sleep(0.3)
    before = len(rig.runs())
    time.sleep(3.2)
    rig.signal(signal.SIGCONT)
    time.sleep(0.8)
    assert 1 <= len(rig.runs()) - before <= 2
    assert rig.end() == 0
    assert_accounted_for(rig.runs())


def test_run_longer_than_its_period_is_never_doubled(rig: Rig) -> None:
    workspace_id = rig.add("acme")
    rig.api.always(workspace_id, Latency(1.5))
    rig.start()
    wait_until(rig.succeeded("acme", 3))
    assert rig.end() == 0
    assert_accounted_for(rig.runs())
    assert rig.api.peak_connections == 1


def test_failed_workspace_is_tried_sooner_than_scheduled_but_a_refused_key_is_not(rig: Rig) -> None:
    rig.sections = '[sync]\nschedule = "every 6h"\n'
    workspace_id = rig.add("acme")
    rig.add("globex", key="revoked")
    rig.api.always(workspace_id, Status(503))
    rig.start()
    wait_until(lambda: [run.error_code for run in rig.runs("acme")] == ["server_error"])
    rig.api.always(workspace_id, None)
    wait_until(rig.succeeded("acme"))
    assert [run.trigger for run in rig.runs("acme")] == ["catch_up", "schedule"]
    assert [run.error_code for run in rig.runs("globex")] == ["invalid_api_key"]
    assert rig.requests("globex") == 1
    assert rig.end() == 0


def test_tells_systemd(rig: Rig, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(15)
        rig.environ |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        rig.add("acme")
        rig.start()
        heard = [listener.recv(1000).decode()]
        assert heard[0].startswith("READY=1\n")
        beats = [listener.recv(1000) for _ in range(3)]
        assert beats == [b"WATCHDOG=1"] * 3
        rig.signal(signal.SIGHUP)
        while "RELOADING=1" not in heard[-1]:
            heard.append(listener.recv(1000).decode())
        while not heard[-1].startswith("READY=1"):
            heard.append(listener.recv(1000).decode())
        assert rig.end() == 0
        while heard[-1] != "STOPPING=1":
            heard.append(listener.recv(1000).decode())


def test_what_cannot_begin_says_so_and_exits(rig: Rig) -> None:
    rig.add("acme")
    rig.environ["ONTORA_API_KEY_ACME"] = ""
    rig.start()
    assert rig.exit_code() == 2
    assert "ONTORA_API_KEY_ACME" in rig.log
    rig.environ["ONTORA_API_KEY_ACME"] = "key-acme"
    rig.url = f"sqlite:///{rig.folder}/no/such/folder/warehouse.db"
    rig.start()
    assert rig.exit_code() == 3
    assert "Traceback" not in rig.log


def test_pings_the_dead_mans_switch_while_all_is_well(rig: Rig) -> None:
    rig.sections += '[notify]\nheartbeat_url_env = "HEARTBEAT"\n'
    rig.environ["HEARTBEAT"] = f"{rig.api.base_url}/ping/sEcReT"
    rig.add("acme")
    broken = rig.add("globex")
    rig.api.script(broken, Status(503))
    rig.start()
    wait_until(rig.succeeded("acme"))
    wait_until(rig.succeeded("globex"))
    wait_until(lambda: any(seen.path.startswith("/ping/") for seen in rig.api.requests))
    time.sleep(1)
    paths = [seen.path for seen in rig.api.requests]
    assert paths.count("/ping/sEcReT") == 1  # at most one a minute
    assert paths.index("/ping/sEcReT") > 2
    assert rig.end() == 0
    assert "cannot notify 127.0.0.1 (address from HEARTBEAT): it answered 404" in rig.log
    assert "sEcReT" not in rig.log


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("127.0.0.1:0", "pip install 'ontora-etl[serve]'"),
        ("0.0.0.0:8080", "others can reach this address"),
        ("8080", "must be HOST:PORT"),
    ],
)
def test_http_side_that_cannot_begin_is_bad_usage(rig: Rig, listen: str, message: str) -> None:
    rig.add("acme")
    rig.write()
    without_extra = "import sys; sys.modules['uvicorn'] = None; from etl.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without_extra, "--config", str(rig.config), "run", "--listen", listen],
        capture_output=True,
        text=True,
        env=os.environ | rig.environ,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.stress
def test_200_workspaces_every_2_seconds(rig: Rig) -> None:
    rig.sections = '[sync]\nschedule = "every 2s"\n'
    for number in range(200):
        rig.add(f"w{number}", count=2)
    process = rig.start()
    wait_until(lambda: all(rig.requests(name) >= 2 for name in rig.names), 30)
    early_bytes = resident_bytes(process.pid)
    before = Counter(seen.workspace_id for seen in rig.api.requests)
    time.sleep(12)
    during = Counter(seen.workspace_id for seen in rig.api.requests)
    late_bytes = resident_bytes(process.pid)
    assert rig.end() == 0
    assert_accounted_for(rig.runs())
    runs = [during[workspace_id] - before[workspace_id] for workspace_id in during]
    assert max(runs) <= 7
    assert min(runs) >= max(runs) / 2  # on a slow machine each gets its share; on a fast one all have 6
    assert late_bytes - early_bytes < 8 * 1024**2
    assert rig.log.count("nothing new") + rig.log.count("2 inserted") == len(rig.runs())


def resident_bytes(pid: int) -> int:
    if sys.platform != "linux":
        return 0
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
