"""A model API changes at will, is synced and killed: both warehouses always hold what the model says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from etl.config.settings import Api as ApiSettings
from etl.errors import SchemaMismatch
from etl.load import Counts
from etl.meter import Meter
from etl.standin import StandIn
from etl.sync import Options
from etl.sync.many import open_walk
from etl.sync.one import sync_workspace
from etl.sync.report import Report
from etl.tables import (
    CONTENT_COLUMNS,
    COUNTERS,
    FIELD_NAMES,
    interview_digests,
    interviews,
    interviews_history,
    rejected_rows,
    sync_runs,
    workspaces,
)
from tests.load.api_model import WORKSPACES, Api, answer_text
from tests.load.house import House, load_killed, workspace
from tests.load.model import MAX_DELETE_FRACTION, MAX_DELETE_ROWS, Element, Mismatch, Model

_KEY = "ont_live_model"
_CONFIGURED = {
    name: workspace(UUID(name), max_delete_rows=MAX_DELETE_ROWS, max_delete_fraction=MAX_DELETE_FRACTION)
    for name in WORKSPACES
}
_CHANGES = (
    *("create", "create", "create", "edit", "count", "age", "extend", "delete", "restore", "move", "corrupt"),
    *("heal", "duplicate", "quiet", "noise", "reorder", "respell", "clear"),
)
_COUNTERS = tuple(name for name in COUNTERS if name not in {"bytes_received", "attempts"})
_changes = st.tuples(st.sampled_from(_CHANGES), st.sampled_from(WORKSPACES), st.integers(0, 1000))


class Warehouses(RuleBasedStateMachine):
    """The model API, the model warehouse, and the two real ones."""

    houses: tuple[House, ...]
    standin: StandIn

    def __init__(self) -> None:
        super().__init__()
        for house in self.houses:
            house.empty()
        self.api, self.model = Api(), Model()
        self.runs: dict[int, tuple[str, str, dict[str, int]]] = {}  # id → workspace, status, counts
        self.late: list[tuple[str, int, list[Element]]] = []
        self.changed = False

    # --- the world changes ---

    @rule(changes=st.lists(_changes, min_size=1, max_size=8))
    def change(self, changes: list[tuple[str, str, int]]) -> None:
        for kind, name, choice in changes:
            self.api.change(kind, name, choice)

    @rule(minutes=st.integers(1, 90))
    def set_the_clock_back(self, minutes: int) -> None:
        for house in self.houses:
            house.now -= timedelta(minutes=minutes)

    # --- it is synced ---

    @rule(name=st.sampled_from(WORKSPACES), full=st.booleans(), accept=st.sampled_from((False, False, True)))
    def sync(self, name: str, *, full: bool, accept: bool) -> None:
        answer = self.api.answer(name)
        self._load(name, self._start(name), answer, full=full, accept_deletes=accept)

    @rule(name=st.sampled_from(WORKSPACES))
    def sync_by_every_shortcut(self, name: str) -> None:
        self._load(name, self._start(name), self.api.answer(name))

    @rule(name=st.sampled_from(WORKSPACES), full=st.booleans())
    def be_killed(self, name: str, *, full: bool) -> None:
        answer = self.api.answer(name)
        if self.model.refuses(name, answer):
            return
        self._start(name, but_do_not=True)
        for house in self.houses:
            load_killed(house, _CONFIGURED[name], answer_text(answer), full=full)
        self.changed = True

    @rule(name=st.sampled_from(WORKSPACES))
    def try_dry(self, name: str) -> None:
        answer = self.api.answer(name)
        if self.model.refuses(name, answer):
            return
        self._start(name, but_do_not=True)
        for house in self.houses:
            house.load(_CONFIGURED[name], answer_text(answer), dry_run=True)
        self.changed = True

    @rule(name=st.sampled_from(WORKSPACES))
    def ask_but_wait(self, name: str) -> None:
        self.late.append((name, self._start(name), self.api.answer(name)))
        self.changed = True

    @rule(which=st.integers(0, 100))
    def late_answer_arrives(self, which: int) -> None:
        if self.late:
            name, run_id, answer = self.late.pop(which % len(self.late))
            self._load(name, run_id, answer)

    @rule(name=st.sampled_from(WORKSPACES), accept=st.booleans())
    def sync_by_the_whole_road(self, name: str, *, accept: bool) -> None:
        answer = self.api.answer(name)
        self.standin.set_body(name, answer_text(answer))
        run_id = max(self.runs, default=0) + 1
        self._interrupt(name)
        self.runs[run_id] = (name, "running", {})
        for house in self.houses:
            house.now += timedelta(minutes=1)
        reports = [asyncio.run(_walk(house, self.standin, name, accept=accept)) for house in self.houses]
        assert {report.run_id for report in reports} == {run_id}
        if self.model.refuses(name, answer):
            self._expect(name, run_id, answer)
            assert {report.error_code for report in reports} == {"schema_mismatch"}
            return
        counts = self._expect(name, run_id, answer, accept_deletes=accept)
        assert [_not_zero(report.counts) for report in reports] == [counts, counts]

    def _start(self, name: str, *, but_do_not: bool = False) -> int:
        """Open a run on each warehouse, or note that one is about to be."""
        self._interrupt(name)
        run_id = max(self.runs, default=0) + 1
        self.runs[run_id] = (name, "running", {})
        if not but_do_not:
            assert {house.start(_CONFIGURED[name]) for house in self.houses} == {run_id}
        return run_id

    def _interrupt(self, name: str) -> None:
        for run_id, (owner, status, counts) in self.runs.items():
            if owner == name and status == "running":
                self.runs[run_id] = (owner, "interrupted", counts)

    def _load(self, name: str, run_id: int, answer: list[Element], **how: Any) -> None:
        found: list[Any] = []
        for house in self.houses:
            try:
                outcome = house.load(_CONFIGURED[name], answer_text(answer), run_id=run_id, **how)
                found.append(_not_zero(outcome.counts))
            except SchemaMismatch as refused:
                found.append(refused.code)
        accept = how.get("accept_deletes", False)
        expected = self._expect(name, run_id, answer, accept_deletes=accept)
        assert found == [expected, expected]

    def _expect(self, name: str, run_id: int, answer: list[Element], *, accept_deletes: bool = False) -> Any:
        self.changed = True
        now = self.houses[0].now
        try:
            counts = self.model.load(name, answer, run_id, now, accept_deletes=accept_deletes)
        except Mismatch:
            self.runs[run_id] = (name, "failed", {})
            return "schema_mismatch"
        self.runs[run_id] = (name, "succeeded", counts)
        return counts

    # --- and always ---

    @invariant()
    def holds(self) -> None:
        if not self.changed:
            return
        self.changed = False
        tables = (interviews, interviews_history, rejected_rows, interview_digests, sync_runs)
        first, second = ([house.rows(table) for table in tables] for house in self.houses)
        for one, other in zip(first, second, strict=True):
            assert _without_row_numbers(one) == _without_row_numbers(other)
        present, history, rejects, _, runs = first
        self._check_interviews(present)
        self._check_history(present, history)
        self._check_rejects(rejects)
        self._check_ledger(runs)
        for house in self.houses:
            self._check_workspaces(house.rows(workspaces))

    def _check_interviews(self, present: list[dict[str, Any]]) -> None:
        assert {str(row["id"]) for row in present} == set(self.model.interviews)
        for row in present:
            expected = self.model.interviews[str(row["id"])]
            now = expected.now
            assert _content(row) == now.content
            assert row["_deleted_at"] == (now.since if now.deleted else None)
            assert (row["_first_seen_at"], row["_synced_at"]) == (expected.first_seen, expected.written)
            assert row["_run_id"] == now.run_id

    def _check_history(self, present: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
        expected = [
            (interview_id, version.content, version.since, end, change, run_id)
            for interview_id, interview in sorted(self.model.interviews.items())
            for version, end, change, run_id in interview.past
        ]
        found = [
            (str(r["id"]), _content(r), r["_valid_from"], r["_valid_to"], r["_change"], r["_run_id"])
            for r in history
        ]
        assert found == expected
        versions: dict[str, list[tuple[datetime, datetime, dict[str, Any], bool]]] = {}
        for row in history:
            deleted = row["_change"] == "restored"
            version = (row["_valid_from"], row["_valid_to"], _content(row), deleted)
            versions.setdefault(str(row["id"]), []).append(version)
        for row in present:
            since = row["_deleted_at"] or row["_synced_at"]
            last = (since, datetime.max.replace(tzinfo=UTC), _content(row), row["_deleted_at"] is not None)
            versions.setdefault(str(row["id"]), []).append(last)
        for row in present:
            mine = versions[str(row["id"])]
            assert mine[0][0] == row["_first_seen_at"]
            assert all(one[1] == after[0] for one, after in pairwise(mine))
        for at, state in self.model.snapshots:
            assert {
                interview_id: (content, deleted)
                for interview_id, mine in versions.items()
                for begin, end, content, deleted in mine
                if begin <= at < end
            } == state

    def _check_rejects(self, rejects: list[dict[str, Any]]) -> None:
        found = {(str(row["workspace_id"]), row["payload"]): row for row in rejects}
        assert len(found) == len(rejects)
        assert set(found) == set(self.model.rejects)
        for key, expected in self.model.rejects.items():
            row = found[key]
            assert row["reason"] == expected.reason
            assert (
                None if row["interview_id"] is None else str(row["interview_id"])
            ) == expected.interview_id
            assert (row["position"], row["times_seen"]) == (expected.position, expected.times)
            assert (row["first_seen_at"], row["last_seen_at"]) == (expected.first_seen, expected.last_seen)
            assert (row["first_run_id"], row["last_run_id"]) == (expected.first_run, expected.last_run)
            assert row["resolved_at"] == expected.resolved

    def _check_ledger(self, runs: list[dict[str, Any]]) -> None:
        assert [row["id"] for row in runs] == sorted(self.runs)
        for row in runs:
            name, status, counts = self.runs[row["id"]]
            assert (str(row["workspace_id"]), row["status"]) == (name, status)
            assert {c: row[c] for c in _COUNTERS if row[c]} == counts

    def _check_workspaces(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            expected = self.model.workspaces.get(str(row["workspace_id"]))
            if expected is None:
                continue
            assert (row["applied_run_id"] or 0, row["held_deletes"]) == (expected.applied_run, expected.held)
            assert row["held_of"] == expected.held_of
            assert _instant(row["high_watermark"]) == (expected.watermark or None)


async def _walk(house: House, standin: StandIn, name: str, *, accept: bool) -> Report:
    """The walk of `sync`, by the model's clock."""
    options = Options(accept_deletes=accept)
    settings = ApiSettings(base_url=standin.base_url)
    async with open_walk(settings, house.warehouse, {"KEY": _KEY}, options) as walk:
        by_the_clock = replace(walk, clock=lambda: house.now)
        return await sync_workspace(by_the_clock, _CONFIGURED[name], Meter(name))


def _not_zero(counts: Counts) -> dict[str, int]:
    return {name: number for name, number in counts.as_dict().items() if number}


def _without_row_numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # `rejected_rows.id` skips numbers where a sequence does; durations are measured.
    hidden = {"duration_seconds", "id" if rows and "payload" in rows[0] else ""}
    return [{name: value for name, value in row.items() if name not in hidden} for row in rows]


def _content(row: dict[str, Any]) -> dict[str, Any]:
    """The row's content as the API spells it."""
    return {
        name: _instant(row[name]) if isinstance(row[name], datetime) else _plain(row[name])
        for name in (*FIELD_NAMES, "_extra")
    }


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")


assert set(CONTENT_COLUMNS) == {*FIELD_NAMES, "_extra", "_row_hash"}


@pytest.fixture
def machine(sqlite_at_head: str, postgres_at_head: str) -> Iterator[type[Warehouses]]:
    """The machine, on two new warehouses."""
    houses = (House(sqlite_at_head), House(postgres_at_head))
    with StandIn() as standin:
        for name in WORKSPACES:
            standin.add_workspace(name, key=_KEY)
        yield type("Machine", (Warehouses,), {"houses": houses, "standin": standin})
    for house in houses:
        house.close()


def _run(machine: type[Warehouses], examples: int, steps: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=derandomize,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_both_warehouses_hold_what_the_model_says(machine: type[Warehouses]) -> None:
    _run(machine, 15, 15, derandomize=True)


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_both_warehouses_hold_what_the_model_says_for_long(machine: type[Warehouses]) -> None:
    _run(machine, 200, 30, derandomize=False)
