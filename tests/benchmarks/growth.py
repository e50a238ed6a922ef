"""How cost grows with rows and with workspaces: linear in time, flat in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tests.benchmarks.answers import WORKSPACE, answer, workspace_ids
from tests.benchmarks.program import configuration, sync
from tests.benchmarks.warehouses import Bench
from tests.benchmarks.works import Setting, serve_many


@dataclass(frozen=True, slots=True)
class Point:
    """One size: what a first load of it took."""

    warehouse: str
    unit: str
    """What `count` counts: rows of one workspace, or workspaces of 50 rows."""
    count: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(
    setting: Setting, benches: Sequence[Bench], rows: Sequence[int], workspaces: Sequence[int]
) -> list[Point]:
    """First loads of each size into each warehouse, once each."""
    points = []
    for bench in benches:
        for count in rows:
            setting.tell(f"growth: {count:,} rows, {bench.name}")
            setting.api.serve(WORKSPACE, answer(count))
            points.append(_point(setting, bench, "rows", count, {"w": WORKSPACE}))
        for count in workspaces:
            setting.tell(f"growth: {count:,} workspaces, {bench.name}")
            ids = workspace_ids(count)
            serve_many(setting.api, ids)
            named = {f"ws-{number:04}": one for number, one in enumerate(ids)}
            points.append(_point(setting, bench, "workspaces", count, named))
    return points


def _point(setting: Setting, bench: Bench, unit: str, count: int, workspaces: dict[str, UUID]) -> Point:
    url = bench.empty()
    configured = configuration(setting.folder, setting.api.base_url, url, workspaces)
    bench.settle()
    work = sync(configured)
    bench.drop(url)
    return Point(bench.name, unit, count, work.seconds, work.cpu_seconds, work.peak_mib)
