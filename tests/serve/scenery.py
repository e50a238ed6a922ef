"""A warehouse as it looks after some weeks: fresh, late, failing, waiting and forgotten workspaces."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from etl.config import Policy, Workspace
from etl.schedule import parse_schedule
from etl.tables import rejected_rows
from etl.warehouse import Warehouse
from tests.serve.stage import put_interview, put_runs, put_version, put_workspace, workspace

SCRIPT = "<script>alert(1)</script>"
ERROR = (
    "https://api.ontora.com answered 401: the API key is missing, malformed, revoked or expired: "
    "put a valid key into the environment variable ONTORA_API_KEY_INITECH"
)

FRESH = workspace("acme", policy=Policy(schedule=parse_schedule("every 15m")))
RUNNING = workspace("globex-research")
FAILING = workspace("initech")
LATE = workspace("umbrella", policy=Policy(schedule=parse_schedule("0 * * * *")))
FINDINGS = workspace("Vandelay Industries (Europe, Middle East and Africa)")
HOSTILE = workspace(SCRIPT)
WAITING = workspace("zorg")
FORGOTTEN = workspace("old-name")
CONFIGURED = (FRESH, RUNNING, FAILING, LATE, FINDINGS, HOSTILE, WAITING)


def furnish(warehouse: Warehouse) -> None:
    """Put it all there."""
    now = datetime.now(UTC)
    _furnish_one(warehouse, FRESH, now, interviews=120, success=timedelta(minutes=4))
    _furnish_one(warehouse, RUNNING, now, interviews=46, success=timedelta(minutes=11), running=True)
    _furnish_one(warehouse, LATE, now, interviews=30, success=timedelta(hours=9))
    _furnish_one(warehouse, HOSTILE, now, interviews=6, success=timedelta(minutes=2))
    _furnish_one(warehouse, FORGOTTEN, now, interviews=9, success=timedelta(days=40))
    _furnish_one(warehouse, FINDINGS, now, interviews=75, success=timedelta(minutes=3), held_deletes=31)
    _furnish_one(warehouse, FAILING, now, interviews=20, success=timedelta(hours=3), failures=4)
    with warehouse.writing() as connection:
        for number in range(3):
            connection.execute(
                insert(rejected_rows).values(
                    workspace_id=FINDINGS.id,
                    position=number,
                    reason="wrong_type",
                    message="$.name: expected text",
                    payload="SECRET-PAYLOAD",
                    payload_digest=str(number),
                    first_seen_at=now,
                    last_seen_at=now,
                    times_seen=1,
                    first_run_id=1,
                    last_run_id=1,
                )
            )


def _furnish_one(
    warehouse: Warehouse,
    owner: Workspace,
    now: datetime,
    *,
    interviews: int,
    success: timedelta,
    failures: int = 0,
    held_deletes: int = 0,
    running: bool = False,
) -> None:
    chance = random.Random(owner.name)
    runs: list[dict[str, Any]] = []
    for age in range(58, 0, -1):
        started = now - success - timedelta(minutes=15 * age)
        if chance.random() < 0.05:
            runs.append(_failed(started))
        else:
            took = 1.2 + math.sin(age / 5) ** 2 * 2 + chance.random() * (9 if chance.random() < 0.1 else 1)
            runs.append(_succeeded(started, took, interviews))
    runs.append(_succeeded(now - success, 1.4, interviews))
    runs += [_failed(now - timedelta(minutes=15 * (failures - index))) for index in range(failures)]
    if running:
        runs.append({"status": "running", "started_at": now - timedelta(seconds=3)})
    last = put_runs(warehouse, owner, runs)
    put_workspace(
        warehouse,
        owner,
        last_attempt_at=runs[-1]["started_at"],
        last_success_at=now - success,
        last_run_id=last,
        consecutive_failures=failures,
        held_deletes=held_deletes,
    )
    _grow(warehouse, owner, interviews, now, chance)


def _grow(
    warehouse: Warehouse, owner: Workspace, interviews: int, now: datetime, chance: random.Random
) -> None:
    """Interviews that come day by day and go from draft to completed."""
    begin = now - timedelta(days=60)
    for number in range(interviews):
        born = begin + timedelta(days=50 * (number / interviews) ** 0.8, hours=chance.random() * 9)
        life = ["draft", "active", *(["paused"] if chance.random() < 0.2 else []), "completed"]
        since = born
        for at, status in enumerate(life):
            until = since + timedelta(days=2 + chance.random() * 16)
            if until >= now or at == len(life) - 1:
                put_interview(warehouse, owner, number, status, since, _first_seen_at=born)
                break
            put_version(warehouse, owner, number, status, since, until)
            since = until


def _succeeded(started: datetime, took: float, received: int) -> dict[str, Any]:
    return {
        "started_at": started,
        "finished_at": started + timedelta(seconds=took),
        "duration_seconds": took,
        "received": received,
        "unchanged": received,
        "bytes_received": received * 1931,
        "attempts": 1,
    }


def _failed(started: datetime) -> dict[str, Any]:
    return {
        "status": "failed",
        "started_at": started,
        "finished_at": started + timedelta(seconds=0.4),
        "duration_seconds": 0.4,
        "error_code": "invalid_api_key",
        "error": ERROR,
        "attempts": 1,
    }
