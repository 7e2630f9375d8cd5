"""The connector alone moves."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Training the connector alone",
    idea="Between an encoder of sound and a text model stands a small network; it moves, and both "
    "others stay. What is asked in text is answered as before.",
    equation=r"\nabla_{\theta \setminus \phi} L := 0",
    cost="Gradients pass through the text model, whose weights need no optimiser: some "
    "millions of weights move where 135 million are passed.",
    use="To give a model another sense and keep what it was.",
    citations=("lu2024desta2",),
    colour="#332288",
    marker="X",
)
class OnlyConnector(Tuning):
    """The connector of a graft moves; encoder and text model stay."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.kind == "connector"
