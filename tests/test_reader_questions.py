"""Questions that readers came with: each has its answer, three clicks away at most."""

import json
import posixpath
import re
import tomllib
from collections import deque
from pathlib import Path

import pytest

from forgetting.site.book.staging import HOW_TO
from forgetting.site.pages import citing, pages

REPOSITORY = Path(__file__).parents[1]
QUESTIONS = tomllib.loads((Path(__file__).parent / "reader_questions.toml").read_text())[
    "questions"
]
CLICKS = 3
ROLE = re.compile(r"\{doc\}`(?:[^`<]*<)?([^`>]+?)>?`")
LINK = re.compile(r"\]\(([^)#:\s]+?)(?:#[^)]*)?\)|href=\"([^\"#:]+?)(?:#[^\"]*)?\"")
INCLUDED = "```{include} " + HOW_TO


@pytest.fixture(scope="module")
def book():
    """The source of every page but the task cards, by name."""
    notebooks = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    sources = {str(path.with_suffix("")): text for path, text in pages(notebooks).items()}
    sources["cite"] = citing.page(REPOSITORY)
    for path in (REPOSITORY / "book").glob("*.md"):
        sources[path.stem] = path.read_text(encoding="utf-8")
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources[f"notebooks/{path.stem}"] = "\n\n".join("".join(c["source"]) for c in cells)
    how_to = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {name: text.replace(INCLUDED, how_to) for name, text in sources.items()}


def linked(name, text):
    """The pages that links in a page's text lead to."""
    for match in (*ROLE.finditer(text), *LINK.finditer(text)):
        target = next(filter(None, match.groups()))
        target = re.sub(r"\.(md|ipynb|html)$", "", target)
        folder = "" if target.startswith("/") else posixpath.dirname(name)
        yield posixpath.normpath(posixpath.join(folder, target.lstrip("/")))


@pytest.fixture(scope="module")
def clicks(book):
    """How many links it takes from the welcome page to each page, through pages' texts alone."""
    found, queue = {"welcome": 0}, deque(["welcome"])
    while queue:
        name = queue.popleft()
        for target in linked(name, book[name]):
            if target in book and target not in found:
                found[target] = found[name] + 1
                queue.append(target)
    return found


def test_links_are_found_whichever_way_they_are_written():
    text = '{doc}`a` {doc}`b c </d/e>` [f](../g.md#h) [i](https://j.k) <a href="../l.html#m">n</a>'
    assert list(linked("x/y", text)) == ["x/a", "d/e", "g", "l"]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["asked"])
def test_a_readers_question_is_answered_within_three_clicks(question, book, clicks):
    text = book[question["page"]]
    if anchor := question.get("anchor"):
        assert f'id="{anchor}"' in text or f"{{#{anchor}}}" in text
    else:
        assert question["phrase"] in text
    assert clicks.get(question["page"], 99) <= CLICKS


def test_no_question_is_left_out():
    assert len({question["asked"] for question in QUESTIONS}) == 14
