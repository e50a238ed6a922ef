"""What Prometheus sees."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from etl.errors import WarehouseError
from etl.load import Counts
from etl.serve import app
from etl.streak import Streak
from etl.sync.report import Report
from tests.serve.scenery import ERROR, FAILING, FINDINGS, FORGOTTEN, SCRIPT
from tests.serve.stage import ACME, FakeDaemon, Stage, a_daemon, put_runs, put_workspace, serving, workspace

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(stage: Stage) -> Samples:
    with stage.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = parse_text(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"ontora_etl_{name}", frozenset(labels.items())]


def finished(**facts: object) -> Report:
    report = Report("acme", str(ACME.id), "succeeded", run_id=1)
    for name, fact in facts.items():
        setattr(report, name, fact)
    return report


def tell(stage: Stage, report: Report) -> None:
    for observer in stage.daemon.observers:
        stage.loop.call_soon_threadsafe(observer, report)


def test_runs_are_counted_by_outcome_and_rows_by_fate(stage: Stage) -> None:
    counts = Counts(received=7, inserted=1, updated=2, unchanged=3, rejected=1, deleted=4, restored=1)
    for _ in range(2):
        tell(stage, finished(counts=counts, bytes_received=250_000, attempts=2, duration_seconds=3.0))
    tell(stage, finished(status="failed", error_code="server_error", attempts=5, duration_seconds=70.0))
    tell(stage, finished(status="skipped"))
    samples = scrape(stage)
    assert value(samples, "runs_total", workspace="acme", outcome="succeeded") == 2
    assert value(samples, "runs_total", workspace="acme", outcome="failed") == 1
    assert value(samples, "runs_total", workspace="acme", outcome="skipped") == 1
    assert value(samples, "run_errors_total", workspace="acme", code="server_error") == 1
    assert value(samples, "rows_total", workspace="acme", fate="updated") == 4
    assert value(samples, "rows_deleted_total", workspace="acme") == 8
    assert value(samples, "rows_restored_total", workspace="acme") == 2
    assert value(samples, "api_requests_total", workspace="acme") == 9
    assert value(samples, "run_duration_seconds_count", workspace="acme") == 3
    assert value(samples, "run_duration_seconds_bucket", workspace="acme", le="5.0") == 2
    assert value(samples, "run_duration_seconds_sum", workspace="acme") == pytest.approx(76.0)
    assert value(samples, "answer_size_bytes_count", workspace="acme") == 2
    fates = [
        v
        for (name, labels), v in samples.items()
        if name == "ontora_etl_rows_total" and ("workspace", "acme") in labels
    ]
    assert sum(fates) == 14


def test_every_series_is_there_before_its_first_event(stage: Stage) -> None:
    samples = scrape(stage)
    for outcome in ("succeeded", "failed", "skipped", "interrupted"):
        assert value(samples, "runs_total", workspace="silent", outcome=outcome) == 0
    assert value(samples, "rows_total", workspace="silent", fate="inserted") == 0
    assert value(samples, "webhooks_total", workspace="silent", outcome="accepted") == 0
    assert value(samples, "run_duration_seconds_count", workspace="silent") == 0


def test_a_workspace_that_is_configured_no_more_takes_its_series_with_it(stage: Stage) -> None:
    tell(stage, finished(status="failed", error_code="server_error"))
    assert value(scrape(stage), "run_errors_total", workspace="acme", code="server_error") == 1
    others = tuple(w for w in stage.daemon.settings.workspaces if w.name != "acme")
    stage.daemon.settings = replace(stage.daemon.settings, workspaces=others)
    time.sleep(2.1)  # gauges are shared for a moment
    samples = scrape(stage)
    assert not any(("workspace", "acme") in labels for _, labels in samples)
    assert value(samples, "runs_total", workspace="globex", outcome="failed") == 0


def test_how_the_workspaces_stand(scene: Stage) -> None:
    samples = scrape(scene)
    assert value(samples, "warehouse_up") == 1
    assert value(samples, "queue_length") == 2
    assert value(samples, "running") == 1
    assert value(samples, "scheduler_beat_age_seconds") < 5
    assert value(samples, "consecutive_failures", workspace="initech") == 4
    assert value(samples, "last_success_age_seconds", workspace="initech") == pytest.approx(3 * 3600, abs=60)
    assert value(samples, "last_success_timestamp_seconds", workspace="initech") == pytest.approx(
        time.time() - 3 * 3600, abs=60
    )
    assert value(samples, "held_deletes", workspace=FINDINGS.name) == 31
    assert value(samples, "rejects_open", workspace=FINDINGS.name) == 3
    assert value(samples, "interviews", workspace="acme", state="active") == 120
    assert value(samples, "consecutive_failures", workspace=SCRIPT) == 0
    assert not any(("workspace", FORGOTTEN.name) in labels for _, labels in samples)
    assert ("ontora_etl_last_success_age_seconds", frozenset({("workspace", "zorg")})) not in samples


def test_names_that_would_break_the_format_are_escaped(sqlite_at_head: str) -> None:
    odd = workspace('quote " backslash \\ line\nend')
    with a_daemon(sqlite_at_head, odd) as daemon:
        put_workspace(daemon.warehouse, odd)
        with serving(daemon) as stage:
            assert value(scrape(stage), "held_deletes", workspace=odd.name) == 0


def test_openmetrics_for_those_who_ask(scene: Stage) -> None:
    with scene.client() as client:
        answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(answer.text)  # type: ignore[no-untyped-call]
    assert "ontora_etl_runs" in {family.name for family in families}


@pytest.mark.parametrize("version", ["abc", "1.0.0-rc.1", ""])
def test_whoever_asks_for_a_version_that_is_none_gets_text(stage: Stage, version: str) -> None:
    with stage.client() as client:
        accept = f"application/openmetrics-text; version={version}"
        assert client.get("/metrics", headers={"Accept": accept}).status_code == 200


def test_a_warehouse_that_hangs_is_told_in_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_SCRAPE_SECONDS", 0.3)
    monkeypatch.setattr(app, "_PROBE_SECONDS", 0.3)
    may_answer = threading.Event()

    def hang(*_: object) -> None:
        may_answer.wait(60)
        raise WarehouseError("gone")

    for name in ("etl.serve.queries.read_overview", "etl.serve.app.require_head"):
        monkeypatch.setattr(name, hang)
    try:
        with stage.client() as client:
            for _ in range(3):
                assert client.get("/readyz").status_code == 503
                assert value(scrape(stage), "warehouse_up") == 0
    finally:
        may_answer.set()


def test_a_warehouse_that_is_gone_hides_no_counter(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(stage, finished())
    stage.daemon.streaks["acme"] = Streak(2)

    def gone(*_: object) -> None:
        raise WarehouseError("gone")

    monkeypatch.setattr("etl.serve.queries.read_overview", gone)
    samples = scrape(stage)
    assert value(samples, "warehouse_up") == 0
    assert value(samples, "consecutive_failures", workspace="acme") == 2
    assert value(samples, "runs_total", workspace="acme", outcome="succeeded") == 1


def test_no_text_of_an_interview_and_no_error_is_among_them(scene: Stage) -> None:
    with scene.client() as client:
        text = client.get("/metrics").text
    assert FAILING.name in text
    assert "SECRET" not in text
    assert "ONTORA_API_KEY_INITECH" in ERROR
    assert "ONTORA_API_KEY_INITECH" not in text  # its 401 would not do: any number may hold that


def test_many_scrapes_read_the_warehouse_once(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl.serve import queries  # noqa: PLC0415

    read, reads = queries.read_overview, []

    def counting(*facts: object) -> object:
        reads.append(facts)
        return read(*facts)  # type: ignore[arg-type]

    monkeypatch.setattr(queries, "read_overview", counting)
    put_workspace(daemon.warehouse, ACME, last_success_at=datetime.now(UTC))
    put_runs(daemon.warehouse, ACME, [{"started_at": datetime.now(UTC) - timedelta(minutes=1)}])
    with serving(daemon) as stage, stage.client() as client:
        started = time.monotonic()
        for path in ("/metrics", "/", "/workspaces/acme") * 10:
            assert client.get(path).status_code == 200
        assert len(reads) <= 1 + (time.monotonic() - started) / 2


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's prometheus) is not installed")
def test_promtool_finds_nothing_to_say(scene: Stage) -> None:
    with scene.client() as client:
        text = client.get("/metrics").content
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
