"""What pages share: their templates, and tables, verdicts, numbers and links in these."""

import html
import re
from functools import partial
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from forgetting import wording
from forgetting.evidence.claims import WORDS, Effect, Verdict
from forgetting.home import data_dir
from forgetting.registry import DataSet

CONFIG = yaml.safe_load((data_dir().parent / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"]
FILES = f"{REPOSITORY}/blob/{CONFIG['repository']['branch']}"
NOTHING = "–"


class BookError(RuntimeError):
    """The book or one of its pages cannot be made; the message says where, why and the remedy."""


class Contents(NamedTuple):
    """The chapters that are in the book, by the stems of their notebooks."""

    notebooks: tuple[str, ...]

    def notebook(self, chapter: str) -> str | None:
        """The notebook of a chapter: "01_freezing" for "freezing"."""
        return next((n for n in self.notebooks if n.partition("_")[2] == chapter), None)

    def link(self, chapter: str) -> str:
        """The chapter's name, as a link to it where the book has it."""
        notebook = self.notebook(chapter)
        return doc(title(chapter), f"/notebooks/{notebook}") if notebook else title(chapter)


def render(template: str, **values: Any) -> str:
    """A template of `templates/` filled in; it ends with one line break.

    Raises `jinja2.UndefinedError` for a name that `values` lack.
    """
    return ENVIRONMENT.get_template(template).render(values).rstrip("\n") + "\n"


def title(chapter: str) -> str:
    """A chapter's name in words: "chat vector" for "chat_vector"."""
    return chapter.replace("_", " ")


def doc(words: object, page: str) -> str:
    """A link to a page of the book."""
    return f"{{doc}}`{words} <{page}>`"


def heads(*names: str) -> str:
    """The first two lines of a MyST table."""
    return f"| {' | '.join(names)} |\n{row(*[':---'] * len(names))}"


def row(*values: object) -> str:
    """A line of a MyST table: no value breaks it or ends its cell, and none leaves it empty."""
    lines = (str(value).replace("\n", " ").strip().replace("|", r"\|") for value in values)
    return f"| {' | '.join(line or NOTHING for line in lines)} |"


def badge(verdict: str) -> str:
    """A verdict as a word in a coloured frame."""
    return f"[{verdict}]{{.verdict .{verdict.replace(' ', '-')}}}"


def interval(verdict: Verdict) -> str:
    """ "−0.123 [−0.200, −0.050]" on one line; a dash where nothing was measured."""
    return verdict.interval or NOTHING


def change(effect: Effect | None) -> str:
    """ "+0.034 ± 0.016" on one line: the mean and half the width of its 95 % interval."""
    return wording.plus_minus(effect.mean, (effect.high - effect.low) / 2) if effect else NOTHING


def claim_link(words: str, claim: str, up: str = "") -> str:
    """A link to a claim's row on the scoreboard; `up` is "../" from a page in a folder."""
    return f'<a href="{up}scoreboard.html#claim-{html.escape(claim)}">{words}</a>'


def anchor(words: str) -> str:
    """A name as a part of an address: "lora-r-64" for "LoRA r 64"."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def at_most(share: float) -> str:
    """ "at most 1 % of the weights" for 0.01, "all weights" for 1."""
    return f"at most {100 * share:g}\u00a0% of the weights" if share < 1 else "all weights"


def cite(*keys: str) -> str:
    """A citation that is part of a sentence."""
    return f"{{cite:t}}`{','.join(keys)}`"


def megabytes(data: DataSet) -> str:
    return f"{sum(file.bytes for file in data.files) / 1e6:.1f} MB"


ENVIRONMENT = Environment(
    loader=PackageLoader("forgetting.site"),
    autoescape=select_autoescape(("html.jinja", "svg.jinja"), default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.globals |= {f.__name__: f for f in (cite, claim_link, doc, heads, megabytes, row)} | {
    "NOTHING": NOTHING,
    "FILES": FILES,
    "VERDICTS": WORDS,
    "source": "[{0.repo}](https://github.com/{0.repo}/tree/{0.commit})".format,  # of a data set
}
ENVIRONMENT.filters |= {f.__name__: f for f in (anchor, at_most, badge, change, interval)} | {
    "counted": wording.count,
    "listed": wording.listed,
    "number": wording.number,
    "plain": partial(html.escape, quote=False),
    "rate": wording.rate,
    "short": "{:g}".format,
    "thousands": wording.thousands,
    "title_of": title,
}
# The order of keys is meant, and other letters than Latin ones are read by people.
ENVIRONMENT.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
