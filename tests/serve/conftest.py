"""A server that runs, over a warehouse that is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl.serve import webhooks
from tests.serve.scenery import CONFIGURED, furnish
from tests.serve.stage import FakeDaemon, Stage, a_daemon, serving


@pytest.fixture
def daemon(sqlite_at_head: str) -> Iterator[FakeDaemon]:
    with a_daemon(sqlite_at_head) as fake:
        yield fake


@pytest.fixture
def stage(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(webhooks, "SETTLE_SECONDS", 0.2)
    with serving(daemon) as running:
        yield running


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Read only: everything that a page can show."""
    folder = tmp_path_factory.mktemp("scene")
    with a_daemon(f"sqlite:///{folder / 'warehouse.db'}", *CONFIGURED) as fake:
        furnish(fake.warehouse)
        fake.running["globex-research"] = 0.0
        fake.queue_length = 2
        with serving(fake) as running:
            yield running
