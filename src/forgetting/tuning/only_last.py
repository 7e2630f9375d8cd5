"""The last blocks alone move."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Blocks


@method(
    title="Training the last blocks alone",
    see="FreezeFirst",
    colour="#0072B2",
    marker="v",
)
class OnlyLast(Blocks):
    """The last `k` blocks and what follows them move; embeddings, and a head tied to them, stay.

    Nothing before these blocks changes, so `training` reads each row through it once: unlike
    `FreezeFirst`, whose embeddings move.
    """

    def trains(self, part: Part, blocks: int) -> bool:
        if part.block is None:
            return part.kind in ("norm", "head")
        return part.block >= blocks - self.checked(blocks)
