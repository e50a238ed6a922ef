"""Every value that reliability.md names under 24 and 29 to 37, and what becomes of it."""

from __future__ import annotations

import json

import pytest
from _pytest.mark import ParameterSet

from etl.errors import UnexpectedAnswer
from etl.normalize import Notes, Reject
from tests.normalize.elements import ID, element, read, rejected, stored
from tests.strategies import DEFAULTS, OPTIONAL, REQUIRED, WORKSPACE_ID


def case(name: str, *values: object) -> ParameterSet:
    return pytest.param(*values, id=name)


@pytest.mark.parametrize(
    ("spelling", "instant", "naive"),
    [
        case("29-zulu", "2026-03-01T09:30:00Z", "2026-03-01 09:30:00.000000", 0),
        case("29-lower-case", "2026-03-01t09:30:00z", "2026-03-01 09:30:00.000000", 0),
        case("29-space", "2026-03-01 09:30:00Z", "2026-03-01 09:30:00.000000", 0),
        case("29-offset-east", "2026-03-01T01:30:00+02:00", "2026-02-28 23:30:00.000000", 0),
        case("29-offset-west", "2026-03-01T09:30:00-05:30", "2026-03-01 15:00:00.000000", 0),
        case("29-offset-zero", "2026-03-01T09:30:00-00:00", "2026-03-01 09:30:00.000000", 0),
        case("29-offset-without-colon", "2026-03-01T09:30:00+0200", "2026-03-01 07:30:00.000000", 0),
        case("29-no-offset", "2026-03-01T09:30:00", "2026-03-01 09:30:00.000000", 1),
        case("29-no-offset-space", "2026-03-01 09:30:00.5", "2026-03-01 09:30:00.500000", 1),
        case("29-tenths", "2026-03-01T09:30:00.1Z", "2026-03-01 09:30:00.100000", 0),
        case("29-hundredths", "2026-03-01T09:30:00.12Z", "2026-03-01 09:30:00.120000", 0),
        case("29-milliseconds", "2026-03-01T09:30:00.123Z", "2026-03-01 09:30:00.123000", 0),
        case("29-four-digits", "2026-03-01T09:30:00.1234Z", "2026-03-01 09:30:00.123400", 0),
        case("29-five-digits", "2026-03-01T09:30:00.12345Z", "2026-03-01 09:30:00.123450", 0),
        case("29-microseconds", "2026-03-01T09:30:00.123456Z", "2026-03-01 09:30:00.123456", 0),
        case("29-seven-digits", "2026-03-01T09:30:00.1234561Z", "2026-03-01 09:30:00.123456", 0),
        case("29-eight-digits", "2026-03-01T09:30:00.12345612Z", "2026-03-01 09:30:00.123456", 0),
        case("29-nanoseconds", "2026-03-01T09:30:00.123456123Z", "2026-03-01 09:30:00.123456", 0),
        case("29-rounded-into-the-year", "2025-12-31T23:59:59.999999999Z", "2026-01-01 00:00:00.000000", 0),
        case("29-leap-day", "2024-02-29T00:00:00Z", "2024-02-29 00:00:00.000000", 0),
        case("30-year-1", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00.000000", 0),
        case("30-year-9999", "9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999", 0),
    ],
)
@pytest.mark.parametrize("field", ["created_at", "updated_at", "timeframe_start", "timeframe_end"])
def test_an_instant_becomes_utc_to_the_microsecond(
    field: str, spelling: str, instant: str, naive: int
) -> None:
    notes = Notes()
    assert stored(element(**{field: json.dumps(spelling)}), notes)[field] == instant
    assert notes.naive_instants == naive


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        case("30-february-30", '"2026-02-30T00:00:00Z"', "invalid_instant"),
        case("30-february-29-of-a-common-year", '"2026-02-29T00:00:00Z"', "invalid_instant"),
        case("30-month-13", '"2026-13-01T00:00:00Z"', "invalid_instant"),
        case("30-hour-24", '"2026-01-01T24:00:00Z"', "invalid_instant"),
        case("30-second-60", '"2026-01-01T00:00:60Z"', "invalid_instant"),
        case("30-empty", '""', "invalid_instant"),
        case("30-words", '"yesterday"', "invalid_instant"),
        case("30-date-alone", '"2026-01-01"', "invalid_instant"),
        case("30-year-0", '"0000-01-01T00:00:00Z"', "invalid_instant"),
        case("30-year-10000", '"10000-01-01T00:00:00Z"', "invalid_instant"),
        case("30-offset-past-9999", '"9999-12-31T23:59:59-01:00"', "invalid_instant"),
        case("30-offset-before-1", '"0001-01-01T00:00:00+01:00"', "invalid_instant"),
        case("30-rounded-past-9999", '"9999-12-31T23:59:59.9999999Z"', "invalid_instant"),
        case("30-offset-of-a-day", '"2026-01-01T00:00:00+24:00"', "invalid_instant"),
        case("30-number", "1767225600", "wrong_type"),
        case("30-fraction", "1767225600.5", "wrong_type"),
        case("30-object", '{"at":"2026-01-01T00:00:00Z"}', "wrong_type"),
    ],
)
@pytest.mark.parametrize("field", ["created_at", "updated_at", "timeframe_start"])
def test_what_is_no_instant_is_rejected(field: str, raw: str, reason: str) -> None:
    reject = rejected(element(**{field: raw}))
    assert (reject.reason, reject.field, reject.interview_id) == (reason, field, ID)
    assert reject.message.startswith(f"{field}: ")
    assert len(raw) < 4 or raw.strip('"') not in reject.message


@pytest.mark.parametrize(
    "spelling", [case("31-upper", ID.upper()), case("31-hyphenless", ID.replace("-", ""))]
)
@pytest.mark.parametrize("field", ["id", "project_id"])
def test_a_uuid_is_stored_in_its_usual_form(field: str, spelling: str) -> None:
    assert stored(element(**{field: f'"{spelling}"'}))[field] == ID


def test_the_workspace_may_be_spelled_otherwise() -> None:
    raw = element(workspace_id=f'"{WORKSPACE_ID.hex.upper()}"')
    assert stored(raw)["workspace_id"] == str(WORKSPACE_ID)


@pytest.mark.parametrize(
    "spelling",
    [
        case("31-braces", f"{{{ID}}}"),
        case("31-urn", f"urn:uuid:{ID}"),
        case("31-empty", ""),
        case("31-short", ID[:-1]),
        case("31-blank-before", f" {ID}"),
        case("31-prefixed", "iv_12345"),
    ],
)
@pytest.mark.parametrize("field", ["id", "project_id", "workspace_id"])
def test_what_is_no_uuid_is_rejected(field: str, spelling: str) -> None:
    reject = rejected(element(**{field: json.dumps(spelling)}))
    assert (reject.reason, reject.field, reject.message) == ("invalid_uuid", field, f"{field}: not a uuid")
    assert reject.interview_id == (None if field == "id" else ID)


NULLABLE = {
    "project_id",
    "description",
    "goal",
    "agent_behavior",
    "timeframe_start",
    "timeframe_end",
    "created_by",
}
NEVER_NULL = sorted({"workspace_id", *REQUIRED} - NULLABLE)


@pytest.mark.parametrize("field", [case(f"32-{name}", name) for name in NEVER_NULL])
def test_a_required_null_is_rejected(field: str) -> None:
    reject = rejected(element(**{field: "null"}))
    assert (reject.reason, reject.field) == ("null_not_allowed", field)
    assert reject.message.startswith(f"{field}: null, but ")


@pytest.mark.parametrize("field", [case(f"32-{name}", name) for name in ["workspace_id", *REQUIRED]])
def test_a_required_field_left_out_is_rejected(field: str) -> None:
    reject = rejected(element(**{field: None}))
    assert (reject.reason, reject.field) == ("missing_field", field)
    assert reject.message == f"{field}: required, but not sent"


@pytest.mark.parametrize("field", [case(f"32-{name}", name) for name in sorted(NULLABLE)])
def test_a_null_that_is_allowed_is_stored(field: str) -> None:
    assert stored(element(**{field: "null"}))[field] is None


@pytest.mark.parametrize("raw", [case("32-missing", None), case("32-null", "null")])
@pytest.mark.parametrize("field", OPTIONAL)
def test_an_optional_field_takes_the_apis_default(field: str, raw: str | None) -> None:
    value = stored(element(**{field: raw}))[field]
    assert value == DEFAULTS.get(field)
    assert type(value) is type(DEFAULTS.get(field))


INTEGERS = [
    "completion_threshold",
    "interview_duration_minutes",
    "quick_mode_hours",
    "contact_count",
    "completed_count",
    "scheduled_count",
]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        case("33-12", "12", 12),
        case("33-12.0", "12.0", 12),
        case("33-exponent", "1.2e1", 12),
        case("33-minus-zero", "-0.0", 0),
        case("33-minus-one", "-1", -1),
        case("33-2^31", "2147483648", 2**31),
        case("33-2^53+1", "9007199254740993", 2**53 + 1),
        case("33-2^53+1.0", "9007199254740993.0", 2**53 + 1),
        case("33-2^63-1", "9223372036854775807", 2**63 - 1),
        case("33-2^63-1.0", "9223372036854775807.0", 2**63 - 1),
        case("33-minus-2^63", "-9223372036854775808", -(2**63)),
    ],
)
@pytest.mark.parametrize("field", INTEGERS)
def test_an_integer_is_exact(field: str, raw: str, value: int) -> None:
    cell = stored(element(**{field: raw}))[field]
    assert cell == value
    assert type(cell) is int


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        case("33-text", '"12"', "wrong_type"),
        case("33-fraction", "12.5", "wrong_type"),
        case("33-true", "true", "wrong_type"),
        case("33-false", "false", "wrong_type"),
        case("33-array", "[12]", "wrong_type"),
        case("33-object", "{}", "wrong_type"),
        case("33-tiny", "1e-400", "wrong_type"),
        case("33-2^63", "9223372036854775808", "out_of_range"),
        case("33-2^63.0", "9223372036854775808.0", "out_of_range"),
        case("33-below-minus-2^63", "-9223372036854775809", "out_of_range"),
        case("33-2^64", "18446744073709551616", "out_of_range"),
        case("33-1e400", "1e400", "out_of_range"),
        case("33-exponent-beyond-decimals", "1e99999999999999999999", "out_of_range"),
        case("33-500-digits", "1" * 500, "out_of_range"),
    ],
)
@pytest.mark.parametrize("field", INTEGERS)
def test_what_is_no_64_bit_integer_is_rejected(field: str, raw: str, reason: str) -> None:
    reject = rejected(element(**{field: raw}))
    assert (reject.reason, reject.field) == (reason, field)
    assert reject.message.startswith(f"{field}: ")
    assert len(raw) < 5 or raw not in reject.message


@pytest.mark.parametrize(
    "raw", [case("34-text", '"true"'), case("34-0", "0"), case("34-1", "1"), case("34-list", "[]")]
)
def test_what_is_no_boolean_is_rejected(raw: str) -> None:
    reject = rejected(element(start_immediately=raw))
    assert (reject.reason, reject.field) == ("wrong_type", "start_immediately")
    assert reject.message.startswith("start_immediately: expected boolean or null, got ")


def test_false_is_not_taken_for_missing() -> None:
    assert stored(element(start_immediately="false"))["start_immediately"] is False


@pytest.mark.parametrize(
    "field", [case(f"37-{name}", name) for name in ("status", "channel", "interview_order")]
)
def test_a_new_value_of_an_open_set_is_stored(field: str) -> None:
    assert stored(element(**{field: '"never_seen"'}))[field] == "never_seen"


def test_an_interview_of_another_workspace_is_rejected() -> None:
    reject = rejected(element(workspace_id='"0f4f6ad2-6d3e-4c0b-9b0a-3f6f3d0c7a11"'))
    assert (reject.reason, reject.field, reject.interview_id) == ("foreign_workspace", "workspace_id", ID)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        case("24-number", b"17", "number"),
        case("24-text", b'"},{"', "string"),
        case("24-null", b"null", "null"),
        case("24-boolean", b" true", "boolean"),
        case("24-array", b'[{"id":1}]', "array"),
    ],
)
def test_an_element_that_is_no_object_is_rejected(raw: bytes, kind: str) -> None:
    reject = rejected(raw)
    assert (reject.reason, reject.interview_id, reject.payload) == ("not_an_object", None, raw.decode())
    assert reject.message == f"expected an interview, got {kind}"


def test_a_message_never_quotes_a_value() -> None:
    for field in ["id", "workspace_id", *REQUIRED, *OPTIONAL]:
        for value in ('"confidential"', '["confidential"]', '{"confidential":1}', "4242424242.5", "4" * 42):
            made = read(element(**{field: value}))
            if isinstance(made, Reject):
                assert "confidential" not in made.message
                assert "4242" not in made.message
                assert "4444" not in made.message
                assert made.payload == element(**{field: value}).decode()


def test_an_answer_that_breaks_the_rules_of_json_is_not_quoted_either() -> None:
    with pytest.raises(UnexpectedAnswer) as failure:
        read(b'{"name":"confidential" "goal":1}')
    assert "confidential" not in str(failure.value)
    assert "element 7" in str(failure.value)
