"""The picture that a chapter opens with: its kinds, each drawn from records, with its data.

`claims.toml` names the kind (`hero`) and what it shows (`caption`); without a name it is the plane,
and of a chapter that learns tasks in turn, slopes.
"""

import csv
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from io import StringIO
from statistics import fmean
from textwrap import shorten
from typing import Any, Literal, NamedTuple

import numpy as np

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence import claims
from forgetting.evidence.power import FEWEST_SEEDS
from forgetting.evidence.records import Run
from forgetting.evidence.trajectories import in_one_order
from forgetting.experiments.experiment import Plane
from forgetting.probes.measures import BETWEEN_TOKENS
from forgetting.site import anatomy, drawing, plane
from forgetting.site.markup import BookError, render
from forgetting.site.plane import Mark
from forgetting.views import theme
from forgetting.views.conversation import conversation
from forgetting.views.tables import SURPRISING

Kind = Literal["", "anatomy", "conversation", "plane", "shares", "slopes", "surprise"]
HOW_TO_READ = {
    "anatomy": "A row is the model, from its embeddings to its last block, attention above and MLP "
    "below: what is coloured moves, what is grey is held, a stripe is an adapter. Beside it, what "
    "it learned and lost at that rate; at 0 is the untouched model, and left of it nothing was "
    "lost. Marks are means over several seeds with 95 % intervals, hollow ones a single run.",
    "conversation": "Word for word, before and after; the tabs choose which answers stand beside "
    "those of the untouched model.",
    "plane": "To the right the model has learned more of what it was taught, upwards it has "
    "changed more where nobody taught it anything. Filled marks are means over several seeds with "
    "95 % intervals, hollow ones a single run; lines run over learning rates.",
    "shares": "A row is a share of items, a column a model. Bars and numbers are means over seeds.",
    "slopes": "Left: the mean score of each task just after it was learned. Right: the mean score "
    "on all of them at the end. A line that falls has forgotten.",
    "surprise": "The first question that was answered in each way. The stronger a word's colour, "
    "the more it surprised the model before any training; numbers are nats, where there are more "
    f"than {SURPRISING:.1f}. ■ ends an answer.",
}
ASKED = 260  # letters of a question
# The chat format of the prompts that are stored, and what ends an answer in it.
TURN, END = re.compile(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", re.DOTALL), re.compile(r"<\|.*\|>")


class Hero(NamedTuple):
    """A figure with its caption as HTML, and what it draws as CSV."""

    figure: str
    data: str


class Word(NamedTuple):
    """A token as a reader sees it, the space before it, and its nats."""

    space: str
    text: str
    nats: float


class Answered(NamedTuple):
    """One answer of a kind, and all answers of that kind in two numbers."""

    kind: str
    words: list[Word]
    perplexity: float
    hard: float


def draw(chapter: str, kind: Kind, caption: str, arms: Sequence[str]) -> Hero | None:
    """The chapter's picture; None where nothing is stored that it could be drawn from.

    `arms` are those that slopes and surprises show. Raises `BookError` where the chapter lacks what
    the kind is made from.
    """
    kind = kind or ("slopes" if chapters.experiment(chapter).in_turn else "plane")
    drawn = {
        "anatomy": _anatomy,
        "conversation": _conversation,
        "plane": _plane,
        "shares": _shares,
        "slopes": _slopes,
        "surprise": _surprise,
    }[kind](chapter, arms)
    if drawn is None:
        return None
    caption = _signed(chapter, kind, caption)
    figure = render("figure.html.jinja", picture=drawn.picture, words=drawn.words, caption=caption)
    data = StringIO()
    csv.writer(data, lineterminator="\n").writerows([drawn.heads, *drawn.rows])
    return Hero(figure, data.getvalue())


class Drawn(NamedTuple):
    """A picture, its data as a table, and the words of its slider's steps."""

    picture: str
    heads: Iterable[str]
    rows: Iterable[Iterable[object]]
    words: Mapping[int, str] = {}


def _plane(chapter: str, arms: Sequence[str]) -> Drawn | None:
    runs = plane.measured((chapter,)).get(chapter)
    if runs is None:
        return None
    rows = [
        [place.method, mark.rate, mark.seeds, *_ends(mark)]
        for place in runs.places.values()
        for mark in place.marks
    ]
    heads = ["arm", "rate", "seeds", *_effects(runs.axes)]
    return Drawn(drawing.drawn(runs), heads, rows, drawing.steps(runs))


def _anatomy(chapter: str, arms: Sequence[str]) -> Drawn | None:
    """Of the chapter's `views.moving`: by arm, how each part of the model moves."""
    moving = _of_views(chapter, "anatomy", "moving")
    runs = plane.measured((chapter,)).get(chapter)
    if runs is None:
        return None
    design = chapters.experiment(chapter)
    lines = anatomy.lines(design, runs, moving(design.base(runs.runs[0].tier)))
    rows = [
        [line.arm, line.mark.rate, line.mark.seeds, line.trainable, *_ends(line.mark)]
        for line in lines
    ]
    heads = ["arm", "rate", "seeds", "weights", *_effects(runs.axes)]
    return Drawn(anatomy.drawn(runs, lines), heads, rows)


def _of_views(chapter: str, kind: str, name: str) -> Any:
    """What a kind of picture asks of the chapter's `views.py`. Raises `BookError`."""
    views = import_module(f"forgetting.chapters.{chapter}.views")
    if not hasattr(views, name):
        raise BookError(f"{chapter}: hero={kind!r}: needs a {name}() in its views.py")
    return getattr(views, name)


def _conversation(chapter: str, arms: Sequence[str]) -> Drawn | None:
    """What the chapter's `conversation.hero` gives."""
    if not (chapters.folders()[chapter] / "conversation.py").exists():
        raise BookError(f"{chapter}: hero='conversation': needs a conversation.py with a hero()")
    module = import_module(f"forgetting.chapters.{chapter}.conversation")
    try:
        exchanges = module.hero()
    except LookupError:  # no answers are stored
        return None
    rows = [(each.asked, who, said) for each in exchanges for who, said in each.answers.items()]
    return Drawn(conversation(exchanges).data, ["asked", "model", "answer"], rows)


def _slopes(chapter: str, arms: Sequence[str]) -> Drawn | None:
    same = in_one_order(published.sequences(chapter))
    lines: dict[str, tuple[float, float]] = {}
    for arm in arms or dict.fromkeys(each.method for each in same):
        own = [each for each in same if each.method == arm and len(each.runs) > 2]
        if len({each.seed for each in own}) >= FEWEST_SEEDS:
            learned = [
                fmean(each.scores()[n + 1, n] for n in range(len(each.tasks))) for each in own
            ]
            lines[arm] = 100 * fmean(learned), 100 * fmean(each.final() for each in own)
    if not lines:
        return None
    picture = drawing.slopes(lines, theme.looks(chapters.experiment(chapter)))
    rows = [[arm, *(f"{end:.4g}" for end in ends)] for arm, ends in lines.items()]
    return Drawn(picture, ["arm", "just learned, %", "at the end, %"], rows)


def _shares(chapter: str, arms: Sequence[str]) -> Drawn | None:
    """What the chapter's `views.compared` gives: models by name, and measures with their words."""
    compared = _of_views(chapter, "shares", "compared")
    runs = published.runs(chapter)
    if not runs:
        return None
    models, measures = compared(runs)
    if not all(models.values()):
        return None
    shares = {
        words: [fmean(run.mean(measure) for run in own) for own in models.values()]
        for measure, words in measures.items()
    }
    rows = [[words, *(f"{share:.4g}" for share in of_row)] for words, of_row in shares.items()]
    rows.append(["seeds", *(str(len(own)) for own in models.values())])
    picture = render("shares.html.jinja", models=list(models), shares=shares)
    return Drawn(picture, ["share of items", *models], rows)


def _surprise(chapter: str, arms: Sequence[str]) -> Drawn | None:
    """Of each arm the answer to the first question that all of them were shown an answer to."""
    run = published.surprised(chapter)
    kinds = [kind for kind in arms or (run.scores if run else ()) if run and kind in run.scores]
    if run is None or not kinds:
        return None
    answers = {kind: dict(_answers(run, kind)) for kind in kinds}
    asked = next((a for a in answers[kinds[0]] if all(a in of for of in answers.values())), None)
    if asked is None:
        return None
    said = []
    for kind in kinds:
        nats = np.array(run.scores[kind].items["surprise"])
        hard = float(np.mean(nats > SURPRISING))
        said.append(Answered(kind, answers[kind][asked], float(np.exp(nats.mean())), hard))
    rows = [(each.kind, word.space + word.text, word.nats) for each in said for word in each.words]
    turn = TURN.findall(asked)
    picture = render(
        "surprise.html.jinja",
        asked=shorten(turn[-1] if turn else asked, ASKED, placeholder=" …"),
        said=said,
        threshold=SURPRISING,
    )
    return Drawn(picture, ["answer", "token", "nats"], rows)


def _answers(run: Run, kind: str) -> Iterable[tuple[str, list[Word]]]:
    """Prompts and the words of their answers, of those that are stored word for word."""
    nats = iter(run.scores[kind].items["surprise"])
    for sample in run.samples:
        if sample.task == kind:
            words = []
            for piece in sample.answer.split(BETWEEN_TOKENS):
                token = END.sub(" ■", piece).replace("\n", "↵")  # on one line: no fence ends
                text = token.lstrip()
                words.append(Word(token[: len(token) - len(text)], text, next(nats)))
            yield sample.prompt, words


def _signed(chapter: str, kind: str, caption: str) -> str:
    """As HTML: the takeaway, how to read it, and which runs it was made from."""
    about = claims.summary([run for run in published.runs(chapter) if not run.start])
    seeds = f"up to {about['seeds']} seeds" if about["seeds"] > 1 else "1 seed"
    signed = f"{about['tier']} tier · {about['model']} · {seeds} · {about['runs']} runs"
    takeaway = f"<strong>{html.escape(caption)}</strong> " if caption else ""
    return (
        f"{takeaway}{HOW_TO_READ[kind]} "
        f'<span class="signed">{html.escape(signed)} · {about["last"]} · '
        f'<a href="../records/{chapter}.html">records</a></span>'
    )


def _effects(axes: Plane) -> list[str]:
    """Heads of columns: what was learned and each loss, with the ends of their intervals."""
    names = [f"learned: {axes.skill}", *(f"{loss.words}, {loss.unit}" for loss in axes.losses)]
    return [head for name in names for head in (name, "low", "high")]


def _ends(mark: Mark) -> list[str]:
    effects = (mark.learned, *mark.lost.values())
    return [f"{value:.6g}" for e in effects for value in (e.mean, e.low, e.high)]
