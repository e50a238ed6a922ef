"""The daemon as a real process, with signals sent for real. Reliability 56, 64, 67, 68."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from etl.standin.faults import Latency, SilentHeaders, Status
from tests.acceptance.program import id_of, wait_until
from tests.acceptance.rig import Rig, assert_accounted_for
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


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
def test_sigterm_in_mid_load_leaves_nothing_half(
    rig: Rig, warehouse_at_head: str, delay_seconds: float
) -> None:
    rig.url = warehouse_at_head
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
    assert rig.exit_code() == 0
    assert time.monotonic() - begun < 2
    rig.start()
    wait_until(rig.succeeded("acme"))
    assert rig.end() == 0
    assert rig.runs()[0].status == "interrupted"
    assert_accounted_for(rig.runs())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_start_ends_it_with_zero(rig: Rig, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a Postgres that hangs
        rig.url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        rig.add("acme")
        process = rig.start()
        silent.settimeout(15)
        connection, _ = silent.accept()
        with connection:
            rig.signal(signal.SIGHUP)
            time.sleep(0.2)
            assert process.poll() is None
            rig.signal(number)
            assert rig.exit_code(3) == 0
    assert "Traceback" not in rig.log


def _open_files(pid: int) -> set[Path]:
    """What the process holds open."""
    descriptors = Path(f"/proc/{pid}/fd")
    if not descriptors.is_dir():
        pytest.skip("no /proc on this system")
    found = set()
    for descriptor in descriptors.iterdir():
        with suppress(OSError):  # closed meanwhile
            found.add(descriptor.readlink())
    return found


def test_sighup_during_the_start_is_not_lost(rig: Rig) -> None:
    new = rig.folder / "new.db"
    rig.url = f"sqlite:///{new}"
    rig.sections = '[sync]\nschedule = "every 6h"\n'
    rig.add("acme")
    rig.environ["ONTORA_API_KEY"] = "key-globex"
    with closing(sqlite3.connect(new, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        process = rig.start()
        wait_until(lambda: new in _open_files(process.pid))  # so the configuration has been read
        rig.add("globex")
        rig.write()
        rig.signal(signal.SIGHUP)
        other.execute("ROLLBACK")
    wait_until(rig.succeeded("globex"))
    assert process.poll() is None
    assert rig.end() == 0


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
    wait_until(lambda: all(run.status != "running" for run in rig.runs()))  # those of the old schedule
    before = len(rig.runs())
    time.sleep(1.5)
    assert len(rig.runs()) == before
    assert rig.end() == 0
    assert rig.runs("initech")[0].trigger == "catch_up"


@pytest.mark.parametrize("name", ["acme", "renamed"])
def test_sighup_gives_a_running_workspace_another_id_or_name(rig: Rig, name: str) -> None:
    """The run under way is the former one's: the new one's follows it, long before its schedule."""
    rig.sections = '[sync]\nschedule = "every 6h"\n'
    workspace_id = rig.add("acme")
    rig.environ["ONTORA_API_KEY"] = "key-acme"
    rig.api.latency_seconds = 3
    rig.start()
    wait_until(lambda: rig.requests("acme") == 1)
    if name == "acme":
        workspace_id = rig.add("other", count=4, key="key-acme")
        rig.api.set_key(workspace_id, "key-acme")
    rig.names.clear()
    rig.write(more=f'[[workspaces]]\nname = "{name}"\nid = "{workspace_id}"\n')
    rig.signal(signal.SIGHUP)
    wait_until(
        lambda: any(
            (run.status, run.workspace_name, str(run.workspace_id)) == ("succeeded", name, workspace_id)
            for run in rig.runs()
        ),
        40,
    )
    assert rig.end() == 0
    assert_accounted_for(rig.runs())


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


def test_a_restart_forgets_no_retry(rig: Rig) -> None:
    rig.sections = '[sync]\nschedule = "every 6h"\n'
    workspace_id = rig.add("acme")
    rig.add("globex")
    rig.write()
    assert rig.sync() == 0
    rig.api.always(workspace_id, Status(503))
    rig.api.set_key(id_of("globex"), "another")
    assert rig.sync() == 1
    rig.api.always(workspace_id, None)
    asked = rig.requests("globex")
    rig.start()
    wait_until(rig.succeeded("acme", 2))
    assert rig.end() == 0
    assert [(run.trigger, run.status) for run in rig.runs("acme")[2:]] == [("schedule", "succeeded")]
    assert rig.requests("globex") == asked  # its key was refused: that is not hammered


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
