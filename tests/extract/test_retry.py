from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import ServerError
from etl.extract.retry import RETRIED_STATUS, Retriable, backoff_seconds, retry_after_seconds

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, None, id="no-header"),
        pytest.param("1", 1.0, id="6-seconds"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param(" 120 ", 120.0, id="blanks-around"),
        pytest.param("86400", 86400.0, id="6-a-day"),
        pytest.param("Sun, 01 Mar 2026 09:30:10 GMT", 10.0, id="6-date"),
        pytest.param("Sun, 01 Mar 2026 11:30:10 +0200", 10.0, id="date-with-offset"),
        pytest.param("Sun, 01 Mar 2026 09:30:10 -0000", 10.0, id="date-without-zone"),
        pytest.param("Sunday, 01-Mar-26 09:30:10 GMT", 10.0, id="date-of-rfc-850"),
        pytest.param("Sun, 01 Mar 2026 09:29:00 GMT", 0.0, id="date-gone-by"),
        pytest.param("Sun, 01 Mar 1970 00:00:00 GMT", 0.0, id="date-long-gone-by"),
        pytest.param("soon", None, id="6-nonsense"),
        pytest.param("", None, id="empty"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("1e3", None, id="exponent"),
        pytest.param("\u0661\u0662", None, id="digits-of-another-script"),
        pytest.param("Sun, 99 Mar 2026 09:30:10 GMT", None, id="no-such-day"),
        pytest.param("Sun, 01 Mar 2026 25:30:10 GMT", None, id="no-such-hour"),
        pytest.param("2026-03-01T09:30:10Z", None, id="date-of-another-standard"),
        pytest.param("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None, id="absurd-year"),
        pytest.param("Wed, 21 Oct 2026 99999999999999999999:28:00 GMT", None, id="absurd-hour"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 +99999999999999999999", None, id="absurd-offset"),
    ],
)
def test_retry_after_is_read_as_rfc_9110_says(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_date_and_a_number_say_the_same(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_seconds(date, NOW) == retry_after_seconds(str(seconds), NOW) == seconds


NUMBERS = st.integers(-(10**12), 10**12).map(str)


@settings(deadline=None)
@given(
    st.text(max_size=40)
    | NUMBERS
    | st.lists(
        st.sampled_from(["Sun,", "01", "Mar", "2026", "99999", "09:30:10", "GMT", "+9999", "-99999999", "-"])
        | NUMBERS,
        max_size=7,
    ).map(" ".join)
)
def test_no_header_raises_or_asks_for_less_than_nothing(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("header", ["9" * 400, "1" * 10_000])
def test_an_endless_number_is_longer_than_any_deadline(header: str) -> None:
    assert retry_after_seconds(header, NOW) == 10**9


@pytest.mark.parametrize(
    ("attempt", "ceiling"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 16.0), (7, 30.0), (60, 30.0)],
)
def test_pauses_grow_and_differ_within_their_bounds(attempt: int, ceiling: float) -> None:
    pauses = [backoff_seconds(attempt) for _ in range(300)]
    assert ceiling / 10 <= min(pauses) < ceiling / 3
    assert ceiling / 1.5 < max(pauses) <= ceiling
    assert len(set(pauses)) > 290


def test_what_is_retried_is_what_may_mend() -> None:
    assert sorted(RETRIED_STATUS) == [429, 500, 502, 503, 504]


def test_a_retriable_failure_says_what_its_fault_says() -> None:
    fault = ServerError("the API answered 503", remedy="ask again later")
    assert str(Retriable(fault)) == str(fault) == "the API answered 503: ask again later"
    assert Retriable(fault).retry_after_seconds is None
    assert Retriable(fault, retry_after_seconds=2.0).retry_after_seconds == 2.0
