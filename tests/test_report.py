"""The page of a reader's own run: all inside, beside what the book published."""

import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from forgetting import book, claims, cli
from forgetting.claims import Verdict
from forgetting.site import report

SETTINGS = {"tier": "laptop", "seeds": [0, 1], "model": ""}


def verdict(outcome="holds", name="learns", **rest):
    about = {"id": name, "statement": "It learns <more>.", "paper": "Ann (2024)"}
    about |= {"citation": "ann", "source": "C1", "chapter": "trial", "unit": "nats a token"}
    told = {"effect": -0.5, "low": -0.625, "high": -0.375, "tier": "laptop", "seeds": 3}
    return Verdict(**about, verdict=outcome, date="2026-11-21", **told | rest)


def figure(alt, png):
    data = {"image/png": png, "text/plain": alt}
    return new_output("display_data", data, metadata={"image/png": {"alt": alt}})


def write(path, png, printed=("one\n", "two <b>\n")):
    cells = [
        new_markdown_cell("# A chapter & more\n\nProse of the published run."),
        new_markdown_cell("## Nothing here"),
        new_markdown_cell("## What happened\n\n### In pictures"),
        new_code_cell(
            "figure()",
            outputs=[
                *(new_output("stream", name="stdout", text=text) for text in printed),
                new_output("stream", name="stderr", text="a warning"),
                figure("A rising line.", png),
            ],
        ),
        new_code_cell(
            "table()",
            outputs=[new_output("execute_result", {"text/html": "<table><tr><td>1</table>"})],
        ),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(claims, "verdicts", lambda *_: [verdict("undecided", seeds=1)])


def seen(page):
    """The text of a page, outside its style."""
    plain = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", plain).split())


def test_verdicts_stand_side_by_side():
    page = report.verdict_table(
        [verdict("undecided", effect=0.25, low=-1.0, high=1.5, seeds=1), verdict(name="other")],
        [verdict("contradicted")],
    )
    rows = [seen(row) for row in re.findall(r"<tr>.*?</tr>", page)]
    assert rows[0] == "claim with this run published"
    assert rows[1] == (
        "It learns &lt;more&gt;. undecided +0.25 [−1, +1.5] nats a token laptop tier, 1 seed, "
        "2026-11-21 contradicted −0.5 [−0.625, −0.375] nats a token laptop tier, 3 seeds, "
        "2026-11-21"
    )
    assert rows[2].endswith(" –")  # a claim that was not there yet


def test_a_claim_that_was_not_run_says_why():
    missing = {"effect": None, "low": None, "high": None, "tier": None, "reason": "no records"}
    assert seen(report.verdict_table([verdict("not run", **missing)], [])).endswith(
        "not run no records –"
    )


def test_figures_stand_beside_the_published_ones(tmp_path, judged):
    ours, theirs = write(tmp_path / "ours.ipynb", "T1VSUw=="), tmp_path / "theirs.ipynb"
    alone = report.page("trial", ours, SETTINGS, [], theirs)  # the book was not built
    assert alone.count("<img") == 1
    write(theirs, "VEhFSVJT")
    page = report.page("trial", ours, SETTINGS, [], theirs)
    pictures = re.findall(r"<img src='data:image/png;base64,([^']+)' alt='([^']+)'", page)
    assert pictures == [("T1VSUw==", "A rising line."), ("VEhFSVJT", "Published: A rising line.")]


def test_headings_without_results_and_the_published_prose_stay_out(tmp_path, judged):
    page = report.page("trial", write(tmp_path / "a.ipynb", "AA=="), SETTINGS, [])
    assert re.findall(r"<(h\d)>(.*?)</h\d>", page) == [
        ("h1", "A chapter &amp; more"),
        ("h2", "Parameters"),
        ("h2", "Verdicts"),
        ("h2", "What happened"),
        ("h3", "In pictures"),
    ]
    assert "Prose of the published run" not in page and "a warning" not in page
    assert "<pre>one\ntwo &lt;b&gt;\n</pre>" in page
    assert "seeds 0,1 model –" in seen(page)


def test_the_page_is_whole_and_asks_nobody(tmp_path, judged):
    path = tmp_path / "report.html"
    path.write_text(report.page("trial", write(tmp_path / "a.ipynb", "AA=="), SETTINGS, []))
    assert book.page_problems(path) == []
    open_now = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img", "br"):
                open_now.append(tag)

        def handle_endtag(self, tag):
            while open_now.pop() != tag:  # a table cell may end with its row
                pass

    Balance().feed(path.read_text().removeprefix("<!doctype html>"))
    assert open_now == []


def test_only_a_toy_gets_the_warning(tmp_path, judged):
    executed = write(tmp_path / "a.ipynb", "AA==")
    assert "its numbers mean nothing" not in report.page("trial", executed, SETTINGS, [])
    smoke = report.page("trial", executed, SETTINGS | {"tier": "smoke"}, [])
    assert "its numbers mean nothing" in smoke


def test_a_report_without_a_folder_is_told_before_anything_runs(tmp_path):
    file = tmp_path / "gone" / "mine.html"
    done = CliRunner().invoke(cli.app, ["run", "freezing", "--report", str(file)])
    assert done.exit_code == 2 and "its folder does not exist" in done.stderr


def test_the_published_verdicts_are_those_of_the_scoreboard(monkeypatch, tmp_path):
    expected = claims.verdicts("freezing")
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))  # the reader's own runs lie elsewhere
    assert report.published("freezing") == expected
