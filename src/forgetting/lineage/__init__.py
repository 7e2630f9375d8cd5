"""Lineage: a checkpoint is a value, named by the recipe of how it came to be."""

from forgetting.lineage.checkpoint import (
    Checkpoint,
    Foundation,
    TaskVector,
    foundation,
    in_order,
    merge,
)
from forgetting.lineage.samples import (
    Completion,
    Drawn,
    Prompts,
    Recipe,
    Samples,
    nothing_drawn,
)
from forgetting.lineage.settings import Settings
from forgetting.lineage.steps import Adapt, Graft, Linear, Merge, MergeMethod, Step, Train, Value

__all__ = [
    "Adapt",
    "Checkpoint",
    "Completion",
    "Drawn",
    "Foundation",
    "Graft",
    "Linear",
    "Merge",
    "MergeMethod",
    "Prompts",
    "Recipe",
    "Samples",
    "Settings",
    "Step",
    "TaskVector",
    "Train",
    "Value",
    "foundation",
    "in_order",
    "merge",
    "nothing_drawn",
]
