"""What models said before and after, as a conversation: a question, and answers side by side."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from IPython.display import HTML

from forgetting.views.markup import shown


class Exchange(NamedTuple):
    """What was asked, and who answered what, in the order in which it is shown."""

    asked: str
    answers: Mapping[str, str]


def conversation(exchanges: Sequence[Exchange]) -> HTML:
    """Questions on the right, answers below them: the first stays, tabs choose which is beside it.

    The tabs need no script; without CSS all answers follow each other. Long ones are cut, and the
    rest unfolds.
    """
    lines = [
        Exchange(one_line(asked), {title: one_line(words) for title, words in answers.items()})
        for asked, answers in exchanges
    ]
    titles = list(dict.fromkeys(title for exchange in lines for title in exchange.answers))
    name = f"said-{sha256(repr(lines).encode()).hexdigest()[:8]}"  # two on a page must differ
    return shown(
        "conversation.html.jinja",
        name=name,
        before="".join(titles[:1]),
        tabs=titles[1:],
        exchanges=lines,
    )


def one_line(text: str) -> str:
    """A text without line breaks and without the marks of broken characters."""
    return " ".join(text.replace("\ufffd", "").split())
