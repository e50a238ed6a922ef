"""Other tools on the same work: each in an environment of its own under `.cache/bench/peers`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.answers import CACHE, WORKSPACE, answer
from tests.benchmarks.children import KEY, REPOSITORY, environment
from tests.benchmarks.program import COMMAND, configuration
from tests.benchmarks.works import Setting
from tests.postgres import PostgresServer

_SCRIPTS = Path(__file__).parent / "peers"
_SAMPLE_SECONDS = 0.02
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 1024**2
_WRITTEN = """
    SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables
    WHERE relname = 'interviews' AND schemaname NOT LIKE '%staging'
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: what to install, and the shell command that syncs once."""

    name: str
    requirements: tuple[str, ...]
    command: Callable[[Path, Path, Setting, str], str]
    """From its environment's bin, a folder for its state, the setting and the database's URL."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a tool took."""

    name: str
    first_seconds: float
    again_seconds: float
    changed_seconds: float
    peak_mib: float
    """Of all its processes together."""
    rows_written_again: int
    """Into the table of interviews, when nothing had changed."""


def _ours(bin_dir: Path, state: Path, setting: Setting, url: str) -> str:  # noqa: ARG001  # a Peer's command
    configured = configuration(state, setting.api.base_url, url, {"w": WORKSPACE})
    return shlex.join([str(COMMAND), "--config", str(configured), "sync"])


def _script(name: str) -> Callable[[Path, Path, Setting, str], str]:
    def command(bin_dir: Path, state: Path, setting: Setting, url: str) -> str:  # noqa: ARG001
        return shlex.join([str(bin_dir / "python"), str(_SCRIPTS / name)])

    return command


def _singer(bin_dir: Path, state: Path, setting: Setting, url: str) -> str:
    tap, target = state / "tap.json", state / "target.json"
    tap.write_text(
        json.dumps({"base_url": setting.api.base_url, "api_key": KEY, "workspace_id": str(WORKSPACE)})
    )
    target.write_text(
        json.dumps(
            {"sqlalchemy_url": url.replace("postgresql:", "postgresql+psycopg:"), "load_method": "upsert"}
        )
    )
    return (
        f"set -o pipefail; {bin_dir / 'python'} {_SCRIPTS / 'singer_tap.py'} --config {tap} | "
        f"{bin_dir / 'target-postgres'} --config {target}"
    )


PEERS = (
    Peer("ontora-etl", (), _ours),
    Peer(
        "script: httpx + SQLAlchemy on_conflict_do_update, 1,000 a batch",
        ("httpx==0.28.1", "sqlalchemy==2.0.54", "psycopg[binary]==3.3.6"),
        _script("naive.py"),
    ),
    Peer("dlt 1.31.0 (merge, upsert)", ("dlt[postgres]==1.31.0", "httpx==0.28.1"), _script("dlt_merge.py")),
    Peer(
        "Singer (singer-sdk 0.54.9 → target-postgres 0.8.1)",
        ("meltanolabs-target-postgres==0.8.1", "singer-sdk==0.54.9"),
        _singer,
    ),
)


def compare(setting: Setting, server: PostgresServer, rows: int) -> Iterator[Compared]:
    """Each peer: first load, the same again, 1 % changed; the median of the rounds."""
    for peer in PEERS:
        setting.tell(f"{peer.name}: install")
        bin_dir = _installed(peer)
        runs = []
        for number in range(setting.rounds):
            setting.tell(f"{peer.name}: round {number + 1} of {setting.rounds}")
            runs.append(_once(peer, bin_dir, setting, server, rows, number))
        columns = list(zip(*runs, strict=True))
        yield Compared(
            peer.name,
            median(columns[0]),
            median(columns[1]),
            median(columns[2]),
            max(columns[3]),
            int(max(columns[4])),
        )


def _installed(peer: Peer) -> Path:
    if not peer.requirements:
        return COMMAND.parent
    wanted = "\n".join(peer.requirements)
    folder = CACHE / "peers" / peer.name.split()[0].strip(":").lower()
    ready = folder / "installed.txt"
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
        ]
        subprocess.run([*pip, *peer.requirements], check=True)
        ready.write_text(wanted)
    return folder / "bin"


def _once(
    peer: Peer, bin_dir: Path, setting: Setting, server: PostgresServer, rows: int, number: int
) -> tuple[float, float, float, float, float]:
    state = setting.folder / f"{bin_dir.parent.name}-{number}"
    state.mkdir()
    url = server.create_database()
    command = peer.command(bin_dir, state, setting, url)
    variables = {
        "BENCH_ADDRESS": setting.api.address(WORKSPACE),
        "BENCH_KEY": KEY,
        "BENCH_DATABASE": url.replace("postgres@", "postgres:any@"),  # dlt insists on a password
        "BENCH_STATE": str(state),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    seconds, peaks, written = [], [], []
    for served in (answer(rows), answer(rows), answer(rows, changed=True)):
        setting.api.serve(WORKSPACE, served)
        with server.connect() as connection:
            connection.execute("CHECKPOINT")
        took, peak = _watch(command, environment(variables), state / "log")
        seconds.append(took)
        peaks.append(peak)
        with server.connect(url) as connection:
            written.append(connection.execute(_WRITTEN).fetchone()[0])  # type: ignore[index]
    server.drop_database(url)
    return seconds[0], seconds[1], seconds[2], max(peaks), float(written[1] - written[0])


def _watch(command: str, variables: dict[str, str], log: Path) -> tuple[float, float]:
    """Seconds, and the most memory that the command and all its children held at once."""
    peak = 0.0
    with log.open("ab") as talk:
        began = time.perf_counter()
        process = subprocess.Popen(
            ["bash", "-c", command],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=talk,
            stderr=talk,
            cwd=REPOSITORY,
            process_group=0,
        )
        while process.poll() is None:
            peak = max(peak, _group_mib(process.pid))
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{command} failed:\n{log.read_text(errors='replace')[-4000:]}")
    return seconds, peak


def _group_mib(group: int) -> float:
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[2]) == group:
            total += int(fields[21])
    return total * _PAGE_MIB
