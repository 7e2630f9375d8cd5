"""The conversation of the first chapter as a table, for the page that opens the book."""

from forgetting.chapters.operation.conversation import conversation
from forgetting.site.markup import heads, row
from forgetting.views.tables import clean


def before_and_after() -> str:
    """What a model answered before and after, word for word. Raises `NoConversation`."""
    answers = [
        row(_verbatim(words.asked, 600), _verbatim(words.before), _verbatim(words.after))
        for words in conversation()
    ]
    return "\n".join([heads("you ask", "before", "after"), *answers])


def _verbatim(text: str, longest: int = 260) -> str:
    line = clean(text, longest)  # no mark of a model's words is read as markup
    return "".join("\\" + c if c in "\\`*_{}[]()#+-.!<>$~" else c for c in line) or "(nothing)"
