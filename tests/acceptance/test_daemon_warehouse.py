"""The daemon while its warehouse is full, locked or away: it says so, and needs no restart afterwards."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from tests.acceptance.program import id_of, interviews_of, wait_until
from tests.acceptance.rig import Rig, assert_accounted_for
from tests.receiver import Receiver
from tests.warehouse.mounts import small_disk

pytestmark = pytest.mark.slow


def test_a_full_disk_is_said_and_told_and_freed_it_goes_on(rig: Rig, receiver: Receiver) -> None:
    rig.sections = """
        [sync]
        schedule = "every 1s"
        [notify]
        webhook_url_env = "HOOK"
        after_failures = 3
    """
    rig.environ |= receiver.environ()
    with small_disk(4) as disk:
        rig.url = f"sqlite:///{disk / 'warehouse.db'}"
        rig.add("acme")
        rig.add("globex")
        process = rig.start(listen=True)
        rig.wait_until_fresh()
        filling = disk / "filling"
        with pytest.raises(OSError, match="No space left"):
            filling.write_bytes(bytes(8 * 1024 * 1024))
        for name in rig.names:  # too much for the pages that are free inside the file
            rig.api.set_interviews(id_of(name), interviews_of(name, 300, seed=1))
        wait_until(lambda: sum(post["text"].count(" in a row: ") for post in receiver.posts) == 2)
        wait_until(lambda: rig.metric("consecutive_failures", "acme") >= 3)
        html = rig.get("/").text
        assert "workspaces failing" in html
        assert "failures in a row" in html
        assert "full" in rig.get("/workspaces/acme").text
        assert rig.get("/healthz").status_code == 200
        filling.unlink()
        last = rig.last_run_id()
        rig.wait_until_fresh(last)
        wait_until(lambda: rig.metric("consecutive_failures", "acme") == 0)
        wait_until(lambda: sum(post["text"].count("fresh again") for post in receiver.posts) == 2)
        lines = "\n".join(receiver.texts()).splitlines()
        assert process.poll() is None
        assert rig.end() == 0
        assert_accounted_for(rig.runs())
        assert rig.interviews() == 2 * (3 + 300)
    for name in rig.names:
        told = [line for line in lines if line.startswith(f"workspace {name} ")]
        assert [" times in a row: " in told[0], " is fresh again" in told[1]] == [True, True]
        assert len(told) == 2


def test_a_long_reader_and_a_long_writer_hold_nothing_up_for_good(rig: Rig) -> None:
    rig.add("acme")
    rig.add("globex")
    process = rig.start(listen=True)
    rig.wait_until_fresh()
    path = rig.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM interviews").fetchall()
        last = rig.last_run_id()
        rig.wait_until_fresh(last)  # a reader stops nobody
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            last = rig.last_run_id()
            time.sleep(3)
            assert rig.last_run_id() == last
            assert [rig.get(at).status_code for at in ("/healthz", "/readyz", "/", "/metrics")] == [200] * 4
            writer.execute("ROLLBACK")
        rig.wait_until_fresh(last)
    assert process.poll() is None
    assert rig.end() == 0
    runs = rig.runs()
    assert_accounted_for(runs)
    assert {run.status for run in runs} <= {"succeeded", "interrupted"}
