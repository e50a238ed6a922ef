"""TOML and environment → Settings. Every fault is collected, and all are raised at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl.config.addresses import is_unprotected
from etl.config.document import read_document
from etl.config.keys import FROM_ENVIRONMENT, SECTIONS
from etl.config.sections import Reading, plain_key, read_overrides, read_table, unknown_key, variable_of
from etl.config.settings import Api, Notify, Policy, Run, Serve, Settings, Warehouse
from etl.config.values import did_you_mean, kind_of
from etl.config.workspaces import read_workspaces
from etl.errors import ConfigError

_WORKSPACES = "workspaces"
NOTIFY_VARIABLE = "ONTORA_ETL_NOTIFY_URL"


def load_settings(path: Path, environ: Mapping[str, str], *, require_keys: bool = True) -> Settings:
    """The settings of the file, overridden by the environment. Raises ConfigError with every fault there is.

    Without `require_keys` the API keys may be absent: for commands that do not speak to the API.
    """
    document = read_document(path)
    reading = Reading(path, environ)
    _refuse_unknown_sections(reading, document)
    found = {section: _section(reading, section, document.get(section, {})) for section in SECTIONS}
    sync = Policy(**found["sync"])
    workspaces = read_workspaces(reading, document.get(_WORKSPACES), sync, require_keys=require_keys)
    _check_schema(reading, document, found["warehouse"])
    _check_exposure(reading, serve := Serve(**found["serve"]))
    _warn_of_misspelt_variables(reading)
    if reading.faults:
        raise ConfigError(reading.faults)
    return Settings(
        source=path,
        workspaces=tuple(workspaces),
        api=Api(**found["api"]),
        warehouse=Warehouse(**found["warehouse"]),
        sync=sync,
        run=Run(**found["run"]),
        serve=serve,
        notify=_notify(reading, found["notify"]),
        warnings=tuple(reading.warnings),
    )


def _refuse_unknown_sections(reading: Reading, document: dict[str, Any]) -> None:
    for key, value in document.items():
        if key in SECTIONS or key == _WORKSPACES:
            continue
        if isinstance(value, dict | list):
            near = did_you_mean(key, [*SECTIONS, _WORKSPACES])
            reading.fault(f"[{plain_key(key)}]", f"unknown section{near}")
        else:
            reading.fault(plain_key(key), unknown_key(key, value, {}))


def _section(reading: Reading, section: str, given: object) -> dict[str, Any]:
    """The section's valid values, those of the environment laid over those of the file."""
    found: dict[str, Any] = {}
    if isinstance(given, dict):
        found = read_table(reading, f"[{section}]", given, SECTIONS[section])
    else:
        reading.fault(f"[{section}]", f"must be one table, written [{section}], not {kind_of(given)}")
    if section in FROM_ENVIRONMENT:
        found |= read_overrides(reading, section, SECTIONS[section])
    return found


def _notify(reading: Reading, found: dict[str, Any]) -> Notify:
    """Who is told: exporting the usual variable is enough where the file names none."""
    if "webhook_url_env" not in found and reading.environ.get(NOTIFY_VARIABLE, "").strip():
        return Notify(**found, webhook_url_env=NOTIFY_VARIABLE)
    return Notify(**found)


# --- what two keys say together ---


def _check_schema(reading: Reading, document: dict[str, Any], found: dict[str, Any]) -> None:
    if not found.get("schema") or not Warehouse(**found).url.reveal().startswith("sqlite:"):
        return
    if "url" not in found and "url" in document.get("warehouse", ()):
        return  # the url is a fault already, and may be meant to be Postgres
    problem = "must be empty for SQLite: only Postgres has schemas"
    variable = variable_of("warehouse", "schema")
    if reading.environ.get(variable):
        reading.faults.append(f"environment variable {variable}: {problem}")
    else:
        reading.fault("[warehouse] schema", problem)


def _check_exposure(reading: Reading, serve: Serve) -> None:
    if is_unprotected(serve):
        reading.fault(
            "[serve] listen",
            "others can reach this address: name a token's variable in token_env, or write insecure = true",
        )


def _warn_of_misspelt_variables(reading: Reading) -> None:
    """Note variables that nearly override a key. Others are left alone: Kubernetes sets many like them."""
    for section in FROM_ENVIRONMENT:
        prefix = variable_of(section, "")
        for variable in sorted(reading.environ):
            key = variable.removeprefix(prefix).lower()
            if variable.startswith(prefix) and key not in SECTIONS[section]:
                near = did_you_mean(key, SECTIONS[section])
                if near:
                    reading.warnings.append(f"environment variable {variable} sets nothing{near}")
