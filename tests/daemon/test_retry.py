"""How long after a failure a workspace is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.daemon.retry import retry_pause_seconds

DAY = timedelta(days=1)


def test_pauses_grow_with_jitter() -> None:
    for failures, whole in [(1, 5), (2, 10), (3, 20), (4, 40), (8, 640)]:
        pauses = [retry_pause_seconds("server_error", failures, DAY) for _ in range(200)]
        assert all(pause is not None and whole / 2 <= pause <= whole for pause in pauses)
        assert len(set(pauses)) > 100


@pytest.mark.parametrize("failures", [1, 5, 50, 5000])
def test_pauses_never_exceed_the_period(failures: int) -> None:
    for period in (timedelta(seconds=1), timedelta(minutes=15)):
        pause = retry_pause_seconds("connect_error", failures, period)
        assert pause is not None
        assert 0 < pause <= period.total_seconds()


def test_pauses_never_exceed_an_hour() -> None:
    pause = retry_pause_seconds("connect_error", 500, timedelta(days=7))
    assert pause is not None
    assert pause <= 3600


@pytest.mark.parametrize(
    "code",
    ["invalid_api_key", "workspace_forbidden", "insufficient_scope", "rate_limited", "schema_mismatch"],
)
def test_what_would_only_hammer_waits_for_its_schedule(code: str) -> None:
    assert retry_pause_seconds(code, 1, DAY) is None
