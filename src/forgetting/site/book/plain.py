"""Notebooks as plain Markdown, for the buttons of a page: what Jupyter and Colab can show.

The book's notebooks are MyST: numbers are filled in, and roles and directives understood, only when
pages are built. Elsewhere they would stand there as code, so what is downloaded is written out, and
begins with a cell that fetches the book where it is missing. Binder, which opens files of its own
copy of the repository, writes them out when it makes its environment (`binder/postBuild`):

    python -m forgetting.site.book.plain build/plain
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
from jinja2 import Environment, StrictUndefined
from lxml import html
from nbformat import NotebookNode
from pybtex.database import BibliographyData, Entry, parse_file

from forgetting.evidence.records import project_root
from forgetting.site import sphinx
from forgetting.site.book.staging import chapters_of, dress, serialise
from forgetting.site.markup import CONFIG, REPOSITORY

FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\} *(?P<title>.*)$")
CODE = re.compile(r"^`{3,}|^~{3,}")
OPTION = re.compile(r"^:([\w-]+):")
INSERTED = re.compile(r"\{\{(.+?)\}\}")
ROLE_OR_CODE = re.compile(r"\{([\w:]+)\}`([^`]+)`|`[^`\n]+`")
TARGETED = re.compile(r"^(?P<words>.+?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
ATTRIBUTES = re.compile(
    r"(?<=[\])\0])\{[.#][^}\n]*\}|^\{[.#][^}\n]*\}$|^\([\w-]+\)=$", re.MULTILINE
)
SPAN = re.compile(r"(?<!!)\[([^\[\]]+)\]\{[.#][^}\n]*\}")
DETAILS = "<details>\n<summary>{}</summary>\n"
TITLES = {"exercise-start": "### Exercise: {}", "tab-item": "**{}**"}
FETCHING = """\
# Where the book is missing, as on Colab: fetch it, and the packages of its lock file.
import importlib.util, os, subprocess, sys

if importlib.util.find_spec("forgetting") is None:
    subprocess.run(["git", "clone", "--depth", "1", "{repository}", "book"], check=True)
    packages = ["--requirement", "book/requirements.lock", "--editable", "book"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=True)
    sys.path.insert(0, os.path.abspath("book/src"))"""
CALLED = ("note", "tip", "warning", "important", "hint", "caution", "seealso", "admonition")


def write(pages: Path, source: Path) -> None:
    """Put a plain version of each staged notebook where the button of its page finds it."""
    notebooks = {
        path: nbformat.read(path, as_version=4)
        for path in sorted((source / "notebooks").glob("*.ipynb"))
    }
    _write(notebooks, source, pages / "_sources" / "notebooks")


def write_unexecuted(root: Path, target: Path) -> None:
    """Put a plain version of each chapter of the book, without outputs, below `target`."""
    notebooks = {}
    for path in chapters_of(root):
        notebooks[path] = nbformat.read(path, as_version=4)
        dress(notebooks[path], path, root, linked=False)
    _write(notebooks, root / "book", target / "notebooks")


def _write(notebooks: Mapping[Path, NotebookNode], source: Path, target: Path) -> None:
    if not notebooks:
        return
    app: Any = SimpleNamespace(srcdir=str(source))
    config: Any = SimpleNamespace(myst_substitutions={})
    sphinx.set_substitutions(app, config)
    reader = Reader(
        config.myst_substitutions,
        parse_file(str(source / "references.bib")),
        source,
        CONFIG["html"]["baseurl"],
    )
    target.mkdir(parents=True, exist_ok=True)
    for path, notebook in notebooks.items():
        (target / path.name).write_bytes(serialise(reader.notebook(notebook)))


def fetching() -> str:
    """The code that fetches the book where it is missing, from the address in `_config.yml`."""
    return FETCHING.format(repository=REPOSITORY)


class Reader:
    """Reads MyST and writes Markdown; `values` are what prose may quote, `source` has the pages.

    Links lead to the pages of the site at `address`; where it has none, their words stand alone.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        bibliography: BibliographyData,
        source: Path,
        address: str = "",
    ):
        self.values, self.bibliography, self.source = values, bibliography, source
        self.address = address.rstrip("/")
        self.jinja = Environment(undefined=StrictUndefined)

    def notebook(self, notebook: NotebookNode) -> NotebookNode:
        """The notebook in plain Markdown, its first code the one that fetches the book.

        Raises `jinja2.UndefinedError` where no number is.
        """
        code = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        if code:
            notebook.cells.insert(code[0], nbformat.v4.new_code_cell(fetching()))
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = self.markdown(cell.source)
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "text/markdown" in data:
                    data["text/markdown"] = self.markdown(data["text/markdown"])
        return notebook

    def markdown(self, text: str) -> str:
        """A text with numbers filled in, roles written out, directives as headings and quotes."""
        blocks = "\n".join(self._blocks(text.splitlines()))
        return re.sub(r"\n{3,}", "\n\n", blocks).strip("\n")

    def _blocks(self, text: Iterable[str]) -> Iterator[str]:
        prose: list[str] = []
        lines = iter(text)
        for line in lines:
            if directive := FENCE.match(line):
                yield from self._flush(prose)
                yield from self._directive(lines, **directive.groupdict())
            elif fence := CODE.match(line):
                yield from self._flush(prose)
                yield from (line, *_until(lines, fence[0]), fence[0])
            else:
                prose.append(line)
        yield from self._flush(prose)

    def _flush(self, prose: list[str]) -> Iterator[str]:
        if prose:
            yield self._prose("\n".join(prose))
            prose.clear()

    def _directive(self, lines: Iterator[str], fence: str, name: str, title: str) -> Iterator[str]:
        if name in ("raw", "code-block", "code", "math"):
            body = [line for line in _until(lines, fence) if not OPTION.match(line)]
            if name == "raw" and any("<svg" in line for line in body):
                yield _in_words("\n".join(body))
                return
            edge = {"raw": "", "math": "$$"}.get(name, "```")
            yield from (edge + title * (edge == "```"), *body, edge)
            return
        content = list(_until(lines, fence))
        options = [line for line in content if OPTION.match(line)]
        body = list(self._blocks(line for line in content if line not in options))
        folded = name == "dropdown" or any("dropdown" in option for option in options)
        title = self._prose(title)
        if name == "solution-start":
            yield DETAILS.format("Solution")
        elif name == "solution-end":
            yield "\n</details>\n"
        elif folded:
            yield from ("", DETAILS.format(title), *body, "\n</details>\n")
        elif name in CALLED:
            heading = title if name == "admonition" else name.capitalize()
            text = "\n".join(["", f"**{heading}**", "", *body]).strip("\n")
            yield from ("", *(f"> {line}".rstrip() for line in text.splitlines()), "")
        elif name in TITLES:
            yield from ("", TITLES[name].format(title), "", *body, "")
        else:
            yield from ("", *body, "")

    def _prose(self, text: str) -> str:
        verbatim: list[str] = []  # what a role or an inline code has made is not read again

        def put_aside(match: re.Match[str]) -> str:
            role, content = match.groups()
            verbatim.append(self._role(role, content) if role else match[0])
            return f"\0{len(verbatim) - 1}\0"

        text = INSERTED.sub(lambda match: self._value(match[1]), text)
        text = ATTRIBUTES.sub("", SPAN.sub(r"\1", ROLE_OR_CODE.sub(put_aside, text)))
        return re.sub("\0(\\d+)\0", lambda match: verbatim[int(match[1])], text)

    def _value(self, expression: str) -> str:
        return self.jinja.from_string("{{" + expression + "}}").render(self.values)

    def _role(self, name: str, content: str) -> str:
        if name == "math":
            return f"${content}$"
        if name.startswith("cite"):
            return self._cited(content.split(","), in_text=name == "cite:t")
        targeted = TARGETED.match(content)
        if name == "doc" and self.address:
            page = targeted["target"] if targeted else content
            words = targeted["words"] if targeted else self._title(content)
            return f"[{words}]({self.address}/{_from_top(page)}.html)"
        if targeted:
            return targeted["words"]
        return f"*{self._title(content)}*" if name == "doc" else content

    def _cited(self, keys: list[str], *, in_text: bool) -> str:
        entries = [self.bibliography.entries[key.strip()] for key in keys]
        named = [(_authors(entry), entry.fields["year"]) for entry in entries]
        if in_text:
            return "; ".join(f"{authors} ({year})" for authors, year in named)
        return "(" + "; ".join(f"{authors}, {year}" for authors, year in named) + ")"

    def _title(self, page: str) -> str:
        """The title of a page that a link names by its address."""
        path = self.source / f"{page.lstrip('/').removeprefix('../')}.md"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        return heading[1] if heading else path.stem.replace("_", " ")


def _from_top(page: str) -> str:
    """The address of a page below the site's, as a link in a chapter gives it."""
    if page.startswith("/"):
        return page.lstrip("/")
    return page.removeprefix("../") if page.startswith("../") else f"notebooks/{page}"


def _in_words(figure: str) -> str:
    """A drawing's caption and what it shows: Jupyter lets no drawing stand in prose."""
    drawn = html.fromstring(f"<div>{figure}</div>")
    captions = [" ".join(caption.text_content().split()) for caption in drawn.iter("figcaption")]
    shown = dict.fromkeys(label.strip(" ;") for label in drawn.xpath("//svg/@aria-label"))
    return f"> *Figure.* {' '.join(captions)} ({'; '.join(shown)})"


def _until(lines: Iterator[str], fence: str) -> Iterator[str]:
    """The lines of a directive, to the line that closes it."""
    for line in lines:
        if line.strip() == fence:
            return
        yield line


def _authors(entry: Entry) -> str:
    """ "Biderman et al.", "Li and Lee": by the last names."""
    people = entry.persons.get("author") or entry.persons["editor"]
    names = [re.sub(r"[{}]", "", " ".join(p.prelast_names + p.last_names)) for p in people]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


if __name__ == "__main__":
    write_unexecuted(project_root(), Path(sys.argv[1]))
