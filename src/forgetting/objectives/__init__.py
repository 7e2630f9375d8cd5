"""What is it asked for? An objective maps the logits at supervised tokens to a scalar."""

from typing import TYPE_CHECKING, Any

from forgetting import method
from forgetting.models.rows import OLD, TARGET, WHOLE
from forgetting.objectives.base import Objective, Read, Step, Weights
from forgetting.objectives.old import Old

__all__ = ["OLD", "TARGET", "WHOLE", "Objective", "Old", "Read", "Step", "Weights"]

method.package(__name__)

if TYPE_CHECKING:  # each method by its name, as `method.Package` gives it

    def __getattr__(name: str) -> Any: ...
