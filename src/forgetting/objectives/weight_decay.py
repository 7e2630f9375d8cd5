"""Weight decay: a setting of every training, whatever its objective."""

from forgetting.method import method


@method(
    title="Weight decay",
    idea="At every step each weight shrinks by a small share of itself. It is an old regulariser, "
    "and it pulls towards zero rather than towards the model before.",
    equation=r"\theta \leftarrow \theta - \eta\,\bigl(\hat g(\theta) + \lambda\, \theta\bigr)",
    cost="None.",
    use="As a baseline that any method against forgetting should beat.",
    citations=("loshchilov2019decoupled", "biderman2024lora"),
    colour="#D55E00",
    marker="^",
)
def weight_decay(rate: float) -> dict[str, float]:
    """The settings of a training in which weights decay (decoupled: Loshchilov & Hutter 2019).

        base.train(task, **weight_decay(0.1))

    0.1 is the default of every training here, and Li & Lee's. Raises `ValueError` below 0.
    """
    if rate < 0:
        raise ValueError(f"rate={rate}: weights decay by 0 or more")
    return {"weight_decay": rate}
