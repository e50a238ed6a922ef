"""The PromQL of the alerts and the dashboard.

`python -m tests.deploy.promql` prints the dashboard's as rules, for promtool.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CONFIG = Path(__file__).parents[2] / "config"
DASHBOARD = CONFIG / "grafana" / "ontora-etl.json"
ALERTS = CONFIG / "prometheus" / "alerts.yaml"

# What Grafana puts in place before it asks.
_VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m"}
_METRIC = re.compile(r"\b(?:ontora_etl|process)_[a-z_]+\b(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(?P<label>\w+)(?:=~|!~|!=|=)"(?P<value>[^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|without) ?\((?P<labels>[^)]*)\)")
_LEGEND = re.compile(r"\{\{ ?(?:\$labels\.)?(?!end\b)(?P<label>[a-z]\w*) ?\}\}")


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def dashboard_expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [
        *(target["expr"] for panel in panels() for target in panel.get("targets", ())),
        *(found["expr"] for found in dashboard["annotations"]["list"]),
    ]


def expressions() -> list[str]:
    """Of both, and the queries that fill the dashboard's variables."""
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    queries = [variable["query"]["query"] for variable in variables if variable["type"] == "query"]
    return [rule["expr"] for rule in alert_rules()] + dashboard_expressions() + queries


def selectors() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each metric where it is used, with the (label, value) pairs that its braces ask for."""
    for expression in expressions():
        for match in _METRIC.finditer(expression):
            yield match[0].partition("{")[0], _MATCHER.findall(match["matchers"] or "")


def labels() -> set[str]:
    """The labels that anything groups by, or shows."""
    shown = [DASHBOARD.read_text(), ALERTS.read_text()]
    grouped = [group for expression in expressions() for group in _GROUPING.findall(expression)]
    named = {label.strip() for group in grouped for label in group.split(",")}
    return named | {label for text in shown for label in _LEGEND.findall(text)}


def main() -> None:
    rules = []
    for number, found in enumerate(dashboard_expressions()):
        expression = found
        for name, value in _VARIABLES.items():
            expression = expression.replace(name, value)
        rules.append({"record": f"dashboard:{number}", "expr": expression})
    json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout, indent=1)  # YAML, too


if __name__ == "__main__":
    main()
