"""Embeddings stay, and a head that is tied to them."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Freezing the embeddings",
    idea="The vectors of the tokens stay; everything else moves.",
    equation=r"\nabla_{E} L := 0",
    cost="Of a small model with many tokens most of the optimiser's memory is saved: of Gemma 3 "
    "270M 63 % of the weights are embeddings, of SmolLM2-135M 21 %.",
    use="When the tokens are known to the model and only what follows from them is new.",
    citations=("li2024examining",),
    colour="#332288",
    marker="d",
)
class FreezeEmbeddings(Tuning):
    """Embeddings, and a head that is tied to them, stay; everything else moves."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind != "embedding"
