"""The configuration as the program sees it: frozen, typed, with the documented defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from etl.schedule import Schedule, parse_schedule
from etl.secret import Secret


class Api(Struct, frozen=True):
    """`[api]`: how the answers are fetched."""

    base_url: str = "https://api.ontora.com"
    timeout_seconds: float = 30
    deadline_seconds: float = 600
    max_attempts: int = 5
    max_response_bytes: int = 4 * 1024**3
    concurrency: int = 8


class Warehouse(Struct, frozen=True):
    """`[warehouse]`: where the rows go. The URL may hold a password, so it is a secret."""

    url: Secret = field(default_factory=lambda: Secret("sqlite:///warehouse.db"))
    schema: str = ""
    auto_migrate: bool = False


class Policy(Struct, frozen=True):
    """`[sync]`, as it holds for one workspace after the workspace's own keys are laid over it."""

    schedule: Schedule = field(default_factory=lambda: parse_schedule("*/15 * * * *"))
    timezone: str = "UTC"
    jitter_seconds: float = 0
    history: bool = True
    detect_deletes: bool = True
    max_delete_fraction: float = 0.5
    max_delete_rows: int = 10


class KeySource(Struct, frozen=True):
    """Where a workspace's API key is: an environment variable or a file, never the key."""

    kind: Literal["env", "file"]
    where: str
    is_default: bool = False
    """Nothing is configured: there is another variable that it may be in."""

    def __str__(self) -> str:
        return f"environment variable {self.where}" if self.kind == "env" else f"file {self.where}"


class Workspace(Struct, frozen=True):
    """`[[workspaces]]`: one workspace to sync, its policy already resolved."""

    name: str
    id: UUID
    key_source: KeySource
    auth: Literal["api_key", "bearer"] = "api_key"
    project_id: UUID | None = None
    status: str | None = None
    enabled: bool = True
    webhook_secret_env: str = ""
    policy: Policy = field(default_factory=Policy)


class Run(Struct, frozen=True):
    """`[run]`: the daemon."""

    grace_seconds: float = 30


class Serve(Struct, frozen=True):
    """`[serve]`: the daemon's HTTP side; off while `listen` is empty."""

    listen: str = ""
    token_env: str = ""
    insecure: bool = False


class Notify(Struct, frozen=True):
    """`[notify]`: who is told; an empty variable name means nobody."""

    webhook_url_env: str = ""
    after_failures: int = 3
    heartbeat_url_env: str = ""


class Settings(Struct, frozen=True):
    """The whole configuration. `warnings` are for the log: usable, but worth mending."""

    source: Path
    workspaces: tuple[Workspace, ...]
    api: Api = field(default_factory=Api)
    warehouse: Warehouse = field(default_factory=Warehouse)
    sync: Policy = field(default_factory=Policy)
    run: Run = field(default_factory=Run)
    serve: Serve = field(default_factory=Serve)
    notify: Notify = field(default_factory=Notify)
    warnings: tuple[str, ...] = ()
