"""Two warehouses, SQLite and Postgres, that live through the same syncs; and what they answer."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg

from etl.column_types import instant_text
from etl.config import Api, KeySource, Settings, Workspace
from etl.config import Warehouse as WarehouseSettings
from etl.extract import Downloads
from etl.meter import Meter
from etl.secret import Secret
from etl.standin import StandIn, generate_interviews
from etl.stop import Stop
from etl.sync import Options, Report
from etl.sync.one import Walk, sync_workspace
from etl.warehouse import Warehouse, open_warehouse
from etl.warehouse.schema import ensure_schema

_NAMESPACE = UUID("5a3c2ad5-1f3e-4c58-9d0e-3a86d34a7b11")
_KEY = "ont_live_twins"

Interview = dict[str, Any]
Row = dict[str, Any]


def today() -> datetime:
    """The start of the present UTC day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_ago(days: int, **time: int) -> datetime:
    """An instant so many days before today."""
    return (today() - timedelta(days=days)).replace(**time)  # type: ignore[arg-type]


def workspace(name: str) -> Workspace:
    """A workspace of that name, with an id of its own."""
    return Workspace(name, uuid5(_NAMESPACE, name), KeySource("env", "ONTORA_API_KEY"))


def interviews_of(name: str, count: int) -> list[Interview]:
    """So many made-up interviews of the workspace."""
    return list(generate_interviews(count, workspace_id=workspace(name).id, seed=7))


class Twins:
    """Both warehouses, at head, and the API that both are synced from."""

    def __init__(self, sqlite_url: str, postgres_url: str, api: StandIn) -> None:
        self.sqlite_path = Path(sqlite_url.removeprefix("sqlite:///"))
        self.postgres_url = postgres_url
        self.api = api
        self.warehouses = [_open(sqlite_url), _open(postgres_url)]
        self.places: set[UUID] = set()
        self.observed: list[tuple[datetime, str, dict[str, Interview]]] = []

    def sync(self, name: str, at: datetime, interviews: Sequence[Mapping[str, Any]]) -> None:
        """Sync the workspace into both warehouses when the clock says `at`; the API has these interviews."""
        place = self._known(name)
        self.api.set_interviews(place.id, interviews)
        for report in self._synced(place, at):
            assert report.counts.received == len(interviews)
            assert report.counts.held_deletes == 0
        self.observed.append((at, str(place.id), {i["id"]: dict(i) for i in interviews}))

    def sync_body(self, name: str, at: datetime, body: bytes) -> None:
        """The same, from an answer that is ready to be sent."""
        place = self._known(name)
        self.api.set_body(place.id, body)
        self._synced(place, at)

    def _known(self, name: str) -> Workspace:
        place = workspace(name)
        if place.id not in self.places:
            self.api.add_workspace(place.id, key=_KEY)
            self.places.add(place.id)
        return place

    def _synced(self, place: Workspace, at: datetime) -> list[Report]:
        settings = Settings(Path("etl.toml"), (place,), Api(base_url=self.api.base_url))
        reports = [asyncio.run(_sync(settings, each, place, lambda: at)) for each in self.warehouses]
        for report in reports:
            assert report.status == "succeeded", report.error
        return reports

    def rows(self, query: str) -> list[Row]:
        """What both answer, which must be the same, in the same order. As text, numbers and nulls."""
        day = None
        in_sqlite: list[Row] = []
        in_postgres: list[Row] = []
        while day != today():  # both on one day
            day = today()
            in_sqlite, in_postgres = self.sqlite_rows(query), self.postgres_rows(query)
        assert in_sqlite == in_postgres
        return in_sqlite

    def sqlite_rows(self, query: str) -> list[Row]:
        """What SQLite answers to an analyst's own connection."""
        with closing(sqlite3.connect(self.sqlite_path)) as connection:
            cursor = connection.execute(query)
            return _plain([d[0] for d in cursor.description or ()], cursor.fetchall())

    def postgres_rows(self, query: str) -> list[Row]:
        """What Postgres answers to an analyst's own connection, in a zone that is not UTC."""
        with psycopg.connect(self.postgres_url, options="-c TimeZone=Asia/Kathmandu") as connection:
            cursor = connection.execute(query.encode())
            return _plain([d.name for d in cursor.description or ()], cursor.fetchall())

    def close(self) -> None:
        """Close both."""
        for warehouse in self.warehouses:
            warehouse.close()


@contextmanager
def twin_warehouses(sqlite_url: str, postgres_url: str) -> Iterator[Twins]:
    """Both warehouses, empty and at head."""
    with StandIn() as api:
        twins = Twins(sqlite_url, postgres_url, api)
        try:
            yield twins
        finally:
            twins.close()


def tell_story(twins: Twins) -> None:
    """Six weeks of two workspaces: edits, completions, one taken back, deletes, a restore, a reject."""
    acme, globex = interviews_of("acme", 14), interviews_of("globex", 6)
    for interview in acme[:6]:
        interview |= {"status": "active", "contact_count": 20, "completed_count": 4, "timeframe_end": None}
    acme[4] |= {"timeframe_end": _text(days_ago(3)), "project_id": None}
    for interview in (*acme, *globex):
        interview["created_at"] = interview["updated_at"] = _text(days_ago(60, hour=7))
    twins.sync("acme", days_ago(40, hour=10), acme)
    twins.sync("globex", days_ago(40, hour=11), globex)

    acme = _changed(acme, 0, days_ago(20, hour=9), status="completed", completed_count=20)
    acme = _changed(acme, 1, days_ago(20, hour=9), status="completed", completed_count=19)
    twins.sync("acme", days_ago(20, hour=23, minute=59, second=59, microsecond=999_999), acme)
    acme = _changed(acme, 0, days_ago(20, hour=23), status="active")
    twins.sync("acme", days_ago(19), acme)  # midnight itself

    twins.sync("acme", days_ago(10, hour=12), _changed(acme[:2] + acme[3:], 2, None, completed_count=5))
    acme = _changed(acme, 3, None, completed_count=6)
    twins.sync("acme", days_ago(10, hour=13), acme[:2] + acme[3:])
    twins.sync("globex", days_ago(9, hour=1), globex[1:])

    acme = _changed(acme, 2, days_ago(6), name="Back again")
    twins.sync("acme", days_ago(5, hour=6), acme[:5] + acme[6:])
    acme = acme[:5] + acme[6:]

    acme = _changed(acme, 3, days_ago(1, hour=8), completed_count=9, status="paused")
    late = interviews_of("acme", 15)[14] | {"created_at": _text(days_ago(1)), "timeframe_end": None}
    twins.sync("acme", days_ago(1, hour=9), [*acme, late])
    broken = late | {"id": str(uuid5(_NAMESPACE, "broken")), "completion_threshold": "eighty"}
    twins.sync("acme", days_ago(1, hour=10), [*acme, late, broken])
    twins.observed[-1][2].pop(broken["id"])
    twins.sync("globex", days_ago(0), globex[1:])


def _changed(interviews: list[Interview], place: int, at: datetime | None, **fields: Any) -> list[Interview]:
    """The interviews with one changed; its updated_at moves only where `at` is given."""
    if at is not None:
        fields["updated_at"] = _text(at)
    return [*interviews[:place], interviews[place] | fields, *interviews[place + 1 :]]


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _open(url: str) -> Warehouse:
    warehouse = open_warehouse(WarehouseSettings(url=Secret(url)))
    ensure_schema(warehouse, auto_migrate=False)
    return warehouse


async def _sync(
    settings: Settings, warehouse: Warehouse, place: Workspace, clock: Callable[[], datetime]
) -> Report:
    loop = asyncio.get_running_loop()
    async with Downloads(settings.api) as downloads:
        walk = Walk(
            api=settings.api,
            downloads=downloads,
            warehouse=warehouse,
            environ={"ONTORA_API_KEY": _KEY},
            options=Options(),
            stop=Stop(),
            run_in_loader=partial(loop.run_in_executor, None),
            clock=clock,
        )
        return await sync_workspace(walk, place, Meter(place.name))


def _plain(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Row]:
    return [{name: _value(value) for name, value in zip(names, row, strict=True)} for row in rows]


def _value(value: Any) -> Any:
    """What both databases' drivers make of the same value."""
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal | float):
        return round(float(value), 9)
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.dumps(json.loads(value), sort_keys=True)
    return value
