"""The run card: a chapter's parameters, what its runs took, and three ways to change one.

It is made from the notebook's `parameters` cell and the stored records, and staged as a cell of its
own after the verdict, so that no page repeats by hand what a machine knows.
"""

from collections.abc import Sequence
from pathlib import Path

from forgetting import chapters
from forgetting.chapters.choices import choices
from forgetting.evidence import claims, records
from forgetting.evidence.records import TIERS, Tier
from forgetting.experiments import parameters
from forgetting.experiments.parameters import Parameter
from forgetting.site import times
from forgetting.site.markup import NOTHING, render


def card(notebook: Path) -> str:
    """The card of one chapter as MyST; its box asks for `more_seeds`."""
    chapter = notebook.stem.partition("_")[2]
    declared = parameters.parameters_of(notebook)
    tiers = [t for t in TIERS for p in declared if p.name == "tier" and t in p.choices]
    known = {name: ", ".join(names) for name, names in choices(chapter).items()}
    return render(
        "run_card.md.jinja",
        notebook=notebook.name,
        chapter=chapter,
        parameters=declared,
        allowed={p.name: p.allowed for p in declared} | known,
        typed=parameters.typed,
        budgets=[_budget(chapter, tier) for tier in tiers],
        in_class=times.in_class(chapter),
        seeds=more_seeds(declared),
    )


def more_seeds(declared: Sequence[Parameter]) -> list[int]:
    """Seeds with which an interval appears; none where the chapter has no parameter `seeds`."""
    counts = [len(parameter.default) for parameter in declared if parameter.name == "seeds"]
    return [seed for count in counts for seed in range(max(claims.FEWEST_SEEDS, count + 1))]


def _budget(chapter: str, tier: Tier) -> list[str]:
    # The smoke tier's records are the reader's own: what a page says must not depend on them.
    runs = records.stored(chapter, tier) if tier != "smoke" else []
    if not runs:
        known = chapters.experiment(chapter).budgets if chapter in chapters.names() else {}
        return [f"`{tier}`", known[tier].model if tier in known else NOTHING, *[NOTHING] * 5]
    about = claims.summary(runs)
    seconds = about["seconds_a_run"]
    return [
        f"`{tier}`",
        about["model"],
        str(about["runs"]),
        f"{about['minutes']:.0f} min",
        f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min",
        f"{about['peak_memory_gib']:.1f} GiB",
        "; ".join(dict.fromkeys(run.environment["device"] for run in runs)),
    ]
