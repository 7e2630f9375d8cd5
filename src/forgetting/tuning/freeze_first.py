"""The first blocks stay (Li & Lee 2024, arXiv 2401.03129)."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Blocks


@method(
    name="freeze-layers",
    title="Freezing layers",
    idea="Some transformer blocks are held still and the others train: the first third, the last "
    "third, or all but the last few. The hope is that what lives in the frozen blocks survives.",
    equation=r"\nabla_{\theta_\ell} L := 0 \quad\text{for every frozen block } \ell",
    cost="Less memory, by the share that is frozen. Holding the first blocks and the embeddings "
    "still saves time too, as gradients need not pass through them.",
    use="When only the last blocks can be afforded. As a cure for forgetting, compare it at the "
    "same level of the new skill first.",
    citations=("li2024examining",),
    colour="#0072B2",
    marker="^",
)
class FreezeFirst(Blocks):
    """The first `k` transformer blocks stay; embeddings and the rest move (paper: k = 10 of 32)."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.block is None or part.block >= self.checked(blocks)
