"""The built pages in a browser: accessible in light and dark, and asking nobody for anything.

    make book; pip install -e '.[browser]'; python -m pytest -m browser

Reads `build/html`, or the folder that FORGETTING_PAGES names, in the machine's own Chromium.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser

BUILT = Path(__file__).parents[1] / "build" / "html"
PAGES = Path(os.environ.get("FORGETTING_PAGES") or BUILT).absolute()
BROWSERS = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
CHROMIUM = next(filter(None, BROWSERS), None)
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
RULES = {"runOnly": LEVELS, "resultTypes": ["violations"]}
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def built():
    """Every page, by its path under the site; none where the book was not built."""
    found = (path.relative_to(PAGES) for path in sorted(PAGES.rglob("*.html")))
    return [str(path) for path in found if path.parts[0] != "_static"]


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None or not built():
        pytest.skip("needs Chromium, and the pages that `make book` builds")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["light", "dark"])
def tab(request, chromium):
    """A tab of one who prefers light or dark pages; `tab.asked` are the addresses it wanted."""
    with chromium.new_context(color_scheme=request.param, viewport=DESKTOP) as context:
        page = context.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


@pytest.fixture
def explorer(chromium):
    """The explorer in a fresh tab; call it with a fragment of its address."""
    if "explorer.html" not in built():
        pytest.skip("the book has no explorer")
    with chromium.new_context(viewport=DESKTOP) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        def visit(fragment=""):
            page.goto("about:blank")
            page.goto((PAGES / "explorer.html").as_uri() + fragment)
            return page

        yield visit
        assert errors == []


@pytest.mark.parametrize("name", built())
def test_a_page_breaks_no_rule_and_asks_nobody(name, tab):
    tab.asked.clear()
    tab.goto((PAGES / name).as_uri(), wait_until="load")
    elsewhere = [url for url in tab.asked if not url.startswith((PAGES.as_uri(), "data:", "blob:"))]
    assert elsewhere == []
    found = axe.Axe().run(tab, options=RULES).response["violations"]
    told = [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]
    assert not told, "\n".join(told)


def shown(page):
    """The records on the plane and those in the table."""
    return [
        page.locator(f"{where} [data-key]").evaluate_all("all => all.map(e => e.dataset.key)")
        for where in ("#explorer-plot", "#explorer-table")
    ]


def test_the_plane_and_the_table_show_the_same_runs(explorer):
    page = explorer()
    points, rows = shown(page)
    assert points == rows and len(points) > 10
    page.get_by_role("checkbox", name="full").uncheck()
    fewer, rows = shown(page)
    assert fewer == rows and set(fewer) < set(points)
    page = explorer("#study=gone&x=gone.nats&rate=7&without=nobody")  # an address of another time
    assert len(shown(page)[0]) > 10


def test_a_link_shows_the_same_view_again(explorer):
    page = explorer()
    page.locator("select[name=x]").select_option(index=2)
    page.locator("select[name=rate]").select_option(index=1)
    page.get_by_role("checkbox", name="full").uncheck()
    page.get_by_role("checkbox", name="values themselves").check()
    runs, axis = shown(page), page.locator("select[name=x]").input_value()
    link = page.locator("#explorer-link").get_attribute("href")
    assert page.url.endswith(link)
    again = explorer(link)
    assert shown(again) == runs
    assert again.locator("select[name=x]").input_value() == axis
    assert not again.get_by_role("checkbox", name="full").is_checked()
    assert again.get_by_role("checkbox", name="values themselves").is_checked()


def test_the_keyboard_reaches_every_run_and_its_record(explorer):
    page = explorer()
    points, _ = shown(page)
    page.locator("#explorer-methods input").last.focus()
    page.keyboard.press("Tab")
    seen = []
    for _ in points:
        seen.append(page.evaluate("document.activeElement.dataset.key"))
        words = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert page.locator("#explorer-details").inner_text() == words
        assert page.locator("#explorer-table tr.chosen").get_attribute("data-key") == seen[-1]
        page.keyboard.press("ArrowRight")
    assert seen == points
    link = page.locator("#explorer-plot a").first.get_attribute("href")
    assert re.search(rf"/results/\w+/{points[0]}\.json$", link)


def test_a_phone_need_not_scroll_the_page_sideways(explorer):
    page = explorer()
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
