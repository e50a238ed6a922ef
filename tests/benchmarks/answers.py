"""The answers that the stand-in API serves: generated once, kept in `.cache/bench/`."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path

from etl.standin import interviews, write_answer
from tests.benchmarks.children import REPOSITORY

CACHE = REPOSITORY / ".cache" / "bench"
WORKSPACE = uuid.UUID("0f4f6ad2-6d3e-4c0b-9b0a-3f6f3d0c7a11")
EMPTY_WORKSPACE = uuid.UUID("7c1e9a52-90d4-5d0c-8a53-1f0f2b6f9e02")
CHANGED_FRACTION = 0.01

# By what makes them: old answers are none of a changed generator's.
_ANSWERS = CACHE / "answers" / hashlib.sha256(Path(interviews.__file__).read_bytes()).hexdigest()[:12]
_NAMESPACE = uuid.UUID("3d0a8d3c-51b0-5f1e-9c37-7f7f0a4b6f55")


def answer(rows: int, *, changed: bool = False) -> Path:
    """An answer of so many interviews; `changed`: the same, 1 % of them newer."""
    name = f"{rows}-changed.json" if changed else f"{rows}.json"
    fraction = CHANGED_FRACTION if changed else 0.0
    return _written(name, rows, WORKSPACE, generation=int(changed), changed_fraction=fraction)


def empty_answer() -> Path:
    """An answer without any interview."""
    return _written("0.json", 0, EMPTY_WORKSPACE)


def workspace_ids(count: int) -> list[uuid.UUID]:
    """The ids of so many workspaces, the same each time."""
    return [uuid.uuid5(_NAMESPACE, str(number)) for number in range(count)]


def workspace_answer(workspace_id: uuid.UUID, rows: int) -> Path:
    """The answer of one of many workspaces."""
    return _written(f"many/{rows}/{workspace_id}.json", rows, workspace_id)


def _written(
    name: str, rows: int, workspace_id: uuid.UUID, *, generation: int = 0, changed_fraction: float = 0.0
) -> Path:
    path = _ANSWERS / name
    if not path.exists():
        for former in set(_ANSWERS.parent.glob("*")) - {_ANSWERS}:
            shutil.rmtree(former)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write_answer(
            part, rows, workspace_id=workspace_id, generation=generation, changed_fraction=changed_fraction
        )
        part.rename(path)
    return path
