"""The run card: a chapter's parameters, what its runs took, and three ways to change one.

It is made from the notebook's `parameters` cell and the stored records, and staged as a cell of its
own below the former, so that no page repeats by hand what a machine knows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from forgetting import chapters
from forgetting.chapters.choices import choices
from forgetting.evidence import claims, records
from forgetting.evidence.records import TIERS, Run, Tier
from forgetting.experiments import parameters
from forgetting.experiments.parameters import Parameter
from forgetting.site.markup import NOTHING, render

CELL_ID = "run-card"


def with_card(page: NotebookNode, notebook: Path) -> NotebookNode:
    """`page` with the card of the chapter `notebook` below its cell tagged `parameters`.

    A notebook without such a cell is no chapter, and stays as it is.
    """
    tags = [cell.metadata.get("tags", []) for cell in page.cells]
    if (place := next((i for i, t in enumerate(tags) if "parameters" in t), None)) is None:
        return page
    text = card(notebook)
    cell = NotebookNode(cell_type="markdown", id=CELL_ID, metadata=NotebookNode(), source=text)
    with_it = nbformat.from_dict(page)
    with_it.cells = [*page.cells[: place + 1], cell, *page.cells[place + 1 :]]
    return with_it


def card(notebook: Path) -> str:
    """The card of one chapter as MyST; its box changes the parameters of `example`."""
    chapter = notebook.stem.partition("_")[2]
    declared = parameters.parameters_of(notebook)
    tiers = [t for t in TIERS if any(p.name == "tier" and t in p.choices for p in declared)]
    return render(
        "run_card.md.jinja",
        notebook=notebook.name,
        chapter=chapter,
        parameters=declared,
        allowed={p.name: p.allowed for p in declared} | _listed(chapter),
        types={parameter.name: parameter.type for parameter in declared},
        budgets=[_budget(chapter, tier) for tier in tiers],
        changes=example(declared),
        typed=parameters.typed,
        quoted=_quoted,
        python=_python,
    )


def _listed(chapter: str) -> dict[str, str]:
    """The names that a chapter's experiment knows, by parameter."""
    return {name: ", ".join(known) for name, known in choices(chapter).items()}


def example(declared: Sequence[Parameter]) -> dict[str, Any]:
    """What the box changes: more seeds, so that an interval appears; else the last parameter."""
    for parameter in declared:
        if parameter.name == "seeds":
            return {"seeds": list(range(max(claims.FEWEST_SEEDS, len(parameter.default) + 1)))}
    return {declared[-1].name: declared[-1].default} if declared else {}


def _budget(chapter: str, tier: Tier) -> list[str]:
    # The smoke tier's records are the reader's own: what a page says must not depend on them.
    runs = records.stored(chapter, tier) if tier != "smoke" else []
    if runs:
        return [f"`{tier}`", runs[0].model["name"], str(len(runs)), *_took(runs)]
    known = chapters.experiment(chapter).budgets if chapter in chapters.names() else {}
    return [f"`{tier}`", known[tier].model if tier in known else NOTHING, *[NOTHING] * 5]


def _took(runs: Sequence[Run]) -> list[str]:
    about = claims.summary(runs)
    devices = dict.fromkeys(run.environment["device"] for run in runs)
    seconds = about["seconds_a_run"]
    return [
        f"{about['minutes']:.0f} min",
        f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min",
        f"{about['peak_memory_gib']:.1f} GiB",
        "; ".join(devices),
    ]


def _quoted(text: str) -> str:
    return f'"{text}"' if not text or " " in text else text


def _python(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, bool) else str(value)
