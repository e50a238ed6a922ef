"""The numbers as people read them, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.compare import Compared
from tests.benchmarks.growth import Point
from tests.benchmarks.results import Result

_NAMED = ("wire", "kernel", "load before", "Python", "Postgres", "SQLite", "ontora-etl", "commit")
_UNNAMED = ("cpu", "memory", "date")


def line(result: Result) -> str:
    """One result, with the seconds behind it."""
    parts = " ".join(
        f"{name}={result.part(name):.3g} (least {min(values):.3g})" for name, values in result.parts.items()
    )
    return f"{result.name}: {_value(result)} ({_spread(result)}), limit {_limit(result)}; {parts}"


def results_table(results: Sequence[Result], *, judged: bool = True) -> str:
    """The targets and how they are met; `judged`: with a verdict."""
    rows = [("work", "target", "median", "min – max", "")]
    for result in results:
        target = f"{_limit(result)} {result.floor}".rstrip()
        verdict = ("pass" if result.passed else "MISS") if judged else ""
        rows.append((result.name, target, _value(result), _spread(result), verdict))
    return _markdown(rows)


def growth_table(points: Sequence[Point]) -> str:
    """Seconds and memory by size."""
    rows = [("first load", "warehouse", "seconds", "ms each", "CPU ms each", "peak MiB")]
    rows += [
        (
            f"{point.count:,} {point.unit if point.count > 1 else point.unit.removesuffix('s')}",
            point.warehouse,
            f"{point.seconds:.2f}",
            f"{1000 * point.seconds / point.count:.3f}",
            f"{1000 * point.cpu_seconds / point.count:.3f}",
            f"{point.peak_mib:.0f}",
        )
        for point in points
    ]
    return _markdown(rows)


def peers_table(peers: Sequence[Compared], loaded: int) -> str:
    """Tools side by side."""
    rows = [
        (f"{loaded:,} rows", "first load", "same again", "1 % changed", "peak memory", "rows written again")
    ]
    rows += [
        (
            peer.name,
            f"{peer.first_seconds:.1f} s",
            f"{peer.again_seconds:.1f} s",
            f"{peer.changed_seconds:.1f} s",
            f"{peer.peak_mib:.0f} MiB",
            f"{peer.rows_written_again:,}",
        )
        for peer in peers
    ]
    return _markdown(rows)


def machine_line(machine: Mapping[str, str]) -> str:
    """On what, with what, when."""
    cpu, memory, date = (machine[name] for name in _UNNAMED)
    return ", ".join([cpu, memory, *(f"{name} {machine[name]}" for name in _NAMED), date])


def document(result: Result) -> dict[str, object]:
    """A result for JSON."""
    return {
        "name": result.name,
        "floor": result.floor,
        "unit": result.unit,
        "limit": result.limit,
        "median": round(result.median, 4),
        "passed": result.passed,
        "values": _rounded(result.values),
        "parts": {name: _rounded(values) for name, values in result.parts.items()},
    }


def plain(measured: Sequence[Point] | Sequence[Compared]) -> list[dict[str, object]]:
    """Points or peers for JSON."""
    return [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(one).items()}
        for one in measured
    ]


def write(folder: Path, name: str, text: str, machine: Mapping[str, str], measured: Sequence[object]) -> None:
    """`<name>.json` and `<name>.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"machine": machine, name: measured}, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(content + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _value(result: Result) -> str:
    return f"{_digits(result.median, result.unit)} {result.unit}"


def _limit(result: Result) -> str:
    return f"≤ {_digits(result.limit, result.unit)} {result.unit}"


def _spread(result: Result) -> str:
    return f"{_digits(min(result.values), result.unit)} – {_digits(max(result.values), result.unit)}"


def _digits(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "MiB" else f"{value:.2f}"
