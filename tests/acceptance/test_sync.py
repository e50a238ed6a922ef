"""`sync` as a cron job runs it: what it says, what it writes, and what it leaves when it is stopped."""

from __future__ import annotations

import gzip
import json
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.standin import StandIn, faults
from tests.acceptance.program import (
    Program,
    fates,
    id_of,
    interviews_of,
    key_of,
    moments,
    populate,
    sync_here,
    variable_of,
    wait_until,
)

_DATA = Path(__file__).parents[1] / "data"
_SAMPLE = _DATA / "interviews-acme.json.gz"
_SAMPLE_ID = "0f4f6ad2-6d3e-4c0b-9b0a-3f6f3d0c7a11"
_SEED_ID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
_SEED = (_DATA / "seed.json").read_text()  # the example of the API's documentation, verbatim
_KEYS = [
    *("name", "workspace_id", "run_id", "status", "received", "inserted", "updated", "unchanged", "stale"),
    *("duplicate", "rejected", "deleted", "restored", "held_deletes", "bytes_received", "attempts"),
    *("duration_seconds", "error_code", "error"),
]


def _serve(api: StandIn, program: Program, body: bytes, workspace_id: str) -> None:
    """One workspace `acme` with this id and this answer."""
    api.add_workspace(workspace_id, key=key_of("acme"))
    api.set_body(workspace_id, body)
    program.configure(api.base_url, "acme")
    program.write(program.config.read_text().replace(id_of("acme"), workspace_id))


# --- what it says ---


def test_json_is_exactly_as_in_the_contract(api: StandIn, new_either: Program) -> None:
    populate(api, "acme", "globex")
    new_either.configure(api.base_url, "acme", "globex")
    done = new_either.sync()
    assert (done.exit_code, done.stderr) == (0, "")
    assert list(done.json) == ["status", "workspaces"]
    assert done.json["status"] == "succeeded"
    for run_id, entry in zip((1, 2), sorted(done.json["workspaces"], key=lambda e: e["run_id"]), strict=True):
        assert list(entry) == _KEYS
        body = json.dumps(interviews_of(entry["name"]), separators=(",", ":")).encode()
        expected = {"workspace_id": id_of(entry["name"]), "run_id": run_id, "status": "succeeded"}
        expected |= {"bytes_received": len(body), "attempts": 1, "error_code": None, "error": None}
        assert {key: entry[key] for key in expected} == expected
        assert fates(entry) == {"received": 5, "inserted": 5}
        assert isinstance(entry["duration_seconds"], float)


def test_names_choose_the_workspaces(api: StandIn, program: Program) -> None:
    populate(api, "acme", "globex", "off")
    program.configure(api.base_url, "acme", "globex", "off", workspaces={"off": {"enabled": False}})
    assert [entry["name"] for entry in program.sync().json["workspaces"]] == ["acme", "globex"]
    assert [entry["name"] for entry in program.sync("globex").json["workspaces"]] == ["globex"]
    asked = len(api.requests)
    done = program.run("sync", "globex", "acmee")
    assert (done.exit_code, done.stdout) == (2, "")
    assert (
        "no workspace 'acmee' (did you mean acme?) in etl.toml: configured are acme, globex, off"
        in done.stderr
    )
    assert len(api.requests) == asked


def test_full_reads_and_compares_everything_again(api: StandIn, either: Program) -> None:
    populate(api, "acme")
    either.configure(api.base_url, "acme")
    either.sync()
    with_tampering = "UPDATE interviews SET name = 'by hand', _row_hash = 'x' WHERE id = '{}'"
    tampered = interviews_of("acme")[0]["id"]
    _execute(either, with_tampering.format(tampered))
    assert fates(either.sync().workspace("acme")) == {"received": 5, "unchanged": 5}
    assert fates(either.sync("--full").workspace("acme")) == {"received": 5, "updated": 1, "unchanged": 4}


def _execute(program: Program, statement: str) -> None:
    if program.warehouse_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(program.warehouse_url.removeprefix("sqlite:///"))) as database:
            database.execute(statement)
            database.commit()
    else:
        program.rows(f"{statement} RETURNING id")


def test_dry_run_shows_the_changes_and_writes_nothing(api: StandIn, either: Program) -> None:
    populate(api, "acme")
    either.configure(api.base_url, "acme")
    either.sync()
    first, *rest = interviews_of("acme", 6)[:5]
    changed = first | {"status": "archived", "updated_at": "2027-01-01T00:00:00Z"}
    api.set_interviews(id_of("acme"), [changed, *rest[:-1], interviews_of("acme", 6)[5]])
    tables = ("interviews", "interviews_history", "workspaces", "sync_runs", "rejected_rows")
    before = [either.rows(f"SELECT * FROM {table}") for table in tables]
    done = either.sync("--dry-run")
    assert done.exit_code == 0
    entry = done.workspace("acme")
    assert entry["run_id"] is None
    assert fates(entry) == {"received": 5, "inserted": 1, "updated": 1, "unchanged": 3, "deleted": 1}
    (change,) = [c for c in done.json["changes"]["acme"] if c["id"] == first["id"]]
    assert change["fields"]["status"] == {"old": first["status"], "new": "archived"}
    assert set(change["fields"]) == {"status", "updated_at"}
    comings_and_goings = {(c["id"], c["fate"]) for c in done.json["changes"]["acme"] if not c["fields"]}
    new, gone = interviews_of("acme", 6)[5], rest[-1]
    assert comings_and_goings == {(new["id"], "inserted"), (gone["id"], "deleted")}
    shown = either.run("sync", "--dry-run").stdout
    assert f'acme: {first["id"]} "{first["name"]}" would be updated' in shown
    assert f'acme: {gone["id"]} "{gone["name"]}" would be deleted' in shown
    assert shown.endswith("dry run: nothing was written\n")
    assert f"status: {first['status']} -> archived" in shown
    assert [either.rows(f"SELECT * FROM {table}") for table in tables] == before
    assert fates(either.sync().workspace("acme")) == fates(entry)


def test_dry_run_of_a_new_warehouse_does_not_even_migrate_it(api: StandIn, new_either: Program) -> None:
    populate(api, "acme")
    new_either.configure(api.base_url, "acme")
    done = new_either.sync("--dry-run")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "ontora-etl migrate" in done.stderr
    assert api.requests == []
    new_either.run("migrate")
    entry = new_either.sync("--dry-run").workspace("acme")
    assert fates(entry) == {"received": 5, "inserted": 5}
    assert new_either.rows("SELECT count(*) FROM workspaces") == [(0,)]


def test_dry_run_names_what_a_held_delete_is_about(api: StandIn, either: Program) -> None:
    populate(api, "acme", count=30)
    either.configure(api.base_url, "acme")
    either.sync()
    api.set_interviews(id_of("acme"), interviews_of("acme", 30)[:2])
    assert fates(either.sync().workspace("acme"))["held_deletes"] == 28
    done = either.sync("--dry-run", "--accept-deletes")
    assert fates(done.workspace("acme"))["deleted"] == 28
    gone = sorted(one["id"] for one in interviews_of("acme", 30)[2:])
    assert [change["id"] for change in done.json["changes"]["acme"]] == gone[:20]
    shown = either.run("sync", "--dry-run", "--accept-deletes").stdout.splitlines()
    assert shown[-2:] == ["acme: and 8 more", "dry run: nothing was written"]
    assert either.rows("SELECT count(*) FROM interviews WHERE _deleted_at IS NULL") == [(30,)]
    either.sync("--accept-deletes")
    api.set_interviews(id_of("acme"), interviews_of("acme", 30))
    shown = either.run("sync", "--dry-run").stdout.splitlines()
    assert sum("would be restored" in line for line in shown) == 20
    assert shown[-2] == "acme: and 8 more"


def test_one_of_three_fails_and_the_others_are_synced(api: StandIn, either: Program) -> None:
    populate(api, "acme", "globex", "initech")
    either.configure(api.base_url, "acme", "globex", "initech")
    api.set_key(id_of("globex"), "another")
    done = either.run("sync")
    assert done.exit_code == 1
    assert re.fullmatch(r"error: globex: .+ \[invalid_api_key\]\n", done.stderr)
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()[1:]] == [
        ["acme", "succeeded"],
        ["globex", "failed"],
        ["initech", "succeeded"],
    ]
    assert len(either.interviews()) == 10
    api.set_key(id_of("globex"), key_of("globex"))
    assert fates(either.sync().workspace("globex")) == {"received": 5, "inserted": 5}


# --- many at a time ---


def _files(given: int, allowed: int) -> str:
    """What a process runs to be given so many open files, and to be allowed to ask for so many."""
    return f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({given}, {allowed}))"


def test_more_at_a_time_than_the_system_gives_files_for(api: StandIn, program: Program) -> None:
    names = [f"w{number}" for number in range(40)]
    populate(api, *names)
    api.latency_seconds = 0.5
    program.configure(api.base_url, *names, api={"concurrency": 40, "timeout_seconds": 20})
    done = program.run("sync", before=_files(64, 512))
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(("names", "exit_code"), [(["acme"], 0), (["acme", "beta", "gamma"], 2)])
def test_a_system_that_allows_too_few_files(
    api: StandIn, program: Program, names: list[str], exit_code: int
) -> None:
    populate(api, *names)
    program.configure(api.base_url, *names)
    done = program.run("sync", before=_files(40, 40))
    assert done.exit_code == exit_code
    said = "3 downloads at a time may take 50 open files; this process is allowed 40: lower api.concurrency"
    assert done.stderr.partition(",")[0] == (f"error: {said}" if exit_code else "")
    assert len(api.requests) == (0 if exit_code else 1)


def test_a_daemon_needs_files_for_its_visitors_too(api: StandIn, program: Program) -> None:
    program.configure(api.base_url, "acme")
    done = program.run("run", "--listen", "127.0.0.1:0", before=_files(200, 200))
    assert done.exit_code == 2
    assert "may take 336 open files; this process is allowed 200" in done.stderr


# --- stopped in the middle ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_reliability_64_stopped_while_it_downloads(
    api: StandIn, either: Program, number: signal.Signals
) -> None:
    populate(api, "acme", "globex")
    api.script(id_of("acme"), faults.StallMidBody(1000, 3600))
    either.configure(api.base_url, "acme", "globex", api={"timeout_seconds": 30, "deadline_seconds": 60})
    running = either.start("sync", "--json")
    wait_until(lambda: bool(moments(api, "acme")))
    wait_until(lambda: ("succeeded",) in _statuses(either, "globex"))
    running.send(number)
    done = running.wait()
    assert (done.exit_code, done.stdout) == (128 + number, "")
    assert done.stderr == f"stopped by {number.name}; nothing half done is left\n"
    assert _statuses(either, "acme") == [("interrupted",)]
    assert either.interviews("acme") == []
    assert len(either.interviews("globex")) == 5
    assert either.left_behind() == []
    assert fates(either.sync().workspace("acme")) == {"received": 5, "inserted": 5}


@contextmanager
def _deaf() -> Iterator[str]:
    """An address where connecting neither succeeds nor fails: the listener's queue is full."""
    with ExitStack() as held:
        listener = held.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_reliability_64_stopped_while_it_connects(either: Program) -> None:
    with _deaf() as address:
        either.configure(address, "acme", "globex", api={"timeout_seconds": 60, "concurrency": 1})
        running = either.start("sync", "--json")
        wait_until(lambda: ("running",) in [*_statuses(either, "acme"), *_statuses(either, "globex")])
        running.send(signal.SIGTERM)
        began = time.monotonic()
        done = running.wait()
        assert time.monotonic() - began < 10
    assert done.exit_code == 128 + signal.SIGTERM
    assert done.stderr == "stopped by SIGTERM; nothing half done is left\n"
    assert {*_statuses(either, "acme"), *_statuses(either, "globex")} == {("interrupted",)}


@pytest.mark.slow
def test_reliability_64_stopped_while_it_loads(api: StandIn, either: Program) -> None:
    populate(api, "acme", count=20_000)
    either.configure(api.base_url, "acme", api={"timeout_seconds": 30, "deadline_seconds": 60})
    running = either.start("--log-level", "debug", "sync", "--json")
    wait_until(lambda: ("running",) in _statuses(either, "acme"))
    running.send(signal.SIGTERM)
    done = running.wait()
    assert done.exit_code == 128 + signal.SIGTERM
    assert _statuses(either, "acme") == [("interrupted",)]
    assert either.interviews() == []
    assert either.left_behind() == []


def _statuses(program: Program, name: str) -> list[tuple[Any, ...]]:
    try:
        return program.rows(f"SELECT status FROM sync_runs WHERE workspace_id = '{id_of(name)}' ORDER BY id")
    except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):  # not migrated yet
        return []


# --- answers as they come ---


def test_the_example_of_the_documentation_loads(api: StandIn, either: Program) -> None:
    _serve(api, either, _SEED.encode(), _SEED_ID)
    assert fates(either.sync().workspace("acme")) == {"received": 1, "inserted": 1}
    (row,) = either.rows(
        "SELECT CAST(id AS text), name, completion_threshold, start_immediately, contact_count, "
        "scheduling_mode, _extra FROM interviews"
    )
    assert row == (_SEED_ID, "<string>", 123, True, 0, "availability", None)
    assert fates(either.sync().workspace("acme")) == {"received": 1, "unchanged": 1}


def test_the_sample_nobody_here_wrote_tests_for(api: StandIn, either: Program) -> None:
    _serve(api, either, gzip.decompress(_SAMPLE.read_bytes()), _SAMPLE_ID)
    first = {"received": 1500, "inserted": 1475, "duplicate": 9, "rejected": 16}
    again = {"received": 1500, "unchanged": 1475, "duplicate": 9, "rejected": 16}
    assert fates(either.sync().workspace("acme")) == first
    assert either.rows("SELECT count(*), count(interview_id) FROM rejected_rows") == [(16, 10)]
    before = either.interviews()
    assert fates(either.sync().workspace("acme")) == again
    assert fates(either.sync("--full").workspace("acme")) == again
    assert either.interviews() == before
    assert len(either.run("rejects", "--json").json) == 16


# --- many, and again ---

_MANY = [f"ws-{number:02}" for number in range(1, 21)]


def test_twenty_workspaces_and_nothing_is_written_twice(api: StandIn, either: Program) -> None:
    populate(api, *_MANY, count=500)
    either.configure(api.base_url, *_MANY, api={"timeout_seconds": 10, "deadline_seconds": 60})
    done = either.sync()
    assert (done.exit_code, len(done.json["workspaces"])) == (0, 20)
    assert all(fates(e) == {"received": 500, "inserted": 500} for e in done.json["workspaces"])
    before = _versions(either)
    assert len(before) == 10_000
    for words in ([], ["--full"]):
        again = either.sync(*words)
        assert all(fates(e) == {"received": 500, "unchanged": 500} for e in again.json["workspaces"])
        assert _versions(either) == before
    check = either.run("check")
    assert (check.exit_code, check.stdout.count("ok  ")) == (0, 24)
    states = either.run("status", "--json").json["workspaces"]
    assert {(state["active"], state["last_status"]) for state in states} == {(500, "succeeded")}
    assert len(either.run("runs", "--limit", "100", "--json").json) == 60
    assert either.run("rejects").stdout == "nothing was rejected\n"


def _versions(program: Program) -> set[tuple[Any, ...]]:
    """Each interview with what changes when it is written."""
    version = "_row_hash" if program.warehouse_url.startswith("sqlite") else "xmin"
    return set(program.rows(f"SELECT CAST(id AS text), _run_id, _synced_at, {version} FROM interviews"))


def test_a_second_pass_writes_only_the_ledger(api: StandIn, program: Program) -> None:
    populate(api, *_MANY[:3], count=50)
    program.configure(api.base_url, *_MANY[:3])
    passes = sync_here(program)
    next(passes)
    with closing(sqlite3.connect(program.folder / "warehouse.db")) as database:
        for table in ("interviews", "interviews_history", "rejected_rows"):
            for verb in ("INSERT", "UPDATE", "DELETE"):
                database.execute(
                    f"CREATE TRIGGER no_{verb}_{table} BEFORE {verb} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'written'); END"
                )
        database.commit()
    assert {report.status for report in next(passes)} == {"succeeded"}
    api.set_interviews(id_of(_MANY[0]), interviews_of(_MANY[0], 51))
    assert [report.status for report in next(passes)] == ["failed", "succeeded", "succeeded"]
    passes.close()


def test_logs_for_machines_hold_a_line_for_every_workspace(program: Program, api: StandIn) -> None:
    populate(api, "fine", "broken")
    program.configure(api.base_url, "fine", "broken")
    program.environ[variable_of("broken")] = "ont_live_revoked"
    done = program.run("--log-format", "json", "--log-level", "info", "sync", "--json")
    assert done.exit_code == 1
    logged = {entry["name"]: entry for entry in map(json.loads, done.stderr.splitlines())}
    assert logged["fine"].items() >= {"level": "info", "status": "succeeded", "inserted": 5}.items()
    assert logged["broken"].items() >= {"level": "error", "error_code": "invalid_api_key"}.items()
    assert done.workspace("fine").items() <= logged["fine"].items()


def test_logs_for_people(program: Program, api: StandIn) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    assert program.run("sync").stderr == ""
    done = program.run("--log-level", "info", "sync")
    assert re.fullmatch(
        r"\S+Z info    workspace acme: succeeded in \d+\.\d s: 5 received, nothing new\n", done.stderr
    )
