"""The conversation of the first chapter as a table, for the page that opens the book."""

from __future__ import annotations

from forgetting.chapters.operation.conversation import conversation
from forgetting.site.markup import heads, row
from forgetting.views.tables import clean


def before_and_after() -> str:
    """What a model answered before and after, word for word. Raises `NoConversation`."""
    rows = [
        row(_verbatim(said.asked, 600), _verbatim(said.before), _verbatim(said.after))
        for said in conversation()
    ]
    return "\n".join([heads("you ask", "before", "after"), *rows])


def _verbatim(text: str, longest: int = 260) -> str:
    """Words of a model as text of a cell: no mark of theirs is read as markup."""
    line = clean(text, longest)
    return "".join("\\" + c if c in "\\`*_{}[]()#+-.!<>$~" else c for c in line) or "(nothing)"
