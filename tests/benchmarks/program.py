"""The program as users run it: a configuration, the command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from tests.benchmarks.children import BIN, Measured, run

COMMAND = BIN / "ontora-etl"


def configuration(
    folder: Path, base_url: str, warehouse_url: str, workspaces: Mapping[str, UUID], extra: str = ""
) -> Path:
    """A configuration file of these workspaces, all else as by default."""
    path = folder / "etl.toml"
    head = f'[api]\nbase_url = "{base_url}"\n\n[warehouse]\nurl = "{warehouse_url}"\n{extra}'
    one = '\n[[workspaces]]\nname = "{}"\nid = "{}"\n'
    path.write_text(head + "".join(one.format(*item) for item in workspaces.items()), encoding="utf-8")
    return path


def sync(configured: Path, *words: str) -> Measured:
    """`ontora-etl sync`, measured."""
    return run([COMMAND, "--config", configured, "sync", *words])


def migrate(configured: Path) -> None:
    """`ontora-etl migrate`: what a first sync does too, before it loads."""
    run([COMMAND, "--config", configured, "migrate"])
