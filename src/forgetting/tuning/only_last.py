"""The last blocks alone move."""

from forgetting.method import method
from forgetting.tuning.base import EMBEDDINGS, Blocks, block_of


@method(
    title="Training the last blocks alone",
    see="FreezeFirst",
    rows=("only last",),
    colour="#0072B2",
    marker="v",
)
class OnlyLast(Blocks):
    """The last `k` blocks and what follows them move; embeddings, and a head tied to them, stay.

    Nothing before these blocks changes, so `training` reads each row through it once: unlike
    `FreezeFirst`, whose embeddings move.
    """

    def trains(self, name: str, layers: int) -> bool:
        block = block_of(name)
        if block is None:
            return not EMBEDDINGS.search(name)
        return block >= layers - self.checked(layers)
