"""Metrics of sequences of tasks: decaNLP's for tasks in the form of questions, and ROUGE-L.

Pure functions of a model's answer and the right ones; each gives the score of one item, between 0
and 1. decaNLP is McCann et al. (2018, arXiv 1806.08730), LAMOL is Sun et al. (2020, arXiv
1909.03329); where the two count differently, or we differ from both, the docstring says so.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from forgetting.tasks import metrics
from forgetting.tasks.metrics import at_least_one

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case without ASCII punctuation, English articles and extra white space.

    SQuAD's normalisation (Rajpurkar et al. 2016), which decaNLP and LAMOL took over.
    """
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


def normalised_f1(answer: str, golds: Sequence[str]) -> float:
    """nF1: harmonic mean of precision and recall of normalised words, for the nearest gold.

    Words count as often as they stand there. Where nothing is left of answer and gold they agree
    (SQuAD 2.0's rule; decaNLP gives 0), where nothing is left of one of them they do not.
    Raises `ValueError` without gold answers.
    """
    words = normalised(answer).split()
    return max(_f1(words, normalised(gold).split()) for gold in at_least_one(golds))


def _f1(answer: list[str], gold: list[str]) -> float:
    return metrics.bag_f1(answer, gold) if answer and gold else float(answer == gold)


def exact_match(answer: str, golds: Sequence[str]) -> bool:
    """EM: whether the answer is one of the golds, character by character but for outer space."""
    return answer.strip() in {gold.strip() for gold in at_least_one(golds)}


def normalised_exact_match(answer: str, golds: Sequence[str]) -> bool:
    """nEM: whether the normalised answer is one of the normalised golds."""
    return normalised(answer) in {normalised(gold) for gold in at_least_one(golds)}


def named(answer: str, labels: Collection[str]) -> set[str]:
    """Those of `labels`, single words in lower case, that stand in the answer in any case."""
    return set(labels) & set(re.findall(r"\w+", answer.lower()))


def labelled_object(answer: str, golds: Sequence[str], key: str) -> dict[str, float]:
    """json: whether the answer is a JSON object that has `key`. em: whether its value is right.

    Values are compared normalised. `golds` as in `normalised_f1`.
    """
    values = metrics.json_object(answer) or {}
    right = key in values and normalised_exact_match(str(values[key]), golds)
    return {"json": float(key in values), "em": float(right)}


AGGREGATES = ("", "max", "min", "count", "sum", "avg")
OPERATORS = ("=", ">", "<")


class LogicalForm(NamedTuple):
    """A WikiSQL query (Zhong et al. 2017): column and aggregate selected, and the conditions.

    Columns are numbers in the table's header; a name that stands there twice is its first.
    Conditions are (column, operator, value) in sorted order, since AND commutes.
    """

    sel: int
    agg: int
    conds: tuple[tuple[int, int, str], ...]


def parse_sql(text: str, header: Sequence[str]) -> LogicalForm | None:
    """The query that `text` writes for a table with these columns; None if it is not one.

    The form is `select [aggregate] column from table [where column operator value [and …]]`,
    without quotation marks. Case and white space do not matter, in values neither (as in LAMOL).
    A column's name is read as such before its first word is read as an aggregate (as in decaNLP).
    Unlike LAMOL, which takes the most similar column, names must be right.
    """
    text = " ".join(text.lower().split())
    query = re.fullmatch(r"select (.+?) from table(?: where (.+))?", text)
    if not query:
        return None
    names = [_dense(name) for name in header]
    columns = {name: names.index(name) for name in names if name}
    sel, agg = columns.get(_dense(query[1])), 0
    first, _, rest = query[1].partition(" ")
    if sel is None and first in AGGREGATES:
        sel, agg = columns.get(_dense(rest)), AGGREGATES.index(first)
    conds = _conditions(query[2], columns) if query[2] else []
    if sel is None or conds is None:
        return None
    return LogicalForm(sel, agg, tuple(sorted(conds)))


def _conditions(text: str, columns: dict[str, int]) -> list[tuple[int, int, str]] | None:
    """Conditions of a WHERE clause: a value ends where `and`, a column and an operator follow."""
    if not columns:
        return None
    starts = list(_condition_start(tuple(columns)).finditer(text))
    if not starts or starts[0].start() > 0:
        return None
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return [
        (columns[_dense(s[1])], OPERATORS.index(s[2]), _dense(text[s.end() : end]))
        for s, end in zip(starts, ends, strict=True)
    ]


@lru_cache(maxsize=256)
def _condition_start(columns: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(columns, key=len, reverse=True)
    names = "|".join(" ?".join(map(re.escape, name)) for name in longest_first)
    return re.compile(rf"(?:^| and )({names}) ?([{''.join(OPERATORS)}])")


def _dense(text: str) -> str:
    return "".join(text.lower().split())


def logical_form_match(answer: str, gold: str, header: Sequence[str]) -> bool:
    """lfEM: whether two queries are the same logical form.

    The order of conditions does not matter, as in WikiSQL's own evaluation; decaNLP and LAMOL
    want the gold's order. A gold that is no query of this form must be met word for word.
    """
    form = parse_sql(gold, header)
    if form is None:
        return _dense(answer) == _dense(gold)
    return parse_sql(answer, header) == form


def state(answer: str) -> dict[str, str] | None:
    """The state that `slot = value; slot = value` or `none` gives, in lower case; None if neither.

    A slot with two values is not a state, nor is an entry without a value.
    """
    text = answer.strip().rstrip(".;").lower()
    if text == "none":
        return {}
    values: dict[str, str] = {}
    for entry in text.split(";"):
        slot, sign, value = (" ".join(piece.split()) for piece in entry.partition("="))
        if not (slot and sign and value) or values.get(slot, value) != value:
            return None
        values[slot] = value
    return values


class Change(NamedTuple):
    """What a turn changes: values of slots that the user informs of, and slots asked about."""

    inform: dict[str, str]
    request: frozenset[str]


def change_of_state(text: str) -> Change:
    """Reads decaNLP's `slot: value, slot: value; request, request`, in lower case.

    As in decaNLP: a text without exactly one semicolon, such as `none`, changes nothing; what is
    not `slot: value` is passed over; of several values for a slot the last one counts. Requests
    are compared in any order (decaNLP wants the gold's).
    """
    informed, semicolon, requested = text.strip().lower().partition(";")
    if not semicolon or ";" in requested:
        return Change({}, frozenset())
    pairs = [pair.split(":") for pair in informed.split(",")]
    inform = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    return Change(inform, frozenset(r.strip() for r in requested.split(",") if r.strip()))


def dialogue_state_matches(answers: Iterable[str], golds: Iterable[str]) -> list[bool]:
    """dsEM of each turn of one dialogue: whether the state so far, all slots together, is right.

    Both states are summed over the turns from an empty one, where later values replace earlier
    ones, so that one wrong turn costs all later ones until its slots are set again (decaNLP's joint
    goal, the WOZ score of its and of LAMOL's tables). Raises `ValueError` where there are more
    answers than golds or fewer.
    """
    state: dict[str, str] = {}
    gold_state: dict[str, str] = {}
    matches = []
    for answer, gold in zip(answers, golds, strict=True):
        state |= change_of_state(answer).inform
        gold_state |= change_of_state(gold).inform
        matches.append(state == gold_state)
    return matches


class Words:
    """Tokens for ROUGE: words in lower case of any script, a Chinese character being a word.

    rouge_score's own tokeniser knows ASCII letters only and cuts `canción` in two.
    """

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text.lower())


@lru_cache(maxsize=1)
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=Words())


def rouge_l(answer: str, golds: Sequence[str]) -> float:
    """ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, for the nearest gold.

    0 where the answer or the gold has no words.
    """
    return _rouge().score_multi(at_least_one(golds), answer)["rougeL"].fmeasure
