"""How pages look, and what they say of themselves: fonts, a page's head, the map of the site."""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from fontTools.ttLib import TTFont
from lxml import html

from forgetting.site import fonts, heads

STATIC = Path(__file__).parents[1] / "book" / "_static"
CSS = (STATIC / "custom.css").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    fonts.write(where := tmp_path_factory.mktemp("fonts"))
    return where


def test_the_stylesheet_names_every_font_that_is_served_and_no_other(folder):
    named = re.findall(r"url\(\"fonts/([\w-]+\.woff)\"\)", CSS)
    assert sorted(named) == sorted(path.name for path in folder.glob("*.woff"))
    assert all((folder / f"{family}-licence.txt").stat().st_size for family in fonts.FAMILIES)


@pytest.mark.parametrize("family", fonts.FAMILIES)
def test_a_font_is_small_has_the_books_letters_and_gives_back_its_reserved_name(folder, family):
    path = folder / f"{family}-regular.woff"
    assert path.stat().st_size < 60_000
    font = TTFont(path)
    assert set(map(ord, "Aaéγ−±×→≤“”…–·")) <= font.getBestCmap().keys()
    assert {record.nameID for record in font["name"].names} <= {0, 13, 14}
    widths = {font["hmtx"][font.getBestCmap()[ord(digit)]][0] for digit in "0123456789"}
    assert len(widths) == 1  # the digits of a column stand below each other


def test_a_font_is_cut_to_the_same_bytes_each_time(folder, tmp_path):
    whole = fonts.files("font_source_serif_pro") / "files" / "SourceSerifPro-It.ttf"
    fonts.cut(Path(str(whole)), tmp_path / "again.woff")
    assert (tmp_path / "again.woff").read_bytes() == (folder / "serif-italic.woff").read_bytes()


TEXT = """\
A chapter
=========

Kicker

+-----------------------------------------------------------+
| A table's cell that is long enough to describe a page      |
+-----------------------------------------------------------+

The *first* paragraph that says "something" & is long enough to be told of.

More.
"""


def document(text: str) -> nodes.document:
    return publish_doctree(text, settings_overrides={"report_level": 5, "doctitle_xform": False})


def test_a_page_is_described_by_its_first_running_text():
    first = 'The first paragraph that says "something" & is long enough to be told of.'
    assert heads.description(document(TEXT)) == first
    long = heads.description(document("A\n=\n\n" + "word " * 60))
    assert len(long) <= heads.LONGEST and long.endswith("word …")
    assert heads.description(document("A\n=\n\nShort.")) == ""


def app(base: str, out: Path = Path()) -> SimpleNamespace:
    builder = SimpleNamespace(get_target_uri=lambda page: f"{page}.html")
    return SimpleNamespace(
        config=SimpleNamespace(html_baseurl=base, html_title="The book"),
        builder=builder,
        env=SimpleNamespace(found_docs={"welcome", "notebooks/02_lora"}),
        outdir=str(out),
    )


def metas(base: str, doctree: nodes.document | None) -> dict[str, str]:
    context = {"title": "LoRA &amp; <em>rank</em>", "metatags": ""}
    heads.describe(app(base), "notebooks/02_lora", "page.html", context, doctree)
    found = html.fromstring(f"<head>{context['metatags']}</head>").iter("meta")
    return {meta.get("name") or meta.get("property"): meta.get("content") for meta in found}


def test_a_shared_page_has_a_card_with_a_picture_where_the_sites_address_is_known():
    tags = metas("https://book.example.org", document(TEXT))
    assert tags["og:title"] == "LoRA & rank" and tags["og:site_name"] == "The book"
    assert tags["description"] == tags["og:description"]
    assert tags["description"].startswith('The first paragraph that says "something" &')
    assert tags["og:url"] == "https://book.example.org/notebooks/02_lora.html"
    picture = tags["og:image"].removeprefix("https://book.example.org/_static/")
    assert (STATIC / picture).is_file()
    relative = metas("", document(TEXT))
    assert {"og:url", "og:image"}.isdisjoint(relative) and relative["twitter:card"] == "summary"
    assert metas("", None) == {}  # of what is no page: the index, the search
    assert metas("", document("A\n=\n\nShort."))["description"] == "LoRA & rank"


@pytest.mark.parametrize("base", ["", "https://book.example.org/"])
def test_the_map_has_every_page_under_the_address_of_the_site(base, tmp_path):
    heads.write_sitemap(app(base, tmp_path))
    tree = ElementTree.parse(io.BytesIO((tmp_path / "sitemap.xml").read_bytes()))
    places = [element.text for element in tree.findall(".//{*}loc")]
    assert places == [f"{base}notebooks/02_lora.html", f"{base}welcome.html"]


def test_the_favicon_is_a_drawing_that_asks_nobody():
    drawing = (STATIC / "favicon.svg").read_text()
    assert ElementTree.fromstring(drawing).get("viewBox") == "0 0 32 32"
    assert set(re.findall(r"https?://[^\"]+", drawing)) == {"http://www.w3.org/2000/svg"}
