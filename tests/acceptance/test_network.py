"""Reliability 1 and 9 to 14: addresses without answer, certificates, proxies, connections, memory, disk."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from etl.standin import StandIn, faults, write_answer
from tests.acceptance.program import (
    COMMAND,
    Done,
    Program,
    fates,
    id_of,
    moments,
    populate,
    variable_of,
    wait_until,
)
from tests.listener import Listener, pump

_HOST = "api.ontora.test"  # no resolver knows it
_MEBIBYTE = 1024**2


def _failed(done: Done, name: str = "acme") -> tuple[str, int, str]:
    """Code, attempts and sentence of a workspace that failed."""
    assert done.exit_code == 1
    entry = done.workspace(name)
    assert entry["status"] == "failed"
    assert f"error: {name}: {entry['error']} [{entry['error_code']}]" in done.stderr.splitlines()
    return entry["error_code"], entry["attempts"], entry["error"]


# --- 1: nobody there, or not who they say ---


@pytest.mark.parametrize("address", ["refused", "https://no-such-host.invalid"])
def test_reliability_1_nobody_answers(program: Program, address: str) -> None:
    with closing(socket.socket()) as bound:  # bound, but not listening: refuses
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}" if address == "refused" else address
        program.configure(url, "acme")
        code, attempts, said = _failed(program.sync())
    assert (code, attempts) == ("connect_error", 2)
    assert url in said
    assert program.rows("SELECT status, error_code FROM sync_runs") == [("failed", "connect_error")]


@contextmanager
def _tls(certificate: trustme.LeafCert) -> Iterator[StandIn]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with StandIn(ssl_context=context) as api:
        populate(api, "acme")
        yield api


@pytest.fixture
def authority(program: Program) -> trustme.CA:
    """A certificate authority that the program trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(program.folder / "ca.pem"))
    program.environ["SSL_CERT_FILE"] = str(program.folder / "ca.pem")
    return authority


def test_reliability_1_a_good_certificate_is_accepted(program: Program, authority: trustme.CA) -> None:
    with _tls(authority.issue_cert("127.0.0.1")) as api:
        program.configure(api.base_url, "acme")
        assert program.sync().exit_code == 0


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("expired", "expired"),
        ("other-host", "IP address mismatch"),
        ("unknown-authority", "self-signed certificate|unable to get local issuer certificate"),
    ],
)
def test_reliability_1_a_wrong_certificate_is_not_retried(
    program: Program, authority: trustme.CA, fault: str, expected: str
) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    certificate = {
        "expired": lambda: authority.issue_cert("127.0.0.1", not_after=past),
        "other-host": lambda: authority.issue_cert(_HOST),
        "unknown-authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }[fault]()
    with _tls(certificate) as api:
        program.configure(api.base_url, "acme")
        code, attempts, said = _failed(program.sync())
        assert api.requests == []
    assert (code, attempts) == ("connect_error", 1)
    assert any(words in said for words in expected.split("|"))
    assert "its certificate is not trusted" in said


class _Damage(Listener):
    """Stands before a server and damages what it sends, far behind the handshake: on so many connections."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._left = connections
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        sent, whole = 0, self._left == 0
        self._left = max(0, self._left - 1)
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            while piece := server.recv(4096):
                sent += len(piece)
                if sent > 20_000 and not whole:
                    whole = True
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                client.sendall(piece)


@pytest.mark.parametrize("connections", [1, 2])
def test_reliability_2_a_damaged_record_of_tls_is_asked_for_again(
    program: Program, authority: trustme.CA, connections: int
) -> None:
    with _tls(authority.issue_cert("127.0.0.1")) as api:
        populate(api, "acme", count=300)
        with closing(_Damage(int(api.base_url.rpartition(":")[2]), connections)) as damage:
            program.configure(f"https://127.0.0.1:{damage.port}", "acme")
            done = program.sync()
    if connections == 1:
        assert fates(done.workspace("acme")) == {"received": 300, "inserted": 300}
        assert done.workspace("acme")["attempts"] == 2
    else:
        code, attempts, said = _failed(done)
        assert code in ("connect_error", "incomplete_answer")  # whether the headers were whole
        assert attempts == 2
        assert "SSL" in said


# --- what is no HTTP ---


class _Parrot(Listener):
    """Answers every request with the same bytes, and hangs up, or says nothing more."""

    def __init__(self, answer: bytes, *, hangs_up: bool = True) -> None:
        self._answer = answer
        self._hangs_up = hangs_up
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            client.sendall(self._answer)
            if not self._hangs_up:
                client.recv(65536)  # nothing, until the other side leaves


_ODD_KEY = "ont_live_ab/cd;ef@gh'ij\\kl"


# What is sent, with the key echoed for KEY → code, attempts, and what the message says.
_SENT = {
    "a-header": (b"HTTP/1.1 200 OK\r\nX-API-Key KEY\r\n\r\n[]", "connect_error", 2, "no proper answer"),
    "a-status-line": (b"HTTP/1.1 KEY\r\n\r\n", "connect_error", 2, "no proper answer"),
    "a-chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\n",
        "incomplete_answer",
        2,
        "broke inside the answer",
    ),
    "a-type": (b"HTTP/1.1 200 OK\r\nContent-Type: text/KEY\r\n\r\n", "unexpected_answer", 1, "not JSON"),
    "a-charset": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=KEY\r\n\r\n[]",
        "unexpected_answer",
        1,
        "not UTF-8",
    ),
    "a-host": (b"HTTP/1.1 302 Found\r\nLocation: http://KEY/\r\n\r\n", "unexpected_redirect", 1, "redirects"),
    "15-cut-short": (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 500\r\n\r\n{",
        "invalid_api_key",
        1,
        "refused the key",
    ),
}


@pytest.mark.parametrize("what", _SENT)
def test_reliability_an_odd_answer_is_one_line_and_tells_no_key(program: Program, what: str) -> None:
    sent, expected, attempts, words = _SENT[what]
    with closing(_Parrot(sent.replace(b"KEY", _ODD_KEY.encode()))) as parrot:
        program.configure(f"http://127.0.0.1:{parrot.port}", "acme")
        program.export(variable_of("acme"), _ODD_KEY)
        done = program.sync()
    code, tried, said = _failed(done)
    assert (code, tried) == (expected, attempts)
    assert words in said
    assert "ab/cd" not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("command", ["sync", "check"])
def test_reliability_15_an_error_that_stalls_is_believed(program: Program, command: str) -> None:
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 500\r\n\r\n{"
    with closing(_Parrot(head, hangs_up=False)) as parrot:
        program.configure(f"http://127.0.0.1:{parrot.port}", "acme")
        done = program.run(command)
    assert done.exit_code == 1
    assert "[invalid_api_key]" in done.stdout + done.stderr


def test_reliability_10_a_charset_that_nobody_can_read_is_none(program: Program) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset*0*=x; charset*5=y; charset*\r\n\r\n"
    with closing(_Parrot(head + b"[]")) as parrot:
        program.configure(f"http://127.0.0.1:{parrot.port}", "acme")
        assert program.sync().exit_code == 0


# --- 9: more than fits ---


def _bomb() -> bytes:
    """10 MB of gzip that inflate to 10 GB of blanks: one piece many times, as packing takes a minute."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blanks = b" " * 1_000_000
    first = packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * 9_999


def test_reliability_9_a_gzip_bomb_fills_neither_memory_nor_disk(api: StandIn, program: Program) -> None:
    populate(api, "acme", "well")
    api.always(id_of("acme"), faults.Body(_bomb(), headers={"Content-Encoding": "gzip"}))
    program.configure(api.base_url, "acme", "well", api={"max_response_bytes": 50 * _MEBIBYTE})
    done = program.sync()
    code, attempts, said = _failed(done)
    assert (code, attempts) == ("response_too_large", 1)
    assert "52,428,800 bytes" in said
    assert done.peak_bytes < 150 * _MEBIBYTE
    assert done.workspace("well")["status"] == "succeeded"
    assert program.left_behind() == []


def test_reliability_9_an_answer_compressed_twice_is_refused(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    api.always(id_of("acme"), faults.Body(b"", headers={"Content-Encoding": "gzip, gzip"}))
    program.configure(api.base_url, "acme")
    assert _failed(program.sync())[:2] == ("unexpected_answer", 1)


# --- 11, 12, 13: connections ---


def test_reliability_11_a_kept_connection_that_was_closed_is_not_noticed(
    api: StandIn, program: Program
) -> None:
    names = [f"w{number}" for number in range(6)]
    populate(api, *names)
    program.configure(api.base_url, *names, api={"concurrency": 1})
    for name in names:
        api.script(id_of(name), faults.CloseAfter())
    done = program.sync()
    assert (done.exit_code, done.stderr) == (0, "")
    assert program.sync().exit_code == 0
    assert api.peak_connections == 1


class _Proxy(Listener):
    """An HTTP proxy that can only CONNECT, and takes every host for this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            target = head.split()[1].decode()
            self.asked.append(target)
            with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join()


def test_reliability_12_the_proxy_of_the_environment_is_used(program: Program, authority: trustme.CA) -> None:
    with _tls(authority.issue_cert(_HOST, "127.0.0.1")) as api, closing(_Proxy()) as proxy:
        port = api.base_url.rpartition(":")[2]
        program.configure(f"https://{_HOST}:{port}", "acme")
        done = program.sync(env={"HTTPS_PROXY": proxy.url})
        assert (done.exit_code, proxy.asked) == (0, [f"{_HOST}:{port}"])

        program.configure(api.base_url, "acme")
        excepted = {"HTTPS_PROXY": proxy.url, "NO_PROXY": "localhost,127.0.0.1"}
        assert program.sync(env=excepted).exit_code == 0
        assert len(proxy.asked) == 1
        assert len(moments(api, "acme")) == 2


@pytest.mark.parametrize("excepted", ["fe80::/10", "[::1]", "fd00::/8,localhost"])
def test_reliability_12_exceptions_from_no_proxy_harm_nothing(
    api: StandIn, program: Program, excepted: str
) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    assert program.sync(env={"NO_PROXY": excepted}).exit_code == 0


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_reliability_12_what_is_not_encrypted_goes_through_no_proxy(
    api: StandIn, program: Program, variable: str
) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme")
    with closing(_Proxy()) as proxy:
        assert program.sync(env={variable: proxy.url}).exit_code == 0
        assert proxy.asked == []


def test_reliability_12_a_proxy_that_is_gone_is_a_connect_error(program: Program) -> None:
    program.configure(f"https://{_HOST}", "acme")
    program.secrets.append("hunter2")
    gone = "http://user:hunter2@127.0.0.1:9"  # discard: nobody listens
    code, attempts, said = _failed(program.sync(env={"HTTPS_PROXY": gone}))
    assert (code, attempts) == ("connect_error", 2)
    assert "any proxy" in said


# Variables → what the remedy speaks of. All hold for https://; a proxy's address may hold a password.
_UNUSABLE = {
    "no-certificates": ({"SSL_CERT_FILE": "/no/such/file"}, "SSL_CERT_FILE"),
    "junk-for-certificates": ({"SSL_CERT_FILE": "etl.toml"}, "SSL_CERT_FILE"),
    "socks-proxy": ({"HTTPS_PROXY": "socks5://u:hunter2@127.0.0.1:9"}, "HTTPS_PROXY"),
    "unknown-proxy": ({"HTTP_PROXY": "foo://u:hunter2@h"}, "HTTP_PROXY"),
    "no-port-of-proxy": ({"HTTPS_PROXY": "http://u:hunter2@127.0.0.1:99999"}, "the ports of the proxies"),
    "no-host-of-proxy": ({"ALL_PROXY": "http://u:hunter2@ü..de"}, "ALL_PROXY"),
    "no-exception": ({"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "[::1"}, "NO_PROXY"),
}


@pytest.mark.parametrize("fault", _UNUSABLE)
def test_reliability_12_an_environment_that_cannot_be_used(program: Program, fault: str) -> None:
    env, named = _UNUSABLE[fault]
    program.configure(f"https://{_HOST}", "acme", "globex")
    program.secrets.append("hunter2")
    done = program.sync(env=env)
    for name in ("acme", "globex"):
        code, _, said = _failed(done, name)
        assert code == "connect_error"
        assert named in said
    check = program.run("check", env=env)
    assert check.exit_code == 1
    failed = [line for line in check.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.partition(": ")[0] for line in failed] == ["FAIL  workspace acme", "FAIL  workspace globex"]
    assert all(named in line for line in failed)


def test_a_good_sync_is_good_where_nobody_can_be_told(api: StandIn, program: Program) -> None:
    populate(api, "acme")
    program.configure(api.base_url, "acme", notify={"heartbeat_url_env": "HEARTBEAT"})
    program.export("HEARTBEAT", "https://127.0.0.1:9/hunter2")
    done = program.sync(env={"SSL_CERT_FILE": "/no/such/file"})
    assert (done.exit_code, fates(done.workspace("acme"))) == (0, {"received": 5, "inserted": 5})
    (line,) = done.stderr.splitlines()
    assert "cannot notify 127.0.0.1 (address from HEARTBEAT): FileNotFoundError" in line


def test_no_workspace_is_sent_the_cookies_of_another(api: StandIn, program: Program) -> None:
    names = ("first", "second", "third")
    populate(api, *names)
    for name in names:
        answer = faults.Body(b"[]", headers={"Set-Cookie": f"session={name}; Path=/"})
        api.always(id_of(name), answer)
    program.configure(api.base_url, *names, api={"concurrency": 1})
    assert program.sync().exit_code == 0
    assert len(api.requests) == 3
    assert not [seen for seen in api.requests if "cookie" in {name.lower() for name in seen.headers}]


def test_reliability_13_never_more_connections_than_allowed(api: StandIn, program: Program) -> None:
    names = [f"w{number:03}" for number in range(200)]
    populate(api, *names)
    api.latency_seconds = 0.05
    program.configure(api.base_url, *names, api={"concurrency": 8})
    done = program.sync()
    assert done.exit_code == 0
    assert [entry["name"] for entry in done.json["workspaces"]] == names
    assert api.peak_connections == 8


# --- 14: the spool ---


@pytest.fixture
def full_disk(program: Program) -> Iterator[str]:
    """TMPDIR with room for half a megabyte; the Python that the process runs first where it cannot be had."""
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(program.temporary)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, 512 * 1024))"
    yield "" if mounted else limit
    if mounted:
        subprocess.run(["umount", str(program.temporary)], check=True)


def test_reliability_14_no_room_for_the_spool(api: StandIn, program: Program, full_disk: str) -> None:
    populate(api, "acme", "well")
    program.configure(api.base_url, "acme", "well")
    assert program.sync().exit_code == 0
    before = program.interviews()
    large = program.folder / "large.json"
    write_answer(large, 2000, workspace_id=id_of("acme"))
    api.set_body(id_of("acme"), large)
    done = program.run("sync", "--json", before=full_disk)
    code, attempts, said = _failed(done)
    assert (code, attempts) == ("spool_error", 1)
    assert str(program.temporary) in said
    assert "TMPDIR" in said
    assert done.workspace("well")["status"] == "succeeded"
    assert program.interviews() == before
    assert program.left_behind() == []


# No file may be written to, by the process: what it says goes through pipes.
_NO_FILES = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", str(COMMAND)]


@pytest.mark.postgres
@pytest.mark.parametrize("words", [["sync"], ["demo"]])
def test_reliability_14_no_folder_for_temporary_files(
    api: StandIn, program: Program, postgres_url: str, words: list[str]
) -> None:
    populate(api, "acme", count=500)
    program.warehouse_url = postgres_url
    program.configure(api.base_url, "acme")
    done = subprocess.run(
        [*_NO_FILES, *words], cwd=program.folder, env=program.environ, capture_output=True, check=False
    )
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ")
    assert "TMPDIR" in line
    if words == ["sync"]:
        assert done.returncode == 1
        assert program.rows("SELECT status, error_code FROM sync_runs") == [("failed", "spool_error")]
    else:
        assert done.returncode == 2


def test_reliability_14_nothing_is_left_after_kill_9(api: StandIn, program: Program) -> None:
    populate(api, "acme", count=500)
    api.script(id_of("acme"), faults.StallMidBody(300_000, 3600))
    program.configure(api.base_url, "acme", api={"timeout_seconds": 30, "deadline_seconds": 60})
    running = program.start("sync", "--json")
    wait_until(lambda: len(moments(api, "acme")) == 1)
    wait_until(lambda: _has_spool(running.pid, program.temporary))
    running.send(signal.SIGKILL)
    assert running.wait().exit_code == -signal.SIGKILL
    assert list(program.temporary.iterdir()) == []
    done = program.sync()
    assert fates(done.workspace("acme")) == {"received": 500, "inserted": 500}
    assert program.left_behind() == []
    query = "SELECT status, error_code FROM sync_runs ORDER BY id"
    assert program.rows(query) == [("interrupted", "interrupted"), ("succeeded", None)]


def _has_spool(pid: int, folder: Path) -> bool:
    """Whether the process holds a file without a name in the folder."""
    descriptors = Path(f"/proc/{pid}/fd")
    if not descriptors.is_dir():
        return True  # no such view on this system: that it has asked must do
    found = False
    for descriptor in descriptors.iterdir():
        with suppress(FileNotFoundError):
            target = str(descriptor.readlink())
            found |= target.startswith(str(folder)) and target.endswith("(deleted)")
    return found
