"""One workspace, one pass: lock → ledger → extract → load → ledger. Errors become the run's outcome."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from etl import ledger
from etl.clock import utc_now
from etl.config import Api, Workspace, read_api_key
from etl.errors import EtlError, Interrupted, LoadConflict, UnexpectedFault, WarehouseLost, WarehouseRefused
from etl.extract import Answer, Downloads, fetch_interviews
from etl.load import Counts, Job, LostBet, Outcome, load
from etl.meter import Meter
from etl.stop import Stop, interrupted
from etl.sync.report import Report
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.sync")

_TRIES = 5
_LONGEST_STEP_ASIDE_SECONDS = 0.5
_STOP_AGAIN_SECONDS = 0.5
_LAST_WORD_SECONDS = 8.0

T = TypeVar("T")


class Options(Struct, frozen=True):
    """How a pass differs from the ordinary one."""

    full: bool = False
    accept_deletes: bool = False
    dry_run: bool = False
    trigger: ledger.Trigger = "manual"


class Walk(Struct, frozen=True):
    """What all workspaces of a pass share; `run_in_loader` runs a load where loads may run."""

    api: Api
    downloads: Downloads
    warehouse: Warehouse
    environ: Mapping[str, str]
    options: Options
    stop: Stop
    run_in_loader: Callable[..., asyncio.Future[Any]]
    clock: Callable[[], datetime] = field(default=utc_now)


class _Run(Struct, frozen=True):
    """One workspace's part of the pass, and what has come of it so far."""

    walk: Walk
    workspace: Workspace
    meter: Meter
    report: Report
    lock: ExitStack
    """Holds the workspace against other processes until it is closed."""
    started: float
    """By the monotonic clock."""

    def left_seconds(self) -> float:
        """How long it may still wait for the warehouse."""
        return max(1.0, self.walk.api.deadline_seconds - (time.monotonic() - self.started))

    def facts(self) -> dict[str, Any]:
        """What its entry in the ledger says of the way here."""
        return {
            "bytes_received": self.meter.bytes_received,
            "attempts": self.meter.attempts,
            "duration_seconds": time.monotonic() - self.started,
        }


async def sync_workspace(walk: Walk, workspace: Workspace, meter: Meter) -> Report:
    """Sync one workspace; whatever goes wrong is in the report. Only cancelling is raised."""
    report = Report(workspace.name, str(workspace.id), "succeeded")
    with ExitStack() as lock:
        run = _Run(walk, workspace, meter, report, lock, time.monotonic())
        try:
            if not await _until_done(walk, _begin, run):
                report.status = "skipped"
                return report
            await _fetch_and_load(run)
        except EtlError as error:
            await _fail(run, error)
        except asyncio.CancelledError:
            await _fail(run, interrupted())
            raise
        except Exception as error:  # the workspace's boundary: a fault of ours spoils no other (promise 7)
            log.exception("workspace %s: internal error", workspace.name)
            await _fail(
                run,
                UnexpectedFault(f"internal error ({type(error).__name__})", remedy="the log has it whole"),
            )
        finally:
            meter.phase = "done"
            report.attempts, report.bytes_received = meter.attempts, meter.bytes_received
            report.duration_seconds = time.monotonic() - run.started
            if report.status != "succeeded":  # else the loader has given the lock back
                await asyncio.shield(asyncio.to_thread(_unlock, run))
    return report


def _unlock(run: _Run) -> None:
    try:
        run.lock.close()
    except EtlError as error:  # its file cannot be removed; the kernel has freed it all the same
        log.warning("workspace %s: its lock could not be given back: %s", run.workspace.name, error)


# --- lock → ledger ---


def _begin(run: _Run) -> bool:
    """Take the lock and open the run in the ledger; False where another process has the lock."""
    walk = run.walk
    walk.stop.check()
    if not run.lock.enter_context(walk.warehouse.locked(run.workspace.id)):
        return False
    if not walk.options.dry_run:
        run.report.run_id = _start_run(run)
    return True


def _start_run(run: _Run) -> int:
    walk, workspace = run.walk, run.workspace
    run.report.started_at = now = walk.clock()
    is_asked = False

    def open_run() -> int:
        nonlocal is_asked
        with walk.warehouse.of_a_run(run.left_seconds(), walk.stop) as connection:
            is_asked = True
            return ledger.start_run(connection, workspace.id, workspace.name, walk.options.trigger, now)

    try:
        return _despite_conflicts(run, open_run)
    except LoadConflict as conflict:
        raise WarehouseRefused(
            conflict.message,
            remedy="the next run tries again; if the ledger's numbers were left behind, as the tables' "
            f"owner, in their schema, run: {walk.warehouse.dialect.count_on}",
        ) from conflict
    except WarehouseLost:
        if is_asked:  # the answer may be all that was lost: then the run is open, and to be closed as failed
            run.report.run_id = _run_opened_at(run, now)
        raise


def _despite_conflicts(run: _Run, function: Callable[[], T]) -> T:
    """What the function returns, at last: loads that exchange interviews hold one another's rows."""
    for _ in range(_TRIES - 1):
        try:
            return function()
        except LoadConflict:
            run.walk.stop.wait(random.uniform(0, _LONGEST_STEP_ASIDE_SECONDS))  # noqa: S311
    return function()


def _run_opened_at(run: _Run, now: datetime) -> int | None:
    """The run's id, if the ledger tells; otherwise the workspace's next run closes it as interrupted."""
    workspace = run.workspace
    try:
        with run.walk.warehouse.of_a_run(_LAST_WORD_SECONDS) as connection:
            # Waits for the opening, should the server still be at it.
            ledger.remember_workspace(connection, workspace.id, workspace.name)
            run_id = ledger.run_opened_at(connection, workspace.id, now)
            connection.rollback()
            return run_id
    except EtlError:  # the warehouse is gone
        return None


# --- extract → load → ledger ---


async def _fetch_and_load(run: _Run) -> None:
    walk, workspace, meter, report = run.walk, run.workspace, run.meter, run.report
    walk.stop.check()
    key = read_api_key(workspace, walk.environ)  # at every run: a rotated key file is picked up
    async with walk.downloads.client() as client:
        meter.phase = "download"
        answer = await fetch_interviews(client, workspace, key, walk.api, meter)
    with answer:
        meter.phase = "queue"
        outcome = await _until_done(walk, _load_and_unlock, run, answer)
    report.counts, report.warnings, report.changes = outcome.counts, outcome.warnings, outcome.changes


async def _until_done(walk: Walk, function: Callable[..., T], *args: object) -> T:
    """The function, in a loader. A thread cannot be cancelled: it is told to stop, and waited for."""
    work: asyncio.Future[T] = walk.run_in_loader(function, *args)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.to_thread(walk.stop.set)  # where it is done already, too: what comes next looks
        while not work.done():
            await asyncio.wait([work], timeout=_STOP_AGAIN_SECONDS)
            await asyncio.to_thread(walk.stop.set)
        if work.exception() is None:
            return work.result()  # it was past the point of no return: committed
        raise


def _load_and_unlock(run: _Run, answer: Answer) -> Outcome:
    outcome = _load(run, answer)
    _unlock(run)  # by the same thread: many small syncs notice the way to another
    return outcome


def _load(run: _Run, answer: Answer) -> Outcome:
    """Load the spooled answer; again where another load came in between, once where the connection broke."""
    walk, workspace, options = run.walk, run.workspace, run.walk.options
    run.meter.phase = "load"
    job = Job(
        run.report.run_id or 0,
        workspace,
        run.report.started_at,
        full=options.full,
        accept_deletes=options.accept_deletes,
        dry_run=options.dry_run,
    )
    conflicts = 0
    was_lost = False
    while True:
        try:
            return _load_once(run, job, answer, takes_turns=bool(conflicts))
        except LostBet:
            job = replace(job, staged=True)
        except LoadConflict as conflict:
            log.info("workspace %s: loading again: %s", workspace.name, conflict)
            conflicts += 1
            if conflicts == _TRIES:
                raise WarehouseRefused(
                    f"another load kept coming in between ({conflict.message})",
                    remedy="the next run tries again",
                ) from conflict
            # At different moments: those that lost against each other would only meet again.
            walk.stop.wait(random.uniform(0, _LONGEST_STEP_ASIDE_SECONDS))  # noqa: S311
        except WarehouseLost as lost:
            if was_lost:
                raise
            was_lost = True
            log.warning("workspace %s: loading again: %s", workspace.name, lost)
            walk.warehouse.engine.dispose()
            walk.stop.wait(1.0)


def _load_once(run: _Run, job: Job, answer: Answer, *, takes_turns: bool) -> Outcome:
    walk = run.walk
    with walk.warehouse.of_a_run(run.left_seconds(), walk.stop) as connection:
        if takes_turns:  # or those that lost against each other would go on doing so
            walk.warehouse.dialect.take_turns(connection)
        now = walk.clock()
        if job.dry_run:
            ledger.remember_workspace(connection, job.workspace_id, job.workspace.name)
        outcome = load(connection, walk.warehouse.dialect, answer, job, now, run.meter, walk.stop)
        if job.dry_run:
            connection.rollback()
        elif not outcome.applied_before:
            ledger.succeed_run(connection, job, outcome, run.facts(), walk.clock())
        walk.stop.check()
    return outcome


# --- an error → outcome ---


async def _fail(run: _Run, error: EtlError) -> None:
    walk, report = run.walk, run.report
    report.status = "interrupted" if isinstance(error, Interrupted) else "failed"
    report.error_code, report.error = error.code, str(error)
    report.counts = Counts()
    if report.run_id is None:
        return
    try:
        await asyncio.shield(walk.run_in_loader(_close_failed, run, report.run_id, error, run.facts()))
    except EtlError as also:  # the warehouse is gone: the next run marks this one interrupted
        log.warning("workspace %s: the ledger could not be written: %s", run.workspace.name, also)


def _close_failed(run: _Run, run_id: int, error: EtlError, facts: dict[str, Any]) -> None:
    walk = run.walk

    def close() -> None:
        with walk.warehouse.of_a_run(_LAST_WORD_SECONDS) as connection:
            ledger.fail_run(
                connection, run_id, run.workspace.id, error, facts, walk.clock(), run.report.started_at
            )

    _despite_conflicts(run, close)
