"""Text, `weekly_availability`, unknown fields, and JSON at its limits: reliability.md, 25, 26, 35, 36, 38."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from etl.errors import UnexpectedAnswer
from etl.normalize import Notes, Reject, normalize
from tests.normalize.elements import ID, MINIMAL, element, read, rejected, stored

REPLACEMENT = "\ufffd"


@pytest.mark.parametrize(
    ("raw", "text", "replaced"),
    [
        pytest.param(r'"a\u0000b"', "a\ufffdb", 1, id="35-nul"),
        pytest.param(r'"\u0000\u0000"', "\ufffd\ufffd", 2, id="35-nul-twice"),
        pytest.param(r'"\ud800"', REPLACEMENT, 1, id="35-lone-high-surrogate"),
        pytest.param(r'"\uDFFF"', REPLACEMENT, 1, id="35-lone-low-surrogate"),
        pytest.param(r'"\udc00\ud800"', "\ufffd\ufffd", 2, id="35-surrogates-the-wrong-way-round"),
        pytest.param(r'"\ud800\ud83d\ude00"', "\ufffd\U0001f600", 1, id="35-lone-surrogate-before-a-pair"),
        pytest.param(r'"\ud83d\ude00"', "\U0001f600", 0, id="35-surrogate-pair"),
        pytest.param(r'"\uD83D\uDE00"', "\U0001f600", 0, id="35-surrogate-pair-upper-case"),
        pytest.param(r'"\\u0000"', r"\u0000", 0, id="35-escaped-backslash-before-u0000"),
        pytest.param(r'"\\\u0000"', "\\\ufffd", 1, id="35-escaped-backslash-then-nul"),
        pytest.param(r'"\\\\u0000"', r"\\u0000", 0, id="35-two-escaped-backslashes-before-u0000"),
        pytest.param(r'"\\ud800"', r"\ud800", 0, id="35-escaped-backslash-before-ud800"),
        pytest.param(r'"\"\u0000\""', '"\ufffd"', 1, id="35-escaped-quotes-around-nul"),
        pytest.param(
            '"\u05e9\u05dc\u05d5\u05dd \u202e"', "\u05e9\u05dc\u05d5\u05dd \u202e", 0, id="35-right-to-left"
        ),
        pytest.param('"e\u0301"', "e\u0301", 0, id="35-combining-stays-combining"),
        pytest.param('"\'; drop table interviews; --"', "'; drop table interviews; --", 0, id="35-sql"),
        pytest.param(r'"\t\r\n\b\f\u001f"', "\t\r\n\b\f\x1f", 0, id="35-control-characters"),
        pytest.param('""', "", 0, id="35-empty-is-not-null"),
        pytest.param(r'"\ufeff\uffff\u2028"', "\ufeff\uffff\u2028", 0, id="35-noncharacters"),
    ],
)
@pytest.mark.parametrize("field", ["name", "goal", "timezone"])
def test_text_is_stored_as_it_is(field: str, raw: str, text: str, replaced: int) -> None:
    notes = Notes()
    assert stored(element(**{field: raw}), notes)[field] == text
    assert notes.replaced_characters == replaced


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param("9" * 10_000, id="25-long-number"),
        pytest.param("0." + "9" * 10_000, id="25-long-fraction"),
        pytest.param(r'"\q"', id="broken-escape"),
        pytest.param('"\udcff"', id="no-utf-8"),
    ],
)
@pytest.mark.parametrize("where", ["[%s]", '{"id": [%s]}', '{"unknown": {"a": %s}}'])
def test_what_is_no_json_fails_the_answer_where_the_row_would_be_rejected_too(
    where: str, inside: str
) -> None:
    raw = (where % inside).encode("utf-8", "surrogateescape")
    with pytest.raises(UnexpectedAnswer):
        normalize(raw, 0, b"", UUID(int=0), Notes())


def test_35_50_mb_of_text() -> None:
    text = "0123456789" * 5_000_000
    assert stored(element(name=f'"{text}"'))["name"] == text


def test_digits_in_text_are_text_however_many() -> None:
    assert stored(element(name=f'"{"1" * 10_000}"', foo=f'"{"1" * 10_000}"'))["name"] == "1" * 10_000


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param("{}", "{}", id="36-empty"),
        pytest.param("null", None, id="36-null"),
        pytest.param('{ "b": [1, {"c": null}], "a": true }', '{"a":true,"b":[1,{"c":null}]}', id="36-nested"),
        pytest.param(r'{"a":"x\u0000"}', '{"a":"x\ufffd"}', id="36-nul-in-a-string"),
        pytest.param(r'{"k\u0000":1}', '{"k\ufffd":1}', id="36-nul-in-a-key"),
        pytest.param(r'{"k\ud800":{"\udc00":1}}', '{"k\ufffd":{"\ufffd":1}}', id="36-surrogates-in-keys"),
        pytest.param('{"a":1,"a":2}', '{"a":2}', id="36-duplicate-key"),
        pytest.param('{"a":[1.10,2.0,-0.0]}', '{"a":[1.10,2.0,-0.0]}', id="36-decimals"),
        pytest.param(
            '{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567890}', id="36-big"
        ),
    ],
)
def test_weekly_availability_is_stored_canonically(raw: str, text: str | None) -> None:
    assert stored(element(weekly_availability=raw))["weekly_availability"] == text


@pytest.mark.parametrize("raw", ["[]", '[{"a":1}]', '"{}"', "1", "true"])
def test_36_weekly_availability_that_is_no_object_is_rejected(raw: str) -> None:
    reject = rejected(element(weekly_availability=raw))
    assert (reject.reason, reject.field) == ("wrong_type", "weekly_availability")
    assert reject.message.startswith("weekly_availability: expected object or null, got ")


@pytest.mark.parametrize(
    "name", ["_synced_at", "id ", "_row_hash", "_extra", "_deleted_at", "", "ID", "sentiment_score", "a'b;--"]
)
def test_38_an_unknown_field_is_kept(name: str) -> None:
    notes = Notes()
    plain = stored(element())
    cells = stored(element(**{name: '{"deep":[1,"x"]}'}), notes)
    assert json.loads(str(cells.pop("_extra"))) == {name: {"deep": [1, "x"]}}
    assert notes.unknown_fields == {name}
    assert cells.pop("_row_hash") != plain["_row_hash"]
    assert cells == {k: v for k, v in plain.items() if k not in {"_extra", "_row_hash"}}


def test_38_a_nul_in_an_unknown_fields_name_is_replaced() -> None:
    notes = Notes()
    cells = stored(element(**{r"id\u0000": '"x"'}), notes)
    assert (cells["id"], cells["_extra"]) == (ID, '{"id\ufffd":"x"}')
    assert (notes.replaced_characters, notes.unknown_fields) == (1, {"id\ufffd"})


def test_a_known_field_may_be_spelled_with_escapes() -> None:
    cells = stored(element(name=None, **{r"n\u0061me": '"Night audit"'}))
    assert (cells["name"], cells["_extra"]) == ("Night audit", None)


def test_only_so_many_unknown_fields_are_named() -> None:
    notes = Notes()
    for number in range(1000):
        stored(element(**{f"field_{number}": "1"}), notes)
    assert len(notes.unknown_fields) == 100


@pytest.mark.parametrize(
    "number",
    [
        "123456789012345678901234567890",
        "-0.1000",
        "123456789012345678901234567890.123456789012345678901234567890",
        "0.30000000000000000001",
        "1E+400",
        "9" * 4300,
    ],
)
def test_a_number_of_an_unknown_field_keeps_every_digit(number: str) -> None:
    assert stored(element(score=number))["_extra"] == f'{{"score":{number}}}'


@pytest.mark.parametrize(
    "number", ["1e20000", "1e-20000", "0e-16384", "1e99999999999999999999", "-1e-" + "9" * 30]
)
def test_a_number_that_no_warehouse_holds_is_rejected(number: str) -> None:
    for field, raw in (("weekly_availability", f'{{"a":[{number}]}}'), ("score", number)):
        reject = rejected(element(**{field: raw}))
        assert (reject.reason, reject.interview_id) == ("out_of_range", ID)
        assert reject.message == f"{reject.field}: holds a number that no warehouse can"
        assert reject.field == ("_extra" if field == "score" else field)


FIELDS_OF_EVERY_KIND = (
    "name",
    "contact_count",
    "completion_threshold",
    "created_at",
    "id",
    "start_immediately",
)


@pytest.mark.parametrize(
    "number", ["1" * 10_000, "-" + "1" * 10_000, "1." + "1" * 10_000, "1." + "0" * 10_000]
)
def test_25_a_number_of_10000_digits_fails_the_answer_wherever_it_stands(number: str) -> None:
    bodies = [element(**{field: number}) for field in (*FIELDS_OF_EVERY_KIND, "unknown")]
    bodies += [element(**{field: f'{{"a":[{number}]}}'}) for field in ("weekly_availability", "unknown")]
    for body in (*bodies, number.encode()):
        with pytest.raises(UnexpectedAnswer, match="not JSON"):
            read(body)


@pytest.mark.parametrize("depth", [10_000, 1_000_000])
@pytest.mark.parametrize("field", [*FIELDS_OF_EVERY_KIND, "weekly_availability", "unknown"])
def test_25_nesting_10000_deep_fails_the_answer(field: str, depth: int) -> None:
    for opened, closed in (('{"a":', "}"), ("[", "]")):
        if field == "weekly_availability" and opened == "[":
            continue  # refused for its first character: the parser of the array has seen the rest by then
        with pytest.raises(UnexpectedAnswer, match="nested too deeply"):
            read(element(**{field: opened * depth + "1" + closed * depth}))


@pytest.mark.parametrize(
    "word", ["NaN", "Infinity", "-Infinity", "nul", "True", "01", "1.", ".5", "+1", "'a'", ""]
)
@pytest.mark.parametrize("field", ["name", "contact_count", "weekly_availability", "unknown"])
def test_25_what_is_no_json_fails_the_answer(field: str, word: str) -> None:
    for value in (word, f'{{"a":{word}}}'):
        with pytest.raises(UnexpectedAnswer):
            read(element(**{field: value}))


@pytest.mark.parametrize("character", [b"\0", b"\t", b"\n", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"])
def test_bytes_that_no_json_text_may_hold_fail_the_answer(character: bytes) -> None:
    for field in ("name", "goal", "unknown"):
        with pytest.raises(UnexpectedAnswer):
            read(element(**{field: '"MARK"'}).replace(b"MARK", character))


def test_26_the_last_of_duplicate_keys_wins() -> None:
    twice = b"{" + b",".join(f'"{k}":[false],"{k}":{v}'.encode() for k, v in MINIMAL.items()) + b"}"
    assert stored(twice) == stored(element())
    last_is_wrong = element()[:-1] + b',"name":null}'
    assert rejected(last_is_wrong).reason == "null_not_allowed"
    unknown_twice = element()[:-1] + b',"tag":1,"tag":2}'
    assert stored(unknown_twice)["_extra"] == '{"tag":2}'


def test_28_order_and_whitespace_change_nothing() -> None:
    turned = dict(reversed(json.loads(element(weekly_availability='{"a":1,"b":2}')).items()))
    turned["weekly_availability"] = {"b": 2, "a": 1}
    expected = stored(element(weekly_availability='{"a":1,"b":2}'))
    assert stored(json.dumps(turned, indent=4).encode()) == expected


def test_a_reject_keeps_what_was_sent() -> None:
    sent = element(name="7", goal='"\u202e"')
    made = read(sent)
    assert isinstance(made, Reject)
    assert made.payload.encode() == sent
    assert "\\u0000" not in rejected(element(name="7", goal=r'"\u0000"')).payload
