"""Where keys come from, and what is refused of them: named by the source, never by the value."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.config import Settings, load_settings, read_api_key, read_secret_env
from etl.errors import ConfigError
from tests.config.loading import without_privileges

_ID = "9eed4812-253d-59ff-9b47-82190ea2ccf9"
_KEY = "ont_live_hunter2"
_OWN = "ONTORA_API_KEY_ACME_INC_"


def _load(keys: str = "", environ: dict[str, str] | None = None, *, require_keys: bool = True) -> Settings:
    Path("etl.toml").write_text(f'[[workspaces]]\nname = "acme inc."\nid = "{_ID}"\n{keys}\n')
    return load_settings(Path("etl.toml"), environ or {}, require_keys=require_keys)


def _fault(keys: str = "", environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(keys, environ)
    (fault,) = caught.value.faults
    assert "hunter2" not in fault
    assert fault.startswith('etl.toml: [[workspaces]] #1 "acme inc."')
    return fault


@pytest.mark.parametrize(
    ("keys", "environ", "source"),
    [
        pytest.param('api_key_env = "MY_KEY"', {"MY_KEY": _KEY}, "MY_KEY", id="named"),
        pytest.param("", {_OWN: _KEY, "ONTORA_API_KEY": "no"}, _OWN, id="own"),
        pytest.param("", {"ONTORA_API_KEY": _KEY}, "ONTORA_API_KEY", id="common"),
        pytest.param('api_key_env = ""', {"ONTORA_API_KEY": _KEY}, "ONTORA_API_KEY", id="empty-name"),
    ],
)
def test_the_key_comes_from_the_first_source_there_is(
    keys: str, environ: dict[str, str], source: str
) -> None:
    (workspace,) = _load(keys, environ).workspaces
    assert str(workspace.key_source) == f"environment variable {source}"
    key = read_api_key(workspace, environ)
    assert key.reveal() == _KEY
    assert _KEY not in repr(key)


def test_reliability_18_a_file_relative_to_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    file = tmp_path / "keys/acme"
    file.write_text(_KEY)
    file.chmod(0o600)
    settings = _load('api_key_file = "keys/acme"')
    assert read_api_key(settings.workspaces[0], {}).reveal() == _KEY
    assert settings.warnings == ()


@pytest.mark.parametrize(
    "content", [f"{_KEY}\n", f" {_KEY}\r\n\n", f"\ufeff{_KEY}"], ids=["newline", "blanks", "mark"]
)
def test_reliability_17_what_surrounds_a_key_is_stripped(content: str) -> None:
    Path("key").write_text(content, encoding="utf-8", newline="")
    assert read_api_key(_load('api_key_file = "key"').workspaces[0], {}).reveal() == _KEY


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("hunter2 hunter2", id="reliability-17-space-inside"),
        pytest.param("hunter2\nhunter2", id="reliability-17-newline-inside"),
        pytest.param("hunter2\x07hunter2", id="reliability-17-control-character-inside"),
        pytest.param("hunter2é", id="reliability-17-letter-no-header-takes"),
        pytest.param("hunter2" * 2000, id="reliability-17-longer-than-any-key"),
    ],
)
def test_reliability_17_a_key_that_cannot_be_one_is_refused(value: str) -> None:
    assert "environment variable MY_KEY holds" in _fault('api_key_env = "MY_KEY"', {"MY_KEY": value})
    Path("key").write_text(value, encoding="utf-8")
    assert "file key holds" in _fault('api_key_file = "key"')


def test_reliability_15_a_missing_variable_is_named() -> None:
    assert "environment variable MY_KEY is not set" in _fault('api_key_env = "MY_KEY"')
    assert "environment variable ONTORA_API_KEY_ACME_INC_ is not set" in _fault()
    assert "environment variable MY_KEY is empty" in _fault('api_key_env = "MY_KEY"', {"MY_KEY": " \n"})


def test_reliability_18_missing_empty_folder_and_binary_files_are_told_apart() -> None:
    Path("empty").write_text("\n")
    Path("folder").mkdir()
    Path("binary").write_bytes(b"\xff\xfe\x00")
    assert "file absent does not exist" in _fault('api_key_file = "absent"')
    assert "file empty is empty" in _fault('api_key_file = "empty"')
    assert "file folder is a folder" in _fault('api_key_file = "folder"')
    assert "file binary is not text" in _fault('api_key_file = "binary"')


def test_reliability_18_an_unreadable_file() -> None:
    Path("key").write_text(_KEY)
    (workspace,) = _load('api_key_file = "key"').workspaces
    Path("key").chmod(0)
    with without_privileges(), pytest.raises(ConfigError, match="file key cannot be read: Permission denied"):
        read_api_key(workspace, {})


def test_reliability_18_a_file_that_all_can_read_is_a_warning() -> None:
    Path("key").write_text(_KEY)
    Path("key").chmod(0o644)
    (warning,) = _load('api_key_file = "key"').warnings
    assert warning == "file key is readable by every user of this machine: chmod 600 key"


def test_reliability_19_a_rotated_file_is_read_again() -> None:
    Path("key").write_text("ont_old")
    (workspace,) = _load('api_key_file = "key"').workspaces
    assert read_api_key(workspace, {}).reveal() == "ont_old"
    Path("new").write_text("ont_new\n")
    Path("new").replace("key")
    assert read_api_key(workspace, {}).reveal() == "ont_new"
    Path("key").unlink()
    with pytest.raises(ConfigError, match="file key does not exist"):
        read_api_key(workspace, {})


def test_two_sources_are_one_too_many() -> None:
    assert "excludes api_key_env" in _fault('api_key_env = "MY_KEY"\napi_key_file = "key"')


def test_a_key_may_be_absent_where_none_is_needed() -> None:
    assert _load(require_keys=False).workspaces
    assert _load("enabled = false").workspaces
    assert _load('api_key_file = "absent"', require_keys=False).workspaces


def test_other_secrets_come_from_variables_under_the_same_rules() -> None:
    assert read_secret_env("HOOK", {"HOOK": "whsec_x\n"}).reveal() == "whsec_x"
    for environ in ({}, {"HOOK": ""}, {"HOOK": "hunter2 hunter2"}):
        with pytest.raises(ConfigError, match="environment variable HOOK") as caught:
            read_secret_env("HOOK", environ)
        assert "hunter2" not in str(caught.value)
