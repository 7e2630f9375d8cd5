"""MLPs stay."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Freezing the MLPs",
    see="FreezeAttention",
    colour="#8C4A76",
    marker="X",
)
class FreezeMLP(Tuning):
    """MLPs stay; self-attention, norms and embeddings move."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind != "mlp"
