"""A small disk of its own, for tests of what happens when it is full or read-only."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """The folder of an empty file system of this size. Skips the test where mounting is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="etl-disk-"))
    folder.chmod(0o755)
    mounted = _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder))
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def make_read_only(folder: Path) -> None:
    """Mount the small disk again, read-only."""
    _mount("-o", "remount,ro", str(folder)).check_returncode()


def _mount(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["mount", *words], check=False, capture_output=True)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(words, 1, b"", str(error).encode())
