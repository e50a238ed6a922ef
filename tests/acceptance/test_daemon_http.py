"""The daemon and those who speak with it: webhooks in, pages and metrics and notifications out."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from etl.standin.faults import SilentHeaders, Status
from tests.acceptance.program import id_of, wait_until
from tests.acceptance.rig import Rig, assert_accounted_for
from tests.receiver import Receiver

pytestmark = pytest.mark.slow

SECRET = "whsec_4f1c0d9be2"
HOOKED = '[[workspaces]]\nname = "hooked"\nid = "{}"\nwebhook_secret_env = "HOOK_SECRET"\n'
SELDOM = '[sync]\nschedule = "every 6h"\n'


@pytest.fixture
def hooked(rig: Rig) -> Rig:
    """With a workspace `hooked`, which expects webhooks and is hardly ever due."""
    workspace_id = rig.add("hooked")
    rig.names.remove("hooked")
    rig.environ["HOOK_SECRET"] = SECRET
    rig.sections = "[run]\ngrace_seconds = 10\n" + SELDOM + HOOKED.format(workspace_id)
    return rig


def outcomes(rig: Rig) -> list[tuple[str, str]]:
    return [(run.trigger, run.status) for run in rig.runs("hooked")]


def test_a_webhook_becomes_a_run_and_is_not_lost_to_a_restart(hooked: Rig) -> None:
    hooked.start(listen=True)
    wait_until(hooked.succeeded("hooked"))
    assert hooked.post_webhook("hooked", "whsec_guessed") == 401
    assert hooked.post_webhook("hooked", SECRET) == 202
    wait_until(hooked.succeeded("hooked", 2))
    body = json.dumps({"event": "campaign.paused", "timestamp": datetime.now(UTC).isoformat()}).encode()
    delivery_id = str(uuid4())
    assert hooked.post_webhook("hooked", SECRET, delivery_id, body) == 202
    assert hooked.end() == 0  # before it was synced
    assert outcomes(hooked) == [("catch_up", "succeeded"), ("webhook", "succeeded")]
    hooked.start(listen=True)
    wait_until(hooked.succeeded("hooked", 3))
    assert hooked.post_webhook("hooked", SECRET, delivery_id, body) == 200  # heard before
    assert hooked.end() == 0
    hooked.start(listen=True)
    wait_until(lambda: hooked.log.count("started; workspaces on schedule") == 3)
    time.sleep(0.5)
    assert hooked.end() == 0
    assert outcomes(hooked)[2:] == [("webhook", "succeeded")]


def test_a_run_that_was_asked_for_meanwhile_is_the_retry(hooked: Rig) -> None:
    hooked.timeout_seconds = 5
    hooked.start(listen=True)
    wait_until(hooked.succeeded("hooked"))
    asked = len(hooked.api.requests)
    hooked.api.script(id_of("hooked"), SilentHeaders(3600))
    assert hooked.post_webhook("hooked", SECRET) == 202
    wait_until(lambda: len(hooked.api.requests) > asked)
    assert hooked.post_webhook("hooked", SECRET) == 202
    wait_until(hooked.succeeded("hooked", 2))
    assert outcomes(hooked)[1:] == [("webhook", "failed"), ("webhook", "succeeded")]
    assert re.search(r"Next run</dt><dd>in 5 h \d+ min", hooked.get("/workspaces/hooked").text)
    assert hooked.end() == 0


def failed_by(rig: Rig, trigger: str) -> list[Any]:
    return [run for run in rig.runs() if (run.trigger, run.status) == (trigger, "failed")]


def test_people_are_told_once_by_daemon_and_cron_together(rig: Rig, receiver: Receiver) -> None:
    rig.sections = """
        [sync]
        schedule = "every 1s"
        [notify]
        webhook_url_env = "HOOK"
        after_failures = 2
    """
    rig.environ |= receiver.environ()
    workspace_id = rig.add("acme")
    rig.api.always(workspace_id, Status(503))
    rig.start()
    for trigger in ("schedule", "manual", "schedule", "manual"):
        seen = len(failed_by(rig, trigger))
        while len(failed_by(rig, trigger)) == seen:
            if trigger == "manual":
                rig.sync()  # skipped where the daemon is at it
            time.sleep(0.05)
    wait_until(lambda: bool(receiver.posts))
    assert rig.end() == 0
    rig.start()
    rig.sync()
    assert len(receiver.posts) == 1
    rig.api.always(workspace_id, None)
    wait_until(rig.succeeded("acme", 2))
    rig.sync()
    wait_until(lambda: len(receiver.posts) >= 2)
    assert rig.end() == 0
    told, fresh = receiver.texts()
    assert re.match(r"workspace acme failed \d+ times in a row: .* \[server_error\]", told)
    assert re.fullmatch(r"workspace acme is fresh again, after \d+ failed runs", fresh)
    assert_accounted_for(rig.runs())
    assert "sEcReT" not in rig.log


def test_a_receiver_that_was_away_is_told_when_it_is_back(rig: Rig, receiver: Receiver) -> None:
    rig.sections = """
        [sync]
        schedule = "every 6h"
        [notify]
        webhook_url_env = "HOOK"
        after_failures = 1
    """
    rig.environ |= receiver.environ()
    rig.add("acme", key="revoked")
    receiver.status = 500
    rig.start()
    wait_until(lambda: "cannot notify" in rig.log)  # not sooner: a post under way would be answered with 200
    receiver.status = 200
    receiver.posts.clear()
    wait_until(lambda: bool(receiver.posts))
    assert rig.end() == 0
    assert len(rig.runs()) == 1  # no other run was needed
    assert len(receiver.texts()) == 1
