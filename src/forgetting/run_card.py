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

from forgetting.evidence import claims, records
from forgetting.evidence.records import TIERS, Record, Tier
from forgetting.experiments import budgets, parameters
from forgetting.experiments.parameters import Parameter

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
    """The card of one chapter as MyST."""
    chapter = notebook.stem.partition("_")[2]
    declared = parameters.parameters_of(notebook)
    lines = ["::::{admonition} Run card", ":class: dropdown", ""]
    lines += ["| parameter | default | what it does |", "|:---|:---|:---|"]
    lines += [_row(parameter) for parameter in declared]
    lines += ["", "What its stored runs took:", ""]
    lines += ["| tier | model | runs stored | all of them | one run | memory | device |"]
    lines += ["|:---|:---|---:|---:|---:|---:|:---|"]
    lines += [_budget(chapter, tier) for tier in TIERS if _is_tier(tier, declared)]
    lines += ["::::", "", *change_this(notebook, declared)]
    return "\n".join(lines) + "\n"


def _is_tier(tier: Tier, declared: Sequence[Parameter]) -> bool:
    return any(p.name == "tier" and tier in p.choices for p in declared)


def _row(parameter: Parameter) -> str:
    does = f"{parameter.help} ({parameter.allowed})" if parameter.allowed else parameter.help
    default = parameters.typed(parameter.default)
    shown = f"`{default}`" if default else "–"
    return f"| `{parameter.name}` | {shown} | {_cell(does)} |"


def _budget(chapter: str, tier: Tier) -> str:
    # The smoke tier's records are the reader's own: what a page says must not depend on them.
    stored = records.stored(chapter, tier) if tier != "smoke" else []
    known = budgets.BUDGETS.get(chapter, {}).get(tier)
    cells = [f"`{tier}`", stored[0].model["name"] if stored else known.model if known else "–"]
    cells += [str(len(stored) or "–"), *(_took(stored) if stored else ["–"] * 4)]
    return f"| {' | '.join(map(_cell, cells))} |"


def _took(stored: Sequence[Record]) -> list[str]:
    about = claims.summary(stored)
    devices = dict.fromkeys(record.environment["device"] for record in stored)
    one = about["seconds_a_run"]
    return [
        f"{about['minutes']:.0f} min",
        f"{one:.0f} s" if one < 60 else f"{one / 60:.1f} min",
        f"{about['peak_memory_gib']:.1f} GiB",
        "; ".join(devices),
    ]


# -- change this -------------------------------------------------------------------------------


def change_this(notebook: Path, declared: Sequence[Parameter]) -> list[str]:
    """A tabbed box: one run with changed parameters, said in three ways."""
    chapter = notebook.stem.partition("_")[2]
    changed = example(declared)
    options = [f"-p {name}={_quoted(parameters.typed(value))}" for name, value in changed.items()]
    command = " ".join(["forgetting run", chapter, *options])
    known = {p.name: p for p in declared}
    assigned = [f"{name}: {known[name].type} = {_python(v)}" for name, v in changed.items()]
    told = ", ".join(f'"{name}": {_python(value)}' for name, value in changed.items())
    python = [
        "import papermill",
        "",
        "papermill.execute_notebook(",
        f'    "notebooks/{notebook.name}",',
        f'    "build/{chapter}.ipynb",',
        f"    {{{told}}},",
        ")",
    ]
    return [
        "**Change this.** The same run, said in three ways; what is stored is not computed again.",
        "",
        ":::::{tab-set}",
        *_tab("Command line", "console", [command]),
        *_tab("Python", "python", python),
        *_tab("Notebook", "python", assigned, "In the cell above, write:"),
        ":::::",
    ]


def example(declared: Sequence[Parameter]) -> dict[str, Any]:
    """What the box changes: more seeds, so that an interval appears; else the last parameter."""
    for parameter in declared:
        if parameter.name == "seeds":
            return {"seeds": list(range(max(claims.FEWEST_SEEDS, len(parameter.default) + 1)))}
    return {declared[-1].name: declared[-1].default} if declared else {}


def _tab(title: str, language: str, code: Sequence[str], before: str = "") -> list[str]:
    told = [before, ""] if before else []
    return [f"::::{{tab-item}} {title}", *told, f"```{language}", *code, "```", "::::"]


def _quoted(text: str) -> str:
    return f'"{text}"' if not text or " " in text else text


def _python(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
