"""The files of a new chapter: copies of `data/skeleton/`, to be changed line by line.

A skeleton is a chapter that runs: it compares two methods on a text, judges one claim, and has
three exercises of other chapters in the place of its own. It enters the book when its records are
stored and `_toc.yml` names it.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from pathlib import Path

from forgetting.experiments import panels, parameters
from forgetting.experiments.parameters import BadParameter
from forgetting.home import data_dir

NAME = re.compile(r"[a-z][a-z0-9_]*")
ENTRY = re.compile(r"^@\w+\{([^,\s]+),(.*?)^\}", re.DOTALL | re.MULTILINE)


def chapter(root: Path, name: str, citation: str) -> list[Path]:
    """Write the chapter `name` about the paper `citation`, and return its files.

    Its notebook, what it asks and may spend (`data/chapters/`), and a claim beside those of its
    paper (`data/papers/`). Raises `BadParameter` for a name that is taken or no plain word, and for
    a paper that `book/references.bib` does not have.
    """
    known = parameters.chapters(root)
    if not NAME.fullmatch(name):
        raise BadParameter(f"name={name!r}: small letters, digits and _, as in self_output")
    if name in known or name in panels.PANELS:
        raise BadParameter(f"name={name!r}: there is such a chapter; choose another name")
    fields = _reference(root, citation)
    paper = fields.get("eprint", citation)
    number = 1 + max((int(path.stem.partition("_")[0]) for path in known.values()), default=0)
    words = {
        "NAME": name,
        "TITLE": name.replace("_", " ").capitalize(),
        "CITATION": citation,
        "PAPER": paper,
    }
    data = data_dir()
    written = {
        root / "notebooks" / f"{number:02d}_{name}.ipynb": _filled("chapter.ipynb", words),
        data / "chapters" / f"{name}.toml": _filled("chapter.toml", words),
    }
    claims = data / "papers" / f"{paper}.toml"
    head = claims.read_text(encoding="utf-8") if claims.exists() else _paper(fields, words)
    written[claims] = head.rstrip("\n") + "\n" + _filled("claims.toml", words)
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(written)


def _filled(file: str, words: dict[str, str]) -> str:
    text = (data_dir() / "skeleton" / file).read_text(encoding="utf-8")
    return re.sub(rf"\b({'|'.join(words)})\b", lambda found: words[found[1]], text)


def _reference(root: Path, citation: str) -> dict[str, str]:
    """The fields of one entry of `book/references.bib`."""
    text = (root / "book" / "references.bib").read_text(encoding="utf-8")
    entries = dict(ENTRY.findall(text))
    if citation not in entries:
        near = get_close_matches(citation, entries, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "add the paper there first"
        raise BadParameter(f"cite={citation!r}: not in book/references.bib; {hint}")
    found = re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", entries[citation], re.MULTILINE)
    return {key: re.sub(r"[{}]", "", value) for key, value in found}


def _paper(fields: dict[str, str], words: dict[str, str]) -> str:
    """The head of a paper's file: how to cite it."""
    surnames = [author.partition(",")[0] for author in fields["author"].split(" and ")]
    many = f"{surnames[0]} et al." if len(surnames) > 2 else " & ".join(surnames)
    short = f"{many} ({fields['year']})"
    return (
        f"# {short}: the published numbers, and the claims this book judges.\n\n"
        f"id = {_quoted(words['PAPER'])}\n"
        f"citation = {_quoted(words['CITATION'])}\n"
        f"title = {_quoted(fields['title'])}\n"
        f"short = {_quoted(short)}\n"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON text is a TOML text too
