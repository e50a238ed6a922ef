"""The file that `init` writes: it loads, and it shows every key with its true default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from etl.config import Settings, load_settings, template_text
from etl.config.keys import SECTIONS, WORKSPACE

_ENVIRON = {"ONTORA_API_KEY_ACME": "ont_live_x"}


def _uncommented() -> str:
    """The template with the comment sign taken from each key."""
    return re.sub(r"(?m)^# (?=[a-z_]+ = )", "", template_text())


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "etl.toml"
    path.write_text(template_text(), encoding="utf-8")
    return path


def test_it_loads_as_it_is_once_the_key_is_exported(template: Path) -> None:
    settings = load_settings(template, _ENVIRON)
    assert settings == Settings(template, settings.workspaces)
    (workspace,) = settings.workspaces
    assert (workspace.name, workspace.key_source.where) == ("acme", "ONTORA_API_KEY_ACME")
    assert workspace.policy == settings.sync


def test_it_has_every_key_and_no_other() -> None:
    document = tomllib.loads(_uncommented())
    (workspace,) = document.pop("workspaces")
    assert set(workspace) == set(WORKSPACE)
    assert {section: set(table) for section, table in document.items()} == {
        section: set(kinds) for section, kinds in SECTIONS.items()
    }


def test_its_commented_values_are_the_defaults(template: Path) -> None:
    environ = _ENVIRON | {"ONTORA_ETL_NOTIFY_URL": "https://hooks.example/x"}
    defaults = load_settings(template, environ)
    text = _uncommented().replace('api_key_file = "/run/secrets/acme"', "")
    text = text.replace('schedule = "0 * * * *"', 'schedule = "*/15 * * * *"')  # its example in the workspace
    template.write_text(text, encoding="utf-8")
    assert load_settings(template, environ) == defaults


def test_its_lines_fit_a_terminal() -> None:
    assert max(map(len, template_text().splitlines())) <= 110
