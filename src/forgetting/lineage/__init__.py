"""Lineage: a checkpoint is a value, named by the recipe of how it came to be."""

from forgetting.lineage.checkpoint import (
    Checkpoint,
    Foundation,
    Merge,
    Prompts,
    Recipe,
    Samples,
    Settings,
    TaskVector,
    Train,
    foundation,
    in_order,
)

__all__ = [
    "Checkpoint",
    "Foundation",
    "Merge",
    "Prompts",
    "Recipe",
    "Samples",
    "Settings",
    "TaskVector",
    "Train",
    "foundation",
    "in_order",
]
