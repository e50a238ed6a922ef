"""Sessions that are cut in the middle of the conversation, before or after the last words were acted upon."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest

from etl.standin import StandIn
from tests.acceptance.program import Program, fates, id_of, interviews_of, populate, wait_until
from tests.listener import Listener
from tests.postgres import PostgresServer, through
from tests.warehouse.triggers import once_at_commit

pytestmark = pytest.mark.postgres

_READY = b"Z\0\0\0\x05"  # how the server says that it has done all it was asked
_OPENING = b"INSERT INTO sync_runs"


class _Cutter(Listener):
    """Stands before Postgres, and cuts the first session to say these words.

    They are passed on where it is to be cut `later`: when that returns. The answer is not.
    """

    def __init__(self, url: str, words: bytes, later: Callable[[], object] | None = None) -> None:
        server = urlsplit(url)
        self._server = (server.hostname or "", server.port or 0)
        self._words = words
        self._later = later
        self.sessions = self.cuts = 0
        self.is_done = threading.Event()
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        self.sessions += 1
        is_cut = threading.Event()
        with client, socket.create_connection(self._server) as server, suppress(OSError):
            threading.Thread(target=self._answer, args=(server, client, is_cut), daemon=True).start()
            while asked := client.recv(65536):
                if self._words in asked and not self.cuts:
                    self.cuts += 1
                    is_cut.set()
                    if self._later:
                        server.sendall(asked)
                        self._later()
                    break
                server.sendall(asked)
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket, is_cut: threading.Event) -> None:
        with suppress(OSError):
            while piece := server.recv(65536):
                if not is_cut.is_set():
                    client.sendall(piece)
                elif _READY in piece:
                    self.is_done.set()


def test_while_a_result_is_closed_it_loads_again(
    api: StandIn, program: Program, postgres_at_head: str
) -> None:
    populate(api, "acme", count=20)
    program.warehouse_url = postgres_at_head
    program.configure(api.base_url, "acme")
    program.sync()
    api.set_interviews(id_of("acme"), [one | {"folder": "new"} for one in interviews_of("acme", 20)])
    with closing(_Cutter(postgres_at_head, b'CLOSE "')) as cutter:
        program.warehouse_url = through(cutter.port, postgres_at_head)
        program.configure(api.base_url, "acme")
        done = program.sync()  # which holds its words to be without a traceback
    assert cutter.cuts == 1
    assert fates(done.workspace("acme")) == {"received": 20, "updated": 20}
    assert "loading again" in done.stderr


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_run_that_was_opened_without_a_word_is_closed_as_failed(
    api: StandIn, program: Program, postgres_at_head: str, postgres_server: PostgresServer, is_slow: bool
) -> None:
    """Also where the server is still at it when the session ends."""

    def is_being_opened() -> bool:
        with postgres_server.connect(postgres_at_head) as beside:
            query = (
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
            )
            return beside.execute(query).fetchone() is not None

    populate(api, "acme")
    if is_slow:
        once_at_commit(postgres_server, postgres_at_head, "sync_runs", "PERFORM pg_sleep(1)")
    with closing(
        _Cutter(
            postgres_at_head,
            _OPENING,
            lambda: wait_until(is_being_opened if is_slow else cutter.is_done.is_set),
        )
    ) as cutter:
        program.warehouse_url = through(cutter.port, postgres_at_head)
        program.configure(api.base_url, "acme")
        done = program.sync()
        assert (cutter.cuts, done.exit_code) == (1, 1), done.stderr
        (run,) = program.rows("SELECT id, status, error_code FROM sync_runs")
        assert run == (done.workspace("acme")["run_id"], "failed", "warehouse_lost")
        assert program.rows("SELECT consecutive_failures FROM workspaces") == [(1,)]


def test_a_run_that_was_opened_without_a_word_is_closed_when_told_to_stop(
    api: StandIn, program: Program, postgres_at_head: str
) -> None:
    def stop() -> None:
        wait_until(cutter.is_done.is_set)
        sessions = cutter.sessions
        running.send(signal.SIGTERM)
        wait_until(lambda: cutter.sessions > sessions)  # the one by which it cancels what it waits for

    populate(api, "acme")
    with closing(_Cutter(postgres_at_head, _OPENING, stop)) as cutter:
        program.warehouse_url = through(cutter.port, postgres_at_head)
        program.configure(api.base_url, "acme")
        running = program.start("sync")
        assert running.wait().exit_code == 143
        assert program.rows("SELECT status FROM sync_runs") == [("interrupted",)]
