"""`GET /metrics`: what happened since the start as counters, how things stand as gauges."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from etl import __version__
from etl.serve.queries import Overview
from etl.sync.report import Report
from etl.tables import FATES

_PREFIX = "ontora_etl"
_OUTCOMES = ("succeeded", "failed", "skipped", "interrupted")
_WEBHOOK_OUTCOMES = ("accepted", "replayed", "bad_signature", "stale", "malformed", "too_large", "slow")
_SECONDS = (0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FAILURES = "Failed runs since the last success"
_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)


@dataclass(frozen=True, slots=True)
class Scrape:
    """How things stand at a scrape. `overview` is None where the warehouse does not answer."""

    workspaces: tuple[str, ...]
    queue_length: int
    running: int
    last_beat: float
    failures: Mapping[str, int]
    """In a row, as the daemon counted them: all there is while the warehouse does not answer."""
    overview: Overview | None


class Metrics:
    """The counters of this process, and the gauges of the last look at daemon and warehouse."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter, read by nobody
        self._registry = registry = CollectorRegistry(auto_describe=True)
        self._gauges = _Gauges()
        self._one_at_a_time = threading.Lock()
        self._series: list[tuple[Counter | Histogram, tuple[str, ...]]] = []
        self._named: set[str] = set()  # the workspaces that have series

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            made = Counter(name, meaning, labels, namespace=_PREFIX, registry=registry)
            self._series.append((made, labels))
            return made

        def histogram(name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
            labels = ("workspace",)
            made = Histogram(name, meaning, labels, namespace=_PREFIX, buckets=buckets, registry=registry)
            self._series.append((made, labels))
            return made

        self._runs = counter("runs", "Finished runs by outcome", "workspace", "outcome")
        self._errors = counter("run_errors", "Runs that did not succeed, by error code", "workspace", "code")
        self._rows = counter("rows", "Elements of applied answers by their fate", "workspace", "fate")
        self._deleted = counter("rows_deleted", "Interviews found gone and marked so", "workspace")
        self._restored = counter("rows_restored", "Interviews that came back after a delete", "workspace")
        self._requests = counter("api_requests", "Requests sent to the API", "workspace")
        self._duration = histogram(
            "run_duration_seconds", "How long runs took, without skipped ones", _SECONDS
        )
        self._size = histogram("answer_size_bytes", "Size of applied answers after decompression", _BYTES)
        self._webhooks = counter("webhooks", "Webhooks received by outcome", "workspace", "outcome")
        registry.register(self._gauges)
        ProcessCollector(registry=registry)

    def observe(self, report: Report) -> None:
        """Count a finished run."""
        name = report.name
        self._named.add(name)
        self._runs.labels(name, report.status).inc()
        self._requests.labels(name).inc(report.attempts)
        if report.status == "skipped":
            return
        self._duration.labels(name).observe(report.duration_seconds)
        if report.status != "succeeded":
            self._errors.labels(name, report.error_code or "error").inc()
            return
        self._size.labels(name).observe(report.bytes_received)
        counts = report.counts.as_dict()
        for fate in FATES:
            self._rows.labels(name, fate).inc(counts[fate])
        self._deleted.labels(name).inc(counts["deleted"])
        self._restored.labels(name).inc(counts["restored"])

    def count_webhook(self, workspace: str, outcome: str) -> None:
        """Count a webhook; `workspace` is empty for one that we do not know: nobody else names our series."""
        self._webhooks.labels(workspace, outcome).inc()

    def text(self, scrape: Scrape, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format that the scraper prefers."""
        with self._one_at_a_time:
            self._forget_all_but(scrape.workspaces)
            for name in scrape.workspaces:
                self._begin_at_zero(name)
            self._gauges.scrape = scrape
            try:
                encode, content_type = choose_encoder(accept)
            except (TypeError, ValueError):  # of a version that is no number
                encode, content_type = choose_encoder("")
            return encode(self._registry), content_type

    def _forget_all_but(self, names: tuple[str, ...]) -> None:
        """A workspace that is configured no more would stand there with its last counts for good."""
        gone = self._named.difference(names)
        self._named.difference_update(gone)
        for metric, labels in self._series if gone else ():
            samples = [sample.labels for family in metric.collect() for sample in family.samples]
            for own in {tuple(one[label] for label in labels) for one in samples if one["workspace"] in gone}:
                metric.remove(*own)

    def _begin_at_zero(self, name: str) -> None:
        """A series that begins at its first event hides that event from `increase()`."""
        self._named.add(name)
        for outcome in _OUTCOMES:
            self._runs.labels(name, outcome)
        for fate in FATES:
            self._rows.labels(name, fate)
        for outcome in _WEBHOOK_OUTCOMES:
            self._webhooks.labels(name, outcome)
        for single in (self._deleted, self._restored, self._requests, self._duration, self._size):
            single.labels(name)


class _Gauges(Collector):
    """What is read at the scrape instead of counted."""

    scrape: Scrape | None = None

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now = self.scrape
        if now is None:
            return
        build = _gauge("build_info", "Always 1; the version is in its label", ["version"])
        build.add_metric([__version__], 1)
        yield build
        beat_age = max(0.0, time.monotonic() - now.last_beat)
        yield _gauge("queue_length", "Workspaces waiting for their turn", value=now.queue_length)
        yield _gauge("running", "Workspaces being synced now", value=now.running)
        yield _gauge("scheduler_beat_age_seconds", "Since the scheduler last did its round", value=beat_age)
        yield _gauge("warehouse_up", "1 where the warehouse answers", value=int(now.overview is not None))
        if now.overview is not None:
            yield from _of_workspaces(now.overview)
            return
        failing = _gauge("consecutive_failures", _FAILURES, ["workspace"])
        for name, failures in now.failures.items():
            failing.add_metric([name], failures)
        yield failing


def _of_workspaces(overview: Overview) -> Iterator[Metric]:
    configured = [state for state in overview.states if state["configured"]]
    # Age and instant: one reads well on a dashboard, the other keeps growing while nobody answers.
    age = _gauge("last_success_age_seconds", "Seconds since the last successful run", ["workspace"])
    instant = _gauge("last_success_timestamp_seconds", "When the last successful run ended", ["workspace"])
    old_by = max(0.0, time.time() - overview.taken_at.timestamp())
    for state in configured:
        if state["last_success_at"] is not None:
            age.add_metric([state["name"]], state["age_seconds"] + old_by)
            instant.add_metric([state["name"]], state["last_success_at"].timestamp())
    yield from (age, instant)
    for key, meaning in (
        ("consecutive_failures", _FAILURES),
        ("rejects_open", "Rows that could not be loaded and still have not been"),
        ("held_deletes", "Interviews missing from the last answer whose deletion is held"),
    ):
        metric = _gauge(key, meaning, ["workspace"])
        for state in configured:
            metric.add_metric([state["name"]], state[key])
        yield metric
    present = _gauge("interviews", "Interviews in the warehouse, by whether deleted", ["workspace", "state"])
    for state in configured:
        present.add_metric([state["name"], "active"], state["active"])
        present.add_metric([state["name"], "deleted"], state["deleted"])
    yield present


def _gauge(
    name: str, meaning: str, labels: list[str] | None = None, value: float | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", meaning, value=value, labels=labels)
