"""The keys of every section and the kind of value each takes: tables for the reader to walk."""

from __future__ import annotations

from etl.config import addresses, values
from etl.config.values import BOOLEAN, Kind, choice, number, text_with, whole

_DAY_SECONDS = 86400

API: dict[str, Kind] = {
    "base_url": text_with(addresses.base_url),
    "timeout_seconds": number(0, 3600, above=True),
    "deadline_seconds": number(0, _DAY_SECONDS, above=True),
    "max_attempts": whole(1, 100),
    "max_response_bytes": whole(1, 1024**5),
    "concurrency": whole(1, 1000),
}

WAREHOUSE: dict[str, Kind] = {
    "url": text_with(addresses.warehouse_url),
    "schema": text_with(values.identifier),
    "auto_migrate": BOOLEAN,
}

# What [sync] says for all workspaces and a workspace may say for itself.
OVERRIDABLE: dict[str, Kind] = {
    "schedule": text_with(values.schedule),
    "history": BOOLEAN,
    "detect_deletes": BOOLEAN,
    "max_delete_fraction": number(0, 1),
    "max_delete_rows": whole(0, 10**12),
}

SYNC: dict[str, Kind] = {
    "timezone": text_with(values.timezone),
    "jitter_seconds": number(0, _DAY_SECONDS),
    **OVERRIDABLE,
}

WORKSPACE: dict[str, Kind] = {
    "name": text_with(values.name),
    "id": text_with(values.uuid),
    "api_key_env": text_with(values.variable),
    "api_key_file": text_with(values.secret_file),
    "auth": choice("api_key", "bearer"),
    "project_id": text_with(values.filter_uuid),
    "status": text_with(values.filter_text),
    "enabled": BOOLEAN,
    "webhook_secret_env": text_with(values.variable),
    **OVERRIDABLE,
}

RUN: dict[str, Kind] = {
    "grace_seconds": number(0, 3600),
}

SERVE: dict[str, Kind] = {
    "listen": text_with(addresses.listen),
    "token_env": text_with(values.variable),
    "insecure": BOOLEAN,
}

NOTIFY: dict[str, Kind] = {
    "webhook_url_env": text_with(values.variable),
    "after_failures": whole(1, 10**6),
    "heartbeat_url_env": text_with(values.variable),
}

SECTIONS: dict[str, dict[str, Kind]] = {
    "api": API,
    "warehouse": WAREHOUSE,
    "sync": SYNC,
    "run": RUN,
    "serve": SERVE,
    "notify": NOTIFY,
}

FROM_ENVIRONMENT = ("api", "warehouse", "sync")
"""The sections whose keys ONTORA_ETL_<SECTION>_<KEY> overrides."""
