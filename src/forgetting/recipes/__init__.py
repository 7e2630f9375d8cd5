"""What is it shown? Recipes make the examples of a training step where they are not a task's own.

A recipe is a value that enters a lineage key. Where it needs what a checkpoint writes, that is a
step of the graph (`lineage.Samples`), generated once, whoever asks. A recipe says what became of
what was written (`report`): kept, refused and why, fallen back, lengths.
"""

from forgetting.recipes.answers import Answers, Gold, Shuffled, WholeText
from forgetting.recipes.lamol import InForm, Lamol
from forgetting.recipes.on_policy import Distilled, Rollouts
from forgetting.recipes.paraphrase import Paraphrased
from forgetting.recipes.rehearsal import EMPTY_TURN, FreeText, Rehearsed, Together
from forgetting.recipes.self_output import SelfOutput
from forgetting.recipes.ssr import Synthesised

__all__ = [
    "EMPTY_TURN",
    "Answers",
    "Distilled",
    "FreeText",
    "Gold",
    "InForm",
    "Lamol",
    "Paraphrased",
    "Rehearsed",
    "Rollouts",
    "SelfOutput",
    "Shuffled",
    "Synthesised",
    "Together",
    "WholeText",
]
