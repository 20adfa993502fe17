"""The pages in a real browser, where there is one: what they show, what cannot run, and at 390 pixels."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from viewed import LONG, write_view

pytest.importorskip("duckdb")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]
NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_view(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """Of `python -m evals view`, with its token."""
    server = subprocess.Popen(
        [sys.executable, "-m", "evals", "view", str(runs), "port=0"],
        env={**os.environ, "RLVR_STORE": str(runs.parent / "store")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    found = re.search(r"http://\S+", server.stdout.readline())
    assert found
    yield found[0]
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    made = context.new_page()
    made.faults = []
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.on("console", lambda said: made.faults.append(said.text) if said.type == "error" else None)
    made.on("request", lambda asked: made.faults.append(asked.url) if "127.0.0.1" not in asked.url else None)
    made.goto(address)
    made.wait_for_selector("main[data-drawn] h1")
    yield made
    assert made.faults == []  # nothing failed, nothing was asked for from elsewhere
    context.close()


def show(page: Any, name: str, runs: Path, **query: Any) -> None:
    """Goes to a page and waits until it is drawn."""
    before = page.get_attribute("main", "data-drawn")
    query = {"run": str(runs / "good"), **query}
    page.evaluate("hash => { location.hash = hash }", f"/{name}?{urlencode(query)}")
    page.wait_for_function("before => document.querySelector('main').dataset.drawn !== before", arg=before)


def test_runs_curves_alarms_and_the_table(page: Any, runs: Path) -> None:
    text = page.inner_text("main")
    assert "metrics.jsonl, line 2: is not JSON" in text  # the broken run, beside the others
    assert page.locator("table.list tbody tr").count() == 3
    show(page, "", runs)
    text = page.inner_text("main")
    assert "rollout/truncated, 6 steps from 4 to 9" in text and "pass@1" in text and "[5.0, 27.0]" in text
    assert page.locator("figure svg path.line").count() >= 8
    page.locator("figure svg").first.hover()
    assert "step " in page.locator("figure .read").first.inner_text()
    page.get_by_label("show " + str(runs / "other")).check()
    page.wait_for_function("() => document.querySelectorAll('figure svg path.line.c2').length > 3")


def test_from_a_problem_to_its_samples(page: Any, runs: Path) -> None:
    show(page, "problems", runs)
    page.locator(".card.lost").click()
    page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 2")
    page.locator("tbody a").first.click()
    page.wait_for_selector(".sides article")
    text = page.inner_text("main")
    assert "Base: 8 samples" in text and "Policy: 8 samples" in text and "6 10 13 make 75" in text
    show(page, "samples", runs, problem="2")
    assert "10 + 13 = 99" in page.locator(".wrongstep").first.inner_text()
    link = page.locator("article header a").first.get_attribute("href")
    assert link is not None
    page.goto(page.url.partition("#")[0] + link)
    page.wait_for_selector("article.chosen")
    assert page.locator("article").count() == 1


def test_a_completion_is_data(page: Any, runs: Path) -> None:
    show(page, "samples", runs, problem="0", side="policy")
    texts = page.locator("article pre").all_inner_texts()
    assert texts[0].startswith('<script>document.title = "run"</script><img src=x onerror=')
    assert page.title() == "Samples - rlvr view" and page.locator("main img, main script").count() == 0
    assert (
        "␇" in texts[1]
        and "␛[31m" in texts[1]
        and "U+202E" in texts[1]
        and "␀" in texts[1]
        and "U+200B" in texts[1]
    )
    assert len(texts[2]) == 20_000
    page.get_by_text("show all").click()
    page.wait_for_function(
        "n => document.querySelectorAll('article pre')[2].textContent.length === n", arg=len(LONG)
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_rollouts_are_coloured_by_log_prob(page: Any, runs: Path) -> None:
    show(page, "rollouts", runs)
    assert page.locator("article .p5").count() and page.locator("article .p1").count()
    assert "outcome 1" in page.inner_text("main") and "advantage -0.9" in page.inner_text("main")
    show(page, "rollouts", runs, search="make 8", offset=0)
    assert "guess 25" in page.inner_text("main") and "environment" in page.inner_text("main")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize(
    ("name", "query"), [("", {}), ("problems", {}), ("samples", {"problem": "2"}), ("rollouts", {})]
)
def test_nothing_stands_beyond_the_edge(
    page: Any, runs: Path, scheme: str, width: int, name: str, query: dict[str, str]
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    show(page, name, runs, **query)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground, text = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < sum(map(int, re.findall(r"\d+", text)[:3]))
    assert dark == (scheme == "dark")
    if place := os.environ.get("RLVR_SCREENSHOTS"):
        page.screenshot(path=f"{place}/{name or 'runs'}-{width}-{scheme}.png", full_page=width == 390)
