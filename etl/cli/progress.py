"""A bar per workspace while its answer downloads and loads, on a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from etl.measures import bytes_text
from etl.meter import Meter

_REDRAW_SECONDS = 0.1
_MOST_BARS = 20


@contextmanager
def progress(meters: Sequence[Meter]) -> Iterator[None]:
    """Show the meters on stderr until the block ends."""
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True, force_terminal=True, markup=False, highlight=False),
        transient=True,
        auto_refresh=False,
    )
    shown: dict[int, TaskID] = {}
    began: dict[tuple[int, str, int], float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_REDRAW_SECONDS):
            _redraw(bars, meters, shown, began)

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    with bars:
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _redraw(
    bars: Progress,
    meters: Sequence[Meter],
    shown: dict[int, TaskID],
    began: dict[tuple[int, str, int], float],
) -> None:
    now = time.monotonic()
    for number, meter in enumerate(meters):
        if meter.phase == "done" and number in shown:
            bars.remove_task(shown.pop(number))
        elif meter.phase in ("download", "queue", "load"):
            if number not in shown:
                if len(shown) >= _MOST_BARS:
                    continue
                shown[number] = bars.add_task(Text(meter.name).plain, total=None, said="")
            total = None if meter.phase == "download" else meter.bytes_received
            seconds = now - began.setdefault((number, meter.phase, meter.attempts), now)
            bars.update(shown[number], total=total, completed=meter.bytes_loaded, said=_said(meter, seconds))
    bars.refresh()


def _said(meter: Meter, seconds: float) -> str:
    """What the phase has done so far, and how fast; the rate needs a moment to mean something."""
    per_second = 1 / seconds if seconds >= _REDRAW_SECONDS else 0.0
    if meter.phase == "download":
        rate = f", {bytes_text(int(meter.bytes_received * per_second))}/s" if per_second else ""
        again = f", attempt {meter.attempts}" if meter.attempts > 1 else ""
        return f"downloading {bytes_text(meter.bytes_received)}{rate}{again}"
    if meter.phase == "queue":
        return f"{bytes_text(meter.bytes_received)} wait for the warehouse"
    rate = f", {meter.rows * per_second:,.0f}/s" if per_second else ""
    return f"loading {meter.rows:,} rows{rate}"
