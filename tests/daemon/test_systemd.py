"""What systemd hears, on a socket as it would listen on."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.daemon.systemd import tell_reloading, tell_systemd, watchdog_seconds


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(2)
        yield bound


def test_assignments_arrive_as_one_datagram(listener: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": listener.getsockname()}
    assert tell_systemd(environ, "READY=1", "STATUS=syncing 2 workspaces")
    assert listener.recv(1000) == b"READY=1\nSTATUS=syncing 2 workspaces"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
def test_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0ontora-etl-test-{time.monotonic_ns()}")
        bound.settimeout(2)
        assert tell_systemd({"NOTIFY_SOCKET": "@" + bound.getsockname()[1:].decode()}, "STOPPING=1")
        assert bound.recv(1000) == b"STOPPING=1"


def test_reloading_carries_the_monotonic_time(listener: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    assert tell_reloading({"NOTIFY_SOCKET": listener.getsockname()})
    reloading, _, stamp = listener.recv(1000).decode().partition("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", [None, "", "relative", "/nowhere/at/all", "vsock:2:1234"])
def test_without_a_listener_nothing_happens(address: str | None) -> None:
    assert not tell_systemd({} if address is None else {"NOTIFY_SOCKET": address}, "READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_fed_twice_in_its_time(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environ, 7) == seconds
