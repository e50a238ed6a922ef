"""What came of one workspace's sync: an entry of `sync --json`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from etl.load import Changes, Counts


class Report(Struct):
    """One workspace's part of a pass. `run_id` is null where nothing was written to the ledger."""

    name: str
    workspace_id: str
    status: Literal["succeeded", "failed", "skipped", "interrupted"]
    run_id: int | None = None
    started_at: datetime | None = None
    """As the ledger has it."""
    counts: Counts = field(default_factory=Counts)
    bytes_received: int = 0
    attempts: int = 0
    duration_seconds: float = 0.0
    error_code: str | None = None
    error: str | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    def as_dict(self) -> dict[str, Any]:
        """The entry of `sync --json`."""
        return {
            "name": self.name,
            "workspace_id": self.workspace_id,
            "run_id": self.run_id,
            "status": self.status,
            **self.counts.as_dict(),
            "bytes_received": self.bytes_received,
            "attempts": self.attempts,
            "duration_seconds": round(self.duration_seconds, 3),
            "error_code": self.error_code,
            "error": self.error,
        }
