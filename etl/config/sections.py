"""A TOML table against the keys it may have: valid values come out, faults are noted with their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from etl.config.keys import OVERRIDABLE, SECTIONS, WORKSPACE
from etl.config.values import Kind, did_you_mean, looks_secret, shown

_HOLDS_SECRET = re.compile(
    "api_?key|token|password|passwd|secret|credential|authorization|webhook_url|heartbeat_url", re.IGNORECASE
)
_VARIABLE_NAME = re.compile("[A-Z_][A-Z0-9_]*")
_BARE_KEY = re.compile("[A-Za-z0-9_-]{1,60}")


class Reading(Struct, frozen=True):
    """What one reading of a configuration goes by, and what it has found wrong so far."""

    path: Path
    environ: Mapping[str, str]
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fault(self, place: str, problem: object) -> None:
        """Note a fault of the file, at the section and key."""
        self.faults.append(f"{self.path}: {place}: {problem}")


def read_table(reading: Reading, place: str, table: dict[str, Any], kinds: dict[str, Kind]) -> dict[str, Any]:
    """The valid values of the table."""
    found = {}
    for key, value in table.items():
        if key not in kinds:
            reading.fault(f"{place} {plain_key(key)}", unknown_key(key, value, kinds))
            continue
        try:
            found[key] = kinds[key].parse(value)
        except ValueError as error:
            reading.fault(f"{place} {key}", error)
    return found


def read_overrides(reading: Reading, section: str, kinds: dict[str, Kind]) -> dict[str, Any]:
    """The valid values that the environment has for the section.

    An empty variable says nothing: it is what `${X:-}` in a compose file becomes.
    """
    found = {}
    for key, kind in kinds.items():
        variable = variable_of(section, key)
        given = reading.environ.get(variable, "").strip()
        if not given:
            continue
        try:
            found[key] = kind.parse(kind.spelled(given))
        except ValueError as error:
            reading.faults.append(f"environment variable {variable}: {error}")
    return found


def variable_of(section: str, key: str) -> str:
    """The environment variable that overrides the key."""
    return f"ONTORA_ETL_{section}_{key}".upper()


def plain_key(key: str) -> str:
    """The key for a message: TOML's quoted keys may hold line breaks, and any key a secret out of place."""
    return key if _BARE_KEY.fullmatch(key) and not looks_secret(key) else shown(key)


def unknown_key(key: str, value: object, kinds: dict[str, Kind]) -> str:
    """What is wrong with a key that its table does not have, and what was probably meant."""
    near = did_you_mean(key, kinds)
    is_misspelt = (
        near and isinstance(value, str) and _VARIABLE_NAME.fullmatch(value)
    )  # api_key_evn = "MY_KEY"
    if value and _HOLDS_SECRET.search(key) and not is_misspelt:
        naming = f", and name its variable in {key}_env" if f"{key}_env" in kinds else ""
        return f"a secret does not belong in this file: export it{naming}"
    if not near:
        homes = [f"[{section}]" for section, others in SECTIONS.items() if key in others]
        homes += ["[[workspaces]]"] if key in WORKSPACE and key not in OVERRIDABLE else []
        near = f"; it belongs in {' or '.join(homes)}" if homes else ""
    return f"unknown key{near}"
