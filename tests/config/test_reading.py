"""What is right is read as it stands; the ways in which a file is none are told apart."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from etl.config import Notify, Settings, Warehouse, find_config, load_settings
from etl.errors import ConfigError
from etl.secret import Secret
from tests.config.loading import ENVIRON, ID, KEY, OTHER_ID, WORKSPACE, faults, load, without_privileges

# --- the file as a file ---


def test_reliability_39_each_broken_file_is_told_apart() -> None:
    contents = {
        "is empty; `ontora-etl init` writes one": b"",
        "is empty: all of it is comments": b"# nothing\n",
        "is not UTF-8 text (line 2)": b"# caf\n# caf\xe9\n",
        "is not TOML: Expected '=' after a key": b"[api]\nnot toml at all\n",
        "is not TOML: a number in it is absurdly long": b"a = " + b"9" * 5000,
        "is not TOML that can be read: it is nested too deeply": b"a = " + b"[" * 100_000,
        "[[workspaces]]: there is none": b"[api]\nmax_attempts = 3\n",
        "[workspaces]: must be written with two brackets": b'[workspaces]\nname = "acme"\n',
        "workspaces: must be tables": b"workspaces = 3\n",
        "is longer than": b"#" * (5 * 1024**2),
    }
    for expected, content in contents.items():
        Path("etl.toml").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load_settings(Path("etl.toml"), ENVIRON)
        (fault,) = caught.value.faults
        assert fault.startswith("etl.toml: ")
        assert expected in fault


def test_reliability_39_a_syntax_error_has_its_line() -> None:
    (fault,) = faults(WORKSPACE + "schedule = every 15m\n")
    assert "line 4" in fault


def test_reliability_39_missing_and_folder() -> None:
    Path("folder").mkdir()
    for path, expected in (("absent.toml", "does not exist"), ("folder", "is a folder")):
        with pytest.raises(ConfigError, match=f"{path}: {expected}"):
            load_settings(Path(path), {})


def test_reliability_39_unreadable() -> None:
    path = Path("etl.toml")
    path.write_text(WORKSPACE)
    path.chmod(0)
    with (
        without_privileges(),
        pytest.raises(ConfigError, match=r"etl.toml: cannot be read: Permission denied"),
    ):
        load_settings(path, {})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_byte_order_mark_and_foreign_line_ends_are_no_fault(mark: bytes, ending: bytes) -> None:
    Path("etl.toml").write_bytes(mark + WORKSPACE.encode().replace(b"\n", ending))
    assert load_settings(Path("etl.toml"), ENVIRON).workspaces[0].name == "acme"


# --- where the file is ---


def test_the_file_is_the_given_one_then_the_variables_then_what_lies_here() -> None:
    with pytest.raises(
        ConfigError, match=r"config/etl.toml nor etl.toml is here; `ontora-etl init` writes one"
    ):
        find_config(None, {})
    Path("etl.toml").touch()
    assert find_config(None, {}) == Path("etl.toml")
    Path("config").mkdir()
    Path("config/etl.toml").touch()
    assert find_config(None, {"ONTORA_ETL_CONFIG": ""}) == Path("config/etl.toml")
    assert find_config(None, {"ONTORA_ETL_CONFIG": "x.toml"}) == Path("x.toml")
    assert find_config(Path("given.toml"), {"ONTORA_ETL_CONFIG": "x.toml"}) == Path("given.toml")


def test_reliability_39_a_folder_that_may_not_be_looked_into() -> None:
    Path("config").mkdir(mode=0o600)
    with without_privileges():
        found = find_config(None, {})
        with pytest.raises(ConfigError, match=r"config/etl\.toml: cannot be read: Permission denied"):
            load_settings(found, {})


# --- what is right ---


def test_the_smallest_file_has_every_default() -> None:
    settings = load(WORKSPACE)
    assert settings == Settings(Path("etl.toml"), settings.workspaces)
    (workspace,) = settings.workspaces
    assert workspace.id == UUID(ID)
    assert workspace.policy == settings.sync
    assert str(settings.sync.schedule) == "*/15 * * * *"
    assert str(workspace.key_source) == "environment variable ONTORA_API_KEY_ACME"


def test_a_workspace_inherits_sync_and_overrides_it() -> None:
    text = f"""
    [sync]
    schedule = "every 6h"
    timezone = "Europe/Berlin"
    history = false
    max_delete_rows = 7
    [[workspaces]]
    name = "acme"
    id = "{ID}"
    schedule = "0 * * * *"
    detect_deletes = false
    max_delete_fraction = 1
    """
    policy = load(text).workspaces[0].policy
    assert str(policy.schedule) == "0 * * * *"
    assert (policy.timezone, policy.history, policy.max_delete_rows) == ("Europe/Berlin", False, 7)
    assert (policy.detect_deletes, policy.max_delete_fraction) == (False, 1.0)


def test_the_environment_overrides_every_key_of_api_warehouse_and_sync() -> None:
    settings = load(
        "[api]\nmax_attempts = 3\n" + WORKSPACE,
        ONTORA_ETL_API_BASE_URL="http://127.0.0.1:8000/",
        ONTORA_ETL_API_TIMEOUT_SECONDS="2.5",
        ONTORA_ETL_API_MAX_ATTEMPTS=" 7 ",
        ONTORA_ETL_WAREHOUSE_URL="postgres://me:pass@db/x",
        ONTORA_ETL_WAREHOUSE_SCHEMA="ontora",
        ONTORA_ETL_WAREHOUSE_AUTO_MIGRATE="TRUE",
        ONTORA_ETL_SYNC_SCHEDULE="every 90s",
        ONTORA_ETL_SYNC_HISTORY="0",
        ONTORA_ETL_SYNC_MAX_DELETE_FRACTION="1",
        ONTORA_ETL_SYNC_TIMEZONE="",
    )
    assert settings.api.base_url == "http://127.0.0.1:8000"
    assert (settings.api.timeout_seconds, settings.api.max_attempts) == (2.5, 7)
    expected = Warehouse(Secret("postgresql+psycopg://me:pass@db/x"), schema="ontora", auto_migrate=True)
    assert settings.warehouse == expected
    assert str(settings.workspaces[0].policy.schedule) == "every 90s"
    assert settings.sync.history is False
    assert settings.sync.max_delete_fraction == 1.0
    assert settings.sync.timezone == "UTC"


def test_all_of_serve_run_notify_and_the_filters() -> None:
    settings = load(
        WORKSPACE
        + f'auth = "bearer"\nproject_id = "{OTHER_ID}"\nstatus = "active"\nwebhook_secret_env = "HOOK"\n'
        '[run]\ngrace_seconds = 5\n[serve]\nlisten = "[::1]:0"\ntoken_env = "TOKEN"\n'
        '[notify]\nwebhook_url_env = "URL"\nafter_failures = 1\nheartbeat_url_env = "BEAT"\n'
    )
    (workspace,) = settings.workspaces
    assert (workspace.auth, workspace.project_id, workspace.status) == ("bearer", UUID(OTHER_ID), "active")
    assert workspace.webhook_secret_env == "HOOK"
    assert settings.run.grace_seconds == 5
    assert (settings.serve.listen, settings.serve.token_env) == ("[::1]:0", "TOKEN")
    assert settings.notify == Notify("URL", 1, "BEAT")


@pytest.mark.parametrize(
    ("section", "exported", "expected"),
    [
        ("", "https://hooks.example/x", "ONTORA_ETL_NOTIFY_URL"),
        ("[notify]\nafter_failures = 2\n", "https://hooks.example/x", "ONTORA_ETL_NOTIFY_URL"),
        ("", " ", ""),
        ('[notify]\nwebhook_url_env = "OTHER"\n', "https://hooks.example/x", "OTHER"),
        ('[notify]\nwebhook_url_env = ""\n', "https://hooks.example/x", ""),
    ],
)
def test_exporting_the_notify_url_is_enough(section: str, exported: str, expected: str) -> None:
    settings = load(section + WORKSPACE, ONTORA_ETL_NOTIFY_URL=exported)
    assert settings.notify.webhook_url_env == expected


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("<script>alert(1)</script>", id="reliability-73-markup"),
        pytest.param("Café Zürich 東京", id="letters-of-the-world"),
        pytest.param("x" * 100, id="longest"),
    ],
)
def test_a_workspace_may_have_any_printable_name(name: str) -> None:
    assert (
        load(f'[[workspaces]]\nname = "{name}"\nid = "{ID}"\n', ONTORA_API_KEY=KEY).workspaces[0].name == name
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.ontora.com/", "https://api.ontora.com"),
        ("https://gateway.example:8443/ontora/", "https://gateway.example:8443/ontora"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_reliability_41_good_base_urls(url: str, expected: str) -> None:
    assert load(f'[api]\nbase_url = "{url}"\n{WORKSPACE}').api.base_url == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///warehouse.db", "sqlite:///warehouse.db"),
        ("sqlite:////var/lib/a b?c%d/ü.db", "sqlite:////var/lib/a b?c%d/ü.db"),
        ("postgres://db", "postgresql+psycopg://db"),
        ("postgresql://u@h:5432/d", "postgresql+psycopg://u@h:5432/d"),
        ("postgresql+psycopg://u:p@[::1]/d", "postgresql+psycopg://u:p@[::1]/d"),
        (
            "postgresql://u:p/q+r:%40=@h/d?sslmode=require",
            "postgresql+psycopg://u:p/q+r:%40=@h/d?sslmode=require",
        ),
        ("postgresql:///d?host=/tmp/a@b", "postgresql+psycopg:///d?host=/tmp/a@b"),
    ],
)
def test_reliability_42_good_warehouse_urls(url: str, expected: str) -> None:
    settings = load(f'[warehouse]\nurl = "{url}"\n{WORKSPACE}')
    assert settings.warehouse.url.reveal() == expected
    assert expected not in repr(settings)
