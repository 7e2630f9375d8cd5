"""What an accuracy is worth: beside a guess, beside one answer to everything, each label alike.

Gold answers are read from the task's documents, so that any record can be asked; where these are
not at hand only the guess is known.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from statistics import fmean
from typing import TYPE_CHECKING

from forgetting import tasks
from forgetting.tasks import Task

if TYPE_CHECKING:
    from forgetting.probes.scores import Scores

BALANCED = "balanced"  # accuracy with equal weight for every gold label
GUESS, ONE_ANSWER = "a guess", "always one answer"
# A form that was kept (JSON, upper case) is no accuracy: one answer would have all of it.
ACCURACIES = ("acc", "acc_norm", "em", BALANCED, "nf1", "lf_em", "ds_em", "call")
CHOSEN = ("acc", "acc_norm")
EVEN = {"told_apart": 0.5}  # which of two answers is likelier


def floors(scores: Scores, metric: str) -> dict[str, float]:
    """What `metric` is without reading: of a guess, and of always one answer; those that are known.

    The one answer is the gold answer that most of these items have. Nothing for what is no
    accuracy.
    """
    if metric in EVEN:
        return {GUESS: EVEN[metric]}
    if metric not in ACCURACIES:
        return {}
    task, constant = _task(scores), one_answer(scores)
    chance = task.metadata.get("chance") if task else None
    known = {} if chance is None else {GUESS: float(chance)}
    if constant and (metric in constant.items or (metric == BALANCED and labelled(constant))):
        known[ONE_ANSWER] = constant.mean(metric)
    return known


def one_answer(scores: Scores) -> Scores | None:
    """The scores of who gives to each of the items the commonest gold answer among them.

    None where the gold answers are not at hand, or nobody grades answers.
    """
    task, gold = _task(scores), golds(scores)
    if task is None or gold is None:
        return None
    commonest = Counter(gold).most_common(1)[0][0]
    if isinstance(commonest, int):
        right = [float(place == commonest) for place in gold]
        return scores.model_copy(update={"items": {m: right for m in CHOSEN if m in scores.items}})
    documents = task.documents("test")[: scores.n]
    graded = [values for d in documents if (values := task.graded(d, commonest)) is not None]
    if not graded:
        return None
    return scores.model_copy(update={"items": {m: [of[m] for of in graded] for m in graded[0]}})


def golds(scores: Scores) -> tuple[int | str, ...] | None:
    """The gold answer of each item: a choice's place, or a text; None where not at hand."""
    task = _task(scores)
    if task is None or task.missing():
        return None
    known = _golds(task.name, scores.n)
    return known if len(known) == scores.n else None


@lru_cache
def _golds(task: str, items: int) -> tuple[int | str, ...]:
    return tuple(Task(task).gold(document) for document in Task(task).documents("test")[:items])


def labelled(scores: Scores) -> bool:
    """Whether `balanced` can be asked for: a label is the answer, and gold labels are at hand."""
    task = _task(scores)
    label = task and "chance" in task.metadata and task.config["output_type"] == "generate_until"
    return bool(label) and "em" in scores.items and golds(scores) is not None


def label_weights(scores: Scores) -> list[float]:
    """Of each item the weight that makes every gold label weigh as much; 1 in the mean.

    With them the mean over items is the mean over labels of the share right. Raises `KeyError`
    where there are no labels, or they are not at hand.
    """
    gold = golds(scores) if labelled(scores) else None
    if gold is None:
        raise KeyError(f"metric={BALANCED!r}: {scores.task} has no gold labels at hand")
    counts = Counter(gold)
    even = fmean(counts.values())
    return [even / counts[label] for label in gold]


def _task(scores: Scores) -> Task | None:
    """The task that was asked, in whatever form, if it still is of that version."""
    name = scores.task.partition(":")[0]
    if name not in tasks.names():
        return None
    task = Task(name)
    return task if task.metadata["version"] == scores.version else None
