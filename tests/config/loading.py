"""Real configuration files in the test's folder, and what the reader makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl.config import Settings, load_settings
from etl.errors import ConfigError

ID = "9eed4812-253d-59ff-9b47-82190ea2ccf9"
OTHER_ID = "0b54a2f0-0000-4000-8000-000000000001"
WORKSPACE = f'[[workspaces]]\nname = "acme"\nid = "{ID}"\n'
KEY = "ont_live_b7Qz1XhY5c"
ENVIRON = {"ONTORA_API_KEY_ACME": KEY}
_NOBODY = 65534


def load(text: str, **environ: str) -> Settings:
    """The settings of a file that holds the text."""
    Path("etl.toml").write_text(text, encoding="utf-8")
    return load_settings(Path("etl.toml"), ENVIRON | environ)


def faults(text: str, **environ: str) -> tuple[str, ...]:
    """The faults of a file that holds the text: each a line, together exit 2."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    assert caught.value.exit_code == 2
    assert all(fault.isprintable() for fault in caught.value.faults)
    return caught.value.faults


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root reads everything; nobody does not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
