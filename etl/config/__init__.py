"""The configuration: TOML and environment, read into frozen, typed settings; every fault named at once."""

from etl.config.addresses import is_loopback, is_unprotected, split_listen
from etl.config.credentials import read_api_key, read_secret_env
from etl.config.document import find_config, template_text
from etl.config.reading import NOTIFY_VARIABLE, load_settings
from etl.config.settings import (
    Api,
    KeySource,
    Notify,
    Policy,
    Run,
    Serve,
    Settings,
    Warehouse,
    Workspace,
)

__all__ = [
    "NOTIFY_VARIABLE",
    "Api",
    "KeySource",
    "Notify",
    "Policy",
    "Run",
    "Serve",
    "Settings",
    "Warehouse",
    "Workspace",
    "find_config",
    "is_loopback",
    "is_unprotected",
    "load_settings",
    "read_api_key",
    "read_secret_env",
    "split_listen",
    "template_text",
]
