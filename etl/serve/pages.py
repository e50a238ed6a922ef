"""The status page and the page of a workspace: what is read becomes what the templates show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from shlex import quote as shell_quote
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from etl import __version__
from etl.config import Settings
from etl.measures import age_text, bytes_text
from etl.serve import charts, words
from etl.serve.freshness import Freshness, freshness
from etl.serve.queries import RUNS_SHOWN, Overview, Past

REFRESH_SECONDS = 30
_WORST_FIRST = ("failing", "late", "attention", "waiting", "fresh", "off")
_TROUBLE = frozenset({"failing", "late", "attention"})


@dataclass(frozen=True, slots=True)
class Live:
    """What only the daemon knows, at the moment of the page."""

    settings: Settings
    queue_length: int
    running: frozenset[str]
    next_runs: Mapping[str, datetime | None]
    scheduler_breathes: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A workspace as both pages show it."""

    name: str
    href: str
    state: Mapping[str, Any]
    freshness: Freshness
    age: str
    running: bool
    next_in: str | None
    schedule: str
    spark: charts.Spark | None
    shares: list[charts.Share]


class Pages:
    """Renders; every value is escaped, whatever a workspace is called."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("etl.serve"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "age": age_text,
            "bytes": bytes_text,
            "duration": words.duration_text,
            "instant": words.instant_text,
            "iso": words.iso_text,
            "number": words.number_text,
            "shell": shell_quote,
        }
        self._templates.globals |= {
            "plural": words.plural,
            "version": __version__,
            "refresh_seconds": REFRESH_SECONDS,
            "spark_size": (charts.SPARK_WIDTH, charts.SPARK_HEIGHT),
            "plot_size": (charts.PLOT_WIDTH, charts.PLOT_HEIGHT),
            "runs_shown": RUNS_SHOWN,
        }

    def index(self, overview: Overview, live: Live, now: datetime, *, refreshing: bool) -> str:
        """Every workspace, those in trouble first, else in the configuration's order."""
        cards = [_card(overview, state, live, now) for state in overview.states]
        cards.sort(key=lambda card: _WORST_FIRST.index(card.freshness.kind))
        synced = [card for card in cards if card.freshness.kind != "off"]
        return self._templates.get_template("index.html").render(
            cards=cards,
            synced=synced,
            troubled=[card for card in synced if card.freshness.kind in _TROUBLE],
            failing=[card for card in synced if card.freshness.kind == "failing"],
            interviews=sum(card.state["active"] for card in cards),
            live=live,
            now=now,
            refreshing=refreshing,
        )

    def workspace(
        self, overview: Overview, name: str, past: Past | None, live: Live, now: datetime, *, refreshing: bool
    ) -> str:
        """One workspace: how it stands, its runs, its interviews over time."""
        state = find_state(overview, name)
        configured = next((w for w in live.settings.workspaces if str(w.id) == state["workspace_id"]), None)
        return self._templates.get_template("workspace.html").render(
            card=_card(overview, state, live, now),
            runs=overview.runs[state["workspace_id"]],
            chart=charts.chart(past.times, past.by_status) if past else None,
            keeps_history=configured is None or configured.policy.history,
            now=now,
            live=live,
            refreshing=refreshing,
        )

    def sorry(self, title: str, message: str, now: datetime, *, refreshing: bool) -> str:
        """A page that says what is wrong instead."""
        template = self._templates.get_template("sorry.html")
        return template.render(title=title, message=message, now=now, refreshing=refreshing)


def find_state(overview: Overview, name: str) -> dict[str, Any]:
    """The state of the workspace of that name or id. Raises KeyError.

    A name that was given to another workspace is that one's; what is no longer synced has its id.
    """
    by_name = [state for state in overview.states if state["name"] == name]
    by_id = [state for state in overview.states if state["workspace_id"] == name]
    found = [*(state for state in by_name if state["configured"]), *by_id, *by_name]
    if not found:
        raise KeyError(name)
    return found[0]


def _card(overview: Overview, state: dict[str, Any], live: Live, now: datetime) -> Card:
    # The daemon knows workspaces by name, and the name of one that is no longer synced may be another's.
    name, synced = state["name"], state["configured"]
    workspace = next((w for w in live.settings.workspaces if str(w.id) == state["workspace_id"]), None)
    last_success, next_run = state["last_success_at"], live.next_runs.get(name) if synced else None
    return Card(
        name=name,
        href=f"/workspaces/{quote(name if synced else state['workspace_id'], safe='')}",
        state=state,
        freshness=freshness(state, workspace, now),
        age=words.glance_text((now - last_success).total_seconds() if last_success else None),
        running=synced and name in live.running,
        next_in=words.glance_text(max(0.0, (next_run - now).total_seconds())) if next_run else None,
        schedule=str(workspace.policy.schedule) if workspace else "",
        spark=charts.spark(overview.runs[state["workspace_id"]]),
        shares=charts.shares(overview.by_status.get(state["workspace_id"], {})),
    )
