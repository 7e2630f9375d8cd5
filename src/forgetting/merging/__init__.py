"""What is done to the weights after: pure functions on state dicts, a method a file."""

from forgetting.merging.linear import weighted_sum
from forgetting.merging.states import State, require_one_architecture

__all__ = ["State", "require_one_architecture", "weighted_sum"]
