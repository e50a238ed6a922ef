"""Webhooks: genuine ones cause one sync, forged ones nothing at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, text
from starlette.requests import Request

from etl.serve import webhooks
from etl.serve.deliveries import KEPT
from etl.tables import webhook_deliveries
from tests.serve.stage import OTHER_SECRET, SECRET, FakeDaemon, Stage, a_daemon, serving


def body_of(age: timedelta = timedelta(0), **more: object) -> bytes:
    stamp = (datetime.now(UTC) - age).isoformat()
    return json.dumps(
        {"event": "campaign.started", "workspace_id": "ws_1", "timestamp": stamp, "data": {"id": "iv_1"}}
        | more
    ).encode()


def signature(body: bytes, secret: str = SECRET, algorithm: str = "sha256") -> str:
    return f"{algorithm}=" + hmac.new(secret.encode(), body, algorithm).hexdigest()


def headers_for(body: bytes, **more: str) -> dict[str, str]:
    return {
        "X-Ontora-Event": "campaign.started",
        "X-Ontora-Delivery-Id": str(uuid4()),
        "X-Ontora-Signature": signature(body),
    } | {name.replace("_", "-"): value for name, value in more.items()}


def post(stage: Stage, body: bytes, name: str = "acme", **headers: str) -> httpx.Response:
    with stage.client() as client:
        return client.post(f"/webhooks/{name}", content=body, headers=headers_for(body, **headers))


def settled(stage: Stage) -> list[tuple[str, str]]:
    time.sleep(webhooks.SETTLE_SECONDS + 0.3)
    return stage.daemon.requested


def counted(stage: Stage, outcome: str, workspace: str = "acme") -> float:
    with stage.client() as client:
        lines = client.get("/metrics").text.splitlines()
    start = f'ontora_etl_webhooks_total{{outcome="{outcome}",workspace="{workspace}"}} '
    return sum(float(line.removeprefix(start)) for line in lines if line.startswith(start))


def test_a_genuine_one_is_accepted_at_once_and_causes_a_sync(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SETTLE_SECONDS", 2.0)
    post(stage, body_of(number=1))  # the first import, the first query
    started = time.monotonic()
    answer = post(stage, body_of(number=2))
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert time.monotonic() - started < webhooks.SETTLE_SECONDS
    assert set(settled(stage)) == {("acme", "webhook")}
    assert counted(stage, "accepted") == 2


@pytest.mark.parametrize("event", ["campaign.paused", "synthesis.completed", "something.new", ""])
def test_any_event_is_a_hint(stage: Stage, event: str) -> None:
    assert post(stage, body_of(event=event), X_Ontora_Event=event).status_code == 202


@pytest.mark.parametrize(
    "stamp",
    [
        lambda now: now.isoformat(),
        lambda now: now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda now: now.replace(tzinfo=None).isoformat(),
        lambda now: now.timestamp(),
        lambda now: int(now.timestamp() * 1000),
    ],
)
def test_the_timestamp_may_be_spelled_in_many_ways(stage: Stage, stamp: Callable[[datetime], object]) -> None:
    assert post(stage, body_of(timestamp=stamp(datetime.now(UTC)))).status_code == 202


def test_many_within_seconds_become_one_sync_for_each_workspace(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SETTLE_SECONDS", 5.0)
    started = time.monotonic()
    with stage.client() as client:
        for number in range(50):
            for name, secret in (("acme", SECRET), ("globex", OTHER_SECRET)):
                body = body_of(number=number)
                headers = headers_for(body, X_Ontora_Signature=signature(body, secret))
                assert client.post(f"/webhooks/{name}", content=body, headers=headers).status_code == 202
    spans = 1 + int((time.monotonic() - started) / 5)  # one, unless the machine is very slow
    requested = settled(stage)
    assert set(requested) == {("acme", "webhook"), ("globex", "webhook")}
    assert len(requested) <= 2 * spans


FORGED: dict[str, Callable[[bytes], str]] = {
    "empty": lambda _: "",
    "no prefix": lambda body: signature(body).removeprefix("sha256="),
    "prefix alone": lambda _: "sha256=",
    "wrong prefix": lambda body: signature(body).replace("sha256", "sha512"),
    "sha1": lambda body: signature(body, algorithm="sha1"),
    "sha512 as sha256": lambda body: signature(body, algorithm="sha512").replace("sha512", "sha256"),
    "another secret": lambda body: signature(body, "whsec_guess"),
    "another workspace's secret": lambda body: signature(body, OTHER_SECRET),
    "secret without its prefix": lambda body: signature(body, SECRET.removeprefix("whsec_")),
    "secret in capitals": lambda body: signature(body, SECRET.upper()),
    "empty secret": lambda body: signature(body, ""),
    "plain hash without a key": lambda body: "sha256=" + hashlib.sha256(body).hexdigest(),
    "key and body swapped": lambda body: (
        "sha256=" + hmac.new(body, SECRET.encode(), hashlib.sha256).hexdigest()
    ),
    "base64": lambda body: (
        "sha256=" + base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    ),
    "of an empty body": lambda _: signature(b""),
    "of the body and a newline": lambda body: signature(body + b"\n"),
    "of the body written anew": lambda body: signature(json.dumps(json.loads(body), indent=1).encode()),
    "cut short": lambda body: signature(body)[:-1],
    "too long": lambda body: signature(body) + "0",
    "last digit changed": lambda body: signature(body)[:-1] + ("0" if signature(body)[-1] != "0" else "1"),
    "two in one": lambda body: f"sha256={'0' * 64}, {signature(body)}",
    "zeroes": lambda _: "sha256=" + "0" * 64,
    "not ASCII": lambda _: "sha256=\xe9\xe9",
    "of another delivery": lambda _: signature(body_of(number=9)),
}


def test_forged_ones_do_nothing(stage: Stage) -> None:
    statuses = {}
    with stage.client() as client:
        for way, forge in FORGED.items():
            body = body_of()
            headers = httpx.Headers(headers_for(body))
            del headers["X-Ontora-Signature"]
            raw = [*headers.raw, (b"X-Ontora-Signature", forge(body).encode("latin-1"))]
            statuses[way] = client.post("/webhooks/acme", content=body, headers=raw).status_code
    assert statuses == dict.fromkeys(FORGED, 401)
    assert settled(stage) == []
    assert counted(stage, "bad_signature") == len(FORGED)


@pytest.mark.parametrize("how", ["missing", "twice", "in the query", "body changed", "secret as bearer"])
def test_a_signature_in_another_place_or_number_does_nothing(stage: Stage, how: str) -> None:
    body, path = body_of(), "/webhooks/acme"
    headers = list(headers_for(body).items())
    if how == "twice":
        headers.append(headers[-1])
    elif how == "body changed":
        body = body.replace(b"campaign.started", b"campaign.stopped")
    else:
        headers.pop()
    if how == "in the query":
        path += f"?X-Ontora-Signature={signature(body)}"
    if how == "secret as bearer":
        headers.append(("Authorization", f"Bearer {SECRET}"))
    with stage.client() as client:
        assert client.post(path, content=body, headers=headers).status_code == 401
    assert settled(stage) == []


def test_one_sent_again_is_not_heeded_again(stage: Stage) -> None:
    body = body_of()
    headers = headers_for(body)
    with stage.client() as client:
        answers = [client.post("/webhooks/acme", content=body, headers=headers) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202, 200, 200, 200, 200]
        assert settled(stage) == [("acme", "webhook")]
        again = client.post("/webhooks/acme", content=body, headers=headers)
        # The id is not signed: a new one on an old body is a replay too.
        renamed = client.post("/webhooks/acme", content=body, headers=headers_for(body))
    assert (again.status_code, renamed.status_code) == (200, 200)
    assert len(settled(stage)) == 1
    assert counted(stage, "replayed") == 6


def test_one_heard_before_a_restart_is_known_after_it(warehouse_at_head: str) -> None:
    body = body_of()
    headers = headers_for(body)
    with a_daemon(warehouse_at_head) as daemon:
        with serving(daemon) as stage, stage.client() as client:
            assert client.post("/webhooks/acme", content=body, headers=headers).status_code == 202
        with serving(daemon) as stage, stage.client() as client:
            assert client.post("/webhooks/acme", content=body, headers=headers).status_code == 200
            assert client.post("/webhooks/acme", content=body, headers=headers_for(body)).status_code == 200
        with daemon.warehouse.reading() as connection:
            rows = connection.execute(select(webhook_deliveries)).all()
        assert [str(row.delivery_id) for row in rows] == [headers["X-Ontora-Delivery-Id"]]
        assert SECRET not in str(rows)


def test_what_is_old_is_forgotten(daemon: FakeDaemon) -> None:
    with daemon.warehouse.writing() as connection:
        for age in (KEPT * 2, KEPT / 2):
            connection.execute(
                webhook_deliveries.insert().values(
                    workspace_id=uuid4(),
                    delivery_id=uuid4(),
                    body_digest="0",
                    received_at=datetime.now(UTC) - age,
                )
            )
    with serving(daemon) as stage:
        post(stage, body_of())
    with daemon.warehouse.reading() as connection:
        assert connection.execute(select(func.count()).select_from(webhook_deliveries)).scalar_one() == 2


def test_the_answer_does_not_wait_for_a_warehouse_that_is_being_written(stage: Stage) -> None:
    post(stage, body_of(number=0))
    with stage.daemon.warehouse.writing() as connection:
        connection.execute(text("SELECT 1"))
        started = time.monotonic()
        for number in range(1, 4):
            assert post(stage, body_of(number=number)).status_code == 202
        assert time.monotonic() - started < 10  # SQLite waits for 30 s
        assert set(settled(stage)) == {("acme", "webhook")}


@pytest.mark.parametrize("minutes", [-60, -6, 6, 60, 60 * 24 * 365])
def test_one_from_another_time_is_stale(stage: Stage, minutes: int) -> None:
    assert post(stage, body_of(timedelta(minutes=minutes))).status_code == 401
    assert settled(stage) == []
    assert counted(stage, "stale") == 1


@pytest.mark.parametrize("minutes", [-4, 4])
def test_clocks_may_differ_a_little(stage: Stage, minutes: int) -> None:
    assert post(stage, body_of(timedelta(minutes=minutes))).status_code == 202


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{}",
    b'{"timestamp": null}',
    b'{"timestamp": true}',
    b'{"timestamp": "yesterday"}',
    b'{"timestamp": 1e300}',
    b'{"timestamp": -1e300}',
    b'{"timestamp": NaN}',
    b'{"timestamp": "9999-12-31T23:59:59-23:59"}',
    b'{"timestamp": {}}',
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"timestamp":' * 4_000,
]


def test_signed_ones_that_are_malformed_are_refused(stage: Stage) -> None:
    assert [post(stage, body).status_code for body in MALFORMED] == [400] * len(MALFORMED)
    assert settled(stage) == []
    assert counted(stage, "malformed") == len(MALFORMED)


@pytest.mark.parametrize(
    "delivery_id", ["", "1", "ab" * 18, "{13d63280-d54e-4029-9b9c-b321d78da5}", "urn:uuid:1"]
)
def test_a_delivery_needs_a_uuid(stage: Stage, delivery_id: str) -> None:
    assert post(stage, body_of(), X_Ontora_Delivery_Id=delivery_id).status_code == 400
    assert settled(stage) == []


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_that_is_too_large_is_not_read(stage: Stage, size: int, chunked: bool) -> None:
    body = body_of(padding="x" * size)
    content = (body[at : at + 8192] for at in range(0, len(body), 8192)) if chunked else body
    with stage.client() as client:
        answer = client.post("/webhooks/acme", content=content, headers=headers_for(body))
    assert answer.status_code == 413
    assert settled(stage) == []
    assert counted(stage, "too_large") == 1


def test_64_kib_are_not_too_large(stage: Stage) -> None:
    body = body_of(padding="x" * (64 * 1024 - 200))
    assert post(stage, body).status_code == 202


@pytest.mark.parametrize(
    "name", ["nobody", "silent", "unset", "disabled", "ACME", "acme/", "", "acme%00", "a/b"]
)
def test_a_workspace_that_expects_none_is_not_found(stage: Stage, name: str) -> None:
    assert post(stage, body_of(), name).status_code == 404
    assert settled(stage) == []


def test_nobody_else_names_a_series(stage: Stage) -> None:
    for name in ("nobody", "another"):
        post(stage, body_of(), name)
    assert counted(stage, "unknown_workspace", "") == 2


def test_for_an_unknown_workspace_the_same_is_signed_and_compared(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So how long it takes tells nothing. A stopwatch would not see the difference on a busy machine."""
    is_signed = webhooks._is_signed
    signed: list[tuple[bytes, int]] = []

    def note(request: Request, body: bytes, secret: bytes) -> bool:
        signed.append((body, len(secret)))
        return is_signed(request, body, secret)

    monkeypatch.setattr(webhooks, "_is_signed", note)
    body = body_of(padding="x" * 60_000)
    headers = {"X_Ontora_Signature": "sha256=" + "0" * 64}
    assert [post(stage, body, name, **headers).status_code for name in ("acme", "nobody")] == [401, 404]
    assert signed == [(body, len(SECRET)), (body, 32)]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_post_is_answered(stage: Stage, method: str) -> None:
    with stage.client() as client:
        assert client.request(method, "/webhooks/acme").status_code == 405
