"""Tables that several chapters show: pandas frames, ours beside the paper's; what was said."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

import pandas as pd
from IPython.display import HTML

from forgetting.evidence import churn, records
from forgetting.evidence.papers import Table
from forgetting.evidence.records import Run
from forgetting.probes import baselines
from forgetting.probes.measures import BETWEEN_TOKENS
from forgetting.tasks import Task
from forgetting.views.conversation import Exchange, conversation, one_line
from forgetting.views.figures import change, floors
from forgetting.views.theme import Looks, arms_of
from forgetting.wording import thousands, true_minus

pd.set_option("display.max_colwidth", None)  # an answer is read whole, not to its 50th letter

SURPRISING = math.log(2.5)
NUMBERS = re.compile(r"[-+±\d.,%\[\]\s]+")  # what a model said stays as it was said
BROKEN = 0.5  # nats a token of old text above the start
LECTURE_PAIRS = ("01", "02")  # the lectures' two questions among the bundled prompts


def measured(columns: Mapping[str, str], run: Run) -> dict[str, str]:
    """Of `columns` ("role.metric" to title) those that a run was asked.

    Balanced accuracy needs gold labels, so it is left out where they are not at hand.
    """
    return {measure: title for measure, title in columns.items() if _asked(run, measure)}


def _asked(run: Run, measure: str) -> bool:
    role, _, metric = measure.rpartition(".")
    if role not in run.scores:
        return False
    return metric != baselines.BALANCED or baselines.labelled(run.scores[role])


def changes_table(
    groups: Mapping[str, Sequence[Run]],
    measures: Mapping[str, str],
    start: Run,
    published: Table | None = None,
) -> pd.DataFrame:
    """One row a group of runs: change from `start` ± half its 95 % interval, seeds pooled.

    `measures` maps what was measured to column titles. The first row is the start model itself,
    in absolute numbers, below it what accuracies are without reading (`baselines.floors`). Columns
    of `published` stand on the right.
    """
    rows: dict[str, dict[str, str]] = {
        "untouched": {"seeds": "", "weights that move": "0"}
        | {title: f"{start.mean(m):.2f}" for m, title in measures.items()}
    }
    known = {title: floors(start, measure) for measure, title in measures.items()}
    for floor in (baselines.GUESS, baselines.ONE_ANSWER):
        if any(floor in of for of in known.values()):
            rows[floor] = {"seeds": "", "weights that move": ""} | {
                title: f"{of[floor]:.2f}" if floor in of else "" for title, of in known.items()
            }
    for row, group in groups.items():
        cells = {"seeds": str(len(group)), "weights that move": thousands(group[0].trainable)}
        for measure, title in measures.items():
            effect = change(group, start, measure)
            half = (effect.high - effect.low) / 2
            width = f"\u00a0±\u00a0{half:.2f}" if math.isfinite(half) else ""
            cells[title] = f"{effect.mean:+.2f}{width}"
        rows[row] = cells
    if published:
        for row in rows:
            numbers = published.rows.get(row, [math.nan] * len(published.columns))
            for column, number in zip(published.columns, numbers, strict=True):
                rows[row][f"paper: {column}"] = "–" if math.isnan(number) else f"{number:g}"
    return titled(rows, "method")


def broken_table(groups: Mapping[str, Sequence[Run]], start: Run, old: str) -> pd.DataFrame:
    """What each group lost of an old text, and whether it is broken.

    `old` is "role.metric", in nats a token. Broken is what lost more than half of one: such a model
    harms nobody, for it says nothing.
    """
    rows = {}
    for name, group in groups.items():
        above = fmean(run.mean(old) for run in group) - start.mean(old)
        rows[name] = {
            "old text above the start, nats": f"{above:+.3f}",
            "broken": "yes" if above > BROKEN else "no",
        }
    return titled(rows, "arm")


def published_table(table: Table) -> pd.DataFrame:
    """A paper's own numbers as it printed them."""
    rows = pd.DataFrame.from_dict(dict(table.rows), orient="index", columns=list(table.columns))
    return rows.map("{:g}".format).rename_axis(columns=f"published, {table.unit}")


def by_arm(runs: Sequence[Run], looks: Looks) -> dict[str, list[Run]]:
    """The runs of each arm, in the experiment's order."""
    return {name: records.select(runs, method=name) for name in arms_of(runs, looks)}


def churn_table(
    groups: Mapping[str, Sequence[Run]], start: Run, measures: Mapping[str, str]
) -> pd.DataFrame:
    """An accuracy's change beside what it hides: items that stayed as they were, gained and lost.

    `measures` maps "role.metric", of right or wrong items, to titles. Stayed are items with the
    same answer, or with the same score where that alone is known.
    """
    rows = {}
    for method, group in groups.items():
        for measure, title in measures.items():
            role, _, metric = measure.rpartition(".")
            by_seed = [churn.between(start, run, role, metric) for run in group]
            rows[f"{method}, {title}"] = {
                "items": by_seed[0].n,
                "change": f"{fmean(of_seed.difference for of_seed in by_seed):+.3f}",
                "stayed": f"{fmean(of_seed.agreement for of_seed in by_seed):.0%}",
                "gained": f"{fmean(of_seed.gained for of_seed in by_seed):.1f}",
                "lost": f"{fmean(of_seed.lost for of_seed in by_seed):.1f}",
            }
    return titled(rows, "runs")


def said(runs: Mapping[str, Run], roles: Sequence[str]) -> HTML:
    """`exchanges` as a conversation; the first run is before the others."""
    return conversation(exchanges(runs, roles))


def exchanges(runs: Mapping[str, Run], roles: Sequence[str]) -> list[Exchange]:
    """What each run (by title) answered to the lectures' questions.

    `roles` are those of the tasks that ask them.
    """
    first = next(iter(runs.values()))
    questions = [
        document["prompt"]
        for role in roles
        for document in Task(first.scores_of(role).task).documents("test")
        if document["pair"] in LECTURE_PAIRS
    ]
    words = {title: {s.prompt: s.answer for s in run.samples} for title, run in runs.items()}
    return [
        Exchange(asked, {title: of[asked] for title, of in words.items() if asked in of})
        for asked in questions
    ]


def said_table(runs: Mapping[str, Run], role: str) -> HTML:
    """What each run (by title) answered to the first test item of a role's task."""
    answers: dict[str, dict[str, str]] = {}
    for title, run in runs.items():
        if first := next((sample for sample in run.samples if sample.task == role), None):
            answers.setdefault(first.prompt, {})[title] = first.answer
    return conversation([Exchange(asked, of_runs) for asked, of_runs in answers.items()])


def surprise_table(run: Run, rows: int = 1) -> HTML:
    """Answers of each kind, each word shaded by how much it surprises the untouched model.

    The stronger the shade, the more nats; a dotted line is under words above 0.9 nats (perplexity
    2.5). As HTML; the number stands in each word's title.
    """
    lines = []
    for kind, scores in run.scores.items():
        nats = iter(scores.items["surprise"])
        for sample in [sample for sample in run.samples if sample.task == kind][:rows]:
            pieces = sample.answer.split(BETWEEN_TOKENS)
            words = "".join(_shaded(piece, next(nats)) for piece in pieces)
            cell = f"<td style='background:#fff'>{words}</td>"
            lines.append(f"<tr><th scope='row'>{escape(kind)}</th>{cell}</tr>")
    return HTML(
        "<table class='surprise'><thead><tr><th scope='col'>answers</th><th scope='col'>words, "
        f"shaded by surprise</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _shaded(piece: str, nats: float) -> str:
    under = "border-bottom:2px dotted #B00;" if nats > SURPRISING else ""
    style = f"background:rgba(213,94,0,{min(0.85, nats / 8):.2f});color:#000;{under}"
    return f'<span style="{style}" title="{nats:.2f} nats">{escape(piece)}</span>'


def shown_table(groups: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """What became of each recipe's examples: how many of each origin, over all seeds, and length.

    Methods that show a task's own answers to all questions have no row.
    """
    rows: dict[str, dict[str, Any]] = {}
    for method, group in groups.items():
        if shown := [run.shown for run in group if "origins" in run.shown]:
            origins = Counter[str]()
            for of_seed in shown:
                origins.update(of_seed["origins"])
            questions = sum(of_seed["questions"] for of_seed in shown)
            shares = {name: f"{count / questions:.0%}" for name, count in origins.items()}
            length = fmean(of_seed["mean_tokens"] for of_seed in shown)
            rows[method] = {"questions": questions, **shares, "tokens": f"{length:.1f}"}
    return titled(rows, "answers shown").fillna("")


def titled(rows: dict[str, dict[str, Any]], title: str) -> pd.DataFrame:
    """A frame with a row an entry, true minus signs, and one line of headings from `title` on."""
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns=title)
    return frame.map(lambda cell: true_minus(cell) if _is_numbers(cell) else cell)


def _is_numbers(cell: Any) -> bool:
    return isinstance(cell, str) and NUMBERS.fullmatch(cell) is not None


def clean(answer: str, longest: int = 220) -> str:
    """An answer on one line, cut where it grows long (pandas escapes it where it becomes HTML)."""
    line = one_line(answer)
    return line if len(line) <= longest else line[:longest] + " …"
