"""Self-attention alone moves."""

from forgetting.method import method
from forgetting.tuning.base import ATTENTION, Tuning


@method(
    title="Training attention alone",
    see="FreezeAttention",
    rows=("only attention",),
    colour="#CC79A7",
    marker="P",
)
class OnlyAttention(Tuning):
    """Self-attention alone moves."""

    def trains(self, name: str, layers: int) -> bool:
        return bool(ATTENTION.search(name))
