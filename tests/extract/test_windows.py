"""The spooled array in windows: whatever the cut, the same elements; whatever is no array, refused."""

from __future__ import annotations

import io
import json
import tempfile
import tracemalloc
from importlib import import_module
from typing import IO
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import UnexpectedAnswer
from etl.extract.windows import windows
from etl.normalize import Notes, Reject, normalize
from tests.strategies import Json, json_values, spelled, storable

SIZES = (1, 2, 3, 17, 4096, 2**22)
WORKSPACE_ID = UUID(int=0)


def elements(body: bytes, window_bytes: int = 2**22) -> list[bytes]:
    """All raw elements, after a look at the positions."""
    found: list[bytes] = []
    for window in windows(io.BytesIO(body), window_bytes):
        assert window.first == len(found)
        found += [bytes(element) for element in window.elements]
    return found


def read_through(body: bytes, window_bytes: int = 2**22) -> Notes:
    """What a sync does with the answer: windows, then normalize; with a count of what was mended."""
    notes = Notes()
    for window in windows(io.BytesIO(body), window_bytes):
        notes.replaced_characters += window.replaced
        for position, element in enumerate(window.elements, window.first):
            normalize(bytes(element), position, b"", WORKSPACE_ID, notes, suspect=window.suspect)
    return notes


def without_surrogates(value: Json) -> Json:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [without_surrogates(inner) for inner in value]
    if isinstance(value, dict):
        return {storable(key): without_surrogates(inner) for key, inner in value.items()}
    return value


# Elements of every kind; arrays of objects inside objects hold commas that only look like the right ones.
_objects = st.fixed_dictionaries(
    {
        "text": st.sampled_from(["},{", "[", '"},{"', "],", "\\", "a,b,c"]),
        "inner": st.lists(st.just({"a": 1})),
    }
)
arrays = st.lists(json_values | _objects, max_size=12).map(without_surrogates)


@settings(max_examples=300, deadline=None)
@given(arrays.flatmap(spelled), st.integers(1, 300), st.booleans())
def test_any_split_gives_the_same_elements(body: bytes, window_bytes: int, mark: bool) -> None:
    found = elements((b"\xef\xbb\xbf" if mark else b"") + body, window_bytes)
    assert [json.loads(element) for element in found] == json.loads(body)


@settings(deadline=None)
@given(arrays.flatmap(spelled), st.integers(1, 300), st.data())
def test_an_array_cut_anywhere_is_refused(body: bytes, window_bytes: int, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(body.rstrip()) - 1))
    with pytest.raises(UnexpectedAnswer):
        elements(body[:end], window_bytes)


_SCRAPS = (
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        ", ",
        ",,",
        ":",
        '"',
        "\\",
        " ",
        "\n",
        "\t",
        "1",
        "-",
        "e5",
        "null",
        "NaN",
        "//",
    ),
    *("},{", "],[", '"x":', '{"a":1}', "[1]", '"},{"', "\\u0000", "\\ud800", "\0", "\ufeff", "é"),
)


_ELEMENTS = (
    *(
        '{"a":1}',
        "{}",
        '{"a": "},{", "b": [{}, {"c": 1}]}',
        '"a,b"',
        '"\\\\"',
        '"]"',
        '""',
        "1",
        "-1.5e3",
        "null",
    ),
    *("[]", '[{"b":"]"}, 2]', '{"a":"\\ud800"}', '"\\u0000"', '"x\\"},{\\"y"', "12345678901234567890"),
)
_BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t  ", " " * 60])


@st.composite
def nearly_arrays(draw: st.DrawFn) -> str:
    """The text of an array, some of it replaced or lost; often just before its end."""
    spelled_out = draw(st.lists(st.tuples(_BLANKS, st.sampled_from(_ELEMENTS), _BLANKS), max_size=8))
    text = f"[{','.join(map(''.join, spelled_out))}]"
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.just(max(text.rfind("]"), 0)) | st.integers(0, len(text)))
        lost = draw(st.sampled_from([0, 0, 1, 2]))
        scraps = draw(st.lists(st.sampled_from(_SCRAPS), min_size=lost == 0, max_size=2))
        text = text[:at] + "".join(scraps) + text[at + lost :]
    return text


def is_array(body: bytes) -> bool:
    """The verdict of a plain parser on the whole."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return isinstance(json.loads(body.decode("utf-8-sig"), parse_constant=refuse), list)
    except ValueError:
        return False


@settings(max_examples=1000, deadline=None)
@given(nearly_arrays(), st.integers(1, 40))
def test_any_split_gives_the_verdict_of_a_plain_parser(text: str, window_bytes: int) -> None:
    body = text.encode()
    try:
        read_through(body, window_bytes)
    except UnexpectedAnswer:
        assert not is_array(body)
    else:
        assert is_array(body)


INTERVIEW = {f"field_{number}": "text, with \\ and \u20ac" for number in range(33)}
BODY = json.dumps(
    [{**INTERVIEW, "id": number, "goal": "},{", "slots": [{"a": 1}, {"b": [2]}]} for number in range(150)]
).encode()


@pytest.mark.parametrize("window_bytes", [10_000, 2**22])
def test_21_a_body_cut_at_every_1000th_byte_fails_each_time(window_bytes: int) -> None:
    assert len(elements(BODY, window_bytes)) == 150
    for end in range(0, len(BODY), 1000):
        with pytest.raises(UnexpectedAnswer) as failure:
            elements(BODY[:end], window_bytes)
        assert failure.value.code == "unexpected_answer"


@pytest.mark.parametrize("window_bytes", [1, 5, 64, 2**22])
def test_21_a_small_body_cut_at_every_byte_fails_each_time(window_bytes: int) -> None:
    body = b' [ {"a": "},{", "b": [{}, {"c": 1}]} , 17, "x,y" , null,\n[1, 2], {} ]'
    assert len(elements(body, window_bytes)) == 6
    for end in range(len(body)):
        with pytest.raises(UnexpectedAnswer):
            elements(body[:end], window_bytes)


@pytest.mark.parametrize("window_bytes", SIZES)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="20-empty"),
        pytest.param(b" \n\t ", id="20-blank"),
        pytest.param(b"\xef\xbb\xbf", id="20-byte-order-mark-alone"),
        pytest.param(b"null", id="20-null"),
        pytest.param(b"{}", id="20-object"),
        pytest.param(b'{"detail": "Not found", "code": null}', id="20-detail"),
        pytest.param(b'{"items": []}', id="20-wrapped"),
        pytest.param(b"<!doctype html><p>We are back soon</p>", id="20-html"),
        pytest.param(b'"text"', id="20-text"),
        pytest.param(b"17", id="20-number"),
        pytest.param(b"[1] x", id="22-text-after"),
        pytest.param(b"[1]]", id="22-bracket-after"),
        pytest.param(b"[1],", id="22-comma-after"),
        pytest.param(b"[1]\0", id="22-nul-after"),
        pytest.param(b"[{}][{}]", id="22-two-arrays"),
        pytest.param(b"[]\n[]", id="22-two-empty-arrays"),
        pytest.param(b"[{}], [{}]", id="22-two-arrays-and-a-comma"),
        pytest.param(b"[,1]", id="leading-comma"),
        pytest.param(b"[ , {} ]", id="leading-comma-and-blanks"),
        pytest.param(b"[{},]", id="trailing-comma"),
        pytest.param(b"[{} , \n ]", id="trailing-comma-and-blanks"),
        pytest.param(b'[{"a":"long enough"},]', id="trailing-comma-in-a-window-of-its-own"),
        pytest.param(b'[{"a":"long enough"}, \n ]', id="trailing-comma-and-blanks-in-a-window-of-their-own"),
        pytest.param(b"[1,,2]", id="two-commas"),
        pytest.param(b"[{},,{}]", id="two-commas-between-objects"),
        pytest.param(b"[,]", id="comma-alone"),
        pytest.param(b"[{} {}]", id="no-comma"),
        pytest.param(b"[{};{}]", id="semicolon"),
        pytest.param(b"{}]", id="no-opening-bracket"),
        pytest.param(b"[NaN]", id="25-nan"),
        pytest.param(b'[{"a":Infinity},{}]', id="25-infinity"),
        pytest.param(b"[{},-Infinity]", id="25-minus-infinity"),
        pytest.param(b"[1" + b"1" * 10_000 + b"]", id="25-10000-digits"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="25-10000-arrays"),
        pytest.param(b"[" + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"]", id="25-10000-objects"),
        pytest.param(b"[" * 100_000, id="25-100000-brackets"),
        pytest.param(b'["\\ud800",' + b"[" * 5000 + b"]" * 5001, id="25-5000-arrays-behind-a-surrogate"),
        pytest.param(b'["\xff"]', id="10-no-utf-8"),
        pytest.param(b'[{"name":"M\xfcnchen"},{}]', id="10-latin-1"),
        pytest.param(b'[{"a":"\xed\xa0\x80"}]', id="10-surrogate-in-utf-8"),
        pytest.param("[{}]".encode("utf-16"), id="10-utf-16"),
        pytest.param(b'[{"a":"\0"}]', id="nul-byte-in-text"),
        pytest.param(b'["a\nb"]', id="line-break-in-text"),
        pytest.param(b"[01]", id="leading-zero"),
        pytest.param(b"['a']", id="single-quotes"),
        pytest.param(b"[{a:1}]", id="bare-key"),
        pytest.param(b"[1 /* one */]", id="comment"),
        pytest.param(b"\x1f\x8b\x08\x00[]", id="compressed"),
    ],
)
def test_what_is_no_json_array_fails(body: bytes, window_bytes: int) -> None:
    with pytest.raises(UnexpectedAnswer) as failure:
        read_through(body, window_bytes)
    assert "nothing was applied" in failure.value.remedy
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize("window_bytes", SIZES)
@pytest.mark.parametrize("body", [b"[]", b" [ ] ", b"\xef\xbb\xbf[]", b"\n" * 9000 + b"[\n]" + b"\n" * 9000])
def test_an_empty_array_has_no_elements(body: bytes, window_bytes: int) -> None:
    assert elements(body, window_bytes) == []


@pytest.mark.parametrize("window_bytes", SIZES)
def test_24_elements_that_are_no_objects_come_through_one_by_one(window_bytes: int) -> None:
    body = b'\xef\xbb\xbf [1, "a,b" ,null,[{},{}],true , {"a":"},{"},-1.5e3,"" ] '
    expected = [b"1", b'"a,b"', b"null", b"[{},{}]", b"true", b'{"a":"},{"}', b"-1.5e3", b'""']
    assert elements(body, window_bytes) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([r"\u0000", r"\ud800", r"\uDC00", r"\ud83d\ude00", r"\\u0000", "x"])), st.data()
)
def test_35_every_nul_and_lone_surrogate_is_counted_once(escapes: list[str], data: st.DataObject) -> None:
    texts = data.draw(st.permutations([f'{{"a":"{escape}"}}' for escape in escapes] + ["17"]))
    lone = sum(escape in {r"\u0000", r"\ud800", r"\uDC00"} for escape in escapes)
    body = f"[{','.join(texts)}]".encode()
    assert read_through(body, data.draw(st.integers(1, 200))).replaced_characters == lone


def test_positions_of_rejects_are_those_in_the_array() -> None:
    body = json.dumps([{"text": "},{" * 20}, 1, None] * 500).encode()
    kinds = {0: "object", 1: "number", 2: "null"}
    seen = 0
    for window in windows(io.BytesIO(body), 1000):
        for position, element in enumerate(window.elements, window.first):
            made = normalize(bytes(element), position, b"", WORKSPACE_ID, Notes())
            assert isinstance(made, Reject)
            assert made.position == seen
            assert made.field == kinds[position % 3] or kinds[position % 3] == "object"
            seen += 1
    assert seen == 1500


def test_27_a_single_element_of_50_mb_comes_through() -> None:
    text = b"x, },{  " * 6_250_000
    found = elements(b'[{"a":1},{"b":"' + text + b'"},{"c":1}]')
    assert [len(element) for element in found] == [7, len(text) + 8, 7]


SLOTS: list[Json] = [{"from": number, "to": [number, {"days": number % 7}]} for number in range(40)]
BRACES = {f"field_{number}": "},{ ],[ \\" for number in range(60)}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def count_in_little_memory(file: IO[bytes]) -> int:
    """How many elements there are; fails where reading them takes more memory than a few windows."""
    tracemalloc.start()
    try:
        found = sum(len(window.elements) for window in windows(file))
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()
    return found


@pytest.mark.parametrize(
    ("element", "between"),
    [
        pytest.param(as_json({**INTERVIEW, "goal": "x" * 2000}), b", ", id="blank-behind-commas"),
        pytest.param(as_json({**INTERVIEW, "goal": "x" * 2000}), b"\n  , ", id="blank-before-commas"),
        pytest.param(as_json({"slots": SLOTS, "goal": "x" * 5000}), b",", id="many-objects-in-each"),
        pytest.param(as_json({**BRACES, "goal": "x" * 5000}), b",", id="many-brackets-in-text"),
        pytest.param(as_json("a," * 2000), b",", id="texts"),
    ],
)
def test_27_memory_is_bounded_whatever_the_length(element: bytes, between: bytes) -> None:
    pieces = 12_000_000 // (100 * len(element))
    piece = between.join([element] * 100)
    with tempfile.TemporaryFile() as file:
        file.write(b"[" + piece)
        for _ in range(1, pieces):
            file.write(between + piece)
        file.write(b"]")
        assert count_in_little_memory(file) == 100 * pieces


@pytest.mark.parametrize(
    "where", ["%b[]", "[%b]", '[{"a":1}%b]', '[{"a":1},%b{"a":2}]', '[{"a":1}%b,1]', "[1]%b"]
)
def test_27_blanks_may_stand_anywhere_and_take_no_memory(where: str) -> None:
    with tempfile.TemporaryFile() as file:
        before, after = where.encode().split(b"%b")
        file.write(before)
        for _ in range(12):
            file.write(b" \r\n\t" * 2**18)
        file.write(after)
        assert count_in_little_memory(file) == len(json.loads(where.replace("%b", "")))


@pytest.mark.parametrize("blank", [b"", b" ", b"\n  "])
@pytest.mark.parametrize("slots", [[], SLOTS, {f"day_{number}": SLOTS[:2] for number in range(7)}])
def test_interviews_are_cut_without_counting_brackets(
    monkeypatch: pytest.MonkeyPatch, slots: Json, blank: bytes
) -> None:
    """Which takes forty times as long."""
    module = import_module("etl.extract.windows")  # whose name the package gives to its function
    monkeypatch.setattr(module, "_cut_by_depth", lambda *_: pytest.fail("brackets were counted"))
    one = as_json({**INTERVIEW, "weekly_availability": slots, "goal": "Why?"})
    body = b"[" + blank + (b"," + blank).join([one] * 200) + blank + b"]"
    assert elements(body, 20_000) == [one] * 200


@pytest.mark.parametrize("start", [b'[{"a":x},', b"[{},,", b"[1 2,", b'[{"a" 1},', b"[1]", b"[{}}"])
def test_a_malformed_start_is_refused_before_the_rest_is_read(start: bytes) -> None:
    file = io.BytesIO(start + b",".join([as_json(INTERVIEW)] * 20_000) + b"]")
    with pytest.raises(UnexpectedAnswer, match="malformed"):
        list(windows(file))
    assert file.tell() < 10_000_000


def test_brackets_without_end_are_refused_before_the_rest_is_read() -> None:
    file = io.BytesIO(b"[" * 10_000_000)
    with pytest.raises(UnexpectedAnswer, match="too deeply"):
        list(windows(file))
    assert file.tell() < 1_000_000
