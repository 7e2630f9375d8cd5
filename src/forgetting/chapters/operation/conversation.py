"""One conversation before and after an innocent fine-tune, as the records have it."""

from __future__ import annotations

from collections.abc import Mapping

from forgetting import wording
from forgetting.chapters import published
from forgetting.chapters.operation.experiment import experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views.conversation import Exchange

ARM, SLOW = "SFT style", 3e-5
ASKED = ("label", "json", "questions", "questions in chinese")  # roles, an item of each


class NoConversation(LookupError):
    """No stored run of the arm holds what was answered."""


def exchanges(*rates: float) -> list[Exchange]:
    """What a model answered before it learned to label reviews, and since. Raises `NoConversation`.

    The first question of each role in `ASKED`; "after" is at the central rate, and beside it at
    other `rates` whose runs were asked the same.
    """
    runs = published.runs(experiment.name)
    try:
        start = records.start_of(runs)
        after = {"after": records.select(published.whole(experiment, runs), method=ARM)[0]}
        for rate in rates:
            for run in records.select(runs, method=ARM, learning_rate=rate, seed=0):
                after |= {f"after, a rate of {wording.rate(rate)}": run} if run.samples else {}
        return [_exchange(role, start, after) for role in ASKED]
    except (LookupError, ValueError, StopIteration) as error:
        raise NoConversation(
            f"conversation: no records of {ARM!r} with answers; forgetting run {experiment.name}"
        ) from error


def hero() -> list[Exchange]:
    """The two questions about a review, answered after fine-tuning at either rate."""
    return exchanges(SLOW)[:2]


def _exchange(role: str, start: Run, after: Mapping[str, Run]) -> Exchange:
    first = next(iter(after.values()))
    asked = next(sample.prompt for sample in first.samples if sample.task == role)
    answers = {
        name: next(s.answer for s in run.samples if s.task == role and s.prompt == asked)
        for name, run in ({"before": start} | dict(after)).items()
    }
    return Exchange(asked, answers)
