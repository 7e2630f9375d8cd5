"""MLPs alone move."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Training the MLPs alone",
    see="FreezeAttention",
    colour="#E69F00",
    marker="d",
)
class OnlyMLP(Tuning):
    """MLPs alone move. Differs from `FreezeAttention` by embeddings and norms only."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind == "mlp"
