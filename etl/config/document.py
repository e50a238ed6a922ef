"""The configuration file as a file: where it is, and what TOML it holds."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl.config.values import shown
from etl.errors import ConfigError

_PLACES = (Path("config/etl.toml"), Path("etl.toml"))
_VARIABLE = "ONTORA_ETL_CONFIG"
_LONGEST_FILE = 4 * 1024**2  # a thousand workspaces take a tenth of it; /dev/zero is no configuration
_INIT = "`ontora-etl init` writes one"
_QUOTED = re.compile(r"'([^']{2,})'")


def find_config(given: Path | None, environ: Mapping[str, str]) -> Path:
    """The file to read: the given one, $ONTORA_ETL_CONFIG, or what lies in the working directory.

    Raises ConfigError where nothing is given and nothing lies there.
    """
    if given is not None:
        return given
    if environ.get(_VARIABLE):
        return Path(environ[_VARIABLE])
    for place in _PLACES:
        if _is_there(place):
            return place
    places = " nor ".join(map(str, _PLACES))
    raise ConfigError(
        [f"no configuration: --config and ${_VARIABLE} name none, and neither {places} is here; {_INIT}"]
    )


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # in a folder that may not be looked into: reading it will say so
        return True


def template_text() -> str:
    """What `ontora-etl init` writes: a commented configuration with every key."""
    return Path(__file__).with_name("template.toml").read_text(encoding="utf-8")


def read_document(path: Path) -> dict[str, Any]:
    """The TOML of the file. Raises ConfigError, which tells apart all that can be wrong with it."""
    text = _decoded(path, _bytes(path))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        plain = _QUOTED.sub(lambda quoted: shown(quoted[1]), str(error))  # a key given twice, and its name
        raise _fault(path, f"is not TOML: {plain}") from None
    except ValueError:  # int() refuses numbers of more than 4300 digits
        raise _fault(path, "is not TOML: a number in it is absurdly long") from None
    except RecursionError:
        raise _fault(path, "is not TOML that can be read: it is nested too deeply") from None
    if not document:
        raise _fault(path, f"is empty{': all of it is comments' if text.strip() else ''}; {_INIT}")
    return document


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except FileNotFoundError:
        raise _fault(path, f"does not exist; {_INIT}") from None
    except IsADirectoryError:
        raise _fault(path, "is a folder, not a file") from None
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from None
    if len(content) > _LONGEST_FILE:
        raise _fault(path, f"is longer than {_LONGEST_FILE} bytes: that is no configuration")
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _fault(path, f"is not UTF-8 text (line {line}): save it as UTF-8") from None


def _fault(path: Path, problem: str) -> ConfigError:
    return ConfigError([f"{path}: {problem}"])
