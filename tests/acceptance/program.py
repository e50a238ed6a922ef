"""The installed command as users run it: a process with a configuration file and an environment of its own.

Every run is also held to what holds for all of them: no traceback and no secret, on neither stream.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from etl.config import load_settings
from etl.meter import Meter
from etl.standin import StandIn, generate_interviews
from etl.sync import Options, Report, sync_workspaces
from etl.warehouse import open_warehouse
from etl.warehouse.schema import ensure_schema

_FATES = (
    *("received", "inserted", "updated", "unchanged", "stale", "duplicate", "rejected"),
    *("deleted", "restored", "held_deletes"),
)
COMMAND = Path(sys.executable).with_name("ontora-etl")
LONGEST_RUN_SECONDS = 150
# Runs first in the process, then becomes the command: for limits that only a process can set on itself.
_BECOME = "{before}\nimport os, sys\nos.execv(sys.argv[1], sys.argv[1:])"
# Root minus its right to ignore the permissions of files: as any other user, without needing one.
WITHOUT_PRIVILEGES = """
import ctypes, os
if os.geteuid() == 0:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
"""


def id_of(name: str) -> str:
    """The id of the workspace that the tests call so."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def key_of(name: str) -> str:
    """Its API key."""
    return f"ont_live_{uuid.uuid5(uuid.NAMESPACE_URL, name).hex}"


def variable_of(name: str) -> str:
    """The environment variable that holds the key where the configuration names none."""
    return "ONTORA_API_KEY_" + "".join(c if c.isalnum() else "_" for c in name).upper()


def interviews_of(name: str, count: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Interviews of the workspace."""
    return list(generate_interviews(count, workspace_id=id_of(name), seed=seed))


def populate(api: StandIn, *names: str, count: int = 5) -> None:
    """Workspaces of these names, each with its key and so many interviews."""
    for name in names:
        api.add_workspace(id_of(name), key=key_of(name), interviews=interviews_of(name, count))


def moments(api: StandIn, name: str) -> list[float]:
    """When the workspace was asked for, by the monotonic clock."""
    return [seen.at for seen in api.requests if str(seen.workspace_id) == id_of(name)]


@dataclass(frozen=True, slots=True)
class Done:
    """A process that has ended: what it said, and the most memory it ever held."""

    exit_code: int
    stdout: str
    stderr: str
    peak_bytes: int

    @property
    def json(self) -> Any:
        """Stdout, which is one JSON document."""
        return json.loads(self.stdout)

    def workspace(self, name: str) -> dict[str, Any]:
        """The workspace's entry of `sync --json`."""
        found: dict[str, Any] = next(w for w in self.json["workspaces"] if w["name"] == name)
        return found


class Running:
    """A process under way."""

    def __init__(
        self, words: list[str], folder: Path, environ: Mapping[str, str], secrets: list[str]
    ) -> None:
        self.secrets = secrets
        self._out, self._err = folder / f"{uuid.uuid4()}.out", folder / f"{uuid.uuid4()}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environ), cwd=folder
            )
        self.pid = self.process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> Done:
        """What came of it."""
        end = time.monotonic() + LONGEST_RUN_SECONDS
        peak_bytes = 0
        while self.process.poll() is None:
            peak_bytes = max(peak_bytes, _peak_bytes(self.pid))
            if time.monotonic() > end:
                self.process.kill()
            time.sleep(0.005)
        stdout, stderr = self._out.read_text("utf-8"), self._err.read_text("utf-8")
        for secret in self.secrets:
            assert secret not in stdout + stderr
        assert "Traceback" not in stdout + stderr, stdout + stderr
        return Done(self.process.returncode, stdout, stderr, peak_bytes)

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Program:
    """The command in a folder of its own, configured or not."""

    def __init__(self, folder: Path, warehouse_url: str = "") -> None:
        self.folder = folder
        self.config = folder / "etl.toml"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.warehouse_url = warehouse_url or f"sqlite:///{folder / 'warehouse.db'}"
        self.environ = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(self.temporary)}
        self.secrets: list[str] = []
        self._started: list[Running] = []

    def configure(
        self,
        base_url: str,
        *names: str,
        workspace: Mapping[str, Any] | None = None,
        workspaces: Mapping[str, Mapping[str, Any]] | None = None,
        **sections: Mapping[str, Any],
    ) -> None:
        """Write etl.toml for these workspaces and export their keys.

        `workspace` is added to each of them, `workspaces` to the one it names.
        """
        api = {"base_url": base_url, "timeout_seconds": 2, "deadline_seconds": 10, "max_attempts": 2}
        tables: list[tuple[str, Mapping[str, Any]]] = [
            ("[api]", {**api, **sections.get("api", {})}),
            ("[warehouse]", {"url": self.warehouse_url, **sections.get("warehouse", {})}),
            *((f"[{name}]", keys) for name, keys in sections.items() if name not in {"api", "warehouse"}),
        ]
        for name in names:
            own = {**(workspace or {}), **(workspaces or {}).get(name, {})}
            tables.append(("[[workspaces]]", {"name": name, "id": id_of(name), **own}))
            self.export(variable_of(name), key_of(name))
        self.write("\n".join(f"{head}\n{_toml(keys)}" for head, keys in tables))

    def write(self, text: str | bytes) -> None:
        """This is what etl.toml holds."""
        self.config.write_bytes(text.encode() if isinstance(text, str) else text)

    def export(self, variable: str, secret: str) -> None:
        """A variable of the environment whose value must never be seen."""
        self.environ[variable] = secret
        self.secrets.append(secret.strip())

    def start(self, *words: str, env: Mapping[str, str] | None = None, before: str = "") -> Running:
        """Start `ontora-etl WORDS`; `before` is Python that the process runs first."""
        prefix = [sys.executable, "-I", "-c", _BECOME.format(before=before)] if before else []
        command = [*prefix, str(COMMAND), *words]
        running = Running(command, self.folder, {**self.environ, **(env or {})}, self.secrets)
        self._started.append(running)
        return running

    def run(self, *words: str, env: Mapping[str, str] | None = None, before: str = "") -> Done:
        """Run `ontora-etl WORDS` to its end."""
        return self.start(*words, env=env, before=before).wait()

    def sync(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """Run `ontora-etl sync --json WORDS` to its end."""
        return self.run("sync", "--json", *words, env=env)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the warehouse answers, asked past the program."""
        if self.warehouse_url.startswith("sqlite:///"):
            with closing(sqlite3.connect(self.warehouse_url.removeprefix("sqlite:///"))) as database:
                return database.execute(query).fetchall()
        with psycopg.connect(self.warehouse_url) as connection:
            return connection.execute(query.encode()).fetchall()

    def interviews(self, name: str = "") -> list[tuple[Any, ...]]:
        """The table `interviews` as it is, of one workspace or of all."""
        where = f"WHERE workspace_id = '{id_of(name)}'" if name else ""
        return self.rows(f"SELECT * FROM interviews {where} ORDER BY id")

    def left_behind(self) -> list[str]:
        """Files that the program left in TMPDIR, and locks beside the database."""
        return [path.name for path in (*self.temporary.rglob("*"), *self.folder.glob("*.lock"))]

    def close(self) -> None:
        """Kill what still runs."""
        for running in self._started:
            running.end()


def sync_here(program: Program) -> Generator[list[Report]]:
    """Pass after pass in this process, with settings read once, as the daemon does it; for what is many."""
    settings = load_settings(program.config, program.environ)
    warehouse = open_warehouse(settings.warehouse, settings.api.concurrency)
    try:
        ensure_schema(warehouse, auto_migrate=False)
        while True:
            meters = [Meter(workspace.name) for workspace in settings.workspaces]
            work = sync_workspaces(
                settings, warehouse, settings.workspaces, Options(), meters, environ=program.environ
            )
            yield asyncio.run(work)
    finally:
        warehouse.close()


def wait_until(condition: Callable[[], bool], seconds: float = 20, pause_seconds: float = 0.01) -> None:
    """Return as soon as it is so; fail where it never becomes so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause_seconds)


def fates(entry: Mapping[str, Any]) -> dict[str, int]:
    """The counters of an entry of `sync --json` that are not zero."""
    return {name: entry[name] for name in _FATES if entry[name]}


def _peak_bytes(pid: int) -> int:
    """The most memory a process has held; 0 where the system has no /proc.

    Not `ru_maxrss`: that counts what the process was before it became the command, a copy of ours.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) * 1024 if found else 0


def _toml(keys: Mapping[str, Any]) -> str:
    # What JSON writes of text, numbers and booleans is TOML too.
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items())
