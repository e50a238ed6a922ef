"""The alerts and the dashboard ask for what the daemon exports: metrics, labels, the labels' values."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from etl.serve.metrics import Metrics, Scrape
from etl.serve.queries import Overview
from etl.sync.report import Report
from tests.deploy import promql

Series = dict[str, list[dict[str, str]]]

PROMETHEUS_OWN = {"job", "instance", "le"}
STATE = {
    "name": "acme",
    "configured": True,
    "age_seconds": 60.0,
    "consecutive_failures": 1,
    "rejects_open": 2,
    "held_deletes": 3,
    "active": 4,
    "deleted": 5,
}


@pytest.fixture(scope="module")
def exported() -> Series:
    """Every series of a scrape: the name, and the labels of each."""
    metrics = Metrics()
    metrics.observe(Report(name="acme", workspace_id="-", status="failed", error_code="timeout"))
    now = datetime.now(UTC)
    states = [STATE | {"last_success_at": now - timedelta(seconds=60)}]
    overview = Overview(taken_at=now, states=states, runs={}, by_status={})
    scrape = Scrape(("acme",), 0, 0, last_beat=time.monotonic(), failures={}, overview=overview)
    text, _ = metrics.text(scrape, "text/plain")
    found: Series = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_metrics_in_use_are_exported(exported: Series) -> None:
    used = {name for name, _ in promql.selectors()}
    assert len(used) > 10
    assert used - set(exported) == set()


def test_labels_and_values_asked_for_are_exported(exported: Series) -> None:
    for name, matchers in promql.selectors():
        for label, value in matchers:
            if label in PROMETHEUS_OWN:
                continue
            assert label in exported[name][0], f"{name} has no label {label}"
            if "$" not in value:
                there = {labels[label] for labels in exported[name]}
                assert set(value.split("|")) <= there, f"{name}: {value}"
    known = {label for series in exported.values() for labels in series for label in labels}
    assert promql.labels() <= known | PROMETHEUS_OWN


def test_colours_of_outcomes_and_fates_are_of_some_that_exist(exported: Series) -> None:
    values = {value for series in exported.values() for labels in series for value in labels.values()}
    named = {
        override["matcher"]["options"]
        for panel in promql.panels()
        if panel["type"] == "timeseries"
        for override in panel["fieldConfig"]["overrides"]
    }
    assert named
    assert named <= values


def test_every_metric_of_the_program_is_on_the_dashboard(exported: Series) -> None:
    shown = " ".join(promql.dashboard_expressions())
    ours = [name for name in exported if name.startswith("ontora_etl_")]
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
    # The age is shown by way of the instant, which goes on while nobody answers.
    assert {name for name in families if name not in shown} == {"ontora_etl_last_success_age_seconds"}


def test_every_alert_says_how_grave_it_is_and_what_to_do_and_is_tested() -> None:
    rules = promql.alert_rules()
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names)
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}
    tests = promql.ALERTS.with_name("alerts_test.yaml").read_text()
    assert [name for name in names if name not in tests] == []


def test_the_scrape_job_has_the_name_that_the_alerts_ask_for() -> None:
    (job,) = yaml.safe_load(promql.ALERTS.with_name("prometheus.yaml").read_text())["scrape_configs"]
    asked = set(re.findall(r'job="([^"$]+)"', promql.ALERTS.read_text()))
    assert asked == {job["job_name"]}


# --- the dashboard as Grafana reads it ---


def test_panels_are_whole_and_ask_the_chosen_data_source() -> None:
    panels = promql.panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert source == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_overlap() -> None:
    def cells(panel: dict[str, dict[str, int]]) -> Iterator[tuple[int, int]]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))

    taken = [set(cells(panel)) for panel in promql.panels()]
    assert not any(one & other for one, other in combinations(taken, 2))


def test_variables_in_use_are_defined() -> None:
    dashboard = json.loads(promql.DASHBOARD.read_text())
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    everything = " ".join(promql.expressions()) + json.dumps(dashboard["panels"])
    used = set(re.findall(r"\$\{?([a-z]\w*)", everything)) - {"labels"}
    assert used == defined
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert dashboard["id"] is None
    assert dashboard["schemaVersion"] >= 36
