"""The report in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epochs_left.reporting import build_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if BROWSER is None:
    pytest.skip("no Chromium on this machine: the report was not opened", allow_module_level=True)

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BOARD = "#leaderboard-neuron-table"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(report: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("report") / "index.html"
    file.write_text(report, encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto(address)
    yield opened
    opened.close()


def _column(page: Any, index: int) -> list[str]:
    return page.eval_on_selector_all(
        f"{BOARD} tbody tr:not([hidden])",
        f"rows => rows.map(row => row.cells[{index}].dataset.sort ?? row.cells[{index}].innerText)",
    )


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Any, address: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address, wait_until="networkidle")
    page.close()
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert said == []


def test_the_policy_stops_what_is_not_the_page_itself(page: Any) -> None:
    blocked = page.evaluate(
        """() => new Promise(resolve => {
            document.addEventListener('securitypolicyviolation', e => resolve(e.violatedDirective));
            document.body.append(Object.assign(document.createElement('script'),
                                               {textContent: 'window.ran = true'}));
            setTimeout(() => resolve('nothing'), 2000);
        })"""
    )
    assert blocked.startswith("script-src")
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window_in_both_schemes(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(address)
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true })")
    page.eval_on_selector_all(".option", "all => all.forEach(each => { each.hidden = false })")
    scrolled = page.evaluate("document.documentElement.scrollWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    assert scrolled <= width
    assert (sum(map(int, background[4:-1].split(","))) > 380) == (scheme == "light")


def test_long_names_do_not_widen_the_page(
    browser: Any, results: dict[str, Any], tmp_path: Path
) -> None:
    rows = [
        {**row, "title": f"{row['title']} {'x' * 200}", "scope": f"{row['scope']}{'y' * 90}"}
        for row in results["neuron/scores.json"]
    ]
    file = tmp_path / "index.html"
    file.write_text(build_report({"neuron/scores.json": rows}), encoding="utf-8")
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(file.as_uri())
    scrolled = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert scrolled <= 400


def test_text_in_pictures_follows_the_scheme(browser: Any, address: str) -> None:
    fills = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        fills.add(page.eval_on_selector("svg.chart text", "t => getComputedStyle(t).fill"))
        page.close()
    assert len(fills) == 2


def test_a_click_sorts_down_then_up_and_says_so(page: Any) -> None:
    header = page.locator(f"{BOARD} thead th").nth(3)
    for state, is_reversed in (("descending", True), ("ascending", False)):
        header.get_by_role("button").click()
        values = [float(value) for value in _column(page, 3)]
        assert header.get_attribute("aria-sort") == state
        assert values == sorted(values, reverse=is_reversed)
        assert len(set(values)) > 3


def test_sorting_works_by_keyboard_alone(page: Any) -> None:
    button = page.locator(f"{BOARD} thead th").first.get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    names = _column(page, 0)
    assert names == sorted(names, key=str.lower)
    assert page.locator(f"{BOARD} thead th").first.get_attribute("aria-sort") == "ascending"


def test_filters_and_search_narrow_the_rows_and_count_them(page: Any) -> None:
    before = len(_column(page, 0))
    page.locator(f"{BOARD} select").first.select_option("Past alone")
    assert set(_column(page, 1)) == {"Past alone"}
    assert len(_column(page, 0)) == before / 2
    page.locator(f"{BOARD} input[type=search]").fill("forest")
    assert _column(page, 0) == ["Random forest"]
    assert page.locator(f"{BOARD} output").inner_text().startswith("1 of ")


def test_copying_gives_the_shown_rows_with_full_numbers_as_tsv(browser: Any, address: str) -> None:
    page = browser.new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(address)
    page.locator(f"{BOARD} input[type=search]").fill("forest")
    page.locator(f"{BOARD} .tools button").click()
    page.locator(f"{BOARD} output", has_text="copied").wait_for()
    lines = [
        line.split("\t") for line in page.evaluate("navigator.clipboard.readText()").splitlines()
    ]
    page.context.close()
    at = next(i for i, label in enumerate(lines[0]) if f"{label} lower" in lines[0])
    assert lines[0][at + 1 : at + 3] == [f"{lines[0][at]} lower", f"{lines[0][at]} upper"]
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert all(float(line[at + 1]) <= float(line[at]) <= float(line[at + 2]) for line in lines[1:])


def test_every_section_can_be_reached_by_its_link(page: Any) -> None:
    for link in page.locator("nav a").all():
        link.click()
        name = (link.get_attribute("href") or "").removeprefix("#")
        top = page.eval_on_selector(f"#{name}", "s => s.getBoundingClientRect().top")
        at_end = page.evaluate("innerHeight + scrollY >= document.body.scrollHeight - 2")
        assert -5 < top < 200 or at_end


def _shown(page: Any) -> set[str]:
    """Return the families whose part of a choice is to be seen."""
    options = page.locator(".choice > .option").all()
    return {option.get_attribute("data-name") for option in options if option.is_visible()}


def test_one_family_is_shown_in_every_section_and_chosen_in_any(page: Any) -> None:
    assert page.locator(".choice").count() > 3
    assert _shown(page) == {"neuron"}
    page.locator("#worst_runs .switch label", has_text="mlp").click()
    assert _shown(page) == {"mlp"}
    page.locator("#leaderboard .switch input[value=mlp]").focus()
    page.keyboard.press("ArrowLeft")
    assert _shown(page) == {"neuron"}


def test_a_link_to_a_part_that_is_hidden_shows_it(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}#leaderboard-mlp-table")
    page.locator("#leaderboard-mlp-table").wait_for(state="visible")
    assert _shown(page) == {"mlp"}
    page.close()


def test_data_behind_a_figure_opens_by_keyboard(page: Any) -> None:
    details = page.locator("figure details:visible").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.locator("table").is_visible()


def test_without_scripts_every_row_is_there(browser: Any, address: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    assert page.locator(f"{BOARD} tbody tr").count() == 16
    assert all(option.is_visible() for option in page.locator(".choice > .option").all())
    assert not page.locator(f"{BOARD} .tools").is_visible()
    page.context.close()


def test_printing_gives_a_pdf_without_the_navigation(browser: Any, address: str) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(address)
    pdf = page.pdf(format="A4")
    page.emulate_media(media="print")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert pdf.startswith(b"%PDF")
    assert not page.locator("body > nav").is_visible()
    assert all(option.is_visible() for option in page.locator(".choice > .option").all())
    assert sum(map(int, background[4:-1].split(","))) > 700
    page.close()
