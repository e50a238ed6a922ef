"""What people see, and what they must not."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
import uvicorn
from msgspec.structs import replace
from sqlalchemy import text

from etl.config import Policy
from etl.errors import ConfigError
from etl.measures import age_text, bytes_text
from etl.schedule import parse_schedule
from etl.secret import Secret
from etl.serve import start_server
from etl.serve.charts import chart, shares, spark
from etl.serve.freshness import is_late
from etl.serve.guard import SECURITY_HEADERS
from etl.serve.queries import read_past
from etl.serve.words import duration_text
from etl.streak import Streak
from tests.serve.scenery import CONFIGURED, ERROR, FINDINGS, FORGOTTEN, SCRIPT
from tests.serve.stage import (
    ACME,
    GLOBEX,
    FakeDaemon,
    Stage,
    a_daemon,
    put_interview,
    put_version,
    put_workspace,
    serving,
)

TOKEN = "a-token-of-some-length"
PATHS = ["/", "/workspaces/acme", "/metrics", "/style.css", "/healthz", "/readyz", "/nothing/here"]


def answer_of(stage: Stage, path: str) -> httpx.Response:
    with stage.client() as client:
        return client.get(path)


def page(stage: Stage, path: str, status: int = 200) -> str:
    answer = answer_of(stage, path)
    assert answer.status_code == status
    return answer.text


def eventually(holds: Callable[[], bool]) -> None:
    """Pages are shared for a moment: a change shows a little later."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_status_page_shows_every_workspace(scene: Stage) -> None:
    html = page(scene, "/")
    for owner in CONFIGURED:
        assert f'href="/workspaces/{quote(owner.name, safe="")}"' in html
    assert f'href="/workspaces/{FORGOTTEN.id}"' in html
    for words in (
        "1 workspace failing",
        "and 2 more to look at",
        "4 failures in a row",
        ERROR,
        "31 deletes held",
        "3 rejected rows open",
        "Waiting for its first sync",
        "No longer synced",
        "Syncing now",
        "No runs yet",
        "81 completed",
        "in 7 min",
    ):
        assert words in html
    assert re.search(r'aria-label="Last 50 runs: \d+ succeeded, \d+ failed\. Median', html)


def test_the_page_of_a_workspace_shows_its_runs_and_its_past(scene: Stage) -> None:
    html = page(scene, "/workspaces/acme")
    assert html.count('<th scope="row">') >= 50
    assert "every 15m" in html
    assert 'class="plot"' in html
    assert "The chart as a table" in html


@pytest.mark.parametrize("owner", [*CONFIGURED, FORGOTTEN], ids=lambda owner: owner.name[:9])
def test_every_link_leads_somewhere(scene: Stage, owner: object) -> None:
    name: str = owner.name  # type: ignore[attr-defined]
    assert "<h1" in page(scene, f"/workspaces/{quote(name, safe='')}")


def test_a_name_that_another_workspace_has_now_is_that_ones(sqlite_at_head: str) -> None:
    old = replace(ACME, id=uuid4())
    with a_daemon(sqlite_at_head) as daemon:
        put_workspace(daemon.warehouse, old)
        put_workspace(daemon.warehouse, ACME)
        daemon.running["acme"] = 0.0
        with serving(daemon) as stage:
            cards = page(stage, "/").split("<article>")
            assert str(ACME.id) in page(stage, "/workspaces/acme")
            assert "No longer synced" in page(stage, f"/workspaces/{old.id}")
    (own,) = (card for card in cards if 'href="/workspaces/acme"' in card)
    (others,) = (card for card in cards if f'href="/workspaces/{old.id}"' in card)
    assert "Syncing now" in own
    assert "in 7 min" in own
    assert "No longer synced" in others
    assert "Syncing now" not in others
    assert "in 7 min" not in others


def test_failures_that_the_ledger_could_not_write_down_are_shown(stage: Stage) -> None:
    now = datetime.now(UTC)
    full = Streak(3, "warehouse_full", "the disk is full", now)
    for owner in (ACME, GLOBEX):
        put_workspace(stage.daemon.warehouse, owner, last_success_at=now - timedelta(minutes=1))
    stage.daemon.streaks["acme"] = full
    # Another process had a success meanwhile.
    stage.daemon.streaks["globex"] = replace(full, began_at=now - timedelta(minutes=2))
    html = page(stage, "/")
    assert "1 workspace failing" in html
    assert "3 failures in a row" in html
    assert "the disk is full" in page(stage, "/workspaces/acme")
    assert "the disk is full" not in page(stage, "/workspaces/globex")


def test_many_may_ask_at_once_for_what_is_not_there(stage: Stage) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=stage.url, trust_env=False, timeout=30) as client:
            return [
                answer.status_code
                for answer in await asyncio.gather(*(client.get("/workspaces/nobody") for _ in range(64)))
            ]

    assert set(asyncio.run(ask())) == {404}


@pytest.mark.parametrize("name", ["", "/", "."])
def test_the_start_is_no_workspace(stage: Stage, name: str) -> None:
    page(stage, "/")
    answer = stage.raw(f"GET /workspaces/{name} HTTP/1.0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    page(stage, "/")


def test_names_are_text(scene: Stage) -> None:
    for path in ("/", f"/workspaces/{quote(SCRIPT, safe='')}"):
        html = page(scene, path)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "<script" not in html.lower()


def test_no_text_of_an_interview_is_shown(scene: Stage) -> None:
    for path in ("/", "/workspaces/acme", f"/workspaces/{quote(FINDINGS.name, safe='')}", "/metrics"):
        assert "SECRET" not in page(scene, path)


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(scene: Stage) -> None:
    for path in ("/", "/workspaces/acme"):
        html = page(scene, path)
        assert "://" not in html.replace(ERROR, "")
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", html)


def test_it_refreshes_itself_unless_told_not_to(scene: Stage) -> None:
    with scene.client() as client:
        assert client.get("/").headers["refresh"] == "30"
        paused = client.get("/?refresh=off")
    assert "refresh" not in paused.headers
    assert "Resume updates" in paused.text


def test_an_empty_warehouse_has_a_page_too(stage: Stage) -> None:
    html = page(stage, "/")
    assert "Waiting for first syncs" in html
    assert "No interviews yet" in page(stage, "/workspaces/acme")
    page(stage, "/workspaces/nobody", 404)


def test_a_scheduler_that_stands_still_is_said_so(scene: Stage) -> None:
    scene.daemon.stood_still_at = time.monotonic() - 31
    try:
        eventually(lambda: "The scheduler stands still" in page(scene, "/"))
        assert "does not breathe" in page(scene, "/healthz", 503)
    finally:
        scene.daemon.stood_still_at = None
    assert '"status":"ok"' in page(scene, "/healthz")
    eventually(lambda: "The scheduler stands still" not in page(scene, "/"))


def test_ready_means_that_the_schema_is_at_head(stage: Stage) -> None:
    assert page(stage, "/readyz") == '{"status":"ok"}'
    with stage.daemon.warehouse.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    eventually(lambda: "schema_not_at_head" in answer_of(stage, "/readyz").text)
    page(stage, "/readyz", 503)


def test_a_warehouse_that_is_gone_is_said_so(tmp_path: Path) -> None:
    with a_daemon(f"sqlite:///{tmp_path / 'w.db'}") as daemon, serving(daemon) as stage:
        daemon.warehouse.close()
        for file in tmp_path.iterdir():
            file.unlink()
        (tmp_path / "w.db").mkdir()
        html = page(stage, "/", 503)
        assert "The warehouse does not answer" in html
        assert "w.db" in html
        page(stage, "/readyz", 503)
        page(stage, "/healthz")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("closed")
    with a_daemon(f"sqlite:///{folder / 'w.db'}") as daemon, serving(daemon, Secret(TOKEN)) as running:
        yield running


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


@pytest.mark.parametrize("path", ["/", "/workspaces/acme", "/metrics", "/style.css", "/nothing", "/healthz/"])
@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x y",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        basic(""),
        "Basic ???",
        basic("x"),
    ],
)
def test_without_the_token_nothing_is_shown(closed: Stage, path: str, header: str) -> None:
    with closed.client() as client:
        answer = client.get(path, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [
        'Bearer realm="ontora-etl"',
        'Basic realm="ontora-etl", charset="UTF-8"',
    ]
    assert "acme" not in answer.text


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)])
def test_with_the_token_all_is_shown(closed: Stage, header: str) -> None:
    with closed.client(headers={"Authorization": header}) as client:
        for path in ("/", "/workspaces/acme", "/metrics", "/style.css"):
            assert client.get(path).status_code == 200


def test_health_and_webhooks_need_no_token(closed: Stage) -> None:
    with closed.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.post("/webhooks/acme").json() == {"detail": "the signature is missing or wrong"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_every_answer_is_strict(closed: Stage, path: str, method: str) -> None:
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        with closed.client() as client:
            assert_strict(client.request(method, path, headers=headers))


def assert_strict(answer: httpx.Response) -> None:
    for name, content in SECURITY_HEADERS.items():
        assert answer.headers.get_list(name) == [content]
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_a_fault_of_ours_shows_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("SECRET")

    monkeypatch.setattr("etl.serve.queries.read_overview", broken)
    with stage.client() as client:
        answer = client.get("/")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert_strict(answer)


def test_it_looks_up_once_a_second(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Counter[int] = Counter()  # by server: those of other tests live on in this process
    on_tick = uvicorn.Server.on_tick

    async def counting(server: uvicorn.Server, counter: int) -> bool:
        ticks[id(server)] += 1
        return await on_tick(server, counter)

    monkeypatch.setattr(uvicorn.Server, "on_tick", counting)
    began = time.monotonic()
    with serving(daemon) as stage:
        time.sleep(1.2)
        assert "date" in answer_of(stage, "/healthz").headers
        assert 2 <= max(ticks.values()) <= 1 + (time.monotonic() - began)


def test_it_leaves_when_told(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.serve.server._TICK_SECONDS", 3600)
    with serving(daemon) as stage:
        page(stage, "/healthz")
        told = time.monotonic()
    assert time.monotonic() - told < 20


async def _listen(daemon: FakeDaemon, address: str) -> None:
    async with start_server(daemon, address, None):
        pass


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "192.0.2.1:0"])
def test_where_it_cannot_listen_it_says_so(daemon: FakeDaemon, address: str) -> None:
    with pytest.raises(ConfigError):
        asyncio.run(_listen(daemon, address))


# --- the past, the pictures, the words ---

DAY = timedelta(days=1)


def test_the_past_is_what_it_was(warehouse_at_head: str) -> None:
    now = datetime(2026, 3, 31, 12, tzinfo=UTC)
    begin = now - 30 * DAY
    with a_daemon(warehouse_at_head) as daemon:
        place = daemon.warehouse
        put_version(place, ACME, 1, "draft", begin, begin + 10 * DAY)
        put_interview(place, ACME, 1, "active", begin + 10 * DAY)
        put_version(place, ACME, 2, "active", begin, begin + 5 * DAY, "deleted")
        put_version(place, ACME, 2, "active", begin + 5 * DAY, begin + 20 * DAY, "restored")
        put_interview(place, ACME, 2, "active", begin + 20 * DAY)
        put_version(place, ACME, 3, "draft", begin + 1 * DAY, begin + 25 * DAY, "deleted")
        put_interview(place, ACME, 3, "draft", begin + 1 * DAY, _deleted_at=begin + 25 * DAY)
        with place.reading() as connection:
            past = read_past(connection, ACME.id, now)
    assert past is not None
    assert past.times[-1] == now

    def at(days: float) -> dict[str, int]:
        place = next(i for i, time_ in enumerate(past.times) if time_ > begin + days * DAY)
        return {status: counts[place] for status, counts in past.by_status.items()}

    assert at(0) == {"active": 1, "draft": 1}
    assert at(3) == {"active": 1, "draft": 2}
    assert at(7) == {"active": 0, "draft": 2}
    assert at(15) == {"active": 1, "draft": 1}
    assert at(22) == {"active": 2, "draft": 1}
    assert at(29.9) == {"active": 2, "draft": 0}


def test_a_past_that_is_still_to_come(daemon: FakeDaemon) -> None:
    """The clock of whoever synced was ahead of ours, or ours was set back."""
    now = datetime.now(UTC)
    put_interview(daemon.warehouse, ACME, 1, "active", now + DAY)
    with daemon.warehouse.reading() as connection:
        past = read_past(connection, ACME.id, now)
    assert past is not None
    assert past.by_status == {"active": [1]}
    with serving(daemon) as stage:
        assert "active" in page(stage, "/workspaces/acme")


def test_no_past_no_picture(daemon: FakeDaemon) -> None:
    with daemon.warehouse.reading() as connection:
        assert read_past(connection, ACME.id, datetime.now(UTC)) is None


def test_pictures_of_little() -> None:
    now = datetime.now(UTC)
    assert spark([]) is None
    assert shares({}) == []
    one = chart([now], {"active": [1]})
    assert (one.heights, one.instants) == ([2, 1, 0], [now])
    assert [share.css for share in shares({"zz": 1, "draft": 1, "active": 2})] == [
        "is-active",
        "is-draft",
        "is-other-0",
    ]


@pytest.mark.parametrize("highest", [1, 2, 3, 7, 11, 99, 100, 101, 120, 121, 5_001, 99_999, 1_234_567])
def test_the_axis_ends_at_an_even_number_just_above(highest: int) -> None:
    top = chart([datetime.now(UTC)], {"active": [highest]}).heights[0]
    assert top % 2 == 0
    assert highest <= top <= 2 * highest


@pytest.mark.parametrize(
    ("schedule", "minutes", "late"),
    [
        ("every 15m", 31, False),
        ("every 15m", 33, True),
        ("*/15 * * * *", 31, False),
        ("*/15 * * * *", 34, True),
        ("0 9 * * mon-fri", 60 * 24 * 4 - 30, False),
    ],
)
def test_late_is_what_missed_two_runs(schedule: str, minutes: int, late: bool) -> None:
    friday = datetime(2026, 3, 27, 9, 0, 30, tzinfo=UTC)
    policy = Policy(schedule=parse_schedule(schedule))
    assert is_late(policy, friday, friday + timedelta(minutes=minutes)) is late


def test_words() -> None:
    assert [age_text(s) for s in (None, -5, 0, 59.9, 60, 3_661, 90_061, 86_400 * 40)] == [
        "never",
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
        "40 d",
    ]
    assert [duration_text(s) for s in (None, 0.4, 3.14, 12, 125)] == [
        "–",
        "0.40 s",
        "3.1 s",
        "12 s",
        "2 min 5 s",
    ]
    assert [bytes_text(n) for n in (0, 999, 1_900_000, 5_000_000_000)] == [
        "0 B",
        "999 B",
        "1.9 MB",
        "5.00 GB",
    ]
