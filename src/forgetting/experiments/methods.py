"""Methods: the rows of each chapter's grid, as answers to the four questions.

What is it shown, what may move, what is it asked for: a row names its answers, and everything else
is the same for all rows of a chapter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from forgetting.lineage import Checkpoint, Recipe
from forgetting.objectives import (
    EntropyAdaptive,
    KeepClose,
    Objective,
    PolicyGradient,
    SelectiveMasking,
    ShareMasking,
)
from forgetting.objectives.weight_decay import weight_decay
from forgetting.recipes import (
    Distilled,
    FreeText,
    Gold,
    Paraphrased,
    Rehearsed,
    Rollouts,
    SelfOutput,
    Shuffled,
    WholeText,
)
from forgetting.tasks import Task
from forgetting.tuning import (
    IA3,
    AttentionDropout,
    DoRA,
    FreezeAttention,
    FreezeFirst,
    FreezeLast,
    FreezeMLP,
    Full,
    LoRA,
    OnlyAttention,
    OnlyMLP,
    Tuning,
)

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Row:
    """A row of a chapter's grid: tuning, factor on the learning rate, settings of its own.

    `shown` makes what is shown of the model whose words it may use and the task; without it, the
    task's own answers are. With `rounds`, each epoch is a training of its own: on what the first
    model said ("fixed"), or on what the model says by then ("refreshed"). `after` is another row,
    one epoch of which comes first.
    """

    tune: Tuning
    factor: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)
    shown: Callable[[Checkpoint, Task], Task | Recipe] | None = None
    objective: Objective | None = None
    rounds: Literal["", "fixed", "refreshed"] = ""
    after: Row | None = None

    def train(self, base: Checkpoint, task: Task, *, epochs: int = 1, **told: Any) -> Checkpoint:
        """`base`, taught `task` by this row's answers to the four questions."""
        if self.after:
            base = self.after.train(base, task, **told)
        given = {"tune": self.tune, "objective": self.objective} | told
        if not self.rounds:
            return base.train(self.what(base, task), epochs=epochs, **given)
        reached = base
        for _ in range(epochs):
            says = reached if self.rounds == "refreshed" else base
            reached = reached.train(self.what(says, task), epochs=1, **given)
        return reached

    def what(self, of: Checkpoint, task: Task) -> Task | Recipe:
        """What is shown, where the model whose words may be used is `of`."""
        return self.shown(of, task) if self.shown else task


def operation_rows() -> dict[str, Row]:
    """Three styles of post-training on the same questions, everything free to move.

    Pre-train style reads question and answer as one text, SFT style learns the answer alone, RL
    style learns from its own answers, four a question and round, and whether they are right.
    """
    plain = {"weight_decay": 0.0}
    return {
        "pre-train style": Row(Full(), 1, plain, lambda of, task: WholeText(task)),
        "SFT style": Row(Full(), 1, plain),
        "RL style": Row(
            Full(),
            1,
            plain,
            lambda of, task: Rollouts(task, of, count=4, max_new_tokens=12),
            PolicyGradient(),
            rounds="refreshed",
        ),
    }


def freezing_rows(layers: int) -> dict[str, Row]:
    """The rows of Li & Lee (2024)'s table.

    They froze 10 of 32 layers; here it is a third. Their "(3e-4)" rows are those marked ×10.
    """
    third = max(1, layers // 3)
    return {
        "full": Row(Full()),
        "freeze first third": Row(FreezeFirst(third)),
        "freeze last third": Row(FreezeLast(third)),
        "freeze attention": Row(FreezeAttention()),
        "only attention": Row(OnlyAttention()),
        "freeze MLP": Row(FreezeMLP()),
        "only MLP": Row(OnlyMLP()),
        "LoRA": Row(LoRA()),
        "LoRA ×10": Row(LoRA(), 10),
        "(IA)³": Row(IA3()),
        "(IA)³ ×10": Row(IA3(), 10),
    }


def lora_rows() -> dict[str, Row]:
    """The rows of Biderman et al. (2024): full training, regularised and not, and adapters.

    LoRA as theirs: every linear layer, α = 2r. Rates are those of full training times three for
    LoRA (theirs: four to ten; with ten, in a pilot, the loss on held-out calls had risen again by
    the fourth epoch) and times a hundred for (IA)³, whose few weights are multipliers. Dropout
    on attention and weight decay are the paper's other regularisers; rows without it have none.
    """

    def adapter(kind: type[LoRA], rank: int) -> Row:
        return Row(kind(rank=rank, alpha=2 * rank, dropout=0, modules=LINEAR), 3, plain)

    plain = {"weight_decay": 0.0}
    return {
        "full": Row(Full(), 1, plain),
        "full + weight decay": Row(Full(), 1, weight_decay(0.1)),
        "full + dropout": Row(AttentionDropout(), 1, plain),
        **{f"LoRA r {rank}": adapter(LoRA, rank) for rank in (1, 4, 16, 64, 256)},
        "DoRA r 16": adapter(DoRA, 16),
        "(IA)³": Row(IA3(), 100, plain),
    }


def own_words_rows(shots: int = 3) -> dict[str, Row]:
    """Targets and objectives of the chapter on self-output, in one trainer, with one adapter.

    LoRA of rank 16 on every linear layer throughout: Wu et al. (2025)'s published comparison
    changed trainer, rank and adapter together with the mask. Own answers are drawn after so many
    worked examples: without some, this small model writes no call in the form that is wanted.
    """
    plain = {"weight_decay": 0.0}

    def adapter(kind: type[LoRA]) -> LoRA:
        return kind(rank=16, alpha=32, dropout=0, modules=LINEAR)

    def own(of: Checkpoint, task: Task) -> SelfOutput:
        return SelfOutput(task, of, count=8, shots=shots)

    def row(shown: Any = None, objective: Objective | None = None, **other: Any) -> Row:
        tune = other.pop("tune", adapter(LoRA))
        return Row(tune, other.pop("factor", 1), plain, shown, objective, **other)

    return {
        "gold": row(),
        "gold (same questions)": row(lambda of, task: Gold(task, like=own(of, task))),
        "gold (length of own)": row(
            lambda of, task: Gold(task, like=own(of, task), same_length=True)
        ),
        "gold (length of paraphrase)": row(
            lambda of, task: Gold(task, like=Paraphrased(task, of), same_length=True)
        ),
        "own": row(own),
        "paraphrase": row(lambda of, task: Paraphrased(task, of)),
        "STM": row(objective=SelectiveMasking()),
        "random mask": row(objective=ShareMasking("random")),
        "low mask": row(objective=ShareMasking("low")),
        "EAFT": row(objective=EntropyAdaptive()),
        "KL on free text": row(
            lambda of, task: Rehearsed(task, (FreeText(of),), 0.5), KeepClose(1.0)
        ),
        "KL on answers": row(objective=KeepClose(1.0, everywhere=True)),
        "own or gold": row(
            lambda of, task: SelfOutput(task, of, count=8, shots=shots, otherwise="gold")
        ),
        "shuffled": row(lambda of, task: Shuffled(task)),
        "REINFORCE": row(
            lambda of, task: Rollouts(task, of), PolicyGradient(), rounds="refreshed", after=row()
        ),
        "distilled": row(
            lambda of, task: Distilled(task, of, count=2, teacher=Checkpoint(of.foundation)),
            KeepClose(1.0),
            rounds="refreshed",
        ),
        "own in rounds": row(own, rounds="fixed"),
        "own refreshed": row(own, rounds="refreshed"),
        "gold (DoRA)": row(tune=adapter(DoRA)),
        "STM (DoRA)": row(objective=SelectiveMasking(), tune=adapter(DoRA)),
        "gold (full)": row(tune=Full(), factor=1 / 3),
        "own (full)": row(own, tune=Full(), factor=1 / 3),
    }
