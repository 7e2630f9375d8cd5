"""How a chapter's page opens: which question, its answer, its verdicts, and the hero's picture.

All of it is made from the chapter's experiment, records and claims, and staged below the title; no
line of it stands in the notebook. What only an author can say stands at the top of `claims.toml`,
and so does the takeaway of each figure further down.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from pydantic import BaseModel, ConfigDict

from forgetting import chapters, checking
from forgetting.chapters import published
from forgetting.evidence.claims import Verdict
from forgetting.site import heroes, times
from forgetting.site.markup import render
from forgetting.views import theme
from forgetting.wording import count, did_you_mean


class Opening(BaseModel):
    """What a chapter's author says: the first keys of its `claims.toml`.

    `answer` is what was found, in two sentences of Markdown that take their numbers from records
    (`r.claims[…]`), `hero` the kind of its picture and `caption` that picture's takeaway; `arms`
    are those that a picture of sequences or surprises shows (empty: all that it can). `takeaways`
    has a sentence for each figure of the notebook, in its order and written as the answer is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: str = ""
    hero: heroes.Kind = ""
    caption: str = ""
    arms: list[str] = []
    takeaways: list[str] = []


class Opened(NamedTuple):
    """The Markdown that stands below a chapter's title, and the files that it links to."""

    cells: list[str]
    files: dict[str, str]


def opened(notebook: Path, contents: Sequence[NotebookNode], toc: Path) -> Opened:
    """How a chapter's page opens. `contents` are its notebook's cells."""
    chapter = notebook.stem.partition("_")[2]
    if chapter not in chapters.names():
        return Opened([], {})
    said, verdicts = of_chapter(chapter), published.verdicts(chapter)
    cells = [
        render(
            "opening.md.jinja",
            part=part_of(toc, f"notebooks/{notebook.stem}"),
            reading=times.reading(contents),
            running=times.running(chapter),
            in_class=times.in_class(chapter),
            answer=said.answer.strip() or answer(verdicts),
            counts=Counter(verdict.verdict for verdict in verdicts),
        )
    ]
    hero = heroes.draw(chapter, said.hero, said.caption, said.arms)
    if hero is None:
        return Opened(cells, {})
    file = f"data/{chapter}-opening.csv"
    cells.append(f"```{{raw}} html\n{hero.figure}```\n")
    cells.append(f"{{.of-records}}\n{{download}}`data (CSV) </{file}>`")
    return Opened(cells, {file: hero.data})


def diagram(chapter: str) -> str:
    """What the chapter's method does, drawn: its `diagram.html` as a cell; "" without one."""
    path = chapters.folders().get(chapter, Path()) / "diagram.html"
    return f"```{{raw}} html\n{path.read_text(encoding='utf-8')}```" if path.exists() else ""


def of_chapter(chapter: str) -> Opening:
    """What the chapter's author said. Raises `BadFile`, also for an arm that it does not have."""
    path = chapters.folders()[chapter] / "claims.toml"
    written = checking.toml(path) if path.exists() else {}
    said = checking.read(Opening, path, {k: v for k, v in written.items() if k != "claims"})
    if said.arms:
        known = list(dict(theme.curves(chapters.experiment(chapter))))
        for arm in said.arms:
            if arm not in known:
                hint = did_you_mean(arm, known, f"there are {', '.join(known)}")
                raise checking.BadFile(f"{path}: arms={arm!r}: the chapter has no such arm; {hint}")
    return said


def takeaways(chapter: str, figures: int) -> list[str]:
    """What each of a chapter's `figures` shows; [] where its author has not said it of any.

    Raises `BadFile` where they are not as many.
    """
    if not figures or chapter not in chapters.names():
        return []
    said = of_chapter(chapter).takeaways
    if said and len(said) != figures:
        path = chapters.folders()[chapter] / "claims.toml"
        told = f"{count(len(said), 'sentence')} for {count(figures, 'figure')}"
        raise checking.BadFile(f"{path}: takeaways: {told}; write one for each, in their order")
    return said


def part_of(toc: Path, page: str) -> str:
    """The caption of the part that a page stands in; "" outside of any."""
    for part in checking.yaml(toc).get("parts", []):
        if any(entry.get("file") == page for entry in part.get("chapters", [])):
            return str(part.get("caption", ""))
    return ""


def answer(verdicts: Sequence[Verdict]) -> str:
    """What claims come to where nobody has said it: the first that is decided, and how many are."""
    decided = [v for v in verdicts if v.decided]
    if not decided:
        return f"**Nothing is decided yet.** {count(len(verdicts), 'claim')} written down."
    first = min(decided, key=lambda verdict: verdict.exploratory)
    return (
        f"**{first.statement.removesuffix('.')}: {first.verdict}.** "
        f"Measured: {first.measured} {first.unit}; {len(decided)} of {len(verdicts)} claims are "
        "decided."
    )
