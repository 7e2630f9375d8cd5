"""Folding the code of a chapter: a page shows what a cell does, and its code to who asks for it."""

import nbformat
from nbformat import NotebookNode

# What a cell calls, and what it does therefore; the first that fits.
CALLS = {
    "runs = experiment.run(": "run the experiment, or read what is stored of it",
    "views.runs_in_turn(": "run the experiment, or read what is stored of it",
    "verdicts(": "judge the claims",
    "tables.said": "show what was said",
    "theme.show(": "draw the figure",
    "table(": "make the table",
    "import ": "what the chapter takes from the library",
}


def folded(cell: NotebookNode) -> NotebookNode:
    """A copy of a cell whose code is folded; parameters are taken from the page.

    The line that is left is the cell's own `mystnb.code_prompt_show`, or says what is called.
    """
    if cell.cell_type != "code":
        return cell
    cell = nbformat.from_dict(cell)
    tags = cell.metadata.get("tags", [])
    hidden = "remove-cell" if "parameters" in tags else "hide-input"
    cell.metadata["tags"] = [*tags, *[hidden] * (hidden not in tags)]
    does = next((words for call, words in CALLS.items() if call in cell.source), "code")
    own = {"code_prompt_show": f"Code: {does}", "code_prompt_hide": f"Code: {does}"}
    cell.metadata["mystnb"] = own | cell.metadata.get("mystnb", {})
    return cell
