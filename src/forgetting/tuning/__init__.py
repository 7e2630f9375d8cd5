"""What may move? A tuning names the parts of a model that training is allowed to change."""

from forgetting import method
from forgetting.tuning.base import Tuning

__all__ = ["Tuning"]

__getattr__ = method.package(__name__)  # each method by its name
