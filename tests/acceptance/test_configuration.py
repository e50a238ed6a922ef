"""Reliability 39 to 43: configurations and warehouses that cannot be used, as a user meets them."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg import sql

from etl.standin import StandIn
from tests.acceptance.program import (
    WITHOUT_PRIVILEGES,
    Done,
    Program,
    fates,
    id_of,
    moments,
    populate,
    wait_until,
)
from tests.postgres import PostgresServer

_PASSWORD = "5ecretPa55word"


def _refused(done: Done) -> list[str]:
    """The faults of a run that ended for its configuration, a line each."""
    assert (done.exit_code, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    return [line.removeprefix("error: ") for line in lines]


# --- 39: the file ---


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "does not exist; `ontora-etl init` writes one", id="missing"),
        pytest.param(b'[api]\nbase_url = "\xe4"', "is not UTF-8 text (line 2)", id="not-utf-8"),
        pytest.param(b"[api\n", "is not TOML: ", id="not-toml"),
        pytest.param(b"", "is empty; `ontora-etl init`", id="empty"),
        pytest.param(b"# nothing\n", "is empty: all of it is comments", id="comments"),
        pytest.param(b"[api]\nmax_attempts = 3\n", "[[workspaces]]", id="without-workspaces"),
    ],
)
def test_reliability_39_the_file(program: Program, content: bytes | None, expected: str) -> None:
    if content is not None:
        program.write(content)
    (fault,) = _refused(program.run("--config", "etl.toml", "sync"))
    assert fault.startswith("etl.toml: ")
    assert expected in fault


def test_reliability_39_an_unreadable_file(program: Program) -> None:
    program.write("[api]")
    program.config.chmod(0)
    (fault,) = _refused(program.run("sync", before=WITHOUT_PRIVILEGES))
    assert fault == "etl.toml: cannot be read: Permission denied"


def test_reliability_39_a_folder_in_place_of_the_file(program: Program) -> None:
    program.config.mkdir()
    (fault,) = _refused(program.run("sync"))
    assert fault == "etl.toml: is a folder, not a file"


def test_reliability_39_no_file_named_and_none_there(program: Program) -> None:
    (fault,) = _refused(program.run("sync"))
    assert "neither config/etl.toml nor etl.toml is here" in fault


@pytest.mark.parametrize("how", ["option", "variable", "folder", "here"])
def test_the_file_is_found_where_the_contract_says(program: Program, how: str) -> None:
    places = {"folder": "config/etl.toml", "here": "etl.toml"}
    place = program.folder / places.get(how, "elsewhere.toml")
    place.parent.mkdir(exist_ok=True)
    place.write_text("[sync]\ntimezone = 7\n")
    words = ["--config", "elsewhere.toml"] if how == "option" else []
    env = {"ONTORA_ETL_CONFIG": "elsewhere.toml"} if how == "variable" else {}
    faults = _refused(program.run(*words, "status", env=env))
    assert f"{place.relative_to(program.folder)}: [sync] timezone: must be text" in faults[0]


# --- 40, 41: what it says ---


def test_reliability_40_all_faults_at_once(program: Program) -> None:
    program.write(
        f"""
        [api]
        timeout_secs = 30
        max_attempts = -5
        [warehouse]
        url = 5
        [sync]
        schedule = "61 * * * *"
        timezone = "Europe/Berln"
        max_delete_fraction = 50
        [[workspaces]]
        name = "acme"
        id = "not-a-uuid"
        [[workspaces]]
        name = "acme"
        id = "{id_of("acme")}"
        [[workspaces]]
        name = "globex"
        id = "{id_of("acme")}"
        """
    )
    faults = _refused(program.run("sync", env={"ONTORA_API_KEY": "ont_live_hunter2"}))
    expected = [
        ("[api] timeout_secs", "did you mean timeout_seconds?"),
        ("[api] max_attempts", "from 1 to 100, not -5"),
        ("[warehouse] url", "must be text in quotes"),
        ("[sync] schedule", "minute: 61"),
        ("[sync] timezone", "did you mean Europe/Berlin?"),
        ("[sync] max_delete_fraction", "not 50"),
        ('[[workspaces]] #1 "acme" id', "must be a UUID"),
        ('[[workspaces]] #2 "acme" name', "#1 has the same name"),
        ('[[workspaces]] #3 "globex" id', "#2 has the same id"),
    ]
    for place, words in expected:
        assert [line for line in faults if line.startswith(f"etl.toml: {place}: ") and words in line], place
    assert len(faults) == len(expected)


@pytest.mark.parametrize(
    ("section", "keys", "expected"),
    [
        ("api", {"base_url": "http://api.ontora.com"}, "must begin with https://"),
        ("api", {"base_url": f"https://etl:{_PASSWORD}@api.ontora.com"}, "must not hold credentials"),
        ("api", {"api_key": _PASSWORD}, "api_key"),
        ("workspace", {"api_key": _PASSWORD}, "api_key"),
        ("workspace", {"api_key_env": f"ont_live_{_PASSWORD}"}, "looks like the secret itself"),
        ("notify", {"webhook_url": f"https://hooks.example.com/{_PASSWORD}"}, "webhook_url"),
        ("serve", {"token": _PASSWORD}, "token"),
    ],
)
def test_reliability_41_secrets_and_plain_http(
    program: Program, section: str, keys: dict[str, str], expected: str
) -> None:
    sections: dict[str, Any] = {section: keys}
    program.configure("https://api.ontora.com", "acme", **sections)
    program.secrets.append(_PASSWORD)
    (fault,) = _refused(program.run("sync"))
    assert fault.startswith("etl.toml: [")
    assert expected in fault


# --- 42: the password ---


@pytest.fixture
def with_password(program: Program, postgres_url: str) -> Program:
    """The command on a Postgres whose address holds a password."""
    program.secrets.append(_PASSWORD)
    program.warehouse_url = postgres_url.replace("postgres@", f"postgres:{_PASSWORD}@")
    return program


@pytest.mark.parametrize("source", ["file", "environment"])
def test_reliability_42_a_password_works_and_is_never_seen(
    api: StandIn, with_password: Program, source: str
) -> None:
    program, url = with_password, with_password.warehouse_url
    populate(api, "acme", "wrong")
    env = {"ONTORA_ETL_WAREHOUSE_URL": url} if source == "environment" else {}
    program.configure(
        api.base_url, "acme", "wrong", warehouse={"url": "sqlite:///unused.db"} if env else {"url": url}
    )
    api.set_key(id_of("wrong"), "another")
    debug = ("--log-level", "debug", "--log-format", "json")
    assert program.run(*debug, "sync", env=env).exit_code == 1
    for words in (["check"], ["check", "--json"], ["status"], ["runs", "--json"], ["migrate"]):
        done = program.run(*debug, *words, env=env)
        assert done.exit_code == (1 if words[0] == "check" else 0)
    ledger = program.rows("SELECT CAST(r.* AS text) FROM sync_runs r")
    assert len(ledger) == 2
    assert _PASSWORD not in str(ledger)


@pytest.mark.parametrize("password", ["p@ss/%?#'\"+:é$ \\x", "100%25"])
def test_reliability_42_a_password_is_needed_and_right(
    api: StandIn, program: Program, own_postgres: PostgresServer, password: str
) -> None:
    with own_postgres.connect() as connection:
        connection.execute("CREATE ROLE carol LOGIN CREATEDB")
        connection.execute(sql.SQL("ALTER ROLE carol PASSWORD {}").format(sql.Literal(password)))
        connection.execute("CREATE DATABASE warehouse OWNER carol")
    own_postgres.require_password("carol")
    populate(api, "acme")
    at = own_postgres.url("warehouse").rpartition("@")[2]
    url = f"postgresql://carol:{quote(password, safe='')}@{at}"
    program.secrets += [password, quote(password, safe="")]
    program.configure(api.base_url, "acme", warehouse={"url": url})
    assert program.run("--log-level", "debug", "sync").exit_code == 0
    for words in (["check"], ["status"], ["migrate"]):
        assert program.run(*words).exit_code == 0
    for wrong in (url.replace("carol:", "carol:X"), f"postgresql://carol@{at}"):
        done = program.run("sync", env={"ONTORA_ETL_WAREHOUSE_URL": wrong})
        assert (done.exit_code, done.stdout) == (3, "")
        assert re.search("password authentication failed|no password supplied", done.stderr)


@pytest.mark.parametrize(
    "options",
    [
        "port=hunter2",
        "host=a&host=b:hunter2",
        "host=a,b&port=7",
        "plugin=hunter2",
        "hunter2=1",
        "sslmode=hunter2",
    ],
)
def test_reliability_42_options_of_the_address_that_make_no_sense(program: Program, options: str) -> None:
    program.secrets.append(_PASSWORD)
    url = f"postgresql://etl:{_PASSWORD}@127.0.0.1:9/dwh?{options}"
    program.configure("https://api.ontora.com", "acme", warehouse={"url": url})
    for words in (["sync"], ["status"], ["--log-level", "debug", "migrate"]):
        done = program.run(*words)
        assert (done.exit_code, done.stdout) == (3, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert "warehouse.url" in line or "warehouse at" in line


def test_reliability_42_the_process_list_shows_no_secret(api: StandIn, with_password: Program) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc on this system")
    populate(api, "acme")
    api.latency_seconds = 1
    with_password.configure(api.base_url, "acme")
    running = with_password.start("sync", "--json")
    wait_until(lambda: len(moments(api, "acme")) == 1)
    shown = Path(f"/proc/{running.pid}/cmdline").read_text() + Path(f"/proc/{running.pid}/comm").read_text()
    sessions = with_password.rows("SELECT application_name, query FROM pg_stat_activity")
    assert "ontora-etl" in shown
    assert running.wait().exit_code == 0
    for secret in with_password.secrets:
        assert secret not in shown + str(sessions)


def test_reliability_42_an_unreachable_server_is_named_without_the_password(
    api: StandIn, program: Program
) -> None:
    program.secrets.append(_PASSWORD)
    with closing(socket.socket()) as bound:  # bound, but not listening: refuses
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        program.configure(
            api.base_url, "acme", warehouse={"url": f"postgresql://etl:{_PASSWORD}@127.0.0.1:{port}/dwh"}
        )
        for words in (["sync"], ["status"], ["migrate"], ["--log-level", "debug", "sync"]):
            done = program.run(*words)
            assert (done.exit_code, done.stdout) == (3, "")
            assert f"cannot use the warehouse at postgresql://127.0.0.1:{port}/dwh" in done.stderr
            assert "check that the server runs" in done.stderr
    assert api.requests == []


# --- 43, 62: the SQLite file ---


@pytest.mark.parametrize(
    "name", ["with space.db", "what?.db", "100%.db", "50%20.db", "Über-Wärter-日本.db", "a#b&mode=ro.db"]
)
def test_reliability_62_odd_names_of_the_file_work(api: StandIn, program: Program, name: str) -> None:
    populate(api, "acme")
    folder = program.folder / f"in {name}"
    folder.mkdir()
    program.warehouse_url = f"sqlite:///{folder / name}"
    program.configure(api.base_url, "acme")
    assert fates(program.sync().workspace("acme")) == {"received": 5, "inserted": 5}
    assert fates(program.sync().workspace("acme")) == {"received": 5, "unchanged": 5}
    assert [path.name for path in folder.iterdir()] == [name]
    assert len(program.interviews()) == 5


def test_reliability_62_a_relative_path_is_from_the_working_directory(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", warehouse={"url": "sqlite:///warehouse.db"})
    assert program.sync().exit_code == 0
    assert len(program.interviews()) == 5


def test_reliability_62_a_working_directory_that_was_removed(api: StandIn, program: Program) -> None:
    program.configure(api.base_url, "acme", warehouse={"url": "sqlite:///warehouse.db"})
    leave = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"
    done = program.run("--config", str(program.config), "sync", before=leave)
    assert done.exit_code == 3
    assert done.stderr == (
        "error: cannot tell where warehouse.db is: the working directory was removed: "
        "change into a folder that exists\n"
    )


def _break_folder(database: Path) -> str:
    database.parent.chmod(0o555)
    return "read-?only|[Pp]ermission denied|not writable"


def _make_folder(database: Path) -> str:
    database.mkdir()
    return "is a (folder|directory)"


def _no_parent(database: Path) -> str:
    database.parent.rmdir()
    return "does not exist|[Nn]o such"


def _make_text(database: Path) -> str:
    database.write_text("id,name\n" * 1000)
    return "file is not a database"


def _corrupt(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t SELECT hex(randomblob(4000)) FROM (VALUES (1), (2), (3), (4))")
        connection.commit()
    content = bytearray(database.read_bytes())
    content[100:3000] = os.urandom(2900)  # behind the header, which still says that it is a database
    database.write_bytes(content)
    return "malformed|corrupt"


def test_reliability_43_a_file_that_may_only_be_read(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    assert program.sync().exit_code == 0
    database = program.folder / "warehouse.db"
    database.chmod(0o444)
    done = program.run("sync", before=WITHOUT_PRIVILEGES)
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"may not write to {database}" in done.stderr
    assert program.run("status", before=WITHOUT_PRIVILEGES).exit_code == 0
    assert len(moments(api, "acme")) == 1


def test_reliability_43_a_warehouse_that_was_damaged_later(api: StandIn, program: Program) -> None:
    populate(api, "acme", count=200)
    program.configure(api.base_url, "acme")
    assert program.sync().exit_code == 0
    database = program.folder / "warehouse.db"
    content = bytearray(database.read_bytes())
    for page in range(len(content) // 4096 // 4, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = os.urandom(200)
    database.write_bytes(content)
    done = program.run("status")
    assert (done.exit_code, done.stdout) == (3, "")
    done = program.run("sync")
    assert done.exit_code == 3
    assert f"warehouse at {database} failed: database disk image is malformed: restore" in done.stderr


@pytest.mark.parametrize("fault", [_break_folder, _make_folder, _no_parent, _make_text, _corrupt])
def test_reliability_43_a_file_that_cannot_be_a_warehouse(
    api: StandIn, program: Program, fault: Callable[[Path], str]
) -> None:
    database = program.folder / "in" / "warehouse.db"
    database.parent.mkdir()
    expected = fault(database)
    program.configure(api.base_url, "acme", warehouse={"url": f"sqlite:///{database}"})
    for command in ("sync", "status", "migrate"):
        done = program.run(command, before=WITHOUT_PRIVILEGES)
        assert (done.exit_code, done.stdout) == (3, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert str(database) in line
        assert re.search(expected, line), line
    assert api.requests == []
