"""DoRA: LoRA on directions, and the lengths trained beside them (arXiv 2402.09353)."""

from typing import ClassVar

from forgetting.method import method
from forgetting.tuning.lora import LoRA


@method(
    title="DoRA",
    idea="Each matrix is split into the lengths of its columns and their directions. LoRA changes "
    "the directions, and the lengths are trained beside them.",
    equation=r"W' = m\; \frac{W + \frac{\alpha}{r} B A}{\lVert W + \frac{\alpha}{r} B A \rVert_c}",
    cost="As LoRA, one more number a column, and more time a step for the norms.",
    use="Where LoRA is used; some results that are credited to another method were had with it, "
    "so name it when you compare.",
    citations=("liu2024dora",),
    colour="#CC79A7",
    marker="D",
)
class DoRA(LoRA):
    """LoRA on each column's direction beside a trained magnitude (Liu et al. 2024)."""

    dora: ClassVar[bool] = True
