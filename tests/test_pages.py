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
    """Every page but the one that leads on to the first, by its path; none if nothing was built."""
    found = (path.relative_to(PAGES) for path in sorted(PAGES.rglob("*.html")))
    return [str(p) for p in found if p.parts[0] != "_static" and str(p) != "index.html"]


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


CHAPTERS = [name for name in built() if name.startswith("notebooks/")]
# Text that is seen: its size on the screen, where it ends, and its first words.
SEEN = """() => {
  const walker = document.createTreeWalker(
    document.querySelector(".bd-article"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), parent = walker.currentNode.parentElement;
    if (!text || !parent.checkVisibility()) continue;
    if (parent.closest("style, script, mjx-container")) continue;
    const drawing = parent.closest("svg");
    const scale = drawing ? drawing.getScreenCTM().a : 1;
    found.push([parseFloat(getComputedStyle(parent).fontSize) * scale, text.slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def phone(chromium):
    with chromium.new_context(viewport=PHONE) as context:
        yield context.new_page()


@pytest.mark.parametrize("name", built())
def test_on_a_phone_all_is_large_enough_to_read_and_the_page_stays_in_its_width(name, phone):
    phone.goto((PAGES / name).as_uri(), wait_until="load")
    if not phone.locator(".bd-article").count():
        pytest.skip("no page of the book")
    assert [text for size, text in phone.evaluate(SEEN) if size < 11] == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_code_is_folded_and_not_cut_at_the_right_edge(name, tab):
    tab.goto((PAGES / name).as_uri(), wait_until="load")
    code = tab.locator("details.hide.above-input")
    assert code.count() > 3 and not code.evaluate_all("all => all.some(each => each.open)")
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert tab.locator(".bd-article pre").evaluate_all(cut) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_on_a_phone_verdicts_and_results_are_on_the_screen(name, phone):
    phone.goto((PAGES / name).as_uri(), wait_until="load")
    phone.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    places = phone.locator(".verdicts .verdict, .verdicts svg, table.cards td:not(.nothing)")
    ends = places.evaluate_all("all => all.map(each => each.getBoundingClientRect().right)")
    assert ends and max(ends) <= PHONE["width"]


def test_tabs_choose_whose_answers_stand_beside_the_first(tab):
    names = [n for n in CHAPTERS if 'role="radiogroup"' in (PAGES / n).read_text()]
    if not names:
        pytest.skip("no chapter shows the answers of several methods")
    tab.goto((PAGES / names[0]).as_uri(), wait_until="load")
    said = tab.locator(".conversation:has(.tabs)").first
    for label in said.locator(".tabs label").all():
        label.click()
        title = label.inner_text().strip()
        shown = said.locator(".after:visible .who").all_inner_texts()
        assert shown and set(shown) == {title}
    answers = said.locator(".replies").first.locator(".reply:visible")
    left, right = (answers.nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    tab.set_viewport_size(PHONE)
    above, below = (answers.nth(n).bounding_box() for n in (0, 1))
    assert above["x"] == below["x"] and above["y"] + above["height"] <= below["y"]
    tab.set_viewport_size(DESKTOP)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_answers_on_its_first_screen(name, chromium):
    """The answer, the verdicts and the whole picture stand above 1,000 px at 1,400 px."""
    with chromium.new_context(viewport={"width": 1400, "height": 1000}) as context:
        page = context.new_page()
        page.goto((PAGES / name).as_uri())
        bottoms = {
            place: page.locator(place).first.bounding_box()
            for place in (".answer", ".verdict-strip", "figure.hero")
        }
        assert all(box and box["y"] + box["height"] <= 1000 for box in bottoms.values()), bottoms


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_picture_has_its_words_and_those_of_records_their_data(name, tab):
    tab.goto((PAGES / name).as_uri())
    pictures = tab.locator("article .cell_output img").count()
    assert tab.locator("article .caption").count() == pictures
    assert tab.locator("article .of-records a[download]").count() >= 1


def test_the_slider_shows_one_rate_of_every_arm(tab):
    tab.goto((PAGES / "notebooks" / "02_lora.html").as_uri())
    hero = tab.locator("figure.hero")
    before = hero.locator("output").inner_text()
    assert hero.locator(".plane-wide .at.on").count() > 2
    hero.locator("input[type=range]").press("ArrowRight")
    assert hero.locator("output").inner_text() != before
    steps = hero.locator(".plane-wide .at.on").evaluate_all("all => all.map(e => e.dataset.step)")
    assert set(steps) == {"1"}
