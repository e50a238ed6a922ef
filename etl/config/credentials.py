"""Where secrets come from: environment variables and files. Messages name the source, never what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from etl.config.settings import KeySource, Workspace
from etl.errors import ConfigError
from etl.secret import Secret

_FALLBACK = "ONTORA_API_KEY"
_LONGEST_SECRET = 8192  # more does not fit into a request's headers
_OTHERS_READ = 0o004


def key_source(name: str, variable: str, file: str, environ: Mapping[str, str]) -> KeySource:
    """Where the key of the workspace is: the file, the variable, or what is there by default."""
    if file:
        return KeySource("file", file)
    if variable:
        return KeySource("env", variable)
    own = default_variable(name)
    variable = own if environ.get(own) or not environ.get(_FALLBACK) else _FALLBACK
    return KeySource("env", variable, is_default=True)


def default_variable(name: str) -> str:
    """The variable that holds a workspace's key where the configuration names none."""
    return f"{_FALLBACK}_{re.sub('[^A-Za-z0-9]', '_', name).upper()}"


def read_api_key(workspace: Workspace, environ: Mapping[str, str]) -> Secret:
    """The workspace's key as it is now: read at every sync, so that a rotated file is picked up.

    Raises ConfigError naming the source.
    """
    try:
        return read_key(workspace.key_source, environ)
    except ValueError as error:
        raise ConfigError([f"workspace {workspace.name}: {error}"]) from None


def read_secret_env(name: str, environ: Mapping[str, str]) -> Secret:
    """The secret that the environment variable holds. Raises ConfigError naming the variable."""
    try:
        return read_key(KeySource("env", name), environ)
    except ValueError as error:
        raise ConfigError([str(error)]) from None


def read_key(source: KeySource, environ: Mapping[str, str]) -> Secret:
    """The secret at the source. Raises ValueError with a whole sentence that names the source."""
    if source.kind == "file":
        value = _read_file(source)
    elif source.where in environ:
        value = environ[source.where]
    else:
        if source.is_default:
            raise ValueError(f"{source} is not set: export the workspace's API key in it, or in {_FALLBACK}")
        raise ValueError(f"{source} is not set: export the secret in it")
    value = value.strip()  # files end in a newline, and so do variables filled from them
    if not value:
        raise ValueError(f"{source} is empty: it should hold the secret")
    if not all("!" <= letter <= "~" for letter in value):
        raise ValueError(
            f"{source} holds a space, a control character or a letter that no secret has: write it anew"
        )
    if len(value) > _LONGEST_SECRET:
        raise ValueError(f"{source} holds more than {_LONGEST_SECRET} characters: that is no key")
    return Secret(value)


def loose_file(source: KeySource) -> str:
    """A warning where every user of the machine can read the key's file; else nothing."""
    if source.kind == "file" and Path(source.where).stat().st_mode & _OTHERS_READ:
        return f"{source} is readable by every user of this machine: chmod 600 {source.where}"
    return ""


def _read_file(source: KeySource) -> str:
    try:
        with Path(source.where).open("rb") as file:
            return file.read(2 * _LONGEST_SECRET).decode("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{source} does not exist") from None
    except IsADirectoryError:
        raise ValueError(f"{source} is a folder") from None
    except UnicodeDecodeError:
        raise ValueError(f"{source} is not text") from None
    except OSError as error:
        raise ValueError(f"{source} cannot be read: {error.strerror}") from None
