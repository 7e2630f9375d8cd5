"""What is it shown? Recipes make the examples of a training step where they are not a task's own.

A recipe is a value that enters a lineage key. Where it needs what a checkpoint writes, that is a
step of the graph (`lineage.Samples`), generated once, whoever asks. A recipe says what became of
what was written (`report`): kept, refused and why, fallen back, lengths.
"""

from forgetting import method
from forgetting.recipes.answers import Answers
from forgetting.recipes.free_text import EMPTY_TURN

__all__ = ["EMPTY_TURN", "Answers"]

__getattr__ = method.package(__name__)  # each method by its name
