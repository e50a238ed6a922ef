"""The stand-in speaks the documented contract: what the other tests build on."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from etl.standin import StandIn, faults, generate_interviews, write_answer
from etl.standin.faults import Fault

WORKSPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "standin")
OTHER = uuid.uuid5(uuid.NAMESPACE_DNS, "other")


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as api:
        api.add_workspace(WORKSPACE, key="right", interviews=generate_interviews(20, workspace_id=WORKSPACE))
        api.add_workspace(OTHER, key="others")
        yield api


def get(api: StandIn, key: str | None = "right", **query: str) -> httpx.Response:
    headers = {"X-API-Key": key} if key else {}
    params = {"workspace_id": str(WORKSPACE), **query}
    return httpx.get(f"{api.base_url}/v1/interviews", params=params, headers=headers, timeout=2)


def test_an_answer_is_one_array_with_a_request_id(api: StandIn) -> None:
    answer = get(api)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]
    assert [row["workspace_id"] for row in answer.json()] == [str(WORKSPACE)] * 20


@pytest.mark.parametrize(
    ("key", "query", "status", "code"),
    [
        (None, {}, 401, "invalid_api_key"),
        ("wrong", {}, 401, "invalid_api_key"),
        ("others", {}, 403, "workspace_forbidden"),
    ],
)
def test_keys_are_judged_as_documented(
    api: StandIn, key: str | None, query: dict[str, str], status: int, code: str
) -> None:
    answer = get(api, key, **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_expired_keys_and_missing_scopes_are_refused(api: StandIn) -> None:
    api.add_workspace(WORKSPACE, key="old", expired=True)
    assert get(api, "old").status_code == 401
    api.add_workspace(WORKSPACE, key="narrow", scopes=("contacts",))
    refused = get(api, "narrow")
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert "interviews" in refused.json()["detail"]


@pytest.mark.parametrize("query", [{"workspace_id": "x"}, {"project_id": "x"}])
def test_what_is_no_uuid_is_422_with_a_list(api: StandIn, query: dict[str, str]) -> None:
    answer = get(api, **query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", next(iter(query))]


def test_filters_filter(api: StandIn) -> None:
    everything = get(api).json()
    project = everything[0]["project_id"]
    assert get(api, project_id=project).json() == [r for r in everything if r["project_id"] == project]
    assert get(api, status="draft").json() == [r for r in everything if r["status"] == "draft"]


def test_no_key_is_recorded(api: StandIn) -> None:
    get(api)
    assert "right" not in repr(api.requests)
    assert api.requests[0].auth == "api_key"


@pytest.mark.parametrize(
    "fault",
    [
        faults.ResetBeforeHeaders(),
        faults.ResetMidBody(),
        faults.ShortBody(),
        faults.ChunkedWithoutEnd(),
        faults.BrokenGzip(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_broken_answer_breaks_in_the_client_once(api: StandIn, fault: Fault) -> None:
    api.script(WORKSPACE, fault)
    with pytest.raises((httpx.TransportError, httpx.DecodingError)):
        get(api)
    assert get(api).status_code == 200


def test_a_rate_limit_says_when(api: StandIn) -> None:
    api.script(WORKSPACE, faults.RateLimit("7"))
    answer = get(api)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def test_the_same_seed_makes_the_same_interviews() -> None:
    once = list(generate_interviews(5, workspace_id=WORKSPACE, seed=3))
    assert once == list(generate_interviews(5, workspace_id=WORKSPACE, seed=3))
    assert once != list(generate_interviews(5, workspace_id=WORKSPACE, seed=4))


def test_an_answer_is_written_in_constant_memory_and_served_from_the_file(
    api: StandIn, tmp_path: Path
) -> None:
    path = tmp_path / "answer.json"
    tracemalloc.start()
    size = write_answer(path, 2000, workspace_id=WORKSPACE)
    assert tracemalloc.get_traced_memory()[1] < size / 2
    tracemalloc.stop()
    api.set_body(WORKSPACE, path)
    assert get(api).json() == json.loads(path.read_bytes())


def test_started_on_a_port_that_is_taken_it_says_so(api: StandIn) -> None:
    port = api.base_url.rpartition(":")[2]
    words = [sys.executable, "-m", "etl.standin", "--port", port, "--workspaces", "1", "--interviews", "1"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"port {port} (Address already in use)" in done.stderr
    assert "--port" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_configuration_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "demo.toml"
    words = [sys.executable, "-m", "etl.standin", "--port", "0", "--interviews", "1", "--config", str(place)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"cannot write {place} (No such file or directory)" in done.stderr
