"""`check`: a fault of the program itself is kept to the workspace that met it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl import extract
from etl.cli.app import app
from etl.config import Workspace
from etl.standin import StandIn
from tests.acceptance.program import Program, populate


def test_an_internal_error_is_one_workspaces_alone(
    api: StandIn, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probe = extract.probe_interviews

    async def stumble(client: Any, workspace: Workspace, *rest: Any) -> None:
        if workspace.name == "acme":
            raise KeyError("unforeseen")
        await probe(client, workspace, *rest)

    populate(api, "acme", "well")
    program.configure(api.base_url, "acme", "well")
    monkeypatch.setattr(extract, "probe_interviews", stumble)
    done = CliRunner().invoke(app, ["--config", str(tmp_path / "etl.toml"), "check"], env=program.environ)
    assert "FAIL  workspace acme: internal error (KeyError)" in done.output
    assert "ok    workspace well" in done.output
