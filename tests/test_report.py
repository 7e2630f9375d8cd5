"""The page of a reader's own run: all inside, beside what the book published."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from studies import NOT_RUN, verdict

from forgetting.chapters import published
from forgetting.site import report
from forgetting.site.book import verifying

SETTINGS = {"tier": "laptop", "seeds": [0, 1], "model": ""}


def claim(outcome="holds", name="learns", **rest):
    about = {"id": name, "statement": "It learns <more>.", "unit": "nats a token"}
    measured = {"verdict": outcome, "effect": -0.5, "low": -0.625, "high": -0.375}
    return verdict(**about | measured | rest)


UNDECIDED = [claim("undecided", seeds=1)]


def write(path, png="AA=="):
    """An executed notebook: a heading without results, a figure, a table and printed lines."""
    printed = [new_output("stream", name="stdout", text=text) for text in ("one\n", "two <b>\n")]
    about = {"image/png": {"alt": "A rising line."}}
    figure = new_output("display_data", {"image/png": png, "text/plain": "line"}, metadata=about)
    table = new_output("execute_result", {"text/html": "<table><tr><td>1</table>"})
    warning = new_output("stream", name="stderr", text="a warning")
    cells = [
        new_markdown_cell("# A chapter & more\n\nProse of the published run."),
        new_markdown_cell("## Nothing here"),
        new_markdown_cell("## What happened\n\n### In pictures"),
        new_code_cell("figure()", outputs=[*printed, warning, figure]),
        new_code_cell("table()", outputs=[table]),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of a run; call it with what differs from a laptop run that judged one claim."""

    def made(now=UNDECIDED, before=(), beside=tmp_path / "unbuilt.ipynb", **settings):
        monkeypatch.setattr(report, "verdicts", lambda *_: now)
        executed = write(tmp_path / "ours.ipynb", "T1VSUw==")
        return report.page("trial", executed, SETTINGS | settings, before, beside)

    return made


def seen(page):
    """The text of a page, outside its style."""
    plain = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", plain).split())


def test_verdicts_stand_side_by_side(page):
    now = [
        claim("undecided", effect=0.25, low=-1.0, high=1.5, seeds=1),
        claim(name="other"),
        claim(name="later", reason="no records", **NOT_RUN),
    ]
    text = page(now, [claim("reversed")]).partition("<h2>Verdicts</h2>")[2]
    rows = [seen(row) for row in re.findall(r"<tr>.*?</tr>", text)]
    assert rows[0] == "claim with this run published"
    assert rows[1] == (
        "It learns &lt;more&gt;. undecided +0.2 [−1.0, +1.5] nats a token laptop tier, 1 seed, "
        "2026-11-21 reversed −0.50 [−0.62, −0.38] nats a token laptop tier, 3 seeds, "
        "2026-11-21"
    )
    assert rows[2].endswith(" –")  # a claim that was not there yet
    assert rows[3].endswith("not tested no records –")
    assert "This chapter has no claims." in page([])


def test_figures_stand_beside_the_published_ones(page, tmp_path):
    theirs = tmp_path / "theirs.ipynb"
    assert page(beside=theirs).count("<img") == 1  # the book was not built
    beside = page(beside=write(theirs, "VEhFSVJT"))
    pictures = re.findall(r"<img src='data:image/png;base64,([^']+)' alt='([^']+)'", beside)
    assert pictures == [("T1VSUw==", "A rising line."), ("VEhFSVJT", "Published: A rising line.")]


def test_headings_without_results_the_published_prose_and_a_toys_warning_stay_out(page):
    text = page()
    assert re.findall(r"<(h\d)>(.*?)</h\d>", text) == [
        ("h1", "A chapter &amp; more"),
        ("h2", "Parameters"),
        ("h2", "Verdicts"),
        ("h2", "What happened"),
        ("h3", "In pictures"),
    ]
    assert "Prose of the published run" not in text and "a warning" not in text
    assert "<pre>one\ntwo &lt;b&gt;\n</pre>" in text and "<table><tr><td>1</table>" in text
    assert "seeds 0,1 model –" in seen(text)
    assert "its numbers mean nothing" not in text
    assert "its numbers mean nothing" in page(tier="smoke")


def test_the_page_is_whole_and_asks_nobody(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page())
    assert verifying.page_problems(path) == []
    tags = re.findall(r"<(/?)(\w+)[^>]*>", path.read_text())
    open_now = []
    for end, tag in tags:
        if not end and tag not in ("meta", "img", "br"):
            open_now.append(tag)
        while end and open_now.pop() != tag:  # a table cell may end with its row
            pass
    assert open_now == []


def test_the_published_verdicts_are_those_of_the_scoreboard(monkeypatch, tmp_path):
    expected = published.verdicts("freezing")
    assert any(verdict.verdict == "holds" for verdict in expected)
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))  # the reader's own runs lie elsewhere
    assert report.published("freezing") == expected
    assert {verdict.verdict for verdict in published.verdicts("freezing")} == {"not tested"}
