"""Lineage: a checkpoint is a value, named by the recipe of how it came to be."""

from forgetting.lineage.checkpoint import (
    Checkpoint,
    Foundation,
    TaskVector,
    foundation,
    in_order,
    merge,
)
from forgetting.lineage.samples import Completion, Prompts, Recipe, Samples
from forgetting.lineage.settings import Settings
from forgetting.lineage.steps import Graft, Linear, Merge, MergeMethod, Step, Train, Value

__all__ = [
    "Checkpoint",
    "Completion",
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
]
