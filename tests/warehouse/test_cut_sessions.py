"""Sessions that are cut in the middle of the conversation, before or after the last words were acted upon."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest

from etl.standin import StandIn
from tests.acceptance.program import Program, fates, id_of, interviews_of, populate
from tests.listener import Listener
from tests.postgres import through

pytestmark = pytest.mark.postgres

_READY = b"Z\0\0\0\x05"  # how the server says that it has done all it was asked


class _Cutter(Listener):
    """Stands before Postgres, and cuts the first session to say these words, `done` or not yet."""

    def __init__(self, url: str, words: bytes, *, done: bool) -> None:
        server = urlsplit(url)
        self.port_of_server = (server.hostname or "", server.port or 0)
        self.words = words
        self.done = done
        self.cuts = 0
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.port_of_server) as server:
            is_cut, is_done = threading.Event(), threading.Event()

            def answer() -> None:
                try:
                    while piece := server.recv(65536):
                        if is_cut.is_set():
                            if _READY in piece:
                                is_done.set()
                        else:
                            client.sendall(piece)
                except OSError:
                    pass

            threading.Thread(target=answer, daemon=True).start()
            while asked := client.recv(65536):
                if self.words in asked and not self.cuts:
                    self.cuts += 1
                    is_cut.set()
                    if self.done:
                        server.sendall(asked)
                        assert is_done.wait(20)
                    break
                server.sendall(asked)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def test_while_a_result_is_closed_it_loads_again(
    api: StandIn, program: Program, postgres_at_head: str
) -> None:
    populate(api, "acme", count=20)
    program.warehouse_url = postgres_at_head
    program.configure(api.base_url, "acme")
    program.sync()
    api.set_interviews(id_of("acme"), [one | {"folder": "new"} for one in interviews_of("acme", 20)])
    with closing(_Cutter(postgres_at_head, b'CLOSE "', done=False)) as cutter:
        program.warehouse_url = through(cutter.port, postgres_at_head)
        program.configure(api.base_url, "acme")
        done = program.sync()  # which holds its words to be without a traceback
    assert cutter.cuts == 1, done.stderr
    assert done.exit_code == 0, done.stderr
    assert fates(done.workspace("acme")) == {"received": 20, "updated": 20}
    assert "loading again" in done.stderr


def test_a_run_that_was_opened_without_a_word_is_closed_as_failed(
    api: StandIn, program: Program, postgres_at_head: str
) -> None:
    populate(api, "acme")
    with closing(_Cutter(postgres_at_head, b"INSERT INTO sync_runs", done=True)) as cutter:
        program.warehouse_url = through(cutter.port, postgres_at_head)
        program.configure(api.base_url, "acme")
        done = program.sync()
        assert (cutter.cuts, done.exit_code) == (1, 1), done.stderr
        (run,) = program.rows("SELECT id, status, error_code FROM sync_runs")
        assert run == (done.workspace("acme")["run_id"], "failed", "warehouse_lost")
        assert program.rows("SELECT consecutive_failures FROM workspaces") == [(1,)]
