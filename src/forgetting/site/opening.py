"""How a chapter's page opens: which question, its answer, its verdicts, and the hero's picture.

All of it is made from the chapter's experiment, records and claims, and staged below the title; no
line of it stands in the notebook. What only an author can say stands at the top of `claims.toml`.
"""

import html
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Literal

from nbformat import NotebookNode
from pydantic import BaseModel, ConfigDict

from forgetting import chapters, checking
from forgetting.chapters import published
from forgetting.evidence import claims
from forgetting.evidence.claims import Verdict
from forgetting.evidence.power import FEWEST_SEEDS
from forgetting.evidence.trajectories import in_one_order
from forgetting.site import drawing, plane, times
from forgetting.site.markup import BookError, render
from forgetting.views import theme
from forgetting.views.conversation import conversation
from forgetting.wording import count

HOW_TO_READ = {
    "plane": "To the right the model has learned more of what it was taught, upwards it has "
    "changed more where nobody taught it anything. Filled marks are means over several seeds with "
    "95 % intervals, hollow ones a single run; lines run over learning rates.",
    "slopes": "Left: the mean score of each task just after it was learned. Right: the mean score "
    "on all of them at the end. A line that falls has forgotten.",
    "conversation": "Word for word, before and after; the tabs choose which answers stand beside "
    "those of the untouched model.",
}


class Opening(BaseModel):
    """What a chapter says at its top: the first keys of its `claims.toml`.

    `answer` is what was found, in two sentences of Markdown that take their numbers from records
    (`r.claims[…]`), `caption` the takeaway of its picture, `arms` those that a picture of sequences
    shows (empty: all that have enough seeds).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: str = ""
    hero: Literal["", "plane", "slopes", "conversation"] = ""
    caption: str = ""
    arms: list[str] = []


def cells(notebook: Path, contents: Sequence[NotebookNode], toc: Path) -> list[str]:
    """The Markdown that stands below a chapter's title. `contents` are its notebook's cells."""
    chapter = notebook.stem.partition("_")[2]
    if chapter not in chapters.names():
        return []
    said, verdicts = of_chapter(chapter), published.verdicts(chapter)
    return [
        render(
            "opening.md.jinja",
            part=part_of(toc, f"notebooks/{notebook.stem}"),
            reading=times.reading(contents),
            running=times.running(chapter),
            answer=said.answer.strip() or answer(verdicts),
            counts=Counter(verdict.verdict for verdict in verdicts),
        ),
        *([f"```{{raw}} html\n{figure}```\n"] if (figure := hero(chapter, said)) else []),
    ]


def diagram(chapter: str) -> str:
    """What the chapter's method does, drawn: its `diagram.html` as a cell; "" without one."""
    path = chapters.folders().get(chapter, Path()) / "diagram.html"
    return f"```{{raw}} html\n{path.read_text(encoding='utf-8')}```" if path.exists() else ""


def of_chapter(chapter: str) -> Opening:
    """What the chapter's author said. Raises `BadFile`."""
    path = chapters.folders()[chapter] / "claims.toml"
    said = checking.toml(path) if path.exists() else {}
    return checking.read(Opening, path, {k: v for k, v in said.items() if k != "claims"})


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


def hero(chapter: str, said: Opening) -> str:
    """The picture that a chapter opens with, as HTML; "" where there are no runs to draw."""
    kind = said.hero or ("slopes" if chapters.experiment(chapter).in_turn else "plane")
    draw = {"plane": _plane, "slopes": _slopes, "conversation": _conversation}[kind]
    return draw(chapter, said)


def _plane(chapter: str, said: Opening) -> str:
    runs = plane.measured((chapter,)).get(chapter)
    if runs is None:
        return ""
    return drawing.with_slider(runs, _caption(chapter, said, "plane"))


def _conversation(chapter: str, said: Opening) -> str:
    """What the chapter's `conversation.hero` gives."""
    if not (chapters.folders()[chapter] / "conversation.py").exists():
        raise BookError(f"{chapter}: hero='conversation': needs a conversation.py with a hero()")
    module = import_module(f"forgetting.chapters.{chapter}.conversation")
    try:
        picture = conversation(module.hero()).data
    except LookupError:  # no answers are stored
        return ""
    caption = _caption(chapter, said, "conversation")
    return render("figure.html.jinja", picture=picture, words={}, caption=caption)


def _slopes(chapter: str, said: Opening) -> str:
    same = in_one_order(published.sequences(chapter))
    lines: dict[str, tuple[float, float]] = {}
    for arm in said.arms or dict.fromkeys(each.method for each in same):
        own = [each for each in same if each.method == arm and len(each.runs) > 2]
        if len({each.seed for each in own}) >= FEWEST_SEEDS:
            learned = [
                fmean(each.scores()[n + 1, n] for n in range(len(each.tasks))) for each in own
            ]
            lines[arm] = 100 * fmean(learned), 100 * fmean(each.final() for each in own)
    if not lines:
        return ""
    looks = theme.looks(chapters.experiment(chapter))
    return render(
        "figure.html.jinja",
        picture=drawing.slopes(lines, looks),
        words={},
        caption=_caption(chapter, said, "slopes"),
    )


def _caption(chapter: str, said: Opening, kind: str) -> str:
    """As HTML: the takeaway, how to read it, and which runs it was made from."""
    about = claims.summary([run for run in published.runs(chapter) if not run.start])
    seeds = f"up to {about['seeds']} seeds" if about["seeds"] > 1 else "1 seed"
    signed = f"{about['tier']} tier · {about['model']} · {seeds} · {about['runs']} runs"
    takeaway = f"<strong>{html.escape(said.caption)}</strong> " if said.caption else ""
    return (
        f"{takeaway}{HOW_TO_READ[kind]} "
        f'<span class="signed">{html.escape(signed)} · {about["last"]} · '
        f'<a href="../records/{chapter}.html">records</a></span>'
    )
