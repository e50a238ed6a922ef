"""Clients that mean harm: served or refused, and the daemon's loop goes on."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import Future
from contextlib import suppress

import pytest

from etl.serve import webhooks, wire
from tests.serve.stage import FakeDaemon, Stage, serving


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def longest_pause(stage: Stage, seconds: float) -> Future[float]:
    """How long the loop at most did not come round, during the next seconds."""

    async def watch() -> float:
        end, last, longest = time.monotonic() + seconds, time.monotonic(), 0.0
        while last < end:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        return longest

    return asyncio.run_coroutine_threadsafe(watch(), stage.loop)


@pytest.mark.parametrize(
    "head",
    [
        b"X-Large: " + b"x" * 1_000_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(100_000)),
        b"Cookie: " + b"a=b; " * 20_000,
    ],
)
def test_a_head_of_a_megabyte_is_refused(stage: Stage, head: bytes) -> None:
    answer = stage.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
    assert status_of(answer) in {0, 400, 431}
    assert b"<html" not in answer
    assert_alive(stage)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/style.css/../../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/style.css%00.html",
        "/static/../app.py",
        "//etc/passwd",
        "/workspaces/../../../etc/passwd",
        "/workspaces/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/templates/base.html",
        "/\\..\\..\\etc\\passwd",
        "/workspaces/" + "a" * 8000,
        "/workspaces/%ff%fe",
        "/workspaces/",
    ],
)
def test_no_path_leads_out(stage: Stage, path: str) -> None:
    answer = stage.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) in {400, 404}
    assert b"root:" not in answer
    assert_alive(stage)


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "FOO"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/nowhere", "*"])
def test_other_methods_are_refused(stage: Stage, method: str, path: str) -> None:
    answer = stage.raw(
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Echo: me\r\nConnection: close\r\n\r\n".encode()
    )
    assert status_of(answer) == 405
    assert b"X-Echo" not in answer


def test_connect_is_refused(stage: Stage) -> None:
    answer = stage.raw(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert status_of(answer) in {400, 405}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:1",
        "127.0.0.1, evil.example",
        "<script>",
        "a" * 300,
        "",
        "x@evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/", "/workspaces/acme", "/metrics/", "//evil.example/", "/webhooks/acme/"])
def test_the_host_that_is_sent_changes_nothing(stage: Stage, host: str, path: str) -> None:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example\r\n"
        "X-Forwarded-Proto: https\r\nForwarded: host=evil.example\r\nConnection: close\r\n\r\n"
    )
    answer = stage.raw(request.encode())
    assert status_of(answer) in {200, 400, 404, 405}
    assert b"evil.example" not in answer
    assert b"location:" not in answer.lower()


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\r\n" * 1000,
        b"\x00" * 1000,
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Bad : y\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(stage: Stage, request_: bytes) -> None:
    assert status_of(stage.raw(request_, seconds=1)) == 400
    assert_alive(stage)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 200),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 200),
    ],
)
def test_what_asks_for_another_protocol_is_answered_in_this_one(
    stage: Stage, request_: bytes, status: int
) -> None:
    assert status_of(stage.raw(request_, seconds=1)) == status
    assert_alive(stage)


def test_a_client_that_speaks_slowly_is_cut_off(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEADER_SECONDS", 1.0)
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", stage.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        drip(connection, b"X-A: b\r\n", until=started + 8)
    assert time.monotonic() - started < 4


def test_a_second_request_that_comes_slowly_is_cut_off(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEADER_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", stage.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        started = time.monotonic()
        drip(connection, b"G", until=started + 8)
    assert time.monotonic() - started < 4


def test_a_body_that_comes_slowly_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.5)
    answer = stage.raw(b"POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", seconds=5)
    assert status_of(answer) == 408


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(stage: Stage) -> None:
    answer = stage.raw(
        b"POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", seconds=5
    )
    assert status_of(answer) == 413


def test_a_thousand_silent_connections_keep_nobody_out(daemon: FakeDaemon) -> None:
    with serving(daemon) as stage:
        assert_alive(stage)
        silent = []
        try:
            pause = longest_pause(stage, 4)
            for _ in range(1000):
                connection = socket.create_connection(("127.0.0.1", stage.port), timeout=5)
                connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
                silent.append(connection)
            for _ in range(5):
                assert_alive(stage)
            assert pause.result() < 3  # a busy machine takes its share
        finally:
            for connection in silent:
                connection.close()
        assert_alive(stage)


def test_two_hundred_at_once_are_all_answered(scene: Stage) -> None:
    async def many() -> list[int]:
        async def one(path: str) -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            return status_of(answer)

        paths = ["/", "/workspaces/acme", "/metrics", "/healthz", "/readyz"] * 40
        return await asyncio.gather(*map(one, paths))

    pause = longest_pause(scene, 3)
    assert set(asyncio.run(many())) == {200}
    assert pause.result() < 3  # a busy machine takes its share


def drip(connection: socket.socket, piece: bytes, until: float) -> None:
    """Send piece after piece until cut off: reset or broken pipe, as it happens."""
    with suppress(OSError):
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(0.1)


def assert_alive(stage: Stage) -> None:
    with stage.client() as client:
        assert client.get("/healthz").status_code == 200
