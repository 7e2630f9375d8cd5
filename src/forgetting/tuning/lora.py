"""LoRA: a product of two thin matrices beside each frozen one (Hu et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from forgetting.method import method
from forgetting.tuning.base import Adapter

if TYPE_CHECKING:
    from peft import PeftConfig


@method(
    title="LoRA",
    idea="Every matrix stays as it is, and a product of two thin matrices beside it is trained. "
    "What changes has a low rank, whatever is learned.",
    equation=r"W' = W + \frac{\alpha}{r}\, B A, \qquad B \in \mathbb{R}^{d \times r},\; A \in "
    r"\mathbb{R}^{r \times k}",
    cost="Gradients and optimiser for r(d + k) weights a matrix; it wants about ten times the "
    "learning rate of full training. Merged into the matrix, it costs nothing afterwards.",
    use="When memory is short, or when many tunings of one model are to be kept. At too low a "
    "rate it seems to forget less because it has learned less.",
    citations=("hu2022lora", "biderman2024lora"),
    colour="#009E73",
    marker="s",
)
class LoRA(Adapter):
    """W + (α/r)·B·A with A, B trained (Hu et al. 2021, arXiv 2106.09685).

    Defaults are those of Li & Lee's code: r 8, α 32, dropout 0.05, on q_proj and v_proj. Modules
    named in `whole` train whole beside it, as a connector does (SALMONN, arXiv 2310.13289).
    """

    rank: int = Field(8, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    modules: tuple[str, ...] = ("q_proj", "v_proj")
    whole: tuple[str, ...] = Field((), repr=False)
    dora: ClassVar[bool] = False

    def recipe(self) -> dict[str, Any]:
        recipe = super().recipe()
        if not self.whole:
            del recipe["whole"]
        return recipe

    @property
    def adapter(self) -> PeftConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.modules),
            modules_to_save=list(self.whole) or None,
            use_dora=self.dora,
            task_type="CAUSAL_LM",
        )
