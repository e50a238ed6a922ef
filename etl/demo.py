"""The main job with no account: a stand-in API on loopback, synced into SQLite by the very code of `sync`."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.config import Settings, load_settings
from etl.errors import UsageError
from etl.meter import Meter
from etl.standin import StandIn, generate_interviews
from etl.sync import Options, Report, sync_workspaces
from etl.warehouse import open_warehouse
from etl.warehouse.schema import ensure_schema

_NAMESPACE = uuid.UUID("7f9c2a52-3f0b-5d7e-9b1c-6f1d2f1f6c11")
_SIZES = {"acme": 120, "globex": 80, "initech": 40}
_KEY = "ont_live_demo"

QUERIES = (
    (
        "How far along is each workspace?",
        "SELECT workspace_name, interviews, contacts, completions FROM workspace_summary;",
    ),
    (
        "What changed between the two syncs?",
        "SELECT id, name, _change, _valid_to FROM interviews_history ORDER BY _valid_to DESC LIMIT 10;",
    ),
    (
        "What could not be loaded, and why?",
        "SELECT reason, message, times_seen FROM rejected_rows WHERE resolved_at IS NULL;",
    ),
)


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demo leaves behind: the reports of both passes, the configuration and the database."""

    first: list[Report]
    second: list[Report]
    config: Path
    database: Path


def run_demo(folder: Path) -> Demo:
    """Sync three workspaces, change the world, sync again; everything stays in `folder`.

    Raises UsageError where nothing can be written there.
    """
    database = folder / "warehouse.db"
    with StandIn() as api:
        worlds = {name: _world(name, size) for name, size in _SIZES.items()}
        for name, interviews in worlds.items():
            api.add_workspace(_id(name), key=_KEY + name, interviews=interviews)
        config = folder / "etl.toml"
        _write(config, _config(api.base_url, database))
        environ = {f"ONTORA_API_KEY_{name.upper()}": _KEY + name for name in _SIZES}
        settings = load_settings(config, environ)
        first = _sync(settings, environ)
        for name, interviews in worlds.items():
            api.set_interviews(_id(name), _later(name, interviews))
        second = _sync(settings, environ)
    return Demo(first, second, config, database)


def _write(config: Path, text: str) -> None:
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        with config.open("x", encoding="utf-8") as file:  # never over somebody's own
            file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {config} ({error.strerror})", remedy="name another folder") from None


def _sync(settings: Settings, environ: dict[str, str]) -> list[Report]:
    warehouse = open_warehouse(settings.warehouse, settings.api.concurrency)
    try:
        ensure_schema(warehouse, auto_migrate=False)
        meters = [Meter(workspace.name) for workspace in settings.workspaces]
        return asyncio.run(
            sync_workspaces(settings, warehouse, settings.workspaces, Options(), meters, environ=environ)
        )
    finally:
        warehouse.close()


def _id(name: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, name)


def _world(name: str, size: int) -> list[dict[str, Any]]:
    return list(generate_interviews(size, workspace_id=_id(name), seed=len(name)))


def _later(name: str, interviews: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few days on: some interviews moved on, two were deleted, one is new, one arrives malformed."""
    changed = [dict(interview) for interview in interviews]
    for interview in changed[::10]:
        interview["completed_count"] += 3
        interview["contact_count"] += 3
        interview["updated_at"] = "2026-11-20T09:30:00Z"
    if name == "acme":
        changed[5]["completion_threshold"] = "eighty"
        changed += generate_interviews(1, workspace_id=_id(name), seed=99)
    return changed[:-3] + changed[-1:] if name == "globex" else changed


def _config(base_url: str, database: Path) -> str:
    workspaces = "".join(f'\n[[workspaces]]\nname = "{name}"\nid = "{_id(name)}"\n' for name in _SIZES)
    url = json.dumps(f"sqlite:///{database.resolve()}", ensure_ascii=False)  # TOML quotes as JSON does
    return f'[api]\nbase_url = "{base_url}"\n\n[warehouse]\nurl = {url}\n{workspaces}'
