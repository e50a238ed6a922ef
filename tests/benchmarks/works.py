"""The works of the target table, each paired with its floor in every round: A B A B and so on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tests.benchmarks import floors
from tests.benchmarks.answers import (
    EMPTY_WORKSPACE,
    WORKSPACE,
    answer,
    empty_answer,
    workspace_answer,
    workspace_ids,
)
from tests.benchmarks.api import Api
from tests.benchmarks.children import run
from tests.benchmarks.program import COMMAND, configuration, sync
from tests.benchmarks.results import Result
from tests.benchmarks.warehouses import Bench, PostgresBench

_LATENCY_SECONDS = 0.05
_ROWS_A_WORKSPACE = 50
_CONCURRENCY = 8  # the default of [api] concurrency
_STARTS_A_ROUND = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a work needs."""

    api: Api
    folder: Path
    rounds: int
    tell: Callable[[str], None]


def first_load(setting: Setting, bench: Bench, rows: int) -> Iterator[Result]:
    """Into an empty, migrated warehouse; against download and the database loading the finished rows."""
    alone = "psql \\copy" if bench.name == "Postgres" else "executemany"
    result = Result(f"first load, {rows:,} rows, {bench.name}", 2.0, "×", f"(download + {alone})")
    api = setting.api
    api.serve(WORKSPACE, answer(rows))
    finished: Path | None = None
    for number in _rounds(setting, result):
        url = bench.empty()
        configured = configuration(setting.folder, api.base_url, url, {"w": WORKSPACE})
        bench.settle()
        work = sync(configured)
        if number == 0:
            finished = bench.finished(url)
        bench.drop(url)
        assert finished is not None
        url = bench.empty()
        bench.settle()
        download = floors.download(api.address(WORKSPACE))
        database = bench.floor(finished, url)
        bench.drop(url)
        result.add(
            work.seconds / (download + database),
            work=work.seconds,
            cpu=work.cpu_seconds,
            peak_mib=work.peak_mib,
            download=download,
            database=database,
            allowed=2.0 * (download + database),
        )
    yield result


def later_loads(setting: Setting, bench: Bench, rows: int) -> Iterator[Result]:
    """The same answer again, and into Postgres one with 1 % changed; against the download alone and a start.

    The start is a sync in the same warehouse of another workspace whose answer is `[]`, as it was before:
    everything a sync costs whatever the answer holds.
    """
    again = Result(f"same answer again, {rows:,} rows, {bench.name}", 1.0, "×", "(1.3 × download + start)")
    changed = Result(f"1 % changed, {rows:,} rows, {bench.name}", 1.0, "×", "(2.5 × download + start)")
    loads = [(again, 1.3, answer(rows))]
    if bench.name == "Postgres":
        loads.append((changed, 2.5, answer(rows, changed=True)))
    api = setting.api
    api.serve(EMPTY_WORKSPACE, empty_answer())
    api.serve(WORKSPACE, answer(rows))
    workspaces = {"w": WORKSPACE, "empty": EMPTY_WORKSPACE}
    full = bench.empty()
    configured = configuration(setting.folder, api.base_url, full, workspaces)
    sync(configured)
    sync(configured)  # now the empty answer, too, is one seen before
    for _ in _rounds(setting, again):
        url = bench.copy(full)
        configured = configuration(setting.folder, api.base_url, url, workspaces)
        for result, factor, served in loads:
            api.serve(WORKSPACE, served)
            bench.settle()
            start = sync(configured, "empty").seconds
            download = floors.download(api.address(WORKSPACE))
            httpx = floors.download_with_httpx(api.address(WORKSPACE))
            bench.settle()
            work = sync(configured, "w")
            allowed = factor * download + start
            result.add(
                work.seconds / allowed,
                work=work.seconds,
                cpu=work.cpu_seconds,
                peak_mib=work.peak_mib,
                allowed=allowed,
                start=start,
                download=download,
                net_of_start_to_download=(work.seconds - start) / download,
                download_with_httpx=httpx,
                net_of_start_to_httpx=(work.seconds - start) / httpx,
            )
        bench.drop(url)
    bench.drop(full)
    for result, _, _ in loads:
        yield result


def many_workspaces(setting: Setting, bench: PostgresBench, count: int) -> Iterator[Result]:
    """A slow API and many small workspaces; against the larger of what latency and database impose.

    Judged against arithmetic alone. What curl takes for the same downloads is told beside it.
    """
    result = Result(
        f"{count} workspaces × {_ROWS_A_WORKSPACE} rows, 50 ms latency, {bench.name}",
        1.5,
        "×",
        f"the larger of latency ÷ {_CONCURRENCY} and psql",
    )
    api = setting.api
    ids = workspace_ids(count)
    serve_many(api, ids)
    script: Path | None = None
    for number in _rounds(setting, result):
        url = bench.empty()
        configured = configuration(setting.folder, api.base_url, url, _named(ids))
        bench.settle()
        api.delay(_LATENCY_SECONDS)
        work = sync(configured)
        download = floors.download_all([api.address(one) for one in ids], _CONCURRENCY, setting.folder)
        api.delay(0)
        if number == 0:
            script = bench.finished_by_workspace(url, ids)
        bench.drop(url)
        assert script is not None
        url = bench.empty()
        bench.settle()
        database = bench.floor_by_workspace(script, url)
        bench.drop(url)
        latency = count * _LATENCY_SECONDS / _CONCURRENCY
        floor = max(latency, database)
        result.add(
            work.seconds / floor,
            work=work.seconds,
            cpu=work.cpu_seconds,
            peak_mib=work.peak_mib,
            latency=latency,
            download=download,
            database=database,
            allowed=1.5 * floor,
        )
    yield result


def serve_many(api: Api, ids: list[UUID]) -> None:
    """Each of these workspaces answers its few rows."""
    for one in ids:
        api.serve(one, workspace_answer(one, _ROWS_A_WORKSPACE))


def version_start(setting: Setting) -> Iterator[Result]:
    """How long `--version` takes, against the interpreter with argparse."""
    result = Result("ontora-etl --version", 2.5, "×", 'python -c "import argparse"')
    bare = [sys.executable, "-c", "import argparse"]
    for _ in _rounds(setting, result):
        for _ in range(_STARTS_A_ROUND):
            work = run([COMMAND, "--version"])
            floor = run(bare).seconds
            result.add(
                work.seconds / floor,
                work=work.seconds,
                cpu=work.cpu_seconds,
                python=floor,
                allowed=2.5 * floor,
            )
    yield result


def peak_memory(setting: Setting, bench: Bench, rows: int, big_rows: int) -> Iterator[Result]:
    """The highest peak of first load, same again and 1 % changed, at two sizes of the answer."""
    peaks: list[Result] = []
    for size in (rows, big_rows):
        result = Result(f"peak memory, {size:,} rows, {bench.name}", 120.0, "MiB", "")
        setting.tell(result.name)
        url = bench.empty()
        configured = configuration(setting.folder, setting.api.base_url, url, {"w": WORKSPACE})
        parts: dict[str, float] = {}
        for step, served in (
            ("first", answer(size)),
            ("again", answer(size)),
            ("changed", answer(size, changed=True)),
        ):
            setting.api.serve(WORKSPACE, served)
            work = sync(configured)
            parts |= {f"{step}_mib": work.peak_mib, f"{step}_seconds": work.seconds}
        bench.drop(url)
        result.add(max(value for name, value in parts.items() if name.endswith("_mib")), **parts)
        peaks.append(result)
        yield result
    growth = Result(f"peak memory, {big_rows:,} ÷ {rows:,} rows, {bench.name}", 1.1, "×", "")
    growth.add(peaks[1].median / peaks[0].median)
    yield growth


def _named(ids: list[UUID]) -> dict[str, UUID]:
    return {f"ws-{number:04}": one for number, one in enumerate(ids)}


def _rounds(setting: Setting, result: Result) -> Iterator[int]:
    for number in range(setting.rounds):
        setting.tell(f"{result.name}: round {number + 1} of {setting.rounds}")
        yield number
