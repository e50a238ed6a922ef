"""Geometry of the little pictures: numbers in, SVG paths and places out. The templates draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from etl.serve.words import duration_text, plural

SPARK_WIDTH, SPARK_HEIGHT = 300, 40
_SPARK_SLOTS = 50
_SLOT = SPARK_WIDTH / _SPARK_SLOTS
_BAR = _SLOT - 2
_BASE = SPARK_HEIGHT - 5  # below it, a tick marks what did not succeed: colour is not the only sign
_SHORTEST_BAR = 3.0

PLOT_WIDTH, PLOT_HEIGHT = 1000, 300

# What the API is known to say, in the order of an interview's life; anything else comes after, by name.
_KNOWN_STATUSES = ("completed", "active", "paused", "draft")
_SPARE_COLOURS = 4
_MOST_TABLE_ROWS = 12


def colour_classes(statuses: Sequence[str]) -> dict[str, str]:
    """A CSS class for each status, known ones first: the same in every picture of a page."""
    known = [status for status in _KNOWN_STATUSES if status in statuses]
    others = sorted(set(statuses) - set(known))
    classes = {status: f"is-{status}" for status in known}
    return classes | {status: f"is-other-{index % _SPARE_COLOURS}" for index, status in enumerate(others)}


@dataclass(frozen=True, slots=True)
class Spark:
    """The last runs as bars, oldest left: a path per outcome, and the same in words."""

    paths: dict[str, str]
    words: str


def spark(runs: Sequence[Any]) -> Spark | None:
    """Bars as high as the square root of a run's duration, so that a long one does not flatten the rest."""
    shown = list(runs[:_SPARK_SLOTS])
    if not shown:
        return None
    seconds = [run.duration_seconds or 0.0 for run in shown]
    longest = max(seconds) or 1.0
    paths: dict[str, str] = {}
    for place, (run, took) in enumerate(zip(shown, seconds, strict=True), start=1):
        left = SPARK_WIDTH - place * _SLOT + 1
        height = max(_SHORTEST_BAR, math.sqrt(took / longest) * _BASE)
        path = f"M{left:g} {_BASE}v{-height:.1f}h{_BAR:g}v{height:.1f}z"
        if run.status in {"failed", "interrupted"}:
            path += f"M{left:g} {_BASE + 2}h{_BAR:g}v3h{-_BAR:g}z"
        paths[run.status] = paths.get(run.status, "") + path
    return Spark(
        paths, _spark_words(shown, [s for run, s in zip(shown, seconds, strict=True) if run.finished_at])
    )


def _spark_words(runs: Sequence[Any], seconds: Sequence[float]) -> str:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    outcomes = ", ".join(f"{number} {status}" for status, number in counts.items())
    words = f"Last {plural(len(runs), 'run')}: {outcomes}."
    if seconds:
        words += f" Median {duration_text(median(seconds))}, longest {duration_text(max(seconds))}."
    return words


@dataclass(frozen=True, slots=True)
class Share:
    """One status's part of a stacked bar, in percent."""

    status: str
    count: int
    css: str
    left: float
    width: float


def shares(by_status: Mapping[str, int]) -> list[Share]:
    """The parts of the bar, side by side, in the order of an interview's life."""
    total = sum(by_status.values())
    left, parts = 0.0, []
    for status, css in colour_classes(list(by_status)).items():
        width = 100 * by_status[status] / total if total else 0.0
        parts.append(Share(status, by_status[status], css, left, width))
        left += width
    return parts


@dataclass(frozen=True, slots=True)
class Area:
    """One status's band in the chart over time."""

    status: str
    css: str
    path: str
    last: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Interviews by status over time: bands, what stands at the axes, and the numbers as a table."""

    areas: list[Area]
    heights: list[int]
    instants: list[datetime]
    with_time: bool
    rows: list[tuple[datetime, list[int]]]


def chart(times: Sequence[datetime], by_status: Mapping[str, Sequence[int]]) -> Chart:
    """Bands stacked from the bottom in the order of an interview's life."""
    classes = colour_classes(list(by_status))
    top = _nice(max(sum(column) for column in zip(*by_status.values(), strict=True)))
    floor = [0] * len(times)
    areas = []
    for status, css in classes.items():
        ceiling = [below + count for below, count in zip(floor, by_status[status], strict=True)]
        areas.append(Area(status, css, _band(floor, ceiling, top), by_status[status][-1]))
        floor = ceiling
    step = max(1, math.ceil(len(times) / _MOST_TABLE_ROWS))
    picked = range(len(times) - 1, -1, -step)
    span = times[-1] - times[0]
    return Chart(
        areas=list(reversed(areas)),  # as they stand in the picture, from the top
        heights=[top, top // 2, 0],
        instants=[times[0] + span * part / 3 for part in range(4)] if span else [times[0]],
        with_time=span < timedelta(days=4),
        rows=[(times[at], [by_status[area.status][at] for area in reversed(areas)]) for at in picked],
    )


def _band(floor: Sequence[int], ceiling: Sequence[int], top: int) -> str:
    """A band with steps: an interview has its status until it has another."""
    width = PLOT_WIDTH / len(ceiling)

    def edge(heights: Sequence[int]) -> list[str]:
        points = []
        for place, height in enumerate(heights):
            y = f"{PLOT_HEIGHT * (1 - height / top):.1f}"
            points += [f"{place * width:.1f} {y}", f"{(place + 1) * width:.1f} {y}"]
        return points

    return f"M{'L'.join([*edge(ceiling), *reversed(edge(floor))])}z"


def _nice(highest: int) -> int:
    """The next even round number: half of it stands at the axis too."""
    magnitude = 10 ** int(math.log10(max(highest, 1)))
    candidates = (tenths * magnitude // 10 for tenths in (10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100, 200))
    return next((n for n in candidates if n >= highest and n % 2 == 0), highest + highest % 2)
