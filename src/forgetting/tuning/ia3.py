"""(IA)³: multipliers of keys, values and inner activations (Liu et al. 2022, arXiv 2205.05638)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgetting.method import method
from forgetting.tuning.base import Adapter

if TYPE_CHECKING:
    from peft import PeftConfig


@method(
    title="(IA)³",
    idea="Nothing but multipliers is trained: one number for each channel of the keys, the values "
    "and the MLP's inner activations.",
    equation=r"k' = l_k \odot k, \qquad v' = l_v \odot v, \qquad h' = l_h \odot h",
    cost="A few ten thousand weights; it wants a much higher learning rate than full training.",
    use="When very many tunings are to be kept, and little is to be learned.",
    citations=("liu2022fewshot",),
    colour="#7A7A00",
    marker="h",
)
class IA3(Adapter):
    """Learned scalings of keys, values and the MLP's inner activations (Liu et al. 2022).

    Defaults are those of Li & Lee's code: k_proj, v_proj and down_proj, the last as feed-forward.
    """

    modules: tuple[str, ...] = ("k_proj", "v_proj", "down_proj")
    feedforward: tuple[str, ...] = ("down_proj",)

    @property
    def adapter(self) -> PeftConfig:
        from peft import IA3Config

        return IA3Config(
            target_modules=list(self.modules),
            feedforward_modules=list(self.feedforward),
            task_type="CAUSAL_LM",
        )
