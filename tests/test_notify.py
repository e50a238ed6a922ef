"""What people are told: each thing once, across processes and restarts, and until it is delivered."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from etl import ledger, notify
from etl.config import KeySource, Notify, Settings, Workspace
from etl.config import Warehouse as WarehouseSettings
from etl.errors import EtlError, Interrupted, SchemaMismatch, ServerError
from etl.load import Counts, Job, Outcome
from etl.notices import Told, Watched
from etl.notify import after_pass, tell
from etl.secret import Secret
from etl.streak import Streak
from etl.sync import Report
from etl.tables import workspaces
from etl.warehouse import Warehouse, open_warehouse
from etl.warehouse.schema import ensure_schema
from tests.listener import Listener
from tests.receiver import Receiver

WORKSPACES = tuple(
    Workspace(name, UUID(int=number), KeySource("env", "KEY"), enabled=name != "off")
    for number, name in enumerate(["acme", "globex", "off"], start=1)
)
NOTIFY = Notify(webhook_url_env="HOOK", after_failures=3, heartbeat_url_env="HEARTBEAT")
MISMATCH = SchemaMismatch("97 of 97 rows were rejected: missing field")
FACTS = {"bytes_received": 100, "attempts": 1, "duration_seconds": 0.5}
HELD = {"code": "deletes_held", "message": "40 interviews are gone at once", "count": 40}


class Passes:
    """Passes over the workspaces, each by a process of its own."""

    def __init__(self, url: str, receiver: Receiver) -> None:
        self.url = url
        self.receiver = receiver
        self.notify = NOTIFY
        self.now = datetime(2026, 5, 4, 8, tzinfo=UTC)

    @contextmanager
    def open(self) -> Iterator[Warehouse]:
        warehouse = open_warehouse(WarehouseSettings(Secret(self.url)))
        try:
            ensure_schema(warehouse, auto_migrate=False)
            yield warehouse
        finally:
            warehouse.close()

    def run(self, *outcomes: EtlError | int | None) -> list[str]:
        """What is told after a pass in which this came of the workspaces: an error, or held deletes."""
        with self.open() as warehouse:
            reports = [
                self._run(warehouse, workspace, outcome)
                for workspace, outcome in zip(WORKSPACES, outcomes, strict=False)
            ]
            settings = Settings(Path("etl.toml"), WORKSPACES, notify=self.notify)
            after_pass(settings, warehouse, reports, self.receiver.environ())
        return self.receiver.texts()

    def _run(self, warehouse: Warehouse, workspace: Workspace, came: EtlError | int | None) -> Report:
        self.now += timedelta(minutes=15)
        report = Report(workspace.name, str(workspace.id), "succeeded")
        with warehouse.writing() as connection:
            run_id = ledger.start_run(connection, workspace.id, workspace.name, "manual", self.now)
            report.run_id = run_id
            if isinstance(came, EtlError):
                ledger.fail_run(connection, run_id, workspace.id, came, FACTS, self.now)
                report.status = "interrupted" if isinstance(came, Interrupted) else "failed"
                report.error_code, report.error = came.code, str(came)
            else:
                report.counts = Counts(held_deletes=came or 0)
                report.warnings = [HELD] if came else []
                outcome = Outcome(report.counts, report.warnings)
                ledger.succeed_run(connection, Job(run_id, workspace), outcome, FACTS, self.now)
                connection.execute(
                    update(workspaces)
                    .where(workspaces.c.workspace_id == workspace.id)
                    .values(held_deletes=came or 0)
                )
        return report


@pytest.fixture
def passes(warehouse_at_head: str, receiver: Receiver) -> Passes:
    return Passes(warehouse_at_head, receiver)


def test_failures_are_told_once_and_so_is_recovery(passes: Passes) -> None:
    down = ServerError("the API answered 503")
    told = [passes.run(came) for came in (None, down, down, down, down, down, None, None)]
    assert [len(texts) for texts in told] == [0, 0, 0, 1, 0, 0, 1, 0]
    assert told[3][0] == (
        "workspace acme failed 3 times in a row: the API answered 503 [server_error]; "
        "last success: 2026-05-04 08:15 UTC"
    )
    assert told[6][0] == "workspace acme is fresh again, after 5 failed runs"


@pytest.mark.parametrize("deaf", [1, 2])
def test_what_the_receiver_refused_is_told_by_a_later_pass(passes: Passes, deaf: int) -> None:
    down = ServerError("503")
    told = []
    for number in range(1, 8):
        passes.receiver.status = 500 if 3 <= number < 3 + deaf else 200
        told.append(passes.run(down if number < 7 else None))
    heard = [texts if number not in range(3, 3 + deaf) else [] for number, texts in enumerate(told, 1)]
    assert [len(texts) for texts in heard] == [0, 0, 0, *([0] * (deaf - 1)), 1, *([0] * (2 - deaf)), 0, 1]
    assert f"failed {3 + deaf} times in a row" in heard[2 + deaf][0]
    assert heard[-1] == ["workspace acme is fresh again, after 6 failed runs"]


def test_what_a_pass_could_not_tell_as_it_was_stopped_the_next_one_tells(passes: Passes) -> None:
    with passes.open() as warehouse:
        passes._run(warehouse, WORKSPACES[0], MISMATCH)
        passes._run(warehouse, WORKSPACES[1], 40)
    (told,) = passes.run()
    assert [line.split(":")[0] for line in told.splitlines()] == ["workspace acme", "workspace globex"]
    assert passes.run() == []


def test_two_processes_tell_it_once(passes: Passes) -> None:
    passes.notify = Notify("HOOK", after_failures=1)
    passes.receiver.seconds = 0.5
    with passes.open() as warehouse:
        passes._run(warehouse, WORKSPACES[0], ServerError("503"))
    settings = Settings(Path("etl.toml"), WORKSPACES, notify=passes.notify)

    def one() -> None:
        with passes.open() as warehouse:
            after_pass(settings, warehouse, [], passes.receiver.environ())

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(one) for _ in range(4)]:
            each.result()
    assert len(passes.receiver.texts()) == 1
    one()
    assert passes.receiver.texts() == []


def test_what_no_ledger_can_hold_is_told_once_too(passes: Passes, tmp_path: Path) -> None:
    acme, told = WORKSPACES[0], Told()
    passes.run(None)

    def look(streak: Streak, warehouse: Warehouse) -> tuple[bool, list[str]]:
        watched = [Watched(acme.id, acme.name, streak)]
        is_all = tell(NOTIFY, warehouse, watched, told, passes.receiver.environ())
        return is_all, passes.receiver.texts()

    streak = Streak()
    nowhere = WarehouseSettings(Secret(f"sqlite:///{tmp_path}"))
    with passes.open() as good, closing(open_warehouse(nowhere)) as gone:
        assert look(streak, good) == (True, [])
        for failures in range(1, 6):
            streak = streak.failed("warehouse_full", "no room", datetime.now(UTC))
            is_all, texts = look(streak, gone)
            assert not is_all  # there may be more, once the ledger can be asked
            assert texts == (
                ["workspace acme failed 3 times in a row: no room [warehouse_full]"] if failures == 3 else []
            )
        assert look(streak, good) == (True, [])
        passes._run(good, acme, None)
        assert look(streak.succeeded(), gone) == (False, [])
        assert look(streak.succeeded(), good) == (
            True,
            ["workspace acme is fresh again, after 5 failed runs"],
        )
        assert look(streak.succeeded(), good) == (True, [])


def test_what_was_told_is_not_forgotten_where_it_cannot_be_read(passes: Passes) -> None:
    """As where someone has migrated to another schema below a daemon, or taken a right away."""
    acme, told = WORKSPACES[0], Told()
    watched = [Watched(acme.id, acme.name, Streak(3, "warehouse_error", "no", datetime.now(UTC)))]
    with passes.open() as warehouse:
        assert tell(NOTIFY, warehouse, watched, told, passes.receiver.environ())
        with warehouse.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE notices RENAME TO elsewhere")
        for _ in range(3):
            assert not tell(NOTIFY, warehouse, watched, told, passes.receiver.environ())
    assert len(passes.receiver.texts()) == 1


def test_few_failures_are_nobodys_business(passes: Passes) -> None:
    down = ServerError("503")
    assert [passes.run(came) for came in (down, down, None, down, down, None)] == [[]] * 6


def test_interrupted_runs_neither_count_nor_clear(passes: Passes) -> None:
    down, stopped = ServerError("503"), Interrupted("told to stop")
    told = [passes.run(came) for came in (down, stopped, down, stopped, down, stopped, None)]
    assert [len(texts) for texts in told] == [0, 0, 0, 0, 1, 0, 1]


def test_each_workspace_counts_for_itself_and_one_pass_is_one_message(passes: Passes) -> None:
    down = ServerError("503")
    passes.notify = Notify("HOOK", after_failures=1)
    (told,) = passes.run(down, down)
    assert [line.split()[1] for line in told.splitlines()] == ["acme", "globex"]
    (told,) = passes.run(down, None)
    assert told == "workspace globex is fresh again, after 1 failed run"


def test_schema_mismatch_is_told_at_once_and_once(passes: Passes) -> None:
    told = [passes.run(came) for came in (None, MISMATCH, MISMATCH, None)]
    assert [len(texts) for texts in told] == [0, 1, 0, 1]
    assert "97 of 97 rows" in told[1][0]


def test_held_deletes_are_told_once(passes: Passes) -> None:
    told = [passes.run(came) for came in (None, 40, 40, ServerError("503"), 40, None, 40)]
    assert [len(texts) for texts in told] == [0, 1, 0, 0, 0, 0, 1]
    assert told[1] == ["workspace acme: 40 interviews are gone at once"]


def test_heartbeat_after_a_pass_in_which_every_workspace_succeeded(passes: Passes) -> None:
    passes.run(None, None)
    assert passes.receiver.pings == 1
    passes.run(None, ServerError("503"))
    passes.run(None)  # one of two, by name
    assert passes.receiver.pings == 1
    passes.run(None, None)
    assert passes.receiver.pings == 2


def test_text_is_escaped_for_slack(passes: Passes) -> None:
    passes.notify = Notify("HOOK", after_failures=1)
    (told,) = passes.run(ServerError("<!channel> & co"))
    assert "&lt;!channel&gt; &amp; co" in told


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_cannot_be_sent_is_logged_without_the_address(
    passes: Passes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    passes.notify = Notify("HOOK", after_failures=1, heartbeat_url_env="HEARTBEAT")
    passes.receiver.status = status
    passes.run(ServerError("503"), None)
    passes.run(None, None)
    assert f"cannot notify 127.0.0.1 (address from HOOK): it answered {status}" in caplog.text
    assert f"cannot notify 127.0.0.1 (address from HEARTBEAT): it answered {status}" in caplog.text
    assert "sEcReT" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://127.0.0.1:1/sEcReT", "sEcReT", "https://[sEcReT", "ftp://host/sEcReT"),
        *("http://127.0.0.1:99999/sEcReT", "http://127.0.0.1:-1/sEcReT"),
    ],
)
def test_no_address_fails_nothing(
    passes: Passes, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(passes.receiver, "environ", lambda: {"HOOK": url, "HEARTBEAT": url})
    passes.notify = Notify("HOOK", after_failures=1, heartbeat_url_env="HEARTBEAT")
    passes.run(ServerError("503"), None)
    passes.run(None, None)
    assert caplog.text.count("cannot notify") == 2  # nobody waits to hear that it is fresh again
    assert "sEcReT" not in caplog.text.replace("ServerError", "")


@pytest.mark.parametrize(
    ("variable", "value"), [("SSL_CERT_FILE", "/no/such/file"), ("ALL_PROXY", "socks5://127.0.0.1:9")]
)
def test_no_way_to_send_fails_nothing(
    passes: Passes,
    variable: str,
    value: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NO_PROXY", "")
    environ = {"HOOK": "https://127.0.0.1:9/sEcReT", "HEARTBEAT": "https://127.0.0.1:9/sEcReT"}
    monkeypatch.setattr(passes.receiver, "environ", lambda: environ)
    passes.run(None, None)
    assert "cannot notify 127.0.0.1 (address from HEARTBEAT)" in caplog.text
    assert "sEcReT" not in caplog.text


class Talkative(Listener):
    """Answers each request, and then a byte more ten times a second, for ever."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    def serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            client.sendall(self.answer)
            while True:
                client.sendall(b"x")
                time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", "no answer within 0.5 s"),
    ],
)
def test_an_answer_without_end_holds_nothing_up(
    passes: Passes,
    answer: bytes,
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notify, "_TIMEOUT_SECONDS", 0.5)
    with closing(Talkative(answer)) as talkative:
        environ = {"HEARTBEAT": f"http://127.0.0.1:{talkative.port}/sEcReT"}
        monkeypatch.setattr(passes.receiver, "environ", lambda: environ)
        passes.run(None, None)
    assert said in caplog.text
    assert ("cannot notify" in caplog.text) == bool(said)


def test_a_range_of_ipv6_that_needs_no_proxy(passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "fd00::/8")
    passes.run(None, None)
    assert passes.receiver.pings == 1


def test_nothing_is_sent_where_nothing_is_configured(passes: Passes) -> None:
    passes.notify = Notify(after_failures=1)
    assert passes.run(ServerError("503")) == []
    passes.run(None, None)
    assert passes.receiver.pings == 0
