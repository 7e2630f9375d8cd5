"""Post-Training and Forgetting: what a language model loses when it is taught something new.

    from forgetting import foundation, evaluate, Task, FreezeFirst

Names load their modules on first use: `forgetting --help` need not wait for torch.
"""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
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
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """One of these names, or any method's (`forgetting.method`)."""
    if name in _HOMES:
        return getattr(import_module(f"forgetting.{_HOMES[name]}"), name)
    if not name.startswith("_") and find_spec(f"forgetting.{name}") is None:
        from forgetting import method

        with suppress(method.UnknownMethod):
            return method.named(name).load()
    raise AttributeError(f"module 'forgetting' has no attribute {name!r}")
