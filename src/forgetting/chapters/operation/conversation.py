"""One conversation before and after an innocent fine-tune, as the records have it."""

from __future__ import annotations

from forgetting.chapters import published
from forgetting.chapters.operation.experiment import experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views.conversation import Exchange

ARM = "SFT style"
ASKED = ("label", "json", "questions", "questions in chinese")  # roles, an item of each


class NoConversation(LookupError):
    """No stored run of the arm holds what was answered."""


def exchanges() -> list[Exchange]:
    """What a model answered before it learned to label reviews, and since. Raises `NoConversation`.

    The first question of each role in `ASKED`.
    """
    runs = published.runs(experiment.name)
    try:
        start = records.start_of(runs)
        taught = records.select(published.whole(experiment, runs), method=ARM)[0]
        return [_exchange(role, start, taught) for role in ASKED]
    except (LookupError, ValueError, StopIteration) as error:
        raise NoConversation(
            f"conversation: no records of {ARM!r} with answers; forgetting run {experiment.name}"
        ) from error


def _exchange(role: str, start: Run, taught: Run) -> Exchange:
    answers = {sample.prompt: sample.answer for sample in start.samples if sample.task == role}
    after = next(sample for sample in taught.samples if sample.task == role)
    return Exchange(after.prompt, {"before": answers[after.prompt], "after": after.answer})
