"""Views that are HTML: their templates, which bring their own style along.

So a conversation looks the same in the book, in Jupyter and on the page of a reader's own run. All
that is filled in is escaped: what a model said is never markup.
"""

import re
from typing import Any

from IPython.display import HTML
from jinja2 import Environment, PackageLoader, StrictUndefined

from forgetting.tasks.metrics import HAN
from forgetting.wording import count, number


def shown(template: str, **values: Any) -> HTML:
    """A template of `templates/`, filled in, as a notebook shows it.

    It has no empty line: one would end a block of HTML in Markdown. Raises
    `jinja2.UndefinedError` for a name that `values` lack.
    """
    page = ENVIRONMENT.get_template(template).render(values)
    return HTML("\n".join(line for line in page.splitlines() if line.strip()))


def is_chinese(text: str) -> bool:
    """Whether more than a quarter of what is not space is Chinese."""
    return len(re.findall(f"[{HAN}]", text)) * 4 > len("".join(text.split()))


ENVIRONMENT = Environment(
    loader=PackageLoader("forgetting.views"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.tests["in_chinese"] = is_chinese
ENVIRONMENT.filters |= {"counted": count, "number": number}
