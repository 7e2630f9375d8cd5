"""Targets and objectives of self-output, in one trainer, with one adapter.

LoRA of rank 16 on every linear layer throughout: Wu et al. (2025)'s published comparison changed
trainer, rank and adapter together with the mask.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from forgetting.chapters.common import LINEAR, PLAIN
from forgetting.experiments.arms import Arm, Training, train
from forgetting.lineage import Checkpoint
from forgetting.objectives import (
    EntropyAdaptive,
    KeepClose,
    PolicyGradient,
    SelectiveMasking,
    ShareMasking,
)
from forgetting.recipes import (
    Distilled,
    FreeText,
    Gold,
    Paraphrased,
    Rehearsed,
    Rollouts,
    SelfOutput,
    Shuffled,
)
from forgetting.tasks import Task
from forgetting.tuning import DoRA, Full, LoRA


def arms(shots: int) -> dict[str, Arm]:
    """Whose words are shown, and which tokens count.

    Own answers are drawn after so many worked examples: without some, a small model writes no call
    in the form that is asked for.
    """

    def adapter(kind: type[LoRA]) -> LoRA:
        return kind(rank=16, alpha=32, dropout=0, modules=LINEAR)

    def own(of: Checkpoint, task: Task) -> SelfOutput:
        return SelfOutput(task, of, count=8, shots=shots)

    def gold_like(recipe: Any, of: Checkpoint, task: Task) -> Gold:
        return Gold(task, like=recipe(of, task), same_length=True)

    def paraphrase(of: Checkpoint, task: Task) -> Paraphrased:
        return Paraphrased(task, of)

    def arm(tune: Any = None, **given: Any) -> Training:
        return train(tune or adapter(LoRA), settings=PLAIN, **given)

    return {
        "gold": arm(card="Gold"),
        "gold (same questions)": arm(
            shown=lambda of, task: Gold(task, like=own(of, task)), card="Gold"
        ),
        "gold (length of own)": arm(shown=partial(gold_like, own), card="Gold"),
        "gold (length of paraphrase)": arm(shown=partial(gold_like, paraphrase), card="Gold"),
        "own": arm(shown=own, card="SelfOutput"),
        "paraphrase": arm(shown=paraphrase, card="Paraphrased"),
        "STM": arm(objective=SelectiveMasking()),
        "random mask": arm(objective=ShareMasking("random")),
        "low mask": arm(objective=ShareMasking("low")),
        "EAFT": arm(objective=EntropyAdaptive()),
        "KL on free text": arm(
            shown=lambda of, task: Rehearsed(task, (FreeText(of),), 0.5), objective=KeepClose(1.0)
        ),
        "KL on answers": arm(objective=KeepClose(1.0, everywhere=True)),
        "own or gold": arm(
            shown=lambda of, task: SelfOutput(task, of, count=8, shots=shots, otherwise="gold"),
            card="SelfOutput",
        ),
        "shuffled": arm(shown=lambda of, task: Shuffled(task), card="Shuffled"),
        "REINFORCE": arm(
            shown=lambda of, task: Rollouts(task, of),
            objective=PolicyGradient(),
            rounds="refreshed",
            after=arm(),
        ),
        "distilled": arm(
            shown=lambda of, task: Distilled(task, of, count=2, teacher=Checkpoint(of.foundation)),
            objective=KeepClose(1.0),
            rounds="refreshed",
            card="Distilled",
        ),
        "own in rounds": arm(shown=own, rounds="fixed", card="SelfOutput"),
        "own refreshed": arm(shown=own, rounds="refreshed", card="SelfOutput"),
        "gold (DoRA)": arm(adapter(DoRA), card="DoRA"),
        "STM (DoRA)": arm(adapter(DoRA), objective=SelectiveMasking()),
        "gold (full)": arm(Full(), rate=1 / 3, card="Full"),
        "own (full)": arm(Full(), rate=1 / 3, shown=own, card="SelfOutput"),
    }
