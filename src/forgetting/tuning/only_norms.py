"""The norms alone move, of a recogniser its convolutions too."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Training the norms alone",
    idea="Norms scale and shift every feature of every layer: few weights, and what differs "
    "between two rooms is largely a scale and a shift. A recogniser's convolutions, which hear "
    "first, may move with them.",
    equation=r"\nabla_{\theta \setminus (\gamma, \beta)} L := 0",
    cost="Gradients pass through the whole model; 1.4 % of Whisper-tiny.en's weights move.",
    use="Where there is one utterance to learn from.",
    citations=("lin2022listen",),
    colour="#44AA99",
    marker="X",
)
class OnlyNorms(Tuning):
    """Weights and biases of all norms, and with `convolutions` those of a sound's features.

    Lin et al. 2022 (arXiv 2203.14222, code) move both.
    """

    convolutions: bool = True

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind == "norm" or (self.convolutions and part.kind == "encoder")
