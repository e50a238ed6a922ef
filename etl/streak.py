"""Failures in a row as one process saw them: some of them the ledger could not write down."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Streak(Struct, frozen=True):
    """What the daemon knows of a workspace's failures. With a warehouse that is full, nobody else does."""

    failures: int = 0
    error_code: str | None = None
    error: str | None = None
    began_at: datetime = _LONG_AGO
    ended: int = 0
    """How many failures the last success ended."""

    def failed(self, error_code: str | None, error: str | None, now: datetime) -> Streak:
        """One failure more."""
        return Streak(self.failures + 1, error_code, error, self.began_at if self.failures else now)

    def succeeded(self) -> Streak:
        """None any more."""
        return Streak(ended=self.failures or self.ended)

    def goes_beyond(self, failures: int, last_success_at: datetime | None) -> bool:
        """Whether it knows of more failures than the ledger, and no other process had a success meanwhile."""
        return self.failures > failures and (last_success_at is None or last_success_at < self.began_at)
