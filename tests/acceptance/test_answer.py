"""Reliability 20 to 28: what an answer may be, and what comes of one that may not be that."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from etl.standin import StandIn, faults
from tests.acceptance.program import Done, Program, fates, id_of, interviews_of, key_of, populate, sync_here

_HTML = b"<!doctype html><title>Sorry</title><p>We are back soon."
_MEBIBYTE = 1024**2


def _text(*interviews: object) -> bytes:
    return json.dumps(interviews).encode()


def _with(name: str, field: str, raw: bytes) -> bytes:
    """The workspace's answer, one field of one interview spelled like this."""
    return _text(*interviews_of(name)).replace(
        b'"%b": ' % field.encode(), b'"%b": %b, "was": ' % (field.encode(), raw), 1
    )


def _bad(name: str) -> bytes | faults.Fault:
    good = _text(*interviews_of(name))
    bodies: dict[str, bytes | faults.Fault] = {
        "20-html": faults.Body(_HTML, content_type="text/html"),
        "20-html-called-json": _HTML,
        "20-json-called-html": faults.Body(good, content_type="text/html; charset=utf-8"),
        "20-empty": b"",
        "20-blanks": b" \n" * 9000,
        "20-null": b"null",
        "20-object": b'{"items": []}',
        "20-detail": b'{"detail": "Internal error"}',
        "20-number": b"0",
        "20-string": b'"[]"',
        "20-204": faults.Status(204, b""),
        "22-more-behind": good + b"x",
        "22-two-arrays": b"[][]",
        "22-two-arrays-in-lines": good + b"\n" + good,
        "22-a-comma-behind": good + b",",
        "22-a-comma-before-the-end": good[:-1] + b",]",
        "22-a-comma-at-the-beginning": b"[," + good[1:],
        "22-a-bracket-too-many": good + b"]",
        "25-nested-array": b"[" * 10_000 + b"]" * 10_000,
        "25-nested-element": _with(name, "weekly_availability", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        "25-nested-unknown-field": good.replace(
            b'"id": ', b'"mood": %b, "id": ' % (b"[" * 10_000 + b"]" * 10_000), 1
        ),
        "25-long-number": _with(name, "contact_count", b"9" * 10_000),
        "25-long-fraction": _with(name, "contact_count", b"0." + b"9" * 10_000),
        "25-long-number-inside": _with(name, "weekly_availability", b'{"a": %b}' % (b"9" * 10_000)),
        "25-long-number-in-unknown-field": good.replace(
            b'"id": ', b'"mood": %b, "id": ' % (b"9" * 10_000), 1
        ),
        "25-nan": _with(name, "contact_count", b"NaN"),
        "25-infinity": _with(name, "contact_count", b"Infinity"),
        "25-minus-infinity": _with(name, "quick_mode_hours", b"-Infinity"),
        "25-nan-alone": b"[NaN]",
        "25-single-quotes": b"[{'id': 1}]",
        "25-control-character": _with(name, "goal", b'"a\nb"'),
    }
    return bodies[name]


BAD = [
    *("20-html", "20-html-called-json", "20-json-called-html", "20-empty", "20-blanks", "20-null"),
    *("20-object", "20-detail", "20-number", "20-string", "20-204"),
    *("22-more-behind", "22-two-arrays", "22-two-arrays-in-lines", "22-a-comma-behind"),
    *("22-a-comma-before-the-end", "22-a-comma-at-the-beginning", "22-a-bracket-too-many"),
    *("25-nested-array", "25-nested-element", "25-nested-unknown-field", "25-long-number"),
    *("25-long-fraction", "25-long-number-inside", "25-long-number-in-unknown-field"),
    *("25-nan", "25-infinity", "25-minus-infinity", "25-nan-alone"),
    *("25-single-quotes", "25-control-character"),
]


def _shuffled(name: str) -> bytes:
    """The same interviews in another order, their keys too, with other blanks and escapes."""
    dice = random.Random(28)
    interviews = interviews_of(name)
    dice.shuffle(interviews)
    mixed = [dict(dice.sample(sorted(interview.items()), len(interview))) for interview in interviews]
    return json.dumps(mixed, indent=3, ensure_ascii=False, separators=(" ,\r\n", "\t: ")).encode()


def _good(name: str) -> bytes:
    interviews = interviews_of(name)
    good = _text(*interviews)
    bodies = {
        "23-empty": b"[]",
        "23-empty-and-new": b" [ ] ",
        "24-no-objects": _text(*interviews, 1, "text", None, [], [[]], True, 2),
        "26-twice": good.replace(b'"name": ', b'"name": 5, "name": "first", "name": "last", "old": ', 1),
        "28-shuffled": _shuffled(name),
    }
    return bodies[name]


GOOD: dict[str, dict[str, int]] = {
    "23-empty": {"held_deletes": 5},
    "23-empty-and-new": {},
    "24-no-objects": {"received": 12, "unchanged": 5, "rejected": 7},
    "26-twice": {"received": 5, "updated": 1, "unchanged": 4},
    "28-shuffled": {"received": 5, "unchanged": 5},
}


@dataclass(frozen=True, slots=True)
class Second:
    """A sync of answers of every kind after one of good ones."""

    program: Program
    before: list[tuple[Any, ...]]
    done: Done

    def was(self, name: str) -> list[tuple[Any, ...]]:
        """The workspace's interviews before."""
        return [row for row in self.before if str(row[1]) == id_of(name)]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def second(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    on_postgres = request.param == "postgres"
    server = request.getfixturevalue("postgres_server") if on_postgres else None
    url = server.create_database() if server else ""
    program = Program(tmp_path_factory.mktemp("answers"), url)
    with StandIn() as api:
        populate(api, *BAD, *GOOD)
        api.set_interviews(id_of("23-empty-and-new"), [])
        program.configure(api.base_url, *BAD, *GOOD, api={"max_attempts": 1})
        assert program.sync().exit_code == 0
        before = program.interviews()
        for name in (*BAD, *GOOD):
            body = _bad(name) if name in BAD else _good(name)
            if isinstance(body, bytes):
                api.set_body(id_of(name), body)
            else:
                api.always(id_of(name), body)
        yield Second(program, before, program.sync())
    program.close()
    if server:
        server.drop_database(url)


@pytest.mark.parametrize("name", BAD)
def test_reliability_is_refused_and_changes_nothing(second: Second, name: str) -> None:
    entry = second.done.workspace(name)
    assert (entry["status"], entry["error_code"], entry["attempts"]) == ("failed", "unexpected_answer", 1)
    assert fates(entry) == {}
    assert len(entry["error"]) < 500
    assert second.program.interviews(name) == second.was(name)
    assert second.done.exit_code == 1


@pytest.mark.parametrize("name", GOOD)
def test_reliability_is_accepted(second: Second, name: str) -> None:
    entry = second.done.workspace(name)
    assert (entry["status"], entry["error"]) == ("succeeded", None)
    assert fates(entry) == GOOD[name]
    if "updated" not in GOOD[name]:
        assert second.program.interviews(name) == second.was(name)


def test_reliability_23_held_deletes_are_told_with_what_to_do(second: Second) -> None:
    (warning,) = [line for line in second.done.stderr.splitlines() if "23-empty:" in line]
    assert "5 interviews are gone at once" in warning
    assert "ontora-etl sync 23-empty --accept-deletes" in warning


def test_reliability_24_each_has_its_own_row(second: Second) -> None:
    kept = second.program.rows(
        "SELECT position, payload, reason, message FROM rejected_rows "
        f"WHERE workspace_id = '{id_of('24-no-objects')}' ORDER BY position"
    )
    payloads = ["1", '"text"', "null", "[]", "[[]]", "true", "2"]
    assert [(position, payload) for position, payload, *_ in kept] == list(enumerate(payloads, 5))
    assert {reason for *_, reason, _ in kept} == {"not_an_object"}


def test_reliability_26_the_last_of_equal_keys_wins(second: Second) -> None:
    names = [row[3] for row in second.program.interviews("26-twice")]
    assert names.count("last") == 1


def test_reliability_28_not_even_a_full_sync_takes_them_for_new(second: Second) -> None:
    done = second.program.sync("28-shuffled", "--full")
    assert fates(done.workspace("28-shuffled")) == {"received": 5, "unchanged": 5}


def test_reliability_21_a_body_cut_anywhere_is_refused(api: StandIn, program: Program) -> None:
    populate(api, "acme", count=60)
    program.configure(api.base_url, "acme", api={"max_attempts": 1})
    passes = sync_here(program)
    assert next(passes)[0].status == "succeeded"
    before = program.interviews()
    body = _text(*interviews_of("acme", 60, seed=1))
    cuts = range(0, len(body), 1000)
    assert len(cuts) > 100
    for cut in cuts:
        api.set_body(id_of("acme"), body[:cut])
        (report,) = next(passes)
        assert (cut, report.status, report.error_code) == (cut, "failed", "unexpected_answer")
    assert program.interviews() == before
    api.set_body(id_of("acme"), body)
    (report,) = next(passes)
    assert fates(report.as_dict()) == {"received": 60, "inserted": 60, "held_deletes": 60}
    passes.close()


@pytest.mark.slow
def test_reliability_27_one_element_of_50_megabytes(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    first, *rest = interviews_of("acme")
    api.set_body(id_of("acme"), _text(*rest, first | {"goal": "ä" * 8_500_000}))
    program.configure(api.base_url, "acme", api=_PATIENT)
    done = program.sync()
    assert fates(done.workspace("acme")) == {"received": 5, "inserted": 5}
    assert done.workspace("acme")["bytes_received"] > 50_000_000
    assert program.rows("SELECT max(length(goal)) FROM interviews") == [(8_500_000,)]
    assert done.peak_bytes < 600 * _MEBIBYTE


def _minimal(count: int) -> Iterator[bytes]:
    """So many interviews with nothing but what is always sent, in pieces of the array."""
    interview = dict.fromkeys(_ALWAYS_SENT) | {"id": "@", "workspace_id": id_of("acme")}
    interview |= dict.fromkeys(("name", "status", "channel", "interview_order"), "x")
    interview |= dict.fromkeys(("completion_threshold", "interview_duration_minutes"), 1)
    interview |= dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")
    head, tail = json.dumps(interview, separators=(",", ":")).encode().split(b"@")
    for start in range(0, count, 10_000):
        yield b",".join(b"%b%032x%b" % (head, number, tail) for number in range(start, start + 10_000))


_ALWAYS_SENT = [
    *("id", "workspace_id", "project_id", "name", "description", "goal", "agent_behavior", "status"),
    *("channel", "completion_threshold", "timeframe_start", "timeframe_end", "interview_order"),
    *("interview_duration_minutes", "created_by", "created_at", "updated_at"),
]
_PATIENT = {"timeout_seconds": 30, "deadline_seconds": 100}


@pytest.mark.slow
def test_reliability_27_many_interviews_take_no_more_memory_than_few(api: StandIn, program: Program) -> None:
    peaks = []
    api.add_workspace(id_of("acme"), key=key_of("acme"))
    program.configure(api.base_url, "acme", api=_PATIENT)
    for count in (20_000, 100_000):
        with (program.folder / "body").open("wb") as file:
            file.write(b"[")
            for number, piece in enumerate(_minimal(count)):
                file.write((b"," if number else b"") + piece)
            file.write(b"]")
        api.set_body(id_of("acme"), program.folder / "body")
        done = program.sync()
        assert done.workspace("acme")["received"] == count
        peaks.append(done.peak_bytes)
    assert program.rows("SELECT count(*) FROM interviews") == [(100_000,)]
    assert max(peaks) < 160 * _MEBIBYTE
    assert peaks[1] - peaks[0] < 40 * _MEBIBYTE


@pytest.mark.slow
@pytest.mark.parametrize(
    "count", [200_000, pytest.param(1_000_000, marks=[pytest.mark.stress, pytest.mark.timeout(600)])]
)
def test_reliability_27_many_tiny_elements(api: StandIn, program: Program, count: int) -> None:
    api.add_workspace(id_of("acme"), key=key_of("acme"))
    kinds = [b"1", b'""', b"null", b"[]", b"true"]  # of each too few for a change of the API
    api.set_body(id_of("acme"), b"[%b]" % b",".join(kinds * (count // len(kinds))))
    program.configure(api.base_url, "acme", api=_PATIENT)
    done = program.sync()
    assert fates(done.workspace("acme")) == {"received": count, "rejected": count}
    assert program.rows("SELECT count(*) FROM rejected_rows") == [(5,)]
    assert done.peak_bytes < 200 * _MEBIBYTE
