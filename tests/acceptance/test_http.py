"""Faults of the wire, each in a workspace of its own, all in one and the same `sync` beside one that is well.

What takes another address or a process of its own: test_network.py.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

from etl.standin import StandIn, faults
from tests.acceptance.program import Done, Program, fates, id_of, interviews_of, moments, populate

_DEADLINE_SECONDS = 5
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_LATIN = '[{"name": "Müller"}]'.encode("latin-1")


def _page(code: int, body: bytes = b'{"detail":"It broke.","code":"internal"}') -> faults.Status:
    return faults.Status(code, body, content_type="text/html" if body == _HTML else "application/json")


# Test id → fault of every request, error_code, attempts, and what the message says.
FAILS: dict[str, tuple[faults.Fault, str, int, str]] = {
    "2-reset-before-headers": (faults.ResetBeforeHeaders(), "connect_error", 2, "(after 2 attempts)"),
    "2-reset-mid-body": (faults.ResetMidBody(10), "incomplete_answer", 2, "broke inside the answer"),
    "3-short-by-one-byte": (faults.ShortBody(1), "incomplete_answer", 2, "broke inside the answer"),
    "3-short-by-many": (faults.ShortBody(500), "incomplete_answer", 2, "broke inside the answer"),
    "3-chunked-without-end": (faults.ChunkedWithoutEnd(), "incomplete_answer", 2, "broke inside the answer"),
    "4-silent-headers": (faults.SilentHeaders(3600), "timeout", 2, "did not answer for 1 s"),
    "4-stalled-body": (faults.StallMidBody(10, 3600), "timeout", 2, "did not answer for 1 s"),
    "5-drip": (faults.Drip(20), "deadline_exceeded", 1, "api.deadline_seconds (5 s)"),
    "5-drip-of-headers": (faults.DripHeaders(5), "deadline_exceeded", 1, "api.deadline_seconds (5 s)"),
    "6-no-retry-after": (faults.RateLimit(), "rate_limited", 2, "429 rate_limited, Too many requests"),
    "6-nonsense": (faults.RateLimit("soon"), "rate_limited", 2, "request id req_"),
    "6-absurd-date": (
        faults.RateLimit("Wed, 21 Oct 99999999999999999999 07:28:00 GMT"),
        "rate_limited",
        2,
        "429 rate_limited",
    ),
    "6-a-day": (faults.RateLimit("86400"), "rate_limited", 1, "come back in 86400 s"),
    "6-a-day-by-date": (
        faults.RateLimit(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)),
        "rate_limited",
        1,
        f"again after {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}",
    ),
    "7-500": (_page(500), "server_error", 2, "500 internal, It broke., request id req_"),
    "7-502-html": (_page(502, _HTML), "server_error", 2, "502, request id req_"),
    "7-503": (_page(503), "server_error", 2, "request id req_"),
    "7-504": (_page(504), "server_error", 2, "request id req_"),
    "7-503-not-packed-as-it-says": (
        faults.Status(503, b"busy", headers={"Content-Encoding": "gzip"}),
        "server_error",
        2,
        "503, request id req_",
    ),
    "7-422-without-a-place": (
        _page(422, b'{"detail":[{"loc":null,"msg":"no such filter"}]}'),
        "request_refused",
        1,
        "422, no such filter",
    ),
    "7-501-is-not-retried": (_page(501), "server_error", 1, "501"),
    "7-404-is-not-retried": (_page(404), "request_refused", 1, "404"),
    **{
        f"8-{code}": (faults.Redirect(code, "/"), "unexpected_redirect", 1, f"redirects ({code}) to")
        for code in (301, 302, 303, 307, 308)
    },
    **{
        f"8-to-{location}": (
            faults.Redirect(302, location),
            "unexpected_redirect",
            1,
            "an address that is none",
        )
        for location in ("http://[bad", "//[::1")
    },
    "9-limit": (faults.Body(b"[" + b" " * 300_000 + b"]"), "response_too_large", 1, "max_response_bytes"),
    "9-bomb": (
        faults.GzipBomb(10_000_000),
        "response_too_large",
        1,
        "api.max_response_bytes (200,000 bytes)",
    ),
    "10-broken-gzip": (faults.BrokenGzip(), "unexpected_answer", 1, "compression is broken"),
    "10-charset-announced": (
        faults.Body(_LATIN, content_type="application/json; charset=ISO-8859-1"),
        "unexpected_answer",
        1,
        "iso-8859-1, not UTF-8",
    ),
    "10-charset-before-another-parameter": (
        faults.Body(_LATIN, content_type="application/json; charset=ISO-8859-1; profile=x"),
        "unexpected_answer",
        1,
        "iso-8859-1, not UTF-8",
    ),
    "10-charset-not-announced": (faults.Body(_LATIN), "unexpected_answer", 1, "not UTF-8"),
    "10-utf-16": (faults.Body("[]".encode("utf-16")), "unexpected_answer", 1, "not one complete JSON array"),
}
# Test id → content type and encoding of an answer that is data all the same.
FORMS: dict[str, tuple[str, str]] = {
    "10-charset-and-another-parameter": ("application/json; charset=utf-8; profile=x", ""),
    "10-charset-of-another-parameter": ('application/json; profile="charset=latin-1"', ""),
    "10-semicolon-at-the-end": ("application/json;charset=UTF-8;", ""),
    "10-no-encoding-named": ("application/json", "identity"),
    "10-identity-before-gzip": ("application/json", "identity, gzip"),
}
# Test id → fault of the first request alone.
MENDS: dict[str, faults.Fault] = {
    "2-reset-before-headers": faults.ResetBeforeHeaders(),
    "2-reset-mid-body": faults.ResetMidBody(10),
    "3-short-body": faults.ShortBody(),
    "3-chunked-without-end": faults.ChunkedWithoutEnd(),
    "4-silent-headers": faults.SilentHeaders(3600),
    "4-stalled-body": faults.StallMidBody(10, 3600),
    "6-a-second": faults.RateLimit("1"),
    "6-nonsense": faults.RateLimit("-1; drop table"),
    "7-500": faults.Status(500),
    "7-502-html": _page(502, _HTML),
    "7-503-with-retry-after": faults.Status(503, headers={"Retry-After": "1"}),
    "7-504": faults.Status(504),
}


@dataclass(frozen=True, slots=True)
class Storm:
    """One sync of all these workspaces after one without faults."""

    before: list[tuple[Any, ...]]
    done: Done
    program: Program
    api: StandIn
    elsewhere: StandIn
    seconds: float
    date: float  # where "6-a-date" sent us, by the monotonic clock

    def requests(self, name: str) -> list[float]:
        """When the workspace asked in the storm, by the monotonic clock."""
        return moments(self.api, name)[1:]


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    program = Program(tmp_path_factory.mktemp("storm"))
    failing, mending = [f"fails-{name}" for name in FAILS], [f"mends-{name}" for name in MENDS]
    names = [*failing, *mending, *FORMS, "mends-6-a-date", "well", "10-byte-order-mark"]
    with StandIn() as api, StandIn() as elsewhere:
        populate(api, *names)
        limits = {"timeout_seconds": 1, "deadline_seconds": _DEADLINE_SECONDS, "max_response_bytes": 200_000}
        program.configure(api.base_url, *names, api={**limits, "concurrency": len(names)})
        assert program.sync().exit_code == 0
        before = program.interviews()
        for name, (fault, *_) in FAILS.items():
            api.always(id_of(f"fails-{name}"), fault)
        for code in (301, 302, 303, 307, 308):
            to = f"{elsewhere.base_url}/v1/interviews"
            api.always(id_of(f"fails-8-{code}"), faults.Redirect(code, to))
        for name, fault in MENDS.items():
            api.set_interviews(id_of(f"mends-{name}"), interviews_of(f"mends-{name}", 6))
            api.script(id_of(f"mends-{name}"), fault)
        date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        until = time.monotonic() + (date - datetime.now(UTC)).total_seconds()
        api.set_interviews(id_of("mends-6-a-date"), interviews_of("mends-6-a-date", 6))
        api.script(id_of("mends-6-a-date"), faults.RateLimit(format_datetime(date, usegmt=True)))
        api.set_interviews(id_of("well"), interviews_of("well", 6))
        for name, (content_type, encoding) in FORMS.items():
            raw = json.dumps(interviews_of(name, 6)).encode()
            body = gzip.compress(raw) if encoding.endswith("gzip") else raw
            headers = {"Content-Encoding": encoding} if encoding else {}
            api.always(id_of(name), faults.Body(body, content_type, headers=headers))
        marked = b"\xef\xbb\xbf" + json.dumps(interviews_of("10-byte-order-mark")).encode()
        api.set_body(id_of("10-byte-order-mark"), marked)
        started = time.monotonic()
        done = program.sync()
        yield Storm(before, done, program, api, elsewhere, time.monotonic() - started, until)
    program.close()


@pytest.mark.parametrize("name", FAILS)
def test_reliability_fails_and_changes_nothing(storm: Storm, name: str) -> None:
    _, code, attempts, said = FAILS[name]
    name = f"fails-{name}"
    entry = storm.done.workspace(name)
    assert (entry["status"], entry["error_code"], entry["attempts"]) == ("failed", code, attempts)
    assert said in entry["error"]
    assert fates(entry) == {}
    assert len(storm.requests(name)) == attempts
    line = f"error: {name}: {entry['error']} [{code}]"
    assert storm.done.stderr.splitlines().count(line) == 1
    assert storm.program.interviews(name) == [row for row in storm.before if row[1] == id_of(name)]
    ledger = f"SELECT status, error_code, attempts, error FROM sync_runs WHERE id = {entry['run_id']}"
    assert storm.program.rows(ledger) == [("failed", code, attempts, entry["error"])]


@pytest.mark.parametrize("name", [*MENDS, "6-a-date"])
def test_reliability_is_retried(storm: Storm, name: str) -> None:
    entry = storm.done.workspace(f"mends-{name}")
    assert (entry["status"], entry["error_code"], entry["attempts"]) == ("succeeded", None, 2)
    assert fates(entry) == {"received": 6, "inserted": 1, "unchanged": 5}


def test_reliability_isolated_beside_every_fault(storm: Storm) -> None:
    assert storm.done.exit_code == 1
    assert storm.done.json["status"] == "failed"
    assert fates(storm.done.workspace("well")) == {"received": 6, "inserted": 1, "unchanged": 5}
    assert storm.program.left_behind() == []


@pytest.mark.parametrize("name", ["6-a-second", "7-503-with-retry-after"])
def test_reliability_6_waits_for_the_seconds_asked(storm: Storm, name: str) -> None:
    first, second = storm.requests(f"mends-{name}")
    assert 1 <= second - first < 2


def test_reliability_6_waits_for_the_date_asked(storm: Storm) -> None:
    _, second = storm.requests("mends-6-a-date")
    assert second >= storm.date - 0.05


def test_reliability_7_pauses_before_the_next_attempt_differ(storm: Storm) -> None:
    names = [f"fails-7-{name}" for name in ("500", "502-html", "503", "504")]
    pauses = [second - first for first, second in map(storm.requests, names)]
    assert all(0.05 <= pause < 1 for pause in pauses)
    assert max(pauses) - min(pauses) > 0.001


def test_reliability_7_pauses_grow(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    api.always(id_of("acme"), faults.Status(503))
    program.configure(api.base_url, "acme", api={"max_attempts": 4})
    assert program.sync().workspace("acme")["attempts"] == 4
    pauses = [after - before for before, after in pairwise(moments(api, "acme"))]
    for attempt, pause in enumerate(pauses):
        assert 0.05 * 2**attempt <= pause < 0.5 * 2**attempt + 0.3


def test_reliability_5_ends_at_the_deadline(storm: Storm) -> None:
    entry = storm.done.workspace("fails-5-drip")
    assert _DEADLINE_SECONDS <= entry["duration_seconds"] < _DEADLINE_SECONDS + 2
    assert storm.seconds < _DEADLINE_SECONDS + 5


def test_reliability_8_the_other_host_hears_nothing(storm: Storm) -> None:
    assert storm.elsewhere.requests == []


def test_reliability_10_a_byte_order_mark_is_accepted(storm: Storm) -> None:
    assert fates(storm.done.workspace("10-byte-order-mark")) == {"received": 5, "unchanged": 5}


@pytest.mark.parametrize("name", FORMS)
def test_reliability_10_other_ways_to_say_json_in_utf_8_are_accepted(storm: Storm, name: str) -> None:
    assert fates(storm.done.workspace(name)) == {"received": 6, "inserted": 1, "unchanged": 5}


def test_what_the_api_says_fits_a_terminal_and_the_ledger(api: StandIn, either: Program) -> None:
    populate(api, "acme")
    either.configure(api.base_url, "acme")
    said = {"code": "a\nb\x1b]0;mine\x07", "detail": "d\0e\x1b[2J" + "x" * 5000}
    api.always(id_of("acme"), _page(404, json.dumps(said).encode()))
    done = either.sync()
    (line,) = done.stderr.splitlines()
    assert line.isprintable()
    assert "404 a b?]0;mine?, d?e?[2Jxxx" in line
    assert len(line) < 500
    entry = done.workspace("acme")
    assert either.rows("SELECT status, error FROM sync_runs") == [("failed", entry["error"])]
