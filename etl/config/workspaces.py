"""`[[workspaces]]` → Workspace: each table's own keys, what `[sync]` says for it, where its API key is."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from etl.config import values
from etl.config.credentials import key_source, loose_file, read_key
from etl.config.keys import OVERRIDABLE, WORKSPACE
from etl.config.sections import Reading, read_table
from etl.config.settings import Policy, Workspace

_IDENTITY = ("name", "id")  # required, and each its own
_KEY_SOURCES = ("api_key_env", "api_key_file")  # one at most


def read_workspaces(reading: Reading, given: object, sync: Policy, *, require_keys: bool) -> list[Workspace]:
    """The workspaces that are whole; the faults of all are noted.

    A disabled workspace is checked like the others, but for its key: that may be gone already.
    """
    workspaces = []
    holders: dict[tuple[str, object], int] = {}  # who had this name or this id first
    for position, table in enumerate(_tables(reading, given), start=1):
        place = _place(position, table)
        found = read_table(reading, place, table, WORKSPACE)
        for key in _IDENTITY:
            if key not in table:
                reading.fault(f"{place} {key}", "is missing")
            elif key in found and (first := holders.setdefault((key, found[key]), position)) != position:
                reading.fault(f"{place} {key}", f"[[workspaces]] #{first} has the same {key}")
        source_is_plain = _check_source(reading, place, table, found)
        if all(key in found for key in _IDENTITY):
            workspace = _workspace(reading, found, sync)
            workspaces.append(workspace)
            if require_keys and workspace.enabled and source_is_plain:
                _check_key(reading, place, workspace)
    if workspaces and not any(workspace.enabled for workspace in workspaces):
        reading.warnings.append(f"{reading.path}: every workspace is disabled: nothing will be synced")
    return workspaces


def _tables(reading: Reading, given: object) -> list[dict[str, Any]]:
    if given is None or given == []:
        reading.fault(
            "[[workspaces]]", "there is none, so there is nothing to sync: add one with its name and id"
        )
    elif isinstance(given, dict):
        reading.fault(
            "[workspaces]", "must be written with two brackets, [[workspaces]], once for each workspace"
        )
    elif not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        reading.fault("workspaces", "must be tables, each of them written [[workspaces]]")
    else:
        return given
    return []


def _place(position: int, table: dict[str, Any]) -> str:
    """How a fault speaks of the table: by its name, if that can be said, and by its position."""
    try:
        return f'[[workspaces]] #{position} "{values.name(table["name"])}"'
    except (KeyError, TypeError, ValueError, AttributeError):
        return f"[[workspaces]] #{position}"


def _workspace(reading: Reading, found: dict[str, Any], sync: Policy) -> Workspace:
    own = {key: value for key, value in found.items() if key not in OVERRIDABLE}
    variable, file = own.pop("api_key_env", ""), own.pop("api_key_file", "")
    policy = replace(sync, **{key: found[key] for key in OVERRIDABLE if key in found})
    return Workspace(
        key_source=key_source(own["name"], variable, file, reading.environ), policy=policy, **own
    )


def _check_source(reading: Reading, place: str, table: dict[str, Any], found: dict[str, Any]) -> bool:
    """True where the table says without a fault where the API key is, or leaves it to the default."""
    if all(found.get(key) for key in _KEY_SOURCES):
        reading.fault(f"{place} api_key_file", "excludes api_key_env: keep one of the two")
        return False
    return all(key in found for key in _KEY_SOURCES if key in table)


def _check_key(reading: Reading, place: str, workspace: Workspace) -> None:
    try:
        read_key(workspace.key_source, reading.environ)
    except ValueError as error:
        reading.fault(place, error)
        return
    if warning := loose_file(workspace.key_source):
        reading.warnings.append(warning)
