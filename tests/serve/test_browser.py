"""The pages in a real browser: narrow and wide, light and dark, and for those who do not see them.

Needs a Chromium on PATH (or in ONTORA_ETL_TEST_CHROMIUM); Playwright drives it and downloads nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.serve.scenery import FINDINGS, SCRIPT
from tests.serve.stage import Stage, a_daemon, serving

CHROMIUM = (
    os.environ.get("ONTORA_ETL_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
SHOTS = os.environ.get("ONTORA_ETL_TEST_SHOTS")  # a folder for pictures to look at

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH"),
]

PATHS = {
    "index": "/",
    "paused": "/?refresh=off",
    "workspace": "/workspaces/acme",
    "failing": "/workspaces/initech",
    "waiting": "/workspaces/zorg",
    "findings": f"/workspaces/{quote(FINDINGS.name, safe='')}",
    "script": f"/workspaces/{quote(SCRIPT, safe='')}",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


# Each page in each width and in each scheme: at a desk in the light, on a phone in the dark.
@pytest.fixture(params=[(1440, "light"), (390, "dark")], ids=["1440px-light", "390px-dark"])
def screen(request: pytest.FixtureRequest) -> tuple[int, Literal["light", "dark"]]:
    screen: tuple[int, Literal["light", "dark"]] = request.param
    return screen


@pytest.fixture
def page(browser: Browser, screen: tuple[int, Literal["light", "dark"]]) -> Iterator[Page]:
    width, scheme = screen
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    ) as context:
        yield context.new_page()


def complaints_of(page: Page) -> list[str]:
    """What the browser will complain about, from now on."""
    found: list[str] = []
    page.on("console", lambda message: found.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append(f"dialog: {dialog.message}"))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    return found


def violations_of(page: Page) -> list[dict[str, Any]]:
    """What axe-core has to say; evaluated from outside, so that the page's policy does not hinder it."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    # Of what is well, no report: writing one takes as long as looking.
    answer: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
    assert len(answer["passes"]) > 20
    return list(answer["violations"])


@pytest.mark.parametrize("name", PATHS)
def test_a_page_fits_reads_well_and_raises_no_complaint(
    scene: Stage, page: Page, screen: tuple[int, str], name: str, request: pytest.FixtureRequest
) -> None:
    width, _ = screen
    complaints = complaints_of(page)
    answer = page.goto(scene.url + PATHS[name])
    assert answer is not None
    assert answer.status == 200
    if SHOTS:
        shot = f"{request.node.name.partition('[')[2].rstrip(']')}.png"
        page.screenshot(path=str(Path(SHOTS) / shot), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    violations = violations_of(page)
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []
    assert complaints == []


def test_dark_is_dark(scene: Stage, browser: Browser) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(scene.url)
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            lightness[scheme] = sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(","))
    assert lightness["dark"] < 150
    assert lightness["light"] > 600


def test_what_a_screen_reader_says(scene: Stage, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(scene.url)
    assert page.get_by_role("heading", level=1).inner_text() == "1 workspace failing"
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("list").first.get_by_role("heading", level=3).count() == 8
    assert page.get_by_role("img", name="Last 50 runs").count() == 7
    page.get_by_role("link", name="initech").click()
    page.wait_for_url("**/workspaces/initech")
    assert page.get_by_role("heading", level=1).inner_text() == "initech"
    assert page.get_by_role("columnheader", name="Outcome").count() == 1
    page.get_by_role("link", name="All workspaces").click()
    page.wait_for_url(f"{scene.url}/")
    assert page.title() == "3 of 7 need attention · ontora-etl"
    page.close()


def test_the_keyboard_is_enough(scene: Stage, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(scene.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/workspaces/initech")
    page.close()


def test_it_refreshes_itself(tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.serve.app.REFRESH_SECONDS", 1)
    with a_daemon(f"sqlite:///{tmp_path / 'w.db'}") as daemon, serving(daemon) as stage:
        page = browser.new_page()
        page.goto(stage.url)
        assert page.locator(".facts dd").nth(3).inner_text() == "0"
        daemon.queue_length = 5
        page.locator(".facts dd").nth(3).filter(has_text="5").wait_for(timeout=10_000)
        page.close()
