"""A record that others made: what it says is shown on pages, and never run or read as markup."""

import html
import json
import re

import pytest
from lxml.html import document_fromstring
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from studies import BASE, put, run, scores

from forgetting.evidence import records
from forgetting.probes.scores import Sample
from forgetting.site import markup
from forgetting.site.pages import explorer, run_records
from forgetting.views import tables
from forgetting.views.conversation import Exchange, conversation

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
FILE = "\n```\n```{include} /etc/passwd\n```\n{download}`/etc/passwd` {eval-rst}`x`"
TEMPLATE = (
    "{{ 7 * 7 }} {% raise %} {{ r.nothing }} {# x #} $\\frac{ ![x](https://example.org/x.png)"
)
HOSTILE = SCRIPT + FILE + TEMPLATE
CONTENTS = markup.Contents(("01_freezing",))
KEY = "0123456789abcdef0123"
EXTENSIONS = {"attrs_inline", "attrs_block", "colon_fence", "dollarmath", "substitution", "deflist"}


def tokens(text):
    """What MyST reads in a text, as the book has it read: its tokens, also those within others."""
    parser = create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML)
    for token in parser.parse(text):
        yield token
        yield from token.children or ()


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A stored run of which everything is hostile that a record may say freely."""
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    recipe = {"step": "train", "parent": BASE, "task": {"task": HOSTILE}, "seed": 0}
    recipe |= {"tune": {"kind": HOSTILE}, "settings": {"tokens": 5, HOSTILE: HOSTILE}}
    start = {"step": "foundation", "digest": HOSTILE}
    made = run(
        "LoRA",
        key=KEY,
        asked={"quiz": scores(HOSTILE, acc=[1, 0])},
        answers={"quiz": [(HOSTILE, HOSTILE)]},
        lineage={BASE: start, KEY: recipe},
        shown={HOSTILE: HOSTILE},
    )
    put(run("untouched", asked={"quiz": scores(HOSTILE, acc=[1, 0])}), made)
    return records.stored("trial")


def test_the_page_of_records_shows_recipes_as_text(hostile):
    text = run_records.chapter_page("trial", hostile, CONTENTS)
    (block,) = [token for token in tokens(text) if token.type == "fence"]
    assert block.info == "{raw} html" and "<script" not in block.content
    assert "<img" not in block.content and "`" not in block.content
    recipes = re.findall(r"<pre>(.*?)</pre>", block.content, re.S)
    lineages = [json.loads(html.unescape(recipe))["lineage"] for recipe in recipes]
    (of_run,) = (lineage[KEY] for lineage in lineages if KEY in lineage)
    assert of_run["task"]["task"] == HOSTILE
    kinds = {token.type for token in tokens(text)}
    assert not kinds & {"html_block", "html_inline", "substitution_inline", "substitution_block"}


def test_the_explorers_data_cannot_end_their_script(hostile):
    data = {"studies": list(explorer.studies())}
    page = markup.render("explorer.html.jinja", markup="", script="", data=data)
    assert page.count("<script") == page.count("</script>") == 2 and "<img" not in page
    inside = re.search(r'id="explorer-data">(.*?)</script>', page, re.S)
    assert json.loads(inside[1])["studies"][0]["measures"] == ["quiz.acc"]


def test_a_conversation_is_read_as_nothing_but_text():
    """Where MyST reads it, it is one block of HTML, in which what was said is text."""
    answers = {"before": HOSTILE, "after": HOSTILE}
    page = conversation([Exchange(HOSTILE, answers)]).data
    assert {token.type for token in tokens(page)} == {"html_block"}
    for part in (document_fromstring(page).find_class(name) for name in ("asked", "reply")):
        for said in part:
            assert not said.xpath(".//script | .//img")
            assert "<script>alert(1)</script>" in said.text_content()
            assert "{{ 7 * 7 }}" in said.text_content()


def test_tables_of_answers_escape_them(hostile):
    (one,) = [run for run in hostile if not run.start]
    shown = tables.said_table({SCRIPT: one}, "quiz").data
    assert "<script" not in shown and "<img" not in shown and "&lt;script&gt;" in shown
    one.samples[0] = Sample(task="quiz", prompt="p", answer=HOSTILE)
    one.scores["quiz"].items["surprise"] = [1.0, 2.0]
    assert "<script" not in tables.surprise_table(one).data


@pytest.mark.parametrize("field", ["labels", "environment", "model", "role", "experiment"])
@pytest.mark.parametrize("text", [SCRIPT, FILE, TEMPLATE, "a\x1b[2Jb", "a‮b"])
def test_what_pages_show_between_their_own_words_may_hold_no_markup(
    tmp_path, monkeypatch, field, text
):
    """Labels, machines, models and roles stand in headings, tables and figures of every kind."""
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    model = {"name": text, "digest": "d", "layers": 1, "parameters": 1}
    given = {
        "labels": {"labels": {"order": text}},
        "environment": {"environment": {"device": text}},
        "model": {"model": model},
        "role": {"asked": {text: {"acc": [1]}}},
        "experiment": {"experiment": text.replace("/", "")},
    }
    with pytest.raises(ValueError, match="may be markup"):
        put(run("LoRA", **given[field]))
        records.stored("trial")
