"""What a load is asked to do, and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import xxhash
from msgspec import Struct, field
from msgspec.structs import asdict

from etl.config import Workspace
from etl.normalize import NORMALIZATION_VERSION


class Job(Struct, frozen=True):
    """One workspace's load. `run_id` is its entry in the ledger: runs are numbered as they ask the API.

    `staged`: it has turned out to be no plain first load. `started_at`, where it is known, tells the run from
    one that got its number after a failover, or a restore, to before it was opened.
    """

    run_id: int
    workspace: Workspace
    started_at: datetime | None = None
    full: bool = False
    accept_deletes: bool = False
    dry_run: bool = False
    staged: bool = False

    @property
    def workspace_id(self) -> UUID:
        """The workspace to load."""
        return self.workspace.id

    def reading_digest(self, answer_digest: bytes) -> str:
        """The answer's digest together with all that shapes what comes of it.

        Equal answers under other filters, other rules for deletes or another program are not equal.
        """
        workspace, policy = self.workspace, self.workspace.policy
        shape = [
            NORMALIZATION_VERSION,
            str(workspace.project_id),
            workspace.status,
            policy.detect_deletes,
            policy.max_delete_fraction,
            policy.max_delete_rows,
        ]
        return xxhash.xxh3_128_hexdigest(answer_digest + msgspec.json.encode(shape))


class Counts(Struct):
    """What became of the answer's elements; the first seven are conserved: received = the sum of the rest."""

    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    duplicate: int = 0
    rejected: int = 0
    deleted: int = 0
    restored: int = 0
    held_deletes: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name, in the order of the ledger's columns."""
        return asdict(self)

    def accounted(self) -> int:
        """Elements whose fate is known."""
        return self.inserted + self.updated + self.unchanged + self.stale + self.duplicate + self.rejected

    def if_seen_again(self) -> Counts:
        """What the same answer would count if it came once more right away."""
        return Counts(
            received=self.received,
            unchanged=self.inserted + self.updated + self.unchanged,
            stale=self.stale,
            duplicate=self.duplicate,
            rejected=self.rejected,
            held_deletes=self.held_deletes,
        )


class Change(Struct, frozen=True):
    """An interview that a dry run would change; `fields` of an updated one: field → (stored, new)."""

    interview_id: str
    name: str
    fate: Literal["updated", "inserted", "deleted", "restored"]
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)


class Changes(Struct, frozen=True):
    """What a dry run shows of all that it would change, and how many more there are."""

    shown: list[Change] = field(default_factory=list)
    more: int = 0


class Outcome(Struct):
    """What a load did. `applied_before`: the run had committed already, ledger entry and all.

    `applied_digest` and `held_of` are for the next run to find; no digest where nothing was applied.
    """

    counts: Counts
    warnings: list[dict[str, Any]] = field(default_factory=list)
    high_watermark: datetime | None = None
    unknown_fields: tuple[str, ...] = ()
    changes: Changes = field(default_factory=Changes)
    applied_before: bool = False
    applied_digest: str | None = None
    held_of: int | None = None


def warning(code: str, message: str, **facts: Any) -> dict[str, Any]:  # JSON values
    """An entry of the run's `warnings`."""
    return {"code": code, "message": message, **facts}
