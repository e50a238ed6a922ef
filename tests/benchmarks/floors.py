"""What no program can beat: the download alone, the database's work alone.

`python -m tests.benchmarks.floors` is the child that does one of them and prints its seconds.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from tests.benchmarks.children import KEY, run


def download(address: str) -> float:
    """Seconds of curl, reading the answer to nowhere."""
    return run(["curl", "-sSf", "-o", "/dev/null", "-H", f"X-API-Key: {KEY}", address]).seconds


def download_all(addresses: list[str], at_a_time: int, scratch: Path) -> float:
    """Seconds of curl, reading these answers to nowhere, so many at a time."""
    wanted = scratch / "addresses.curl"
    wanted.write_text("".join(f'url = "{address}"\noutput = "/dev/null"\n' for address in addresses))
    parallel = ["--parallel", "--parallel-immediate", "--parallel-max", str(at_a_time)]
    return run(["curl", "-sSf", *parallel, "-H", f"X-API-Key: {KEY}", "--config", wanted]).seconds


def download_with_httpx(address: str) -> float:
    """Seconds of the HTTP client the program uses, for comparison: import and start not counted."""
    return _child("httpx", address)


def psql(program: Path, url: str, script: str) -> float:
    """Seconds of psql doing this, each statement its own transaction."""
    path = Path(script)
    return run([program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, url]).seconds


def sqlite_insert(finished: Path, empty: Path) -> float:
    """Seconds of sqlite3 inserting the finished rows in one transaction, from memory."""
    return _child("sqlite", str(finished), str(empty))


def _child(*words: str) -> float:
    return float(run([sys.executable, "-m", "tests.benchmarks.floors", *words]).output)


def _insert(finished: str, empty: str) -> float:
    from etl.warehouse.sqlite import Sqlite  # noqa: PLC0415  # the program's own journal settings

    source = sqlite3.connect(finished)
    names = [row[1] for row in source.execute("PRAGMA table_info(interviews)")]
    rows = source.execute("SELECT * FROM interviews").fetchall()
    source.close()
    statement = f"INSERT INTO interviews ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    began = time.perf_counter()
    engine = Sqlite().create_engine(f"sqlite:///{empty}", "", 1)
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(statement, rows)
    connection.execute("COMMIT")
    pooled.close()
    engine.dispose()
    return time.perf_counter() - began


def _read(address: str) -> float:
    import httpx  # noqa: PLC0415  # only this child needs it

    with httpx.Client(timeout=60) as client:
        began = time.perf_counter()
        with client.stream("GET", address, headers={"X-API-Key": KEY}) as response:
            response.raise_for_status()
            for _ in response.iter_raw():
                pass
        return time.perf_counter() - began


if __name__ == "__main__":
    seconds = _insert(*sys.argv[2:]) if sys.argv[1] == "sqlite" else _read(sys.argv[2])
    sys.stdout.write(str(seconds))
