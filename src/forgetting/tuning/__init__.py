"""What may move? A tuning names the parts of a model that training is allowed to change."""

from typing import TYPE_CHECKING, Any

from forgetting import method
from forgetting.tuning.base import Tuning, trainable_count, trainable_table

__all__ = ["Tuning", "trainable_count", "trainable_table"]

method.package(__name__)

if TYPE_CHECKING:  # each method by its name, as `method.Package` gives it

    def __getattr__(name: str) -> Any: ...
