"""A transaction begins with its first statement, whatever that is, and ends with the last."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select, text

from etl.config import Warehouse as WarehouseSettings
from etl.secret import Secret
from etl.standin import StandIn
from etl.tables import interview_digests
from etl.warehouse import Warehouse, open_warehouse
from tests.acceptance.program import Program, populate, sync_here
from tests.listener import Listener, pump
from tests.postgres import through

pytestmark = pytest.mark.postgres

_WORKSPACE = "00000000-0000-4000-8000-000000000001"
_COLUMNS = ("workspace_id", "interview_id", "digest")
_ROW = (_WORKSPACE, _WORKSPACE, b"\0" * 16)


class _Relay(Listener):
    """Stands between the program and Postgres, and counts how often the server says that it is ready."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.ready = 0
        self._server = server
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            with server.makefile("rb") as messages:
                while head := messages.read(5):  # a letter, and a length that counts itself
                    self.ready += head[:1] == b"Z"
                    client.sendall(head + messages.read(int.from_bytes(head[1:], "big") - 4))


@pytest.fixture
def relay(postgres_at_head: str) -> Iterator[_Relay]:
    server = urlsplit(postgres_at_head)
    with closing(_Relay((server.hostname or "", server.port or 0))) as relay:
        yield relay


@pytest.fixture
def warehouse(postgres_at_head: str) -> Iterator[Warehouse]:
    with closing(open_warehouse(WarehouseSettings(url=Secret(postgres_at_head)))) as warehouse:
        yield warehouse


def test_a_workspace_without_news_takes_six_round_trips(
    relay: _Relay, postgres_at_head: str, api: StandIn, program: Program
) -> None:
    program.warehouse_url = through(relay.port, postgres_at_head)
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    passes = sync_here(program)
    assert next(passes)[0].status == "succeeded"
    next(passes)  # by now every session is open
    before = relay.ready
    assert next(passes)[0].counts.unchanged > 0
    assert relay.ready - before == 6
    passes.close()


def test_rows_that_come_first_are_within_the_transaction(warehouse: Warehouse) -> None:
    for undo in (True, False):
        with warehouse.of_a_run(10) as connection:
            with warehouse.dialect.bulk_insert(connection, interview_digests.name, _COLUMNS) as write:
                write([_ROW])
            if undo:
                connection.rollback()
        with warehouse.reading() as connection:
            counted = connection.execute(select(func.count()).select_from(interview_digests)).scalar_one()
            assert counted == (0 if undo else 1)


def test_statements_of_every_kind_are_within_the_transaction(warehouse: Warehouse) -> None:
    """One, one for many rows, and one that is read as it comes: whichever is first."""
    insert = text("INSERT INTO interview_digests VALUES (:workspace, :interview, :digest)")
    row = dict(zip(("workspace", "interview", "digest"), _ROW, strict=True))
    ids = [f"{number:08}{_WORKSPACE[8:]}" for number in range(3)]
    with warehouse.writing() as connection:
        connection.execute(insert, row)
        connection.rollback()
    with warehouse.writing() as connection:
        connection.execute(insert, [row | {"interview": one} for one in ids])
        connection.rollback()
    with warehouse.writing() as connection:
        streamed = connection.execute(text("SELECT 1"), execution_options={"stream_results": True})
        assert streamed.scalar_one() == 1
        connection.execute(insert, row)
        connection.rollback()
    with warehouse.reading() as connection:
        assert connection.execute(select(func.count()).select_from(interview_digests)).scalar_one() == 0


def test_the_last_statement_commits(warehouse: Warehouse) -> None:
    insert = text("INSERT INTO interview_digests VALUES (:workspace, :interview, :digest) RETURNING digest")
    row = dict(zip(("workspace", "interview", "digest"), _ROW, strict=True))
    with warehouse.writing() as connection:
        answer = connection.execute(insert, row, execution_options={"last": True})
        assert bytes(answer.scalar_one()) == _ROW[2]
        with warehouse.reading() as other:
            assert other.execute(select(func.count()).select_from(interview_digests)).scalar_one() == 1
