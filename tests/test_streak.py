"""When the daemon's own count of failures says more than the ledger's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from etl.streak import Streak

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def after(failures: int) -> Streak:
    streak = Streak()
    for number in range(failures):
        streak = streak.failed("warehouse_full", "no room", NOW + timedelta(minutes=number))
    return streak


def test_it_counts_until_a_success() -> None:
    assert after(3).failures == 3
    ended = after(3).succeeded()
    assert (ended.failures, ended.ended) == (0, 3)
    assert ended.succeeded().ended == 3
    assert ended.failed("timeout", "slow", NOW).failures == 1


def test_it_goes_beyond_the_ledger_where_that_could_not_write() -> None:
    assert after(3).goes_beyond(0, None)
    assert after(3).goes_beyond(2, NOW - timedelta(seconds=1))
    assert not after(3).goes_beyond(3, None)


def test_a_success_of_another_process_meanwhile_ends_its_say() -> None:
    assert not after(3).goes_beyond(1, NOW + timedelta(minutes=1, seconds=30))
