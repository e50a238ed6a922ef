"""What a running sync has done so far: written by the sync, read by whoever shows progress."""

from __future__ import annotations

from msgspec import Struct


class Meter(Struct):
    """One workspace's progress. Single numbers, so a reader in another thread needs no lock."""

    name: str
    phase: str = "waiting"  # waiting, download, queue (for a loader), load, done
    attempts: int = 0
    bytes_received: int = 0  # of the attempt under way
    bytes_loaded: int = 0
    rows: int = 0
