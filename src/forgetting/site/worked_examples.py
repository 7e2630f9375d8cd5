"""Small invented results on which definitions of forgetting disagree, for pages to show.

Nothing here was measured: the numbers are chosen to be read at a glance. What the definitions make
of them is computed, so a page quotes no number that the library would not give.
"""

from typing import Any

import numpy as np

from forgetting.evidence.churn import Churn, churn
from forgetting.evidence.definitions import drop_from_original, every_definition, relative_drop
from forgetting.evidence.records import Scores

BEFORE = (0.60, 0.50, 0.40)
MATRIX = (
    (0.70, 0.55, 0.45),
    (0.90, 0.80, 0.45),
    (0.70, 0.60, 0.75),
)
JOINT = (0.85, 0.85, 0.85)

# (accuracy before, after) of a small and a large model on questions with four options.
FLOOR = {"small": (0.30, 0.27), "large": (0.50, 0.40)}
CHANCE = 0.25

# The option that each model chose of 0 to 3, on ten questions whose answer is option 0.
CHOSEN_BEFORE = (0, 0, 0, 0, 0, 0, 1, 2, 3, 1)
CHOSEN_AFTER = (0, 0, 0, 0, 1, 2, 0, 0, 1, 1)


def book_values() -> dict[str, Any]:
    """What prose may quote as `r.definitions`: the examples, and every definition on them."""
    changed = example_churn()
    return {
        "before": list(BEFORE),
        "matrix": [list(row) for row in MATRIX],
        "joint": list(JOINT),
        "trained": every_definition(MATRIX, BEFORE, JOINT),
        "untouched": every_definition(np.tile(BEFORE, (len(BEFORE), 1)), BEFORE, JOINT),
        "chance": CHANCE,
        "floor": {name: _floor(*accuracies) for name, accuracies in FLOOR.items()},
        "churn": changed.model_dump() | {"flips": changed.flips, "churn": changed.churn},
    }


def example_churn() -> Churn:
    """Ten questions answered by two models of the same accuracy."""
    return churn(_scores(CHOSEN_BEFORE), _scores(CHOSEN_AFTER))


def _scores(chosen: tuple[int, ...]) -> Scores:
    items = {"acc": [float(option == 0) for option in chosen], "choice": list(map(float, chosen))}
    return Scores(task="example", version=1.0, templates="", n=len(chosen), batch=1, items=items)


def _floor(before: float, after: float) -> dict[str, float]:
    return {
        "before": before,
        "after": after,
        "drop": float(drop_from_original([before], [after])[0]),
        "relative": float(relative_drop([before], [after])[0]),
        "above_chance": float(relative_drop([before], [after], CHANCE)[0]),
    }
