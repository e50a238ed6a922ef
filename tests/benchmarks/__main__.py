"""`python -m tests.benchmarks`: as fast as wire and database allow? Fails where it is not."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import growth, report, works
from tests.benchmarks.answers import CACHE
from tests.benchmarks.api import Api
from tests.benchmarks.chart import chart
from tests.benchmarks.children import byte_compile
from tests.benchmarks.compare import compare
from tests.benchmarks.idle import idle_daemon
from tests.benchmarks.machine import describe
from tests.benchmarks.results import Result
from tests.benchmarks.warehouses import PostgresBench, SqliteBench
from tests.postgres import private_server


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    rows: int = 100_000
    big_rows: int = 1_000_000
    workspaces: int = 200
    idle_seconds: float = 60
    growth_rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    growth_workspaces: tuple[int, ...] = (1, 10, 100, 1_000)
    memory_of: tuple[str, ...] = ("Postgres", "SQLite")


_SMOKE = Size(1_000, 2_000, 5, 0.5, (500, 1_000), (1, 3), ("SQLite",))
_WORKS = ("version", "first", "later", "many", "idle", "memory")
_ROUNDS = 5
_BYTES_A_MEGABIT = 125_000


def main() -> int:
    """Measure, print, write; 1 where a target is missed."""
    words = _parser().parse_args()
    if not words.smoke:
        byte_compile()
    wire = f"{words.wire:g} Mbit/s" if words.wire else "loopback"
    machine = {**describe(), "wire": wire}
    scratch = CACHE / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        api = stack.enter_context(Api())
        api.pace(words.wire * _BYTES_A_MEGABIT or None)
        server = stack.enter_context(private_server(fsync=not words.smoke))
        setting = works.Setting(api, folder, 1 if words.smoke else words.rounds, _tell)
        if words.peers:
            peers = list(compare(setting, server, words.rows))
            _say(words.out, "peers", report.peers_table(peers, words.rows), machine, report.plain(peers))
            return 0
        postgres, sqlite = PostgresBench(server, folder), SqliteBench(folder)
        if words.growth:
            size = _SMOKE if words.smoke else Size()
            points = growth.measure(setting, (postgres, sqlite), size.growth_rows, size.growth_workspaces)
            _say(words.out, "growth", report.growth_table(points), machine, report.plain(points))
            return 0
        return _judge(words, setting, postgres, sqlite, machine)


def _judge(
    words: argparse.Namespace,
    setting: works.Setting,
    postgres: PostgresBench,
    sqlite: SqliteBench,
    machine: Mapping[str, str],
) -> int:
    results: list[Result] = []
    for result in _measure(setting, postgres, sqlite, _SMOKE if words.smoke else Size(), words.only):
        results.append(result)
        sys.stdout.write(report.line(result) + "\n")
        sys.stdout.flush()
    table = report.results_table(results, judged=not words.smoke)
    _say(words.out, "results", table, machine, [report.document(result) for result in results])
    if words.out:
        (words.out / "bench.svg").write_text(chart(results, report.machine_line(machine)), encoding="utf-8")
    return 0 if words.smoke or all(result.passed for result in results) else 1


def _measure(
    setting: works.Setting, postgres: PostgresBench, sqlite: SqliteBench, size: Size, only: Sequence[str]
) -> Iterator[Result]:
    both = (postgres, sqlite)
    if "version" in only:
        yield from works.version_start(setting)
    for bench in both:
        if "first" in only:
            yield from works.first_load(setting, bench, size.rows)
    for bench in both:
        if "later" in only:
            yield from works.later_loads(setting, bench, size.rows)
    if "many" in only:
        yield from works.many_workspaces(setting, postgres, size.workspaces)
    if "idle" in only:
        yield from idle_daemon(setting, postgres, size.idle_seconds)
    for bench in both:
        if "memory" in only and bench.name in size.memory_of:
            yield from works.peak_memory(setting, bench, size.rows, size.big_rows)


def _say(
    folder: Path | None, name: str, table: str, machine: Mapping[str, str], measured: Sequence[object]
) -> None:
    text = f"{table}\n{report.machine_line(machine)}\n"
    sys.stdout.write("\n" + text)
    if folder is not None:
        report.write(folder, name, text, machine, measured)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--growth", action="store_true", help="instead: 1k to 1M rows, 1 to 1,000 workspaces"
    )
    instead.add_argument("--peers", action="store_true", help="instead: other tools on the same work")
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, metavar="N", help=f"of work and floor in turn ({_ROUNDS})"
    )
    parser.add_argument("--only", nargs="+", choices=_WORKS, default=_WORKS, help="of the targets' works")
    parser.add_argument(
        "--wire",
        type=float,
        default=1000,
        metavar="MBIT",
        help="pace of the stand-in's answers, for us and for every floor (1000: gigabit); 0 is bare loopback",
    )
    parser.add_argument("--rows", type=int, default=100_000, metavar="N", help="that the peers load")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write JSON, Markdown and a chart there")
    parser.add_argument("--smoke", action="store_true", help="does it all run? Seconds; judges no time")
    return parser


def _tell(line: str) -> None:
    sys.stderr.write(f"  … {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
