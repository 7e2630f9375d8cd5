"""What is it asked for? An objective maps the logits at supervised tokens to a scalar."""

from forgetting import method
from forgetting.models.rows import OLD, TARGET, WHOLE
from forgetting.objectives.base import Objective, Read, Step, Weights
from forgetting.objectives.old import Old

__all__ = ["OLD", "TARGET", "WHOLE", "Objective", "Old", "Read", "Step", "Weights"]

__getattr__ = method.package(__name__)  # each method by its name
