"""The last blocks stay (Li & Lee 2024, arXiv 2401.03129)."""

from forgetting.method import method
from forgetting.tuning.base import Blocks, block_of


@method(
    title="Freezing the last blocks",
    see="FreezeFirst",
    rows=("freeze last third",),
    colour="#56B4E9",
    marker="v",
)
class FreezeLast(Blocks):
    """The last `k` transformer blocks stay (paper: blocks 22 to 31 of 32)."""

    def trains(self, name: str, layers: int) -> bool:
        block = block_of(name)
        return block is None or block < layers - self.checked(layers)
