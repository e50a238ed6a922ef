"""Several at once: reliability 52 to 55. One works, the others skip, wait or say what holds them up."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest

from etl.standin import StandIn
from etl.standin.faults import Latency, Status
from tests.acceptance.program import Program, fates, id_of, interviews_of, populate, wait_until
from tests.postgres import PostgresServer
from tests.sync.others import connected, lock_everything, lock_ledger, waits_for_a_lock

PATIENT = {"timeout_seconds": 20, "deadline_seconds": 60}


def test_two_syncs_at_once(either: Program, api: StandIn) -> None:
    populate(api, "acme", "beta", count=40)
    either.configure(api.base_url, "acme", "beta", api=PATIENT)
    for name in ("acme", "beta"):
        api.script(id_of(name), Latency(1))
    first = either.start("sync", "--json")
    wait_until(lambda: len(api.requests) == 2)
    first.send(signal.SIGSTOP)  # however slow this machine: it works for as long as the other one runs
    second = either.sync()
    first.send(signal.SIGCONT)
    assert second.exit_code == 0
    assert {entry["status"] for entry in second.json["workspaces"]} == {"skipped"}
    assert {entry["run_id"] for entry in second.json["workspaces"]} == {None}
    done = first.wait()
    assert done.exit_code == 0
    assert [fates(entry) for entry in done.json["workspaces"]] == [{"received": 40, "inserted": 40}] * 2
    assert len(api.requests) == 2
    assert either.rows("SELECT status, count(*) FROM sync_runs GROUP BY status") == [("succeeded", 2)]
    assert either.left_behind() == []


def test_two_syncs_of_different_workspaces_at_once_both_work(either: Program, api: StandIn) -> None:
    populate(api, "acme", "beta", count=40)
    either.configure(api.base_url, "acme", "beta", api=PATIENT)
    both = [either.start("sync", "--json", name) for name in ("acme", "beta")]
    for running in both:
        done = running.wait()
        assert [entry["status"] for entry in done.json["workspaces"]] == ["succeeded"], done.stderr
    assert either.rows("SELECT count(*) FROM interviews") == [(80,)]


def test_two_first_syncs_at_once_migrate_once(new_either: Program, api: StandIn) -> None:
    populate(api, "acme")
    new_either.configure(api.base_url, "acme", api=PATIENT)
    both = [new_either.start("sync", "--json") for _ in range(2)]
    statuses = set()
    for running in both:
        done = running.wait()
        assert done.exit_code == 0, done.stderr
        statuses.add(done.workspace("acme")["status"])
    assert "succeeded" in statuses
    assert statuses <= {"succeeded", "skipped"}
    assert new_either.rows("SELECT count(*) FROM interviews") == [(5,)]


def test_two_migrations_at_once(new_either: Program, api: StandIn) -> None:
    populate(api, "acme")
    new_either.configure(api.base_url, "acme")
    both = [new_either.start("migrate") for _ in range(2)]
    for running in both:
        done = running.wait()
        assert done.exit_code == 0, done.stderr
    assert new_either.run("check").exit_code == 0


def test_a_sync_during_a_migration(new_either: Program, api: StandIn) -> None:
    populate(api, "acme")
    new_either.configure(api.base_url, "acme", api=PATIENT)
    new_either.run("migrate", "--to", "2")
    both = [new_either.start("migrate"), new_either.start("sync")]
    migrated, synced = (running.wait() for running in both)
    assert migrated.exit_code == 0, migrated.stderr
    assert synced.exit_code in {0, 3}, synced.stderr
    if synced.exit_code == 3:
        assert "ontora-etl migrate" in synced.stderr
    assert new_either.sync().exit_code == 0


def test_a_long_select_holds_nothing_up(either: Program, api: StandIn) -> None:
    populate(api, "acme", count=40)
    either.configure(api.base_url, "acme", api=PATIENT)
    either.sync()
    with connected(either) as session:
        session.execute("BEGIN")
        (before,) = session.execute("SELECT count(*) FROM interviews").fetchone()
        api.set_interviews(id_of("acme"), [*api.worlds[id_of("acme")].interviews][:39])
        done = either.sync()
        assert done.exit_code == 0
        assert fates(done.workspace("acme")) == {"received": 39, "unchanged": 39, "deleted": 1}
        query = "SELECT count(*) FROM interviews WHERE _deleted_at IS NOT NULL"
        seen = session.execute(query).fetchone()
        # An open SQLite reader sees what it began with; a Postgres one, statement by statement.
        assert (before, seen) == (40, (0,) if isinstance(session, sqlite3.Connection) else (1,))
        session.execute("ROLLBACK")


def test_a_lock_held_for_a_while_is_waited_for(either: Program, api: StandIn) -> None:
    populate(api, "acme", count=40)
    either.configure(api.base_url, "acme", api=PATIENT)
    with connected(either) as session:
        lock_everything(session)
        release = threading.Timer(3, lambda: session.execute("ROLLBACK"))
        release.start()
        began = time.monotonic()
        done = either.sync()
        release.join()
    assert done.exit_code == 0, done.stderr
    assert time.monotonic() - began > 2
    assert done.workspace("acme")["inserted"] == 40


def test_a_lock_held_beyond_the_deadline(either: Program, api: StandIn) -> None:
    populate(api, "acme", "beta", count=40)
    either.configure(
        api.base_url, "acme", "beta", api={"timeout_seconds": 2, "deadline_seconds": 3, "concurrency": 2}
    )
    for name in ("acme", "beta"):
        api.script(id_of(name), Latency(1))
    with connected(either) as session:
        running = either.start("sync", "--json")
        wait_until(lambda: len(api.requests) == 2)  # the runs are open by now
        lock_everything(session)
        release = threading.Timer(6, lambda: session.execute("ROLLBACK"))
        release.start()
        done = running.wait()
        release.join()
    assert done.exit_code == 1
    for name in ("acme", "beta"):
        entry = done.workspace(name)
        assert (entry["status"], entry["error_code"]) == ("failed", "warehouse_locked")
    assert either.rows("SELECT count(*) FROM interviews") == [(0,)]
    again = either.sync()
    assert (again.exit_code, again.workspace("acme")["inserted"]) == (0, 40)
    assert either.left_behind() == []


def test_a_ledger_locked_beyond_the_deadline(either: Program, api: StandIn) -> None:
    populate(api, "acme", "beta")
    hasty = {"timeout_seconds": 2, "deadline_seconds": 3}
    either.configure(api.base_url, "acme", "beta", api=hasty)
    either.sync()
    with connected(either) as session:
        lock_ledger(session)
        began = time.monotonic()
        done = either.sync()
        assert time.monotonic() - began < 20
        session.execute("ROLLBACK")
    assert done.exit_code == 1
    codes = {name: done.workspace(name)["error_code"] for name in ("acme", "beta")}
    assert codes == {"acme": "warehouse_locked", "beta": "warehouse_locked"}
    assert either.sync().exit_code == 0


@pytest.mark.parametrize("locked_at", ["opening", "loading"])
def test_told_to_stop_while_it_waits_for_a_lock(either: Program, api: StandIn, locked_at: str) -> None:
    populate(api, "acme")
    either.configure(api.base_url, "acme", api=PATIENT)
    either.sync()
    api.set_interviews(id_of("acme"), [one | {"folder": "new"} for one in interviews_of("acme")])
    if locked_at == "loading":
        api.script(id_of("acme"), Latency(1))
    with connected(either) as session:
        if locked_at == "opening":
            lock_ledger(session)
        running = either.start("sync")
        if locked_at == "loading":
            wait_until(lambda: len(api.requests) == 2)
            lock_everything(session)
        wait_until(lambda: waits_for_a_lock(either))
        running.send(signal.SIGTERM)
        began = time.monotonic()
        done = running.wait()
        session.execute("ROLLBACK")
    assert (done.exit_code, done.stdout) == (143, "")
    assert time.monotonic() - began < 15  # the ledger, too, is waited for, but not for long
    assert either.rows("SELECT DISTINCT folder FROM interviews WHERE folder = 'new'") == []
    assert either.sync().workspace("acme")["updated"] == 5
    assert ("running",) not in either.rows("SELECT status FROM sync_runs")
    assert either.left_behind() == []


def test_vacuum_and_dumps_hold_nothing_up(
    api: StandIn, tmp_path: Path, postgres_at_head: str, postgres_server: PostgresServer
) -> None:
    program = Program(tmp_path, postgres_at_head)
    populate(api, "acme", count=500)
    program.configure(api.base_url, "acme", api=PATIENT)
    program.sync()
    rows = interviews_of("acme", 500)
    enough = threading.Event()

    def keep_busy() -> None:
        dump = [str(postgres_server.bin_dir / "pg_dump"), "--dbname", postgres_at_head, "--file", "/dev/null"]
        while not enough.is_set():
            subprocess.run(dump, check=True)
            with postgres_server.connect(postgres_at_head) as session:
                session.execute("VACUUM ANALYZE")

    beside = threading.Thread(target=keep_busy)
    beside.start()
    try:
        for count in range(3):
            api.set_interviews(id_of("acme"), [one | {"contact_count": count + 100} for one in rows])
            done = program.sync()
            assert fates(done.workspace("acme")) == {"received": 500, "updated": 500}, done.stderr
    finally:
        enough.set()
        beside.join()


def test_a_failing_workspace_spoils_no_other(either: Program, api: StandIn) -> None:
    names = ("bad-key", "broken", "down", "good", "fine")
    populate(api, *names, count=20)
    api.set_key(id_of("bad-key"), "ont_live_other")
    api.set_body(id_of("broken"), b"[{},")
    api.always(id_of("down"), Status(503))
    either.configure(api.base_url, *names)
    done = either.sync()
    assert done.exit_code == 1
    found = {entry["name"]: (entry["status"], entry["error_code"]) for entry in done.json["workspaces"]}
    assert found == {
        "bad-key": ("failed", "invalid_api_key"),
        "broken": ("failed", "unexpected_answer"),
        "down": ("failed", "server_error"),
        "good": ("succeeded", None),
        "fine": ("succeeded", None),
    }
    assert either.rows("SELECT count(*) FROM interviews") == [(40,)]
    entries = either.rows("SELECT workspace_name, status FROM sync_runs ORDER BY workspace_name")
    assert entries == [(name, found[name][0]) for name in sorted(names)]


def test_a_lock_file_removed_by_hand(program: Program, api: StandIn) -> None:
    populate(api, "acme", "globex", count=20)
    program.configure(api.base_url, "acme", "globex", api=PATIENT)
    api.script(id_of("acme"), Latency(1))
    running = program.start("sync", "--json")
    wait_until(lambda: len(api.requests) == 2)
    (lock,) = program.folder.glob(f"*{id_of('acme')}.lock")
    lock.unlink()
    done = running.wait()
    assert (done.exit_code, done.stderr) == (0, "")
    assert program.rows("SELECT count(*) FROM interviews") == [(40,)]


def test_an_answer_applied_late_behind_a_pooler(api: StandIn, tmp_path: Path, postgres_at_head: str) -> None:
    """Where a broken lock lets two syncs run, the one that asked first does not overwrite the other."""
    program = Program(tmp_path, postgres_at_head)
    populate(api, "acme", count=20)
    program.configure(api.base_url, "acme", api=PATIENT)
    program.sync()
    api.script(id_of("acme"), Latency(1))
    older = program.start("sync", "--json")
    wait_until(lambda: len(api.requests) == 2)
    older.send(signal.SIGSTOP)
    program.rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    api.set_interviews(id_of("acme"), [one | {"folder": "newer"} for one in interviews_of("acme", 20)])
    assert program.sync().workspace("acme")["updated"] == 20
    older.send(signal.SIGCONT)
    done = older.wait()
    assert done.exit_code == 0, done.stderr
    assert fates(done.workspace("acme")) == {"received": 20, "stale": 20}
    assert program.rows("SELECT DISTINCT folder FROM interviews") == [("newer",)]


def test_a_workspace_that_is_no_longer_configured_keeps_its_rows(either: Program, api: StandIn) -> None:
    populate(api, "stays", "goes", count=20)
    either.configure(api.base_url, "stays", "goes")
    either.sync()
    before = either.interviews("goes")
    either.configure(api.base_url, "stays")
    assert [entry["name"] for entry in either.sync("--full").json["workspaces"]] == ["stays"]
    assert either.interviews("goes") == before
    status = either.run("status")
    assert status.exit_code == 0
    assert "goes: no longer synced" in status.stdout
    assert "stays: no longer synced" not in status.stdout
