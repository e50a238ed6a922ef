"""The webhooks heard lately: in memory for the answer, in the warehouse for the next start.

The memory decides, so that an answer never waits for the warehouse, where a load may hold the only pen for
minutes; what was heard is written behind. Killed in between, the program would heed a repeated webhook once
more: one sync too many, which changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from etl.errors import EtlError
from etl.serve import queries
from etl.warehouse import Warehouse

log = logging.getLogger("ontora_etl.serve")

KEPT = timedelta(days=3)  # a signed timestamp is believed for minutes only: this is ample
_MOST_KEPT = 100_000
_TRY_AGAIN_SECONDS = 5.0
_LAST_WORD_SECONDS = 5.0
_FIRST_WORD_SECONDS = 5.0

InThread = Callable[..., Awaitable[Any]]


class Deliveries:
    """What was heard. A delivery counts as heard by its id, and by its body: the id is not signed."""

    def __init__(
        self, warehouse: Callable[[], Warehouse], in_thread: InThread, clock: Callable[[], datetime]
    ) -> None:
        self._warehouse = warehouse
        self._in_thread = in_thread
        self._clock = clock
        self._heard: dict[tuple[UUID, UUID | str], datetime] = {}
        self._unwritten: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._is_read = asyncio.Event()

    def is_new(self, workspace_id: UUID, delivery_id: UUID, body: bytes) -> bool:
        """Whether it is heard for the first time; from now on it is known."""
        digest = hashlib.sha256(body).hexdigest()
        keys: tuple[tuple[UUID, UUID | str], ...] = ((workspace_id, delivery_id), (workspace_id, digest))
        if any(key in self._heard for key in keys):
            return False
        now = self._clock()
        self._forget_old(now)
        self._heard.update(dict.fromkeys(keys, now))
        self._unwritten.append(
            {
                "workspace_id": workspace_id,
                "delivery_id": delivery_id,
                "body_digest": digest,
                "received_at": now,
            }
        )
        self._news.set()
        return True

    async def start(self) -> None:
        """Read what was heard before, and begin to write what is heard from now on."""
        self._writer = asyncio.create_task(self._write_behind())
        self._news.set()
        try:
            async with asyncio.timeout(_FIRST_WORD_SECONDS):
                await self._is_read.wait()
        except TimeoutError:
            log.warning("webhooks heard before this start are not known yet: the warehouse does not answer")

    async def close(self) -> None:
        """Write what is left, if that is possible in a few seconds."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await self._write()
        except (EtlError, TimeoutError) as error:
            log.warning("webhooks heard last could not be remembered: %s", error)

    async def _write_behind(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                if not self._is_read.is_set():
                    await self._read()
                await self._write()
            except EtlError as error:
                log.warning("webhooks heard cannot be remembered yet: %s", error)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                self._news.set()

    async def _read(self) -> None:
        def read() -> list[Any]:
            with self._warehouse().reading() as connection:
                return list(queries.read_deliveries(connection, self._clock() - KEPT))

        before = {}
        for row in await self._in_thread(read):
            before[row.workspace_id, row.delivery_id] = row.received_at
            before[row.workspace_id, row.body_digest] = row.received_at
        self._heard = before | self._heard
        self._is_read.set()

    async def _write(self) -> None:
        batch = list(self._unwritten)

        def write() -> None:
            with self._warehouse().writing() as connection:
                queries.keep_deliveries(connection, batch, self._clock() - KEPT)

        if batch:
            await self._in_thread(write)
            del self._unwritten[: len(batch)]

    def _forget_old(self, now: datetime) -> None:
        """Drop the oldest: they stand first."""
        while self._heard:
            key, received_at = next(iter(self._heard.items()))
            if received_at > now - KEPT and len(self._heard) < 2 * _MOST_KEPT:
                return
            del self._heard[key]
