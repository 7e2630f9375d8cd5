"""What is done to the weights after? Pure functions on state dicts, a method a file."""

from forgetting import method
from forgetting.merging.states import State, require_one_architecture

__all__ = ["State", "require_one_architecture"]

__getattr__ = method.package(__name__)  # each method by its name
