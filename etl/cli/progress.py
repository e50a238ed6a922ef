"""A bar per workspace while its answer downloads and loads; nothing at all when stderr is no terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from etl.cli.render import bytes_text
from etl.meter import Meter

_REDRAW_SECONDS = 0.1
_MOST_BARS = 20


@contextmanager
def progress(meters: Sequence[Meter]) -> Iterator[None]:
    """Show the meters until the block ends."""
    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
    )
    shown: dict[int, TaskID] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_REDRAW_SECONDS):
            _redraw(bars, meters, shown)

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    with bars:
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _redraw(bars: Progress, meters: Sequence[Meter], shown: dict[int, TaskID]) -> None:
    for number, meter in enumerate(meters):
        if meter.phase == "done" and number in shown:
            bars.remove_task(shown.pop(number))
        elif meter.phase in ("download", "load"):
            if number not in shown:
                if len(shown) >= _MOST_BARS:
                    continue
                shown[number] = bars.add_task(Text(meter.name).plain, total=None, said="")
            total = meter.bytes_received if meter.phase == "load" else None
            bars.update(shown[number], total=total, completed=meter.bytes_loaded, said=_said(meter))
    bars.refresh()


def _said(meter: Meter) -> str:
    again = f", attempt {meter.attempts}" if meter.attempts > 1 else ""
    if meter.phase == "download":
        return f"downloading {bytes_text(meter.bytes_received)}{again}"
    return f"loading {meter.rows:,} rows"
