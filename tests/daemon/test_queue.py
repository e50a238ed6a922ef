"""Who runs next. Reliability 67 and 70."""

from __future__ import annotations

import random

from etl.daemon.queue import Queue


def drain(queue: Queue) -> list[str]:
    """The names in the order in which they run, one after the other."""
    order = []
    while taken := queue.take(0.0):
        order.append(taken[0])
        queue.done(taken[0])
    return order


def test_first_come_first_served() -> None:
    queue = Queue(1)
    for name in "abcab":
        assert queue.add(name, "schedule")
    assert len(queue) == 3
    assert drain(queue) == ["a", "b", "c"]
    assert len(queue) == 0


def test_no_more_at_a_time_than_allowed() -> None:
    queue = Queue(2)
    for name in "abc":
        queue.add(name, "schedule")
    assert queue.take(1.0) == ("a", "schedule")
    assert queue.take(2.0) == ("b", "schedule")
    assert queue.take(3.0) is None
    assert dict(queue.running) == {"a": 1.0, "b": 2.0}
    queue.done("a")
    assert queue.take(4.0) == ("c", "schedule")


def test_tick_that_falls_into_a_run_is_not_made_up_for() -> None:
    queue = Queue(8)
    queue.add("a", "schedule")
    queue.take(0.0)
    assert not queue.add("a", "schedule")
    assert not queue.add("a", "catch_up")
    queue.done("a")
    assert queue.take(0.0) is None


def test_what_is_asked_for_anew_during_a_run_follows_it() -> None:
    queue = Queue(8)
    queue.add("a", "schedule")
    queue.take(0.0)
    assert queue.add("a", "catch_up", anew=True)
    queue.done("a")
    assert queue.take(0.0) == ("a", "catch_up")


def test_webhooks_that_fall_into_a_run_are_one_run_afterwards() -> None:
    queue = Queue(8)
    queue.add("a", "schedule")
    queue.take(0.0)
    assert [queue.add("a", "webhook") for _ in range(5)] == [True] * 5
    assert queue.take(0.0) is None  # never twice at once
    queue.done("a")
    assert queue.take(0.0) == ("a", "webhook")
    queue.done("a")
    assert queue.take(0.0) is None


def test_dropped_workspaces_are_forgotten() -> None:
    queue = Queue(1)
    for name in "abc":
        queue.add(name, "schedule")
    queue.take(0.0)
    queue.add("a", "webhook")
    queue.drop("a")
    queue.drop("b")
    queue.drop("unheard of")
    queue.done("a")
    assert drain(queue) == ["c"]


def test_none_starves_among_a_thousand() -> None:
    """While each asks again as soon as it has run, the gap between two runs of one is bounded."""
    queue, dice = Queue(8), random.Random(7)
    names = [f"w{n}" for n in range(1000)]
    for name in names:
        queue.add(name, "schedule")
    runs: dict[str, list[int]] = {name: [] for name in names}
    for turn in range(10_000):
        if len(queue.running) == 8:
            ended = dice.choice(list(queue.running))
            queue.done(ended)
            queue.add(ended, "webhook")
        taken = queue.take(0.0)
        if taken:
            runs[taken[0]].append(turn)
    assert min(len(turns) for turns in runs.values()) >= 8
