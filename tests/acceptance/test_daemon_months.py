"""What befalls a daemon in months, in seconds; and the load that it must carry."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from etl.standin.faults import ResetBeforeHeaders
from tests.acceptance.program import id_of, interviews_of, wait_until
from tests.acceptance.rig import Rig, assert_accounted_for
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow

MANY = 50


@pytest.mark.parametrize(
    "down_seconds", [3, pytest.param(60, marks=[pytest.mark.stress, pytest.mark.timeout(600)])]
)
def test_50_workspaces_are_fresh_after_all_that_can_happen(
    rig: Rig, own_postgres: PostgresServer, down_seconds: float
) -> None:
    rig.url = own_postgres.create_database()
    rig.sections = '[sync]\nschedule = "every 2s"\n[run]\ngrace_seconds = 0\n'
    for number in range(MANY):
        rig.add(f"w{number}")
    rig.environ["ONTORA_API_KEY"] = "key-late"  # a running process learns of no new variables
    process = rig.start(listen=True)
    rig.wait_until_fresh()

    for _ in range(2):
        last = rig.last_run_id()
        own_postgres.stop("immediate")
        wait_until(lambda: rig.get("/readyz").status_code == 503)
        own_postgres.start()
        rig.wait_until_fresh(last)

    for name in rig.names:
        rig.api.always(id_of(name), ResetBeforeHeaders())
    wait_until(lambda: rig.metric("consecutive_failures", "w0") > 0)
    time.sleep(down_seconds)
    for name in rig.names:
        rig.api.always(id_of(name), None)
    rig.wait_until_fresh(rig.last_run_id())

    rig.write(more="nonsense")
    rig.signal(signal.SIGHUP)
    wait_until(lambda: "stays in force" in rig.log)
    rig.add("late")
    del rig.environ["ONTORA_API_KEY_LATE"]
    rig.write()
    rig.signal(signal.SIGHUP)
    rig.wait_until_fresh(rig.last_run_id())

    assert process.poll() is None
    asked = rig.requests("w0")
    rig.api.set_interviews(id_of("w0"), interviews_of("w0", 6000))
    wait_until(lambda: rig.requests("w0") > asked)
    assert rig.end() == 0
    assert_accounted_for(rig.runs())
    last = rig.last_run_id()
    rig.start(listen=True)
    rig.wait_until_fresh(last)

    # Shared for a moment, the page and the metrics may be a little behind.
    wait_until(lambda: "Everything is fresh" in rig.get("/").text, 40)
    assert re.search(rf"<dt>Workspaces</dt><dd>{MANY + 1}</dd>", rig.get("/").text)
    assert rig.metric("warehouse_up") == 1
    for name in rig.names:
        assert rig.metric("consecutive_failures", name) == 0
        assert rig.metric("last_success_age_seconds", name) < 40
    assert rig.end() == 0
    runs = rig.runs()
    assert_accounted_for(runs)
    assert {run.trigger for run in runs} == {"catch_up", "schedule"}
    assert rig.interviews() == 6000 + 3 * MANY
    assert "Traceback" not in rig.log


@pytest.mark.parametrize(
    ("workspaces", "seconds"),
    [
        pytest.param(20, 8, id="short"),
        pytest.param(200, 120, id="whole", marks=[pytest.mark.stress, pytest.mark.timeout(600)]),
    ],
)
def test_every_2_seconds_without_a_missed_or_doubled_run(rig: Rig, workspaces: int, seconds: float) -> None:
    rig.sections = '[sync]\nschedule = "every 2s"\n'
    for number in range(workspaces):
        rig.add(f"w{number}", count=2)
    process = rig.start()
    rig.wait_until_fresh()
    rig.wait_until_fresh(rig.last_run_id())
    began, early_bytes = time.time(), resident_bytes(process.pid)
    time.sleep(seconds)
    late_bytes, ended = resident_bytes(process.pid), time.time()
    assert rig.end() == 0
    runs = rig.runs()
    assert_accounted_for(runs)
    by_name: dict[str, list[Any]] = {}
    for run in runs:
        assert run.status == "succeeded"
        if began <= run.started_at.timestamp() < ended:
            by_name.setdefault(run.workspace_name, []).append(run.started_at)
    assert by_name.keys() == set(rig.names)
    for starts in by_name.values():
        assert abs(len(starts) - seconds / 2) <= 1  # one may fall on either side of the edge
        assert all((b - a).total_seconds() < 4 for a, b in pairwise(starts))  # not one was left out
    assert late_bytes - early_bytes < 8 * 1024**2  # most of it the pages of a growing ledger, kept by SQLite
    assert rig.log.count("nothing new") + rig.log.count("2 inserted") == len(runs)


def resident_bytes(pid: int) -> int:
    if sys.platform != "linux":
        return 0
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
