"""Self-attention alone moves."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Training attention alone",
    see="FreezeAttention",
    colour="#CC79A7",
    marker="P",
)
class OnlyAttention(Tuning):
    """Self-attention alone moves."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind == "attention"
