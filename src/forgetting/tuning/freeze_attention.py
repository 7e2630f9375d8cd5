"""Self-attention stays (Li & Lee 2024, arXiv 2401.03129)."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    name="freeze-modules",
    title="Freezing attention or the MLPs",
    idea="In every block one kind of module is held still: self-attention, or the MLP. The "
    "variants that train one kind alone differ from these by embeddings and norms.",
    equation=r"\nabla_{\theta_m} L := 0 \quad\text{for every module } m \text{ of the frozen kind}",
    cost="Gradients still pass through every block, so it saves memory of the optimiser and "
    "little time.",
    use="To ask where a skill is learned. Freezing attention and training the MLPs alone differ "
    "so little that their distance is a free estimate of the noise.",
    citations=("li2024examining",),
    colour="#D55E00",
    marker="D",
)
class FreezeAttention(Tuning):
    """Self-attention stays; MLPs, norms and embeddings move."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind != "attention"
