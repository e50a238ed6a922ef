"""The lines of the READMEs and of the crontab that a newcomer pastes do what is said of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.standin import StandIn, generate_interviews
from tests.deploy import crontab

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLACE = "/srv/ontora"  # of the README's example
WORKSPACE = "9eed4812-253d-59ff-9b47-82190ea2ccf9"
KEY = "made-up"
# What the machine of the tests may not have: no containers, and files are given to ourselves.
SHAMS = {
    "docker": "#!/bin/sh\n",
    "sudo": '#!/bin/bash\n"${@//10001/$UID}"\n',
}


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A server's folder: etl.toml for a workspace of the stand-in API, and the keys.env of the README."""
    (keys,) = [block for block in blocks(ROOT / "README.md", "sh") if block.startswith(f"# {PLACE}/keys.env")]
    (tmp_path / "keys.env").write_text(keys.replace("…", KEY))
    with StandIn() as api:
        interviews = list(generate_interviews(3, workspace_id=WORKSPACE))
        api.add_workspace(WORKSPACE, key=KEY, interviews=interviews)
        (tmp_path / "etl.toml").write_text(
            f'[api]\nbase_url = "{api.base_url}"\n[warehouse]\nurl = "sqlite:///{tmp_path}/warehouse.db"\n'
            f'[[workspaces]]\nname = "acme"\nid = "{WORKSPACE}"\n'
        )
        yield tmp_path


def test_the_readmes_cron_line_syncs_in_crons_own_environment(folder: Path) -> None:
    (folder / "venv").mkdir()
    (folder / "venv" / "bin").symlink_to(BIN)
    (line,) = blocks(ROOT / "README.md", "crontab")
    assert "%" not in line  # cron reads it as the end of the line
    done = crontab.as_cron(crontab.split(line)[1], folder / "venv", {PLACE: folder})
    assert (done.returncode, done.stdout) == (0, "")
    assert re.search(r"acme\s+succeeded\s+3\s+3", (folder / "sync.log").read_text())


@pytest.mark.parametrize("commented", [False, True])
def test_the_crontab_syncs_in_crons_own_environment_and_mails_what_is_wrong(
    folder: Path, *, commented: bool
) -> None:
    log = "/var/log/ontora-etl"
    places = {
        crontab.PROGRAM_FOLDER: BIN,
        crontab.CONFIG_FOLDER: folder,
        crontab.STATE_FOLDER: folder,
        log: folder,
    }
    for _, command in crontab.jobs(commented=commented):
        done = crontab.as_cron(command, folder, places, crontab.variables())
        assert (done.returncode, done.stdout) == (0, "")
    assert ('"inserted": 3' in (folder / "sync.log").read_text()) if commented else True
    (folder / "keys.env").unlink()
    for _, command in crontab.jobs(commented=commented):
        assert "keys.env" in crontab.as_cron(command, folder, places, crontab.variables()).stdout


def test_the_secrets_of_compose_can_be_made_twice(tmp_path: Path) -> None:
    (block,) = [
        block for block in blocks(ROOT / "config" / "README.md", "sh") if "postgres_password" in block
    ]
    (tmp_path / "shams").mkdir()
    for name, text in SHAMS.items():
        (tmp_path / "shams" / name).write_text(text)
        (tmp_path / "shams" / name).chmod(0o755)
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("secrets"))
    (tmp_path / "key.txt").write_text(KEY)
    secrets = tmp_path / "config" / "docker" / "secrets"
    environ = {"PATH": f"{tmp_path / 'shams'}:{os.defpath}", "ACME_KEY_FILE": "key.txt"}
    passwords = set()
    for _ in range(2):
        subprocess.run(["bash", "-euc", block], cwd=tmp_path, env=environ, check=True, timeout=60)
        passwords.add((secrets / "postgres_password").read_text().strip())
        (password, *others) = passwords
        assert (len(password), others) == (48, [])
        assert (secrets / "pgpass").read_text().strip() == f"postgres:5432:ontora:ontora:{password}"
        assert (secrets / "acme_api_key").read_text() == KEY
        assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}
