"""One array element → one row, or one reject that says why. A bad element never spoils the rest.

The fast way decodes straight into the typed struct. What that refuses (an unknown field, `12.0` for an
integer, a key given twice) is taken apart field by field before it is given up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import xxhash
from msgspec import to_builtins
from msgspec.structs import astuple

from etl.errors import UnexpectedAnswer
from etl.escapes import may_hold_unstorable, replace_unstorable
from etl.normalize.interview import (
    DEFAULTS,
    FIELDS,
    INTEGER_FIELDS,
    Interview,
    decimal,
    decode_anything,
    decode_fields,
    decode_interview,
    encode_canonically,
    encode_compactly,
)

# Part of every digest: a new way of reading makes all answers look new once.
NORMALIZATION_VERSION = 1

# Postgres' numeric, and so its jsonb, holds no exponent beyond this, either way.
_LARGEST_EXPONENT = 16_000
# More digits are no parser's idea of a number: Python's own refuses them.
_MOST_DIGITS = 4_300

_MOST_FIELDS_NAMED = 100

# Where in the struct stands what is not stored as it is decoded.
_INSTANTS = tuple(
    FIELDS.index(name) for name in ("timeframe_start", "timeframe_end", "created_at", "updated_at")
)
_AVAILABILITY = FIELDS.index("weekly_availability")
_ID = FIELDS.index("id")
_UPDATED_AT = FIELDS.index("updated_at")
_DEFAULTS = tuple((FIELDS.index(name), default) for name, default in DEFAULTS.items())


class Row(msgspec.Struct, gc=False):
    """An interview ready for either warehouse.

    `values` are the columns FIELDS, `_extra`, `_row_hash` as text, int, bool or None; `id` and
    `updated_at` repeat two of them. `digest` is that of the raw bytes.
    """

    position: int
    digest: bytes
    id: str
    updated_at: str
    values: tuple[str | int | bool | None, ...]


class Reject(msgspec.Struct, gc=False):
    """An element that could not become a row. `field` is empty where the whole element is at fault."""

    position: int
    interview_id: str | None
    reason: str
    field: str
    message: str
    payload: str


class Notes(msgspec.Struct):
    """What was mended or noticed while reading; becomes the run's warnings."""

    naive_instants: int = 0
    replaced_characters: int = 0
    unknown_fields: set[str] = msgspec.field(default_factory=set)


class _Unfit(Exception):
    """The element cannot become a row."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message


def normalize(
    raw: bytes, position: int, digest: bytes, workspace_id: UUID, notes: Notes, *, suspect: bool = True
) -> Row | Reject:
    """The row or the reject that the element at `position` (from 0) makes.

    Not `suspect` is an element known to hold no character that a warehouse cannot. Raises UnexpectedAnswer
    where the bytes are no JSON text at all: then nothing of the answer is to be trusted.
    """
    if suspect and may_hold_unstorable(raw):
        raw, replaced = replace_unstorable(raw)
        notes.replaced_characters += replaced
    try:
        try:
            values = _values(*_decode(raw, workspace_id, notes), notes)
        except _Unfit as unfit:
            _require_json(raw)
            return Reject(position, _legible_id(raw), unfit.reason, unfit.field, unfit.message, raw.decode())
    except (UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise _not_json(position, error) from error
    return Row(position, digest, str(values[_ID]), str(values[_UPDATED_AT]), values)


def _decode(raw: bytes, workspace_id: UUID, notes: Notes) -> tuple[Interview, str | None]:
    try:
        interview, extra = decode_interview(raw), None
    except msgspec.ValidationError:
        interview, extra = _decode_field_by_field(raw, notes)
    if interview.workspace_id != workspace_id:
        message = f"workspace_id: belongs to workspace {interview.workspace_id}, not to the one asked for"
        raise _Unfit("foreign_workspace", "workspace_id", message)
    return interview, extra


def _values(interview: Interview, extra: str | None, notes: Notes) -> tuple[str | int | bool | None, ...]:
    typed: list[Any] = list(astuple(interview))
    for at in _INSTANTS:
        if typed[at] is not None and typed[at].tzinfo is not UTC:
            typed[at] = _in_utc(typed[at], FIELDS[at], notes)
    for at, default in _DEFAULTS:
        if typed[at] is None:
            typed[at] = default
    if typed[_AVAILABILITY] is not None:
        typed[_AVAILABILITY] = _json_text(typed[_AVAILABILITY], "weekly_availability")
    values: list[Any] = to_builtins(typed)  # uuids and instants as text, several times faster than str()
    for at in _INSTANTS:
        if values[at] is not None:
            values[at] = _fixed(values[at])
    values.append(extra)
    values.append(xxhash.xxh3_128_hexdigest(encode_compactly(values), NORMALIZATION_VERSION))
    return tuple(values)


def _in_utc(instant: datetime, field: str, notes: Notes) -> datetime:
    """The instant in UTC; one without an offset is taken as UTC and noted."""
    if instant.tzinfo is None:
        notes.naive_instants += 1
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise _Unfit("invalid_instant", field, f"{field}: outside the years 1 to 9999 in UTC") from None


def _fixed(rfc3339: str) -> str:
    """`2026-03-01T09:30:00Z`, with or without microseconds, in the form of `instant_text`."""
    text = rfc3339.replace("T", " ")
    return text[:-1] if "." in text else text.replace("Z", ".000000")


def _json_text(value: object, field: str) -> str:
    text = encode_canonically(value).decode()
    if "E" in text or "N" in text or len(text) > _MOST_DIGITS:  # only then can a number be beyond bounds
        for number in _decimals(value):
            _refuse_number_beyond_bounds(number, field)
    return text


def _refuse_number_beyond_bounds(number: Decimal, field: str) -> None:
    _, digits, exponent = number.as_tuple()
    if len(digits) > _MOST_DIGITS:
        raise _endless_number()
    # A NaN, whose exponent is no int, stands for what Python cannot hold: 1e99999999999999999999.
    within = isinstance(exponent, int) and exponent >= -_LARGEST_EXPONENT
    if not within or number.adjusted() > _LARGEST_EXPONENT:
        raise _Unfit("out_of_range", field, f"{field}: holds a number that no warehouse can")


def _decimals(value: object) -> Iterable[Decimal]:
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _decimals(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _decimals(inner)


def _decode_field_by_field(raw: bytes, notes: Notes) -> tuple[Interview, str | None]:
    """The interview and its unknown fields as JSON text.

    A key given twice counts once, the last time. An integral number is an integer however it is spelled.
    """
    try:
        fields = decode_fields(raw)
    except msgspec.ValidationError:
        kind = _kind(raw)
        raise _Unfit("not_an_object", kind, f"expected an interview, got {kind}") from None
    known = {name: fields.pop(name) for name in FIELDS if name in fields}
    for value in known.values():
        _refuse_endless_number(bytes(value))
    for name in INTEGER_FIELDS & known.keys():
        known[name] = _integral(known[name])
    try:
        interview = decode_interview(
            b"{" + b",".join(b'"%b":%b' % (n.encode(), v) for n, v in known.items()) + b"}"
        )
    except msgspec.ValidationError as error:
        raise _unfit(str(error), known) from None
    if not fields:
        return interview, None
    if len(notes.unknown_fields) < _MOST_FIELDS_NAMED:  # an answer may invent a name per row
        notes.unknown_fields.update(fields)
    return interview, _json_text({name: decode_anything(value) for name, value in fields.items()}, "_extra")


def _require_json(raw: bytes) -> None:
    """Read the whole element: what made it unfit left the rest unread, and that may be no JSON at all."""
    for number in _decimals(decode_anything(raw)):
        if len(number.as_tuple().digits) > _MOST_DIGITS:
            raise _endless_number()


def _refuse_endless_number(raw: bytes) -> None:
    if len(raw) > _MOST_DIGITS and _kind(raw) == "number":
        raise _endless_number()


def _endless_number() -> msgspec.DecodeError:
    return msgspec.DecodeError(f"a number of more than {_MOST_DIGITS} digits")


def _integral(raw: msgspec.Raw) -> msgspec.Raw:
    text = bytes(raw)
    if not re.fullmatch(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", text) or text.lstrip(b"-").isdigit():
        return raw
    number = decimal(text.decode())
    if abs(number.adjusted()) > 20 or number != number.to_integral_value():  # noqa: PLR2004  # 64 bits have 19 digits
        return raw
    return msgspec.Raw(str(int(number)))


_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>\w+)`(?: - at `\$\.?(?P<field>\w*)`)?")
_AT = re.compile(r" - at `\$\.(?P<field>\w+)")
_WORDS = {"int": "integer", "str": "string", "bool": "boolean", "float": "number", "datetime": "date-time"}


def _unfit(problem: str, known: dict[str, msgspec.Raw]) -> _Unfit:
    """The decoder's complaint in the words of the API's documentation. Never quotes a value."""
    if missing := re.search(r"missing required field `(\w+)`", problem):
        return _Unfit("missing_field", missing[1], f"{missing[1]}: required, but not sent")
    at = _AT.search(problem)
    if at is None:
        raise msgspec.DecodeError(problem)
    field = at["field"]
    if expected := _EXPECTED.search(problem):
        wanted = " or ".join(_WORDS.get(kind, kind) for kind in expected["expected"].split(" | "))
        if expected["got"] == "null":
            return _Unfit("null_not_allowed", field, f"{field}: null, but {wanted} is required")
        return _Unfit("wrong_type", field, f"{field}: expected {wanted}, got {_kind(bytes(known[field]))}")
    if "UUID" in problem:
        return _Unfit("invalid_uuid", field, f"{field}: not a uuid")
    if "RFC3339" in problem:
        return _Unfit("invalid_instant", field, f"{field}: not a date-time")
    if field not in INTEGER_FIELDS:  # inside weekly_availability
        raise _endless_number()
    return _Unfit("out_of_range", field, f"{field}: beyond 64 bits")


def _kind(raw: bytes) -> str:
    """What JSON calls the value, by its first character."""
    first = raw.lstrip()[:1]
    kinds = {b'"': "string", b"{": "object", b"[": "array", b"n": "null", b"t": "boolean", b"f": "boolean"}
    return kinds.get(first, "number")


def _legible_id(raw: bytes) -> str | None:
    try:
        return str(msgspec.json.decode(decode_fields(raw)["id"], type=UUID))
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError):
        return None


def _not_json(position: int, error: Exception) -> UnexpectedAnswer:
    what = {UnicodeDecodeError: "text that is not UTF-8", RecursionError: "JSON nested too deeply"}
    said = what.get(type(error)) or f"what is not JSON ({error})"
    return UnexpectedAnswer(
        f"the answer holds {said}, in element {position}",
        remedy="nothing was applied; the next run asks again",
    )
