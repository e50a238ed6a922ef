"""The commands as users meet them: what each says, where, and how it exits. `sync`: test_sync.py."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from etl import __version__
from etl.standin import StandIn, faults
from tests.acceptance.program import (
    COMMAND,
    WITHOUT_PRIVILEGES,
    Program,
    id_of,
    interviews_of,
    key_of,
    populate,
    variable_of,
    wait_until,
)

_COMMANDS = ["demo", "init", "check", "sync", "run", "status", "runs", "rejects", "migrate", "schema"]
_CONTRACT_TABLES = {"interviews", "interviews_history", "workspaces", "sync_runs", "rejected_rows"}
_BAD_ROW = {"contact_count": "twelve"}


@pytest.fixture
def synced(api: StandIn, program: Program, synced_once: Path) -> Program:
    """Two workspaces, synced once; one row of acme was rejected."""
    _set_up(api, program)
    shutil.copyfile(synced_once, program.folder / "warehouse.db")
    return program


@pytest.fixture(scope="module")
def synced_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of `synced`, to copy."""
    program = Program(tmp_path_factory.mktemp("synced"))
    with StandIn() as api:
        _set_up(api, program)
        assert program.sync().exit_code == 0
    return program.folder / "warehouse.db"


def _set_up(api: StandIn, program: Program) -> None:
    populate(api, "acme", "globex")
    good, bad = interviews_of("acme", 6)[:5], interviews_of("acme", 6)[5] | _BAD_ROW
    api.set_interviews(id_of("acme"), [*good, bad])
    program.configure(api.base_url, "acme", "globex")


def _table(stdout: str) -> list[dict[str, str]]:
    """Piped output: a head and rows, separated by tabs, up to the first line that is no row."""
    head, *lines = [line.split("\t") for line in stdout.splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines if len(line) == len(head)]


# --- help and version ---


def test_version(program: Program) -> None:
    for words in (["--version"], ["--log-level", "info", "--version"]):
        done = program.run(*words)
        assert (done.exit_code, done.stdout) == (0, f"ontora-etl {__version__}\n")


def test_help_names_every_command_of_the_contract(program: Program) -> None:
    done = program.run("--help")
    shown = re.findall(r"^  ([a-z]+)  +[A-Z]", done.stdout.partition("Commands:")[2], re.MULTILINE)
    assert (done.exit_code, sorted(shown)) == (0, sorted(_COMMANDS))


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_of_every_command_has_an_example(program: Program, command: str) -> None:
    done = program.run(command, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    example = done.stdout.partition("Example:\n")[2].partition("\n\n")[0].split("\n")
    assert example[0].startswith(f"    ontora-etl {command}")
    assert all(line.startswith("    ontora-etl ") and command in line for line in example if line)
    assert "--help" in done.stdout


@pytest.mark.parametrize(
    "words", [["nonsense"], ["sync", "--nonsense"], ["status", "--max-age", "soon"], ["runs", "--limit", "0"]]
)
def test_bad_usage_is_exit_2(synced: Program, words: list[str]) -> None:
    done = synced.run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error: " in done.stderr


# --- init ---


def test_init_writes_a_configuration_and_never_overwrites(program: Program) -> None:
    done = program.run("init")
    assert done.exit_code == 0
    written = program.folder / "config" / "etl.toml"
    assert "config/etl.toml" in done.stdout
    assert "ontora-etl check" in done.stdout
    (workspace,) = tomllib.loads(written.read_text())["workspaces"]
    assert workspace["name"] == "acme"
    written.write_text("mine")
    again = program.run("init")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "config/etl.toml exists and is left as it is" in again.stderr
    assert written.read_text() == "mine"


def test_init_writes_where_it_is_told_and_what_it_writes_works(api: StandIn, new_program: Program) -> None:
    populate(api, "acme")
    assert new_program.run("init", "deep/er/mine.toml").exit_code == 0
    written = new_program.folder / "deep" / "er" / "mine.toml"
    text = written.read_text().replace("9eed4812-253d-59ff-9b47-82190ea2ccf9", id_of("acme"))
    written.write_text(text)
    new_program.configure("http://127.0.0.1:1", "acme")  # for its key
    env = {"ONTORA_ETL_API_BASE_URL": api.base_url, "ONTORA_ETL_CONFIG": str(written)}
    assert new_program.run("check", env=env).exit_code == 0
    assert new_program.run("sync", env=env).exit_code == 0


def test_init_where_nothing_can_be_written(program: Program) -> None:
    (program.folder / "file").touch()
    done = program.run("init", "file/etl.toml")
    assert done.exit_code == 2
    assert "cannot write file/etl.toml" in done.stderr


# --- check ---


def test_check_of_what_is_in_place(synced: Program) -> None:
    done = synced.run("check")
    assert (done.exit_code, done.stderr) == (0, "")
    parts = ["configuration", "warehouse", "schema", "rights", "workspace acme", "workspace globex"]
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [f"ok    {p}" for p in parts]
    answer = synced.run("check", "--json").json
    assert answer["status"] == "ok"
    assert [(found["what"], found["ok"]) for found in answer["checks"]] == [(part, True) for part in parts]
    assert sorted(path.name for path in synced.folder.glob("warehouse.db*")) == ["warehouse.db"]


def test_check_changes_nothing(api: StandIn, new_program: Program) -> None:
    populate(api, "acme")
    new_program.configure(api.base_url, "acme")
    done = new_program.run("check")
    assert done.exit_code == 0
    assert "schema: empty: the first sync will migrate it" in done.stdout
    assert not (new_program.folder / "warehouse.db").exists()


@pytest.mark.parametrize(
    ("fault", "exit_code", "what"),
    [
        ("configuration", 2, "configuration"),
        ("warehouse", 3, "warehouse"),
        ("schema", 3, "schema"),
        ("key", 1, "workspace globex"),
        ("key and warehouse", 3, "warehouse"),
    ],
)
def test_check_names_what_is_not_in_place(
    api: StandIn, synced: Program, fault: str, exit_code: int, what: str
) -> None:
    if fault == "configuration":
        synced.write("[api]\ntimeout_secs = 3\n")
    if "warehouse" in fault:
        synced.configure(api.base_url, "acme", "globex", warehouse={"url": "sqlite:////dev/null/x.db"})
    if fault == "schema":
        assert synced.run("migrate", "--to", "1").exit_code == 0
    if "key" in fault:
        api.set_key(id_of("globex"), "another")
    done = synced.run("check")
    assert done.exit_code == exit_code
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed[0].startswith(f"FAIL  {what}: ")
    answer = synced.run("check", "--json")
    assert (answer.exit_code, answer.json["status"]) == (exit_code, "failed")
    assert next(found["what"] for found in answer.json["checks"] if not found["ok"]) == what


def test_check_looks_for_every_secret_that_the_configuration_names(api: StandIn, synced: Program) -> None:
    synced.configure(
        api.base_url,
        "acme",
        serve={"listen": "127.0.0.1:8080", "token_env": "TOKEN"},
        notify={"webhook_url_env": "HOOK", "heartbeat_url_env": "PULSE"},
        workspaces={"acme": {"webhook_secret_env": "SHARED"}},
    )
    synced.export("TOKEN", "a-token-of-32-characters-or-so-on")
    synced.environ["SHARED"] = " "
    done = synced.run("check")
    assert done.exit_code == 2
    assert done.stdout.splitlines()[1:5] == [
        "ok    [serve] token_env: environment variable TOKEN is set",
        "FAIL  [notify] webhook_url_env: environment variable HOOK is not set: export the secret in it",
        "FAIL  [notify] heartbeat_url_env: environment variable PULSE is not set: export the secret in it",
        "FAIL  webhooks of acme: environment variable SHARED is empty: it should hold the secret",
    ]
    assert "ok    workspace acme" in done.stdout


def test_check_misses_no_secret_that_may_be_missing(api: StandIn, synced: Program) -> None:
    """As the configuration's template says: nobody is told then. And a token is for who listens."""
    synced.configure(
        api.base_url,
        "acme",
        serve={"token_env": "TOKEN"},
        notify={"webhook_url_env": "ONTORA_ETL_NOTIFY_URL"},
    )
    assert synced.run("check").exit_code == 0


# --- migrate ---


def test_migrate_goes_up_and_down_and_says_so(new_either: Program, api: StandIn) -> None:
    new_either.configure(api.base_url, "acme")
    del new_either.environ[variable_of("acme")]  # no key is needed
    assert "from nothing to 0001" in new_either.run("migrate", "--to", "1").stdout
    done = new_either.run("sync", env={variable_of("acme"): "ont_x"})
    assert (done.exit_code, done.stdout) == (3, "")
    assert "run: ontora-etl migrate" in done.stderr
    up = new_either.run("migrate")
    assert "from 0001 to " in up.stdout
    again = new_either.run("migrate")
    assert (again.exit_code, "is at" in again.stdout) == (0, True)
    assert "to base" in new_either.run("migrate", "--to", "base").stdout
    unknown = new_either.run("migrate", "--to", "9999")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "no revision 9999" in unknown.stderr
    assert api.requests == []


def test_migrate_drops_no_history_unless_told_to(either: Program, api: StandIn) -> None:
    populate(api, "acme")
    either.configure(api.base_url, "acme")
    either.sync()
    api.set_interviews(id_of("acme"), interviews_of("acme")[:-1])
    either.sync()
    assert either.run("migrate", "--to", "2").exit_code == 0  # digests come back by themselves
    refused = either.run("migrate", "--to", "1")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "would drop interviews_history" in refused.stderr
    assert either.rows("SELECT version_num FROM alembic_version") == [("0002",)]
    assert either.rows("SELECT _change FROM interviews_history") == [("deleted",)]
    everything = either.run("migrate", "--to", "base").stderr
    assert "interviews, interviews_history, sync_runs, workspaces" in everything
    assert either.run("migrate", "--to", "1", "--drop-data").exit_code == 0
    assert either.run("migrate").exit_code == 0
    assert either.rows("SELECT count(*) FROM interviews_history") == [(0,)]


def test_migrate_sql_prints_the_ddl_and_touches_nothing(new_either: Program, api: StandIn) -> None:
    new_either.configure(api.base_url, "acme")
    done = new_either.run("migrate", "--sql")
    assert (done.exit_code, done.stderr) == (0, "")
    assert set(re.findall(r"CREATE TABLE (\w+)", done.stdout)) >= _CONTRACT_TABLES
    if new_either.warehouse_url.startswith("sqlite"):
        assert not (new_either.folder / "warehouse.db").exists()
        with closing(sqlite3.connect(":memory:")) as database:
            database.executescript(done.stdout)
            assert database.execute("SELECT count(*) FROM interviews_current").fetchone() == (0,)
    else:
        assert new_either.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_migrate_sql_prints_only_what_is_left(new_either: Program, api: StandIn) -> None:
    new_either.configure(api.base_url, "acme")
    new_either.run("migrate", "--to", "2")
    done = new_either.run("migrate", "--sql")
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.findall(r"CREATE TABLE (\w+)", done.stdout) == [
        "interview_digests",
        "webhook_deliveries",
        "notices",
    ]
    down = new_either.run("migrate", "--to", "1", "--sql")
    assert (down.exit_code, down.stderr) == (0, "")
    assert re.findall(r"(?:CREATE|DROP) TABLE .*", down.stdout) == ["DROP TABLE interviews_history;"]
    assert new_either.rows("SELECT version_num FROM alembic_version") == [("0002",)]
    new_either.run("migrate")
    done = new_either.run("migrate", "--sql")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "already" in done.stderr


def test_migrate_sql_of_a_warehouse_out_of_reach_begins_at_the_beginning(
    program: Program, api: StandIn
) -> None:
    program.configure(api.base_url, "acme", warehouse={"url": "postgresql://127.0.0.1:1/none"})
    done = program.run("migrate", "--sql")
    assert done.exit_code == 0
    assert set(re.findall(r"CREATE TABLE (\w+)", done.stdout)) >= _CONTRACT_TABLES
    assert done.stderr.startswith("warning: cannot use the warehouse at postgresql://127.0.0.1:1/none: ")
    assert "the very beginning" in done.stderr
    down = program.run("migrate", "--sql", "--to", "base")
    assert (down.exit_code, down.stdout) == (3, "")


# --- status, runs, rejects ---


def test_status(api: StandIn, synced: Program) -> None:
    api.set_key(id_of("globex"), "another")
    assert synced.sync().exit_code == 1
    done = synced.run("status")
    rows = {row["workspace"]: row for row in _table(done.stdout)}
    assert (rows["acme"]["active"], rows["acme"]["deleted"], rows["acme"]["rejects"]) == ("5", "0", "1")
    assert (rows["acme"]["last_run"], rows["globex"]["last_run"]) == ("succeeded", "failed")
    assert "globex: the API refused the key" in done.stdout
    answer = synced.run("status", "--json").json
    acme = next(state for state in answer["workspaces"] if state["name"] == "acme")
    assert (acme["active"], acme["rejects_open"], acme["last_status"]) == (5, 1, "succeeded")
    assert 0 <= acme["age_seconds"] < 60


def test_status_max_age(api: StandIn, synced: Program) -> None:
    assert synced.run("status", "--max-age", "1h").exit_code == 0
    past = "UPDATE workspaces SET last_success_at = '2020-01-01 00:00:00.000000' WHERE name = 'globex'"
    with closing(sqlite3.connect(synced.folder / "warehouse.db")) as database:
        database.execute(past)
        database.commit()
    done = synced.run("status", "--max-age", "1h")
    assert done.exit_code == 1
    assert done.stderr == "globex: last success is older than allowed\n"
    assert synced.run("status", "--max-age", "1h", "--json").json["status"] == "stale"
    synced.configure(api.base_url, "acme", "globex", workspaces={"globex": {"enabled": False}})
    assert synced.run("status", "--max-age", "1h").exit_code == 0
    synced.configure(api.base_url, "acme", "globex", "never")
    assert synced.run("status", "--max-age", "1h").exit_code == 1


def test_status_of_a_workspace_that_is_no_longer_configured(api: StandIn, synced: Program) -> None:
    synced.configure(api.base_url, "acme")
    done = synced.run("status", "--max-age", "1h")
    assert done.exit_code == 0
    assert "globex: no longer synced" in done.stdout


@pytest.mark.parametrize("command", ["status", "runs", "rejects"])
def test_a_warehouse_that_was_never_migrated_is_exit_3(
    api: StandIn, new_program: Program, command: str
) -> None:
    new_program.configure(api.base_url, "acme")
    done = new_program.run(command)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "ontora-etl migrate" in done.stderr
    assert not (new_program.folder / "warehouse.db").exists()  # perhaps the path was mistyped


def test_runs(synced: Program) -> None:
    assert synced.sync("acme").exit_code == 0
    rows = _table(synced.run("runs").stdout)
    assert [int(row["id"]) for row in rows] == [3, 2, 1]
    assert rows[0]["workspace_name"] == "acme"
    assert {row["trigger"] for row in rows} == {"manual"}
    assert len(synced.run("runs", "--limit", "1", "--json").json) == 1
    (run,) = synced.run("runs", "globex", "--json").json
    assert (run["workspace_id"], run["received"], run["inserted"]) == (id_of("globex"), 5, 5)
    assert (run["program_version"], run["error"]) == (__version__, None)
    unknown = synced.run("runs", "acmee")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "no workspace 'acmee'" in unknown.stderr


def test_rejects(synced: Program) -> None:
    done = synced.run("rejects", "acme")
    (row,) = _table(done.stdout)
    bad = interviews_of("acme", 6)[5]
    assert (row["workspace_name"], row["interview_id"], row["times_seen"]) == ("acme", bad["id"], "1")
    assert re.fullmatch("contact_count: expected integer.*, got string", row["message"])
    assert '"twelve"' not in done.stdout
    assert '"contact_count":"twelve"' in synced.run("rejects", "--payload").stdout
    (entry,) = synced.run("rejects", "--json").json
    assert (entry["reason"], entry["position"], "payload" in entry) == ("wrong_type", 5, False)
    assert '"twelve"' in synced.run("rejects", "--json", "--payload").json[0]["payload"]
    assert synced.run("rejects", "globex").stdout == "nothing was rejected\n"


# --- demo, and pipes ---


def test_demo_prints_a_path_and_three_queries_that_work(program: Program) -> None:
    done = program.run("demo", "--dir", "here")
    assert (done.exit_code, done.stderr) == (0, "")
    found = re.search(r"sqlite3 (\S+)", done.stdout)
    assert found
    assert Path(program.folder, found[1]).samefile(program.folder / "here" / "warehouse.db")
    queries = re.findall(r"^-- .+\n(SELECT .+;)$", done.stdout, re.MULTILINE)
    assert len(queries) == 3
    with closing(sqlite3.connect(program.folder / "here" / "warehouse.db")) as database:
        assert all(database.execute(query).fetchall() for query in queries)
    again = program.run("demo", "--dir", "here")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "here holds warehouse.db and etl.toml already: name a new folder" in again.stderr


def test_demo_writes_over_nobodys_configuration(new_program: Program) -> None:
    new_program.write("# my own\n")
    for folder in (".", str(new_program.folder)):
        done = new_program.run("demo", "--dir", folder)
        assert done.exit_code == 2
        assert "holds etl.toml already" in done.stderr
    assert new_program.config.read_text() == "# my own\n"
    (new_program.folder / "gone").mkdir()
    code, _, said = _shell(new_program, "cd gone; rmdir ../gone; ETL demo --dir x")
    assert (code, said.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", ["runs", "rejects", "sync"])
def test_a_name_that_no_database_can_be_asked_for(synced: Program, command: str) -> None:
    code, out, said = _shell(synced, rf"ETL {command} $'a\xff'")
    assert (code, out) == (2, "")
    assert said.startswith("error: no workspace 'a")
    assert said.count("\n") == 1


def test_a_number_that_no_double_holds_is_still_json(api: StandIn, program: Program) -> None:
    populate(api, "acme", count=2)
    program.configure(api.base_url, "acme")
    program.sync()
    one, two = interviews_of("acme", 2)
    body = json.dumps([one | {"weekly_availability": {"x": "BEYOND"}, "mood": "BEYOND"}, two])
    api.set_body(id_of("acme"), body.replace('"BEYOND"', "1e400").encode())
    done = program.run("sync", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    strictly = json.loads(done.stdout, parse_constant=pytest.fail)
    (change,) = strictly["changes"]["acme"]
    assert "inf" in json.dumps(change)


def test_a_token_that_is_missing_is_named_with_its_place(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", serve={"token_env": "TOKEN"})
    done = program.run("run", "--listen", "127.0.0.1:0")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "etl.toml: [serve] token_env: environment variable TOKEN is not set" in done.stderr


def test_what_is_said_last_is_json_for_those_who_asked(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    api.always(id_of("acme"), faults.SilentHeaders(60))
    running = program.start("--log-format", "json", "sync")
    wait_until(lambda: len(api.requests) == 1)
    running.send(signal.SIGTERM)
    done = running.wait()
    assert done.exit_code == 143
    assert "stopped by SIGTERM" in [json.loads(line) for line in done.stderr.splitlines()][-1]["message"]
    old = program.run("--log-format", "json", "status", "--max-age", "1s")
    assert "older than allowed" in json.loads(old.stderr)["message"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_json_in_every_encoding(api: StandIn, program: Program, encoding: str) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    program.write(
        program.config.read_text().replace('name = "acme"', 'name = "mü😀ller"\napi_key_env = "KEY"')
    )
    environ = {"PYTHONIOENCODING": encoding, "KEY": "wrong"}
    done = program.run("--log-format", "json", "sync", "--json", env=environ)
    assert done.exit_code == 1
    assert done.json["workspaces"][0]["name"] == "mü😀ller"
    assert "mü😀ller" in json.loads(done.stderr)["message"]


def test_sync_says_where_to_look_for_what_was_rejected(synced: Program) -> None:
    hint = "1 row could not be loaded; which, and why: ontora-etl rejects\n"
    assert synced.run("sync").stdout.endswith(f"\n{hint}")
    for words in (["sync", "--json"], ["sync", "--dry-run"], ["sync", "globex"]):
        assert "could not be loaded" not in synced.run(*words).stdout


def test_piped_output_is_plain(synced: Program) -> None:
    for words in (["sync"], ["status"], ["runs"], ["rejects"], ["check"], ["demo"], ["--help"]):
        done = synced.run(*words, env={"TERM": "xterm-256color"})
        assert done.stdout
        assert not re.search(r"[\x1b│┃━─]", done.stdout + done.stderr)


@pytest.mark.parametrize("name", ['a "b"', "we'ird\\$HOME"])
def test_demo_in_a_folder_with_an_odd_name(program: Program, name: str) -> None:
    done = program.run("demo", "--dir", name)
    assert (done.exit_code, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if "ontora-etl --config" in line]
    words = shlex.split(line)[1:]
    assert words == ["--config", f"{name}/etl.toml", "status"]
    assert program.run(*words, env={"ONTORA_API_KEY": "ont_x"}).exit_code == 0


@pytest.mark.parametrize("folder", ["/dev/null/x", "closed/x", "closed", "line\nbreak"])
def test_demo_where_nothing_can_be_written(program: Program, folder: str) -> None:
    (program.folder / "closed").mkdir(mode=0o500)
    done = program.run("demo", "--dir", folder, before=WITHOUT_PRIVILEGES)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "name another folder" in line


def _shell(program: Program, line: str, **env: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a line of bash in which ETL is the command."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('ETL', str(COMMAND))}"],
        cwd=program.folder,
        env={**program.environ, **env},
        capture_output=True,
        check=False,
    )
    stderr = done.stderr.decode()
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    return done.returncode, done.stdout.decode(), stderr


@pytest.mark.parametrize(
    ("command", "exit_code", "said"),
    [
        ("sync", 1, "error: acme: the API refused the key"),
        ("check", 1, ""),
        ("--config nope.toml status", 2, "error: nope.toml: does not exist"),
        ("nonsense", 2, "No such command"),
    ],
)
@pytest.mark.parametrize("where", ["| true", ">&-", ">/dev/full"])
def test_a_failure_stays_one_wherever_the_output_goes(
    api: StandIn, program: Program, command: str, exit_code: int, said: str, where: str
) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    api.set_key(id_of("acme"), "another")
    code, stdout, stderr = _shell(program, f"ETL {command} {where}")
    assert (code, stdout) == (exit_code, "")
    assert said in stderr


@pytest.mark.parametrize("command", ["status", "sync", "--version", "--help"])
def test_output_that_cannot_be_written_is_one_line_and_exit_1(synced: Program, command: str) -> None:
    said = "error: cannot write the output: No space left on device\n"
    assert _shell(synced, f"ETL {command} >/dev/full") == (1, "", said)
    assert _shell(synced, f"ETL {command} >&-") == (0, "", "")
    code, stdout, _ = _shell(synced, f"ETL {command} 2>&-")
    assert code == 0
    assert stdout
    assert _shell(synced, f"ETL {command} 2>/dev/full")[0] == 0


def test_a_closed_stdout_is_never_the_warehouse(api: StandIn, synced: Program) -> None:
    api.set_interviews(id_of("acme"), interviews_of("acme", 7))
    assert _shell(synced, "ETL sync <&- >&- 2>&-") == (0, "", "")
    assert synced.rows("PRAGMA integrity_check") == [("ok",)]
    assert len(synced.interviews("acme")) == 7


def test_letters_that_the_terminal_lacks_fail_nothing(api: StandIn, program: Program) -> None:
    populate(api, "東京")
    program.configure(api.base_url, "東京", workspace={"api_key_env": "KEY"})
    program.export("KEY", key_of("東京"))
    for encoding in ("latin-1", "ascii"):
        code, stdout, stderr = _shell(program, "ETL sync", PYTHONIOENCODING=encoding)
        assert (code, stderr) == (0, "")
        assert stdout.splitlines()[1].startswith(("??\tsucceeded", "東京\tsucceeded"))


# --- for machines ---


def test_json_logs_hold_warnings_and_errors_too(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", workspace={"api_key_file": "key.txt"})
    (program.folder / "key.txt").write_text(key_of("acme"))
    (program.folder / "key.txt").chmod(0o644)
    usages = {
        "sync": ("warning", "file key.txt is readable by every user"),
        "sync nope": ("error", "no workspace 'nope' in etl.toml"),
        "--config nope.toml sync": ("error", "nope.toml: does not exist"),
        "init etl.toml": ("error", "etl.toml exists and is left as it is"),
    }
    for words, (level, said) in usages.items():
        done = program.run("--log-format", "json", *words.split())
        entries = [json.loads(line) for line in done.stderr.splitlines()]
        assert entries
        assert [e for e in entries if e["level"] == level and said in e["message"] and e["time"]], words


# --- sync: more in test_sync.py ---


def test_sync_names_every_workspace_that_is_unknown(synced: Program) -> None:
    done = synced.run("sync", "acmee", "acme", "nope")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no workspace 'acmee' (did you mean acme?), 'nope' in etl.toml" in done.stderr


def test_sync_help_tells_every_exit_code(program: Program) -> None:
    said = " ".join(program.run("sync", "--help").stdout.split())
    assert all(f"with {code} where" in said for code in range(4))


def test_check_looks_at_every_workspace_whatever_one_answers(api: StandIn, program: Program) -> None:
    odd: dict[str, faults.Fault] = {
        "no-place": faults.Status(422, b'{"detail":[{"loc":null}]}'),
        "no-address": faults.Redirect(302, "http://[bad"),
        "no-date": faults.RateLimit("Wed, 21 Oct 99999999999999999999 07:28:00 GMT"),
        "not-packed": faults.Status(503, b"busy", headers={"Content-Encoding": "gzip"}),
    }
    populate(api, *odd, "well")
    program.configure(api.base_url, *odd, "well")
    for name, fault in odd.items():
        api.always(id_of(name), fault)
    done = program.run("check")
    assert (done.exit_code, done.stderr) == (1, "")
    lines = done.stdout.splitlines()[-5:]
    assert [line.partition(": ")[0] for line in lines] == [
        *(f"FAIL  workspace {name}" for name in odd),
        "ok    workspace well",
    ]


@pytest.mark.parametrize("command", ["status", "runs --json", "rejects", "schema", "check", "sync"])
def test_a_reader_that_leaves_early_is_no_error(synced: Program, command: str) -> None:
    # `true` has gone by the time the program writes; `head` may or may not.
    for reader in ("head -c 1 >/dev/null", "true"):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; '{COMMAND}' {command} | {reader}"],
            cwd=synced.folder,
            env=synced.environ,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
