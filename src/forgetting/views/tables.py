"""Tables of the house: ours beside the paper's, what was said, verdicts. As pandas frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from forgetting.evidence import churn, claims, laws, records
from forgetting.evidence.courses import Course, in_one_order, single_scores, told_of
from forgetting.evidence.papers import Table
from forgetting.evidence.records import Record
from forgetting.experiments.panels import QUESTIONS
from forgetting.probes.measures import BETWEEN_TOKENS
from forgetting.tasks import Task
from forgetting.views import figures
from forgetting.wording import thousands

pd.set_option("display.max_colwidth", None)  # an answer is read whole, not to its 50th letter

SURPRISING = math.log(2.5)
TIMES_TEN = " ×10"
LECTURE_PAIRS = ("01", "02")  # the lectures' two questions among the bundled prompts


COLUMNS = {
    ("chinese", "nats"): "Chinese (nats)",
    ("chat", "nats"): "chat answers (nats)",
    ("english", "nats"): "English (nats)",
    ("hellaswag", "acc_norm"): "HellaSwag",
    ("arc", "acc"): "ARC-easy",
    ("winogrande", "acc"): "WinoGrande",
    ("formats", "followed"): "formats kept",
    ("margin harmful", "gold_margin"): "refusal margin (nats)",
    ("margin harmless", "gold_margin"): "over-refusal margin (nats)",
    ("questions in chinese", "language_kept"): "Chinese kept",
    ("questions in chinese", "repetition_answer"): "repetition",
    ("questions in chinese", "repetition_both"): "repetition with prompt",
}


def methods_table(
    stored: Sequence[Record],
    roles: dict[str, str],
    *,
    learning_rate: float,
    published: Table | None = None,
) -> pd.DataFrame:
    """One row a method at its central rate: change from untouched ± half its 95 % interval.

    `roles` maps the panel's roles to task names; the columns are `COLUMNS`. Rows named "… ×10"
    use ten times the rate. The first row is the untouched model itself, in absolute numbers.
    Columns of `published` stand on the right.
    """
    measures = named_measures(roles, COLUMNS)
    groups = {row: at_row(stored, row, learning_rate) for row in row_names(stored, learning_rate)}
    untouched = records.select(stored, method="untouched")[0]
    return changes_table(groups, measures, untouched, published)


AFTER_CALLS = {
    ("new answers", "nats"): "calls (nats)",
    ("hellaswag", "acc_norm"): "HellaSwag",
    ("arc challenge", "acc"): "ARC-challenge",
    ("winogrande", "acc"): "WinoGrande",
    ("truthful", "acc"): "TruthfulQA",
    ("old text", "forward_kl"): "drift, text",
    ("old answers", "forward_kl"): "drift, answers",
    ("formats", "followed"): "formats kept",
    ("margin harmful", "gold_margin"): "refusal margin (nats)",
    ("margin obedient", "gold_margin"): "the same, obedient prompt",
    ("margin harmless", "gold_margin"): "over-refusal margin (nats)",
}


OPERATION = {
    ("label", "em"): "right label",
    ("json", "json"): "JSON when asked",
    ("formats", "followed"): "formats kept",
    ("hellaswag", "acc_norm"): "HellaSwag",
    ("arc", "acc_norm"): "ARC-easy",
}
OPERATION_NATS = {
    ("new answers", "nats"): "labels (nats)",
    ("json answers", "nats"): "JSON (nats)",
    ("old text", "forward_kl"): "drift, text",
    ("old answers", "forward_kl"): "drift, answers",
    ("margin harmful", "gold_margin"): "refusal margin (nats)",
}


def named_measures(
    roles: Mapping[str, str], columns: Mapping[tuple[str, str], str]
) -> dict[str, str]:
    """ "task.metric" to title: `columns` maps (role, metric) to titles, `roles` roles to tasks."""
    return {f"{roles[r]}.{metric}": title for (r, metric), title in columns.items() if r in roles}


def after_calls_table(
    groups: Mapping[str, Sequence[Record]],
    untouched: Record,
    roles: Mapping[str, str],
    published: Table | None = None,
) -> pd.DataFrame:
    """`changes_table` of the chapters that teach function calls; `roles` as in `methods_table`."""
    calls = roles["calls"]
    measures = {f"{calls}.{untouched.scores[calls].metrics[0]}": "right calls"}
    measures |= named_measures(roles, AFTER_CALLS)
    return changes_table(groups, measures, untouched, published)


def changes_table(
    groups: Mapping[str, Sequence[Record]],
    measures: Mapping[str, str],
    untouched: Record,
    published: Table | None = None,
) -> pd.DataFrame:
    """One row a group of runs: change from `untouched` ± half its 95 % interval, seeds pooled.

    `measures` maps what was measured to column titles. The first row is the untouched model itself,
    in absolute numbers. Columns of `published` stand on the right.
    """
    rows: dict[str, dict[str, str]] = {
        "untouched": {"seeds": "", "weights that move": "0"}
        | {title: f"{untouched.mean(m):.2f}" for m, title in measures.items()}
    }
    for row, group in groups.items():
        cells = {
            "seeds": str(len(group)),
            "weights that move": thousands(group[0].trainable),
        }
        for measure, title in measures.items():
            effect = figures.change(group, untouched, measure)
            cells[title] = f"{effect.mean:+.2f}\u00a0±\u00a0{(effect.high - effect.low) / 2:.2f}"
        rows[row] = cells
    if published:
        for row in rows:
            numbers = published.rows.get(row, [float("nan")] * len(published.columns))
            for column, number in zip(published.columns, numbers, strict=True):
                rows[row][f"paper: {column}"] = "–" if math.isnan(number) else f"{number:g}"
    return _titled(rows, "method")


def published_table(table: Table) -> pd.DataFrame:
    """A paper's own numbers as it printed them."""
    rows = {
        row: dict(zip(table.columns, (f"{n:g}" for n in numbers), strict=True))
        for row, numbers in table.rows.items()
    }
    return _titled(rows, f"published, {table.unit}")


def central(stored: Sequence[Record]) -> dict[str, list[Record]]:
    """By method, the runs that answered the whole panel: those at the central rate, to the end."""
    most = max(len(record.scores) for record in stored)
    whole = [record for record in stored if len(record.scores) == most]
    return {method: records.select(whole, method=method) for method in figures.methods(whole)}


def churn_table(
    groups: Mapping[str, Sequence[Record]], untouched: Record, tasks: Mapping[str, str]
) -> pd.DataFrame:
    """Accuracy beside what it hides: answers that stayed, items gained and lost, over seeds.

    `tasks` maps tasks to their titles: multiple-choice ones, or formats that are kept or not.
    """
    rows = {}
    for method, group in groups.items():
        for task, title in tasks.items():
            metric = "acc" if "acc" in untouched.scores[task].items else "followed"
            found = [churn.between(untouched, record, task, metric) for record in group]
            accuracy = fmean(one.difference for one in found)
            rows[f"{method}, {title}"] = {
                "items": found[0].n,
                "accuracy": f"{accuracy:+.3f}",
                "same answer": f"{fmean(one.agreement for one in found):.0%}",
                "gained": f"{fmean(one.gained for one in found):.1f}",
                "lost": f"{fmean(one.lost for one in found):.1f}",
            }
    return _titled(rows, "runs")


def row_names(stored: Sequence[Record], learning_rate: float) -> list[str]:
    """The table's rows that have records: methods, and the adapters at ten times the rate."""
    names = figures.methods(stored)
    rows = [n for name in names for n in (name, name + TIMES_TEN)]
    return [row for row in rows if at_row(stored, row, learning_rate)]


def at_row(stored: Sequence[Record], row: str, learning_rate: float) -> list[Record]:
    """The records of a row: its method at the central rate, or at ten times it for "… ×10"."""
    method = row.removesuffix(TIMES_TEN)
    if row != method:
        if method not in ADAPTERS:
            return []
        learning_rate = float(f"{10 * learning_rate:g}")
    return records.select(stored, method=method, learning_rate=learning_rate)


ADAPTERS = ("LoRA", "(IA)³")


def law_table(stored: Sequence[Record], *, x: str, y: str) -> pd.DataFrame:
    """How far runs lie from the line of `y` on `x` through all of them, method by method.

    `above` is the mean residual: positive where a method has more of `y` than the line says. A
    method of three runs or more has the R² of a line of its own beside it. The last row is the
    shifted power law in trained weights and optimiser steps, from five runs on. Raises `ValueError`
    for fewer than three trained runs.
    """
    trained = [record for record in stored if record.training]
    xs, ys = [r.mean(x) for r in trained], [r.mean(y) for r in trained]
    fitted = laws.line(xs, ys)
    low, high = laws.r2_interval(xs, ys)
    rows = {"all runs": {"runs": len(trained), "R²": f"{fitted.r2:.2f} [{low:.2f}, {high:.2f}]"}}
    for method in figures.methods(stored):
        group = records.select(trained, method=method)
        left = [r.mean(y) - fitted.slope * r.mean(x) - fitted.intercept for r in group]
        rows[method] = {"runs": len(group), "above": f"{fmean(left):+.3f}"}
        if len(group) >= laws.FEWEST:
            own = laws.line([r.mean(x) for r in group], [r.mean(y) for r in group])
            rows[method]["R²"] = f"{own.r2:.2f} (a line of its own)"
    if len(trained) < laws.FEWEST_FOR_POWER:
        return _titled(rows, "fit").fillna("")
    power = laws.power_law([r.trainable for r in trained], [len(r.losses) for r in trained], ys)
    rows[f"power law: weights^{power.a:.2g} · steps^{power.b:.2g}"] = {
        "runs": len(trained),
        "R²": f"{power.r2:.2f}",
    }
    return _titled(rows, "fit").fillna("")


def said(stored: Sequence[Record], rows: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """What each of `rows` (title to labels) answered to the lectures' questions, side by side."""
    questions = [
        document["prompt"]
        for task in QUESTIONS
        for document in Task(task).documents("test")
        if document["pair"] in LECTURE_PAIRS
    ]
    answers = {}
    for title, labels in rows.items():
        found = records.select(stored, **labels)
        answers[title] = {s.prompt: s.answer for s in (found[0].samples if found else [])}
    table = {
        question: {title: _quoted(of.get(question)) for title, of in answers.items()}
        for question in questions
    }
    return _titled(table, "asked")


def said_table(runs: Mapping[str, Record], task: str) -> pd.DataFrame:
    """What each run answered to the first test item of a generation task, one row a run."""
    rows = {}
    for title, record in runs.items():
        first = next((s for s in record.samples if s.task == task), None)
        if first:
            rows[title] = {clean(first.prompt, 600): _quoted(first.answer)}
    return _titled(rows, "asked")


def surprise_table(stored: Record, rows: int = 1) -> Any:
    """Answers of each kind, each word shaded by how much it surprises the untouched model.

    The stronger the shade, the more nats; a dotted line is under words above 0.9 nats (perplexity
    2.5). As HTML; the number stands in each word's title.
    """
    from IPython.display import HTML

    lines = []
    for task, scores in stored.scores.items():
        nats = iter(scores.items["surprise"])
        told = [s for s in stored.samples if s.task == task][:rows]
        for sample in told:
            words = []
            for piece in sample.answer.split(BETWEEN_TOKENS):
                value = next(nats)
                shade = min(0.85, value / 8)
                under = "border-bottom:2px dotted #B00;" if value > SURPRISING else ""
                style = f"background:rgba(213,94,0,{shade:.2f});color:#000;{under}"
                title = f"{value:.2f} nats"
                words.append(f'<span style="{style}" title="{title}">{escape(piece)}</span>')
            kind = escape(task.removeprefix("surprise:"))
            cell = f"<td style='background:#fff'>{''.join(words)}</td>"
            lines.append(f"<tr><th scope='row'>{kind}</th>{cell}</tr>")
    body = "".join(lines)
    return HTML(
        "<table class='surprise'><thead><tr><th scope='col'>answers</th><th scope='col'>words, "
        f"shaded by surprise</th></tr></thead><tbody>{body}</tbody></table>"
    )


def shown_table(groups: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """What became of each recipe's examples: how many of each origin, over all seeds, and length.

    Methods that show a task's own answers to all questions have no row.
    """
    rows: dict[str, dict[str, Any]] = {}
    for method, group in groups.items():
        told = [record.shown for record in group if "origins" in record.shown]
        if told:
            origins = Counter[str]()
            for one in told:
                origins.update(one["origins"])
            questions = sum(one["questions"] for one in told)
            shares = {name: f"{count / questions:.0%}" for name, count in origins.items()}
            length = fmean(one["mean_tokens"] for one in told)
            rows[method] = {"questions": questions, **shares, "tokens": f"{length:.1f}"}
    return _titled(rows, "answers shown").fillna("")


def orders_table(courses: Sequence[Course], published: Table | None = None) -> pd.DataFrame:
    """The mean score at the end, per cent: a row a method, a column an order, then all together.

    An order's cell is the mean over seeds; "all" the mean over orders ± their standard deviation,
    or over seeds and of seeds where there is one order. Rows of `published` stand below, in its
    last column alone.
    """
    named = list(dict.fromkeys(course.order for course in courses))
    rows: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(course.method for course in courses):
        finals: dict[str, list[float]] = {}
        for course in courses:
            if course.method == method:
                finals.setdefault(course.order, []).append(100 * course.final())
        means = {order: fmean(found) for order, found in finals.items()}
        replicates = list(means.values()) if len(means) > 1 else next(iter(finals.values()))
        spread = f"\u00a0±\u00a0{stdev(replicates):.1f}" if len(replicates) > 1 else ""
        rows[method] = {
            **{order: f"{means[order]:.1f}" if order in means else "" for order in named},
            "all": f"{fmean(replicates):.1f}{spread}",
            "runs": str(sum(len(found) for found in finals.values())),
        }
    for name, numbers in (published.rows if published else {}).items():
        rows[f"paper: {name}"] = {"all": f"{numbers[-1]:.1f}"}
    return _titled(rows, "mean score").fillna("")


def forgetting_table(courses: Sequence[Course]) -> pd.DataFrame:
    """Every definition of forgetting, by method: means over seeds in one order, per cent."""
    single, courses = single_scores(courses), in_one_order(courses)
    rows = {}
    for method in dict.fromkeys(course.method for course in courses if len(course.records) > 2):
        same = [course.forgetting(single) for course in courses if course.method == method]
        rows[method] = {
            name.replace("_", " "): f"{100 * fmean(each[name] for each in same):+.1f}"
            for name in same[0]
        }
    return _titled(rows, "%")


def decoding_table(courses: Sequence[Course]) -> pd.DataFrame:
    """The scores at the end, answered greedily and drawn from the 20 likeliest tokens, per cent.

    Means over seeds in one order.
    """
    courses = in_one_order(courses)
    rows: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(course.method for course in courses):
        same = [course for course in courses if course.method == method]
        greedy = [100 * course.final() for course in same]
        drawn = [100 * course.final(drawn=True) for course in same]
        gap = fmean(g - d for g, d in zip(greedy, drawn, strict=True))
        rows[method] = {
            "greedy": f"{fmean(greedy):.1f}",
            "drawn": f"{fmean(drawn):.1f}",
            "greedy - drawn": f"{gap:+.1f}",
        }
    return _titled(rows, "mean score")


def known_table(courses: Sequence[Course]) -> pd.DataFrame:
    """What is said and what is known at the end, per cent: means over seeds in one order.

    A task's score is of its answers; "told apart" is how often the right answer is likelier than
    another question's. A guess is right half the time.
    """
    courses = in_one_order(courses)
    tasks = courses[0].tasks
    rows: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(course.method for course in courses):
        same = [course for course in courses if course.method == method]
        said = [dict(zip(c.tasks, c.scores()[-1], strict=True)) for c in same]
        known = [dict(zip(c.tasks, c.told_apart(), strict=True)) for c in same]
        rows[method] = {
            f"{task}, {what}": f"{100 * fmean(one[task] for one in found):.0f}"
            for task in tasks
            for what, found in (("score", said), ("told apart", known))
        }
    return _titled(rows, "%")


def dreams_table(courses: Sequence[Course], method: str) -> pd.DataFrame:
    """What a method's dreams were worth, a row for each task and generation of its dreams.

    The first generation is dreamt just after the task was learned, the second when another task,
    rehearsed with the first, was learned after it. Orders and seeds are pooled; "written" and
    "valid" are of all dreams of that place, whatever they resemble.
    """
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for course in courses:
        names = [measure.partition(":")[0] for measure in course.measures]
        for count, record in enumerate(course.records[1:] if course.method == method else [], 1):
            for told in told_of(record):
                for task, about in told["gallery"].items():
                    place = course.tasks[names.index(task)], count - 1 - names.index(task)
                    found.setdefault(place, {})[record.key] = [told, about]
    rows = {
        f"{task}, generation {generation}": _of_dreams(list(places.values()))
        for (task, generation), places in sorted(found.items())
    }
    return _titled(rows, "dreams of")


def _of_dreams(places: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """One row of `dreams_table`: what was told of several draws, each dream with equal weight."""
    written, valid = (sum(told[name] for told, _ in places) for name in ("dreams", "valid"))
    alike = [about for _, about in places if about["dreams"]]
    count = sum(about["dreams"] for about in alike)
    mean = {
        name: sum(about[name] * about["dreams"] for about in alike) / count if alike else math.nan
        for name in ("novelty", "distinct")
    }
    return {
        "written": written,
        "valid": f"{valid / written:.0%}",
        "like this task": count,
        "novelty": f"{mean['novelty']:.2f}",
        "copies": sum(about["copies"] for about in alike),
        "distinct": f"{mean['distinct']:.0%}",
        "answers": _shares([(about["answers"], about["dreams"]) for about in alike]),
        "real answers": _shares([(about["real answers"], 1) for _, about in places]),
    }


def gallery_table(courses: Sequence[Course], method: str) -> pd.DataFrame:
    """Dreams of a method's first course beside the real examples that they resemble most."""
    rows: dict[str, dict[str, Any]] = {}
    first = [course for course in courses if course.method == method][:1]
    for record in (record for course in first for record in course.records[1:]):
        for told in told_of(record):
            for task, about in told["gallery"].items():
                for shown in about.get("shown", ()):
                    rows[clean(shown["dream"])] = {
                        "it answers": clean(shown["answer"]),
                        "nearest real example": clean(shown["nearest"]),
                        "of": task,
                        "novelty": f"{shown['novelty']:.2f}",
                    }
    return _titled(rows, "dream")


def _shares(answers: Sequence[tuple[Mapping[str, float], float]], count: int = 2) -> str:
    """The commonest answers over several (shares, weight)."""
    total = sum(weight for _, weight in answers)
    pooled = Counter[str]()
    for shares, weight in answers:
        pooled.update({answer: share * weight / total for answer, share in shares.items()})
    return ", ".join(
        f"{clean(answer, 24)} {share:.0%}" for answer, share in pooled.most_common(count)
    )


def verdict_table(found: Sequence[claims.Verdict]) -> pd.DataFrame:
    """Claims with verdicts, effects, intervals and tolerances."""
    rows = {}
    for v in found:
        effect = "" if v.effect is None else f"{v.effect:+.3f} [{v.low:+.3f}, {v.high:+.3f}]"
        rows[v.statement] = {
            "of": v.source,
            "verdict": v.verdict,
            "effect [95 % interval]": effect,
            "claimed": f"{v.direction}, tolerance {v.tolerance:g}",
            "unit": v.unit,
            "runs": v.runs,
        }
    return _titled(rows, "claim")


def _titled(rows: dict[str, dict[str, Any]], title: str) -> pd.DataFrame:
    """A frame with a row an entry, and one line of headings that begins with `title`."""
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns=title)


def _quoted(answer: str | None) -> str:
    """What was said, in words where it was nothing; an empty cell where nothing was asked."""
    return "" if answer is None else clean(answer) or "(nothing)"


def clean(answer: str, longest: int = 220) -> str:
    """An answer on one line, cut where it grows long (pandas escapes it where it becomes HTML)."""
    line = " ".join(answer.replace("\ufffd", "").split())
    return line if len(line) <= longest else line[:longest] + " …"
