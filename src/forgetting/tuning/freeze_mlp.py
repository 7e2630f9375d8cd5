"""MLPs stay."""

from forgetting.method import method
from forgetting.tuning.base import Tuning


@method(
    title="Freezing the MLPs",
    see="FreezeAttention",
    rows=("freeze MLP",),
    colour="#8C4A76",
    marker="X",
)
class FreezeMLP(Tuning):
    """MLPs stay; self-attention, norms and embeddings move."""

    def trains(self, name: str, layers: int) -> bool:
        return ".mlp." not in name
