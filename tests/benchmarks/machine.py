"""On what the numbers were taken: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import etl
from tests.postgres import bin_dir

_UNKNOWN = "unknown unknown"  # a name and a version
_PACKAGES = ("httpx", "sqlalchemy", "psycopg", "msgspec", "xxhash")


def describe() -> dict[str, str]:
    """CPU, memory, kernel, versions, date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{len(os.sched_getaffinity(0))} × {_cpu_model()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB",
        "kernel": platform.release(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "ontora-etl": etl.__version__,
        "commit": _commit(),
        "Python": _python(),
        "Postgres": _output(str(bin_dir() / "postgres"), "--version").split()[-1],
        "SQLite": sqlite3.sqlite_version,
        "curl": _output("curl", "--version").split()[1],
        **{package: version(package) for package in _PACKAGES},
    }


def _commit() -> str:
    git = ("git", "-C", str(Path(__file__).parent))
    commit = _output(*git, "describe", "--always")
    # What the benchmark before this one wrote is no change of what is measured.
    changed = _output(*git, "status", "--porcelain", "-uno", ":/", ":(exclude)results")
    return f"{commit}-dirty" if changed and commit != _UNKNOWN else commit


def _python() -> str:
    # How it was built is worth a tenth of the time and more, and a distribution's is built to be fast.
    whose = " of the system" if sys.base_prefix == "/usr" else ""
    return platform.python_version() + whose


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return _UNKNOWN
