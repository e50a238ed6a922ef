"""The CPU of a daemon that has nothing to do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.answers import EMPTY_WORKSPACE, empty_answer
from tests.benchmarks.children import start
from tests.benchmarks.program import COMMAND, configuration
from tests.benchmarks.results import Result
from tests.benchmarks.warehouses import Bench
from tests.benchmarks.works import Setting

_SETTLE_SECONDS = 10
_TICKS = os.sysconf("SC_CLK_TCK")
# A pass at the start, then none for hours.
_SCHEDULE = '\n[sync]\nschedule = "every 12h"\n'


def idle_daemon(setting: Setting, bench: Bench, seconds: float) -> Iterator[Result]:
    """`ontora-etl run` between two passes, without and with its HTTP side."""
    for options in ((), ("--listen", "127.0.0.1:0")):
        name = " ".join(["a daemon", *options[:1]])
        result = Result(f"CPU of {name} idle for {seconds:g} s, {bench.name}", 0.1, "s", "")
        setting.tell(result.name)
        setting.api.serve(EMPTY_WORKSPACE, empty_answer())
        url = bench.empty()
        workspaces = {"w": EMPTY_WORKSPACE}
        configured = configuration(setting.folder, setting.api.base_url, url, workspaces, extra=_SCHEDULE)
        process = start([COMMAND, "--config", configured, "run", *options])
        try:
            time.sleep(min(_SETTLE_SECONDS, seconds))
            before = _cpu_seconds(process.pid)
            time.sleep(seconds)
            result.add(_cpu_seconds(process.pid) - before, peak_mib=_peak_mib(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        bench.drop(url)
        yield result


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
