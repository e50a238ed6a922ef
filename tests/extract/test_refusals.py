"""What the API says with a refusal: told on one line, not for long, and without the key."""

from __future__ import annotations

import json

import httpx
import pytest

from etl.extract.refusals import refusal
from etl.secret import Secret

KEY = "ont_live_5ecretKeyOfAcme"


def told(status: int, answer: object, **headers: str) -> str:
    """The message for an answer with this body."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    response = httpx.Response(status, headers={name.replace("_", "-"): v for name, v in headers.items()})
    return str(refusal(response, body, Secret(KEY), "file key.txt"))


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param("x\0y", id="nul"),
        pytest.param("\x1b[2J\x1b]0;mine\x07", id="escapes-of-terminals"),
        pytest.param("error: one\nerror: two\r\n\u2028three", id="line-breaks"),
        pytest.param("\u202egpj.exe\u200b", id="writing-turned-round"),
        pytest.param("x" * 50_000, id="long"),
        pytest.param("\ud83d", id="lone-surrogate"),
    ],
)
@pytest.mark.parametrize("where", ["detail", "code", "msg", "loc", "request id"])
def test_what_the_api_says_is_printable_and_short(where: str, detail: str) -> None:
    answer = {
        "detail": {"detail": detail},
        "code": {"detail": "no", "code": detail},
        "msg": {"detail": [{"loc": ["query"], "msg": detail}]},
        "loc": {"detail": [{"loc": [detail], "msg": "no"}]},
        "request id": {"detail": "no"},
    }[where]
    headers = {"x_request_id": detail.encode("latin-1", "replace").decode("latin-1")} if "id" in where else {}
    said = told(422, answer, **headers)
    assert said.isprintable()
    assert len(said) < 650
    assert said.startswith("the API refused the request: 422")


@pytest.mark.parametrize("before", range(260, 310))
def test_no_part_of_an_echoed_key_is_seen(before: int) -> None:
    for answer in ({"detail": "x" * before + KEY}, {"code": "x" * (before - 200) + KEY}):
        said = told(404, answer)
        assert "ont_" not in said
        assert "xxx" in said


def test_a_key_is_masked_wherever_it_is_echoed() -> None:
    answers: list[object] = [
        {"detail": f"no such key: {KEY}", "code": KEY},
        {"detail": [{"loc": ["header", KEY], "msg": KEY}]},
        {"detail": {"key": KEY}},
        json.dumps({"detail": KEY}).replace("_", r"\u005f").encode(),
    ]
    for answer in answers:
        assert "***" in told(401, answer, x_request_id=KEY)
        assert KEY not in told(401, answer, x_request_id=KEY)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"detail": [{"loc": ["query", "workspace_id"], "msg": "not a uuid"}]},
            "query.workspace_id: not a uuid",
        ),
        ({"detail": [{"loc": None, "msg": "x"}]}, "422, x"),
        ({"detail": [{"loc": 5, "msg": None}, 7, None]}, "422, 5:"),
        ({"detail": None, "code": None}, "request: 422: check"),
        ({"detail": 0, "code": []}, "request: 422: check"),
        ([{"detail": "x"}], "request: 422: check"),
        (b"", "request: 422: check"),
        (b'{"detail": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "request: 422: check"),
        (b'{"code": ' + b"9" * 10_000 + b"}", "request: 422: check"),
    ],
)
def test_no_form_of_a_refusal_is_too_odd(answer: object, said: str) -> None:
    assert said in told(422, answer)
