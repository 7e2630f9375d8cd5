"""What generated pages share: MyST tables, badges, numbers, links to chapters."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from forgetting.evidence.claims import Verdict
from forgetting.wording import number

REPOSITORY = "https://github.com/post-training-and-forgetting/book"
VERDICTS = ("holds", "contradicted", "undecided", "not run")
NOTHING = "–"


class PageError(ValueError):
    """A page cannot be made; the message names the entry and the remedy."""


class Contents(NamedTuple):
    """The chapters that are in the book, by the stems of their notebooks."""

    notebooks: tuple[str, ...]

    def notebook(self, chapter: str) -> str | None:
        """The notebook of a chapter: "01_freezing" for "freezing"."""
        stem = PurePosixPath(chapter).stem
        return next((n for n in self.notebooks if stem in (n, n.partition("_")[2])), None)

    def link(self, chapter: str) -> str:
        """The chapter's name, as a link to it where the book has it."""
        words = title(chapter)
        notebook = self.notebook(chapter)
        return f"{{doc}}`{words} </notebooks/{notebook}>`" if notebook else words


def title(chapter: str) -> str:
    """A chapter's name in words: "chat vector" for "chat_vector"."""
    return chapter.replace("_", " ")


def page_of(heading: str, *paragraphs: str, wide: bool = False) -> str:
    """A page that need not stand in the sidebar. A `wide` one has no contents on its right."""
    about = "orphan: true" + ("\nhtml_theme.sidebar_secondary.remove: true" if wide else "")
    body = "\n\n".join(paragraph.strip("\n") for paragraph in paragraphs if paragraph)
    return f"---\n{about}\n---\n\n# {heading}\n\n{body}\n"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "", marks: str = ""
) -> str:
    """A table. `right` names the columns of numbers, `marks` are its classes (".sortable")."""
    numbers = right.split()
    lines = [f"{{{marks}}}"] if marks else []
    lines += [_row(heads), _row([":---" if h not in numbers else "---:" for h in heads])]
    return "\n".join([*lines, *(_row([cell(value) for value in row]) for row in rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(value: object) -> str:
    """Text on one line in which a bar does not end the cell."""
    return " ".join(str(value).split("\n")).strip().replace("|", r"\|") or NOTHING


def badge(verdict: str) -> str:
    """A verdict as a word in a coloured frame. Raises `PageError` for an unknown one."""
    if verdict not in VERDICTS:
        raise PageError(f"verdict={verdict!r}: must be one of {', '.join(VERDICTS)}")
    return f"[{verdict}]{{.verdict .{verdict.replace(' ', '-')}}}"


def interval(found: Verdict) -> str:
    """ "−0.123 [−0.2, −0.05]" on one line; a dash where nothing was measured."""
    if found.effect is None:
        return NOTHING
    if found.low is None or found.high is None:
        return number(found.effect)
    return f"{number(found.effect)} [{number(found.low)},\u00a0{number(found.high)}]"


def claim_link(words: str, claim: str, up: str = "") -> str:
    """A link to a claim's row on the scoreboard; `up` leads to the book's top folder."""
    return f'<a href="{up}scoreboard.html#claim-{html.escape(claim)}">{words}</a>'
