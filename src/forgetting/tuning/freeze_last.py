"""The last blocks stay (Li & Lee 2024, arXiv 2401.03129)."""

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Blocks


@method(
    title="Freezing the last blocks",
    see="FreezeFirst",
    colour="#56B4E9",
    marker="v",
)
class FreezeLast(Blocks):
    """The last `k` transformer blocks stay (paper: blocks 22 to 31 of 32)."""

    def trains(self, part: Part, blocks: int) -> bool:
        return part.block is None or part.block < blocks - self.checked(blocks)
