"""What is done to the weights after? Pure functions on state dicts, a method a file."""

from typing import TYPE_CHECKING, Any

from forgetting import method
from forgetting.merging.states import State, require_one_architecture

__all__ = ["State", "require_one_architecture"]

method.package(__name__)

if TYPE_CHECKING:  # each method by its name, as `method.Package` gives it

    def __getattr__(name: str) -> Any: ...
