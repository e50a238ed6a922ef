"""Reliability 15 to 19: keys that the API refuses, keys that are not there, keys from files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl.standin import StandIn, faults
from tests.acceptance.program import (
    WITHOUT_PRIVILEGES,
    Done,
    Program,
    fates,
    id_of,
    interviews_of,
    key_of,
    moments,
    populate,
    sync_here,
    variable_of,
)

# Workspace → error_code, and what the message says.
REFUSED = {
    "unknown": ("invalid_api_key", [f"environment variable {variable_of('unknown')}", "invalid_api_key"]),
    "expired": ("invalid_api_key", [f"environment variable {variable_of('expired')}", "401"]),
    "not-packed-as-it-says": ("invalid_api_key", [f"variable {variable_of('not-packed-as-it-says')}: 401"]),
    "in-a-file": ("invalid_api_key", ["file key.txt", "401 invalid_api_key"]),
    "bearer": ("invalid_api_key", ["environment variable TOKEN_OF_BEARER", "401"]),
    "foreign": (
        "workspace_forbidden",
        [f"environment variable {variable_of('foreign')}", "another workspace"],
    ),
    "scopeless": ("insufficient_scope", [f"environment variable {variable_of('scopeless')}", "interviews"]),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIn, Done]]:
    """One sync of all of them, beside a workspace whose key is good."""
    program = Program(tmp_path_factory.mktemp("refused"))
    with StandIn() as api:
        populate(api, "well")
        for name in REFUSED:
            key = {"unknown": "other", "in-a-file": "other", "bearer": "other"}.get(name, name)
            scopes = ("contacts",) if name == "scopeless" else ("interviews",)
            api.add_workspace(
                id_of(name), key=f"ont_of_{key}_{name}", scopes=scopes, expired=name == "expired"
            )
        program.configure(
            api.base_url,
            "well",
            *REFUSED,
            workspaces={
                "in-a-file": {"api_key_file": "key.txt"},
                "bearer": {"auth": "bearer", "api_key_env": "TOKEN_OF_BEARER"},
            },
        )
        unpacked = faults.Status(401, b"sorry", headers={"Content-Encoding": "gzip"})
        api.always(id_of("not-packed-as-it-says"), unpacked)
        for name in ("expired", "scopeless"):
            program.export(variable_of(name), f"ont_of_{name}_{name}")
        program.export(variable_of("foreign"), key_of("well"))
        program.export("TOKEN_OF_BEARER", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1In0.5ignature")
        key_file = program.folder / "key.txt"
        key_file.write_text("ont_live_fr0mAF1le\n")
        key_file.chmod(0o600)
        program.secrets.append("fr0mAF1le")
        yield api, program.sync()


@pytest.mark.parametrize("name", REFUSED)
def test_reliability_15_16_a_refused_key_fails_at_once(refused: tuple[StandIn, Done], name: str) -> None:
    api, done = refused
    code, said = REFUSED[name]
    entry = done.workspace(name)
    assert (entry["status"], entry["error_code"], entry["attempts"]) == ("failed", code, 1)
    assert all(words in entry["error"] for words in said)
    assert len(moments(api, name)) == 1
    assert done.exit_code == 1
    assert done.workspace("well")["status"] == "succeeded"


def test_reliability_15_no_key_is_a_fault_of_the_configuration(api: StandIn, program: Program) -> None:
    populate(api, "acme", "well")
    program.configure(api.base_url, "acme", "well", workspaces={"well": {"api_key_env": "NOT_SET"}})
    del program.environ[variable_of("acme")]
    done = program.sync()
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"environment variable {variable_of('acme')} is not set" in done.stderr
    assert "environment variable NOT_SET is not set" in done.stderr
    assert api.requests == []


@pytest.mark.parametrize("auth", ["api_key", "bearer"])
def test_reliability_15_the_key_is_sent_as_configured(api: StandIn, program: Program, auth: str) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", workspace={"auth": auth})
    assert program.sync().exit_code == 0
    assert [seen.auth for seen in api.requests] == [auth]


def test_reliability_17_a_newline_behind_the_key_is_stripped(api: StandIn, program: Program) -> None:
    populate(api, "file", "variable")
    program.configure(api.base_url, "file", "variable", workspaces={"file": {"api_key_file": "key.txt"}})
    key_file = program.folder / "key.txt"
    key_file.write_bytes(key_of("file").encode() + b"\r\n")
    key_file.chmod(0o600)
    program.environ[variable_of("variable")] += "\n"
    done = program.sync()
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("inside", [" ", "\t", "\n", "\x1b", "\x7f", "ü", "\u200b"])
@pytest.mark.parametrize("source", ["file", "variable"])
def test_reliability_17_a_blank_or_control_character_inside_is_refused(
    api: StandIn, program: Program, source: str, inside: str
) -> None:
    key = f"ont_live_{inside}hunter2"
    program.configure(api.base_url, "acme", workspace={"api_key_file": "key.txt"} if source == "file" else {})
    program.secrets.append("hunter2")
    program.environ[variable_of("acme")] = key
    (program.folder / "key.txt").write_text(key, encoding="utf-8")
    done = program.sync()
    named = "file key.txt" if source == "file" else f"environment variable {variable_of('acme')}"
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{named} holds a space, a control character" in done.stderr
    assert api.requests == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("missing", "does not exist"),
        ("unreadable", "cannot be read: Permission denied"),
        ("empty", "is empty"),
    ],
)
def test_reliability_18_a_key_file_that_gives_no_key(
    api: StandIn, program: Program, fault: str, expected: str
) -> None:
    program.configure(api.base_url, "acme", workspace={"api_key_file": "key.txt"})
    if fault != "missing":
        key_file = program.folder / "key.txt"
        key_file.write_text("" if fault == "empty" else key_of("acme"))
        key_file.chmod(0o600 if fault == "empty" else 0)
    done = program.run("sync", before=WITHOUT_PRIVILEGES)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"file key.txt {expected}" in done.stderr


def test_reliability_18_a_key_file_that_all_can_read_is_a_warning(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", workspace={"api_key_file": "key.txt"})
    (program.folder / "key.txt").write_text(key_of("acme"))
    (program.folder / "key.txt").chmod(0o644)
    done = program.sync()
    assert done.exit_code == 0
    assert done.stderr.startswith("warning: file key.txt is readable by every user")


def test_reliability_19_a_rotated_key_file_is_picked_up(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    key_file = program.folder / "key.txt"
    key_file.write_text(key_of("acme"))
    program.configure(api.base_url, "acme", workspace={"api_key_file": str(key_file)})
    key_file.chmod(0o600)
    passes = sync_here(program)
    assert next(passes)[0].status == "succeeded"

    api.set_key(id_of("acme"), "ont_live_rotated")
    api.set_interviews(id_of("acme"), interviews_of("acme", 6))
    assert next(passes)[0].error_code == "invalid_api_key"

    (program.folder / "new").write_text("ont_live_rotated\n")
    (program.folder / "new").replace(key_file)
    (report,) = next(passes)
    assert fates(report.as_dict()) == {"received": 6, "inserted": 1, "unchanged": 5}
    passes.close()
