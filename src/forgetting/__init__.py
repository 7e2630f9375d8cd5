"""Post-Training and Forgetting: what a language model loses when it is taught something new.

    from forgetting import foundation, evaluate, Task, FreezeFirst

Names load their modules on first use: `forgetting --help` need not wait for torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "foundation": "lineage",
    "Checkpoint": "lineage",
    "Settings": "lineage",
    "Task": "tasks",
    "evaluate": "probes.evaluation",
    "merge": "lineage",
    "Cell": "experiments.study",
    "measure": "experiments.study",
    "Ask": "experiments.asks",
    "Budget": "experiments.experiment",
    "Experiment": "experiments.experiment",
    "in_turn": "experiments.arms",
    "train": "experiments.arms",
    **dict.fromkeys(
        (
            "Full",
            "FreezeFirst",
            "FreezeLast",
            "FreezeAttention",
            "OnlyAttention",
            "FreezeMLP",
            "OnlyMLP",
            "OnlyLast",
            "LoRA",
            "DoRA",
            "AttentionDropout",
            "IA3",
        ),
        "tuning",
    ),
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'forgetting' has no attribute {name!r}")
    return getattr(import_module(f"forgetting.{_HOMES[name]}"), name)
