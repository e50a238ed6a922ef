"""A parser for every kind of value: from what TOML or the environment gives to what the program uses.

Each raises ValueError with the rest of a sentence that begins with the key: "must be …". No message repeats
text that may be a secret: what a person pastes into the wrong line is often one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct

from etl.schedule import Schedule, parse_schedule

_KEY_PREFIX = re.compile(r"(ont|whsec|sk|pk|ghp|xox[a-z])_")  # how keys begin: Ontora's, webhooks', others'
_CERTAIN_KEYS = ("ont_live_", "whsec_")
_UNBROKEN_MIXTURE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[^_\s]{24,}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")  # what Postgres takes, and no longer
_LONGEST_TEXT = 100
_LARGEST_SHOWN = 10**18
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class Kind(Struct, frozen=True):
    """A kind of value: `parse` takes TOML's and coerces nothing; `spelled` makes one of a variable's text."""

    parse: Callable[[object], Any]
    spelled: Callable[[str], object] = str


# --- text that may be a secret, and how to speak of it ---


def looks_secret(given: str) -> bool:
    """True where the text reads like a key, a token, or an address with one in it."""
    return bool(_KEY_PREFIX.match(given) or "://" in given or _UNBROKEN_MIXTURE.fullmatch(given))


def shown(given: str) -> str:
    """The text for a message: on one line, not for long, and hidden where it looks like a secret."""
    if looks_secret(given):
        return "(hidden: it looks like a secret)"
    plain = "".join(letter if letter.isprintable() else "?" for letter in given)
    return f'"{plain[:40]}…"' if len(plain) > 40 else f'"{plain}"'  # noqa: PLR2004  # a glance


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message that names the nearest of the known words; empty where none is near."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(given.lower()[:_LONGEST_TEXT], by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def kind_of(value: object) -> str:
    """What a TOML value is, in words, without saying the value."""
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number with a point",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


# --- booleans and numbers ---


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"must be true or false, not {kind_of(value)}")


BOOLEAN = Kind(_boolean, lambda given: _BOOLEANS.get(given.lower(), given))


def whole(least: int, most: int) -> Kind:
    """Whole numbers from `least` to `most`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {kind_of(value)}")
        if not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}, not {_number(value)}")
        return value

    return Kind(parse, lambda given: int(given) if re.fullmatch("[+-]?[0-9]{1,30}", given) else given)


def number(least: float, most: float, *, above: bool = False) -> Kind:
    """Numbers from `least` to `most`; with `above`, greater than `least`."""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be a number, not {kind_of(value)}")
        if not least <= value <= most or (above and value == least):  # neither holds for nan
            bounds = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
            raise ValueError(f"must be {bounds}, not {_number(value)}")
        return float(value)

    return Kind(parse, _spelled_number)


def _spelled_number(given: str) -> object:
    try:
        return float(given)
    except ValueError:
        return given


def _number(value: float) -> str:
    # int() spells no more than 4300 digits, and nobody reads as many
    return "a number that far off" if abs(value) >= _LARGEST_SHOWN else f"{value}"


# --- text ---


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"must be text in quotes, not {kind_of(value)}")


def choice(*options: str) -> Kind:
    """Text that is one of the options."""

    def parse(value: object) -> str:
        given = _text(value)
        if given not in options:
            listed = " or ".join(f'"{option}"' for option in options)
            raise ValueError(f"must be {listed}, not {shown(given)}")
        return given

    return Kind(parse)


def text_with(parse: Callable[[str], Any]) -> Kind:
    """Text that `parse` understands; it raises ValueError where it does not."""
    return Kind(lambda value: parse(_text(value)))


def name(given: str) -> str:
    """What commands and logs call a workspace: any printable text that no shell takes for an option."""
    if not 1 <= len(given) <= _LONGEST_TEXT:
        raise ValueError(f"must have 1 to {_LONGEST_TEXT} characters, not {len(given)}")
    if not given.isprintable() or given != given.strip():
        raise ValueError("must be printable text, without control characters or spaces around it")
    if given.startswith("-"):
        raise ValueError("must not begin with a hyphen: commands would take it for an option")
    if given in {".", ".."}:
        raise ValueError("must not be . or ..: no browser would find its page, and no webhook its address")
    if given.startswith(_CERTAIN_KEYS):
        raise ValueError("looks like a secret, and names appear in logs and tables")
    return given


def filter_text(given: str) -> str | None:
    """A filter's value; None where it is empty: no filter."""
    if len(given) > _LONGEST_TEXT or not given.isprintable():
        raise ValueError(f"must be printable text of at most {_LONGEST_TEXT} characters")
    return given or None


def uuid(given: str) -> UUID:
    """A UUID, written with or without its hyphens."""
    if not _UUID.fullmatch(given):
        raise ValueError("must be a UUID like 9eed4812-253d-59ff-9b47-82190ea2ccf9")
    return UUID(given)


def filter_uuid(given: str) -> UUID | None:
    """A filter's UUID; None where it is empty: no filter."""
    return uuid(given) if given else None


def schedule(given: str) -> Schedule:
    """A crontab line or a period."""
    if any(looks_secret(word) for word in given.split()):
        raise ValueError('must be a crontab line like "*/15 * * * *", or "every 15m"')
    return parse_schedule(given)


def timezone(given: str) -> str:
    """The name of a time zone that this machine knows."""
    if given == "UTC":  # known even where the machine has no time zone database
        return given
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415  # most configurations say UTC

    try:
        return ZoneInfo(given).key
    except (KeyError, ValueError, OSError):  # unknown; not a name at all; a folder of names, like "Europe"
        known = available_timezones()
        if not known:
            raise ValueError("cannot be looked up: this machine has no time zones; install tzdata") from None
        raise ValueError(f"unknown time zone {shown(given)}{did_you_mean(given, known)}") from None


def identifier(given: str) -> str:
    """A schema's name that reads the same with and without quotes; empty for none."""
    if given and not _IDENTIFIER.fullmatch(given):
        raise ValueError("must be a plain identifier: letters, digits and _, at most 63, no digit first")
    if given.lower().startswith("pg_"):
        raise ValueError("must not begin with pg_: Postgres keeps such names for itself")
    return given


def variable(given: str) -> str:
    """The name of an environment variable; empty for none. Refuses what looks like the secret itself."""
    if looks_secret(given):
        raise ValueError("looks like the secret itself: export it, and write the variable's name here")
    if given and not _VARIABLE.fullmatch(given):
        raise ValueError("must be the name of an environment variable: letters, digits and _, no digit first")
    return given


def secret_file(given: str) -> str:
    """The path of a file that holds a secret. Refuses what looks like the secret itself."""
    path_like = "/" in given and "://" not in given and not _KEY_PREFIX.match(given)
    if looks_secret(given) and not path_like:
        raise ValueError("looks like the secret itself: write it into a file, and the file's path here")
    if not given or not given.isprintable():
        raise ValueError("must be the path of a file")
    return given
