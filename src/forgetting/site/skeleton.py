"""The files of a new chapter: copies of `data/skeleton/`, to be changed line by line.

A skeleton is a chapter that runs: it compares two arms on a text, judges one claim, and has three
exercises of other chapters in the place of its own. It enters the book when its records are stored
and `_toc.yml` names it.
"""

import json
import keyword
import re
from importlib.util import find_spec
from pathlib import Path

from forgetting.evidence import records
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter
from forgetting.home import data_dir
from forgetting.wording import did_you_mean

# What `r.NAME` and `records/NAME` already stand for in the book, and its base scores.
RESERVED = {"claims", "conversation", "definitions", "index", "records", "tasks", "times"}
NAME = re.compile(r"[a-z][a-z0-9_]*")
ENTRY = re.compile(r"^@\w+\{([^,\s]+),(.*?)^\}", re.DOTALL | re.MULTILINE)
FILES = ("__init__.py", "experiment.py", "views.py", "exercises.py", "claims.toml")


def chapter(root: Path, name: str, citation: str) -> list[Path]:
    """Write the chapter `name` about the paper `citation`, and return its files.

    Its notebook, its folder, and the head of its paper's file (`data/papers/`) where there is none.
    Raises `BadParameter` for a name that is taken or no plain word, and for a paper that
    `book/references.bib` does not have.
    """
    known = parameters.chapters(root)
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise BadParameter(f"name={name!r}: small letters, digits and _, as in self_output")
    if name in RESERVED:
        raise BadParameter(f"name={name!r}: pages and values of the book have it; choose another")
    # A package would hide the module of its name, and the index of its runs is `name.json`.
    module = find_spec(f"forgetting.chapters.{name}")
    if name in known or module or name in records.experiments():
        raise BadParameter(f"name={name!r}: there is such a chapter; choose another name")
    fields = _reference(root, citation)
    paper = fields.get("eprint", citation)
    number = 1 + max((int(path.stem.partition("_")[0]) for path in known.values()), default=0)
    words = {"NAME": name, "TITLE": name.replace("_", " ").capitalize()}
    words |= {"CITATION": citation, "PAPER": paper}
    folder = root / "src" / "forgetting" / "chapters" / name
    texts = {
        root / "notebooks" / f"{number:02d}_{name}.ipynb": _filled("chapter.ipynb", words),
        **{folder / file: _filled(file, words) for file in FILES},
    }
    head = data_dir() / "papers" / f"{paper}.toml"
    if not head.exists():
        texts[head] = _paper(fields, paper, citation)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _filled(file: str, words: dict[str, str]) -> str:
    text = (data_dir() / "skeleton" / file).read_text(encoding="utf-8")
    return re.sub(rf"\b({'|'.join(words)})\b", lambda word: words[word[1]], text)


def _reference(root: Path, citation: str) -> dict[str, str]:
    """The fields of one entry of `book/references.bib`."""
    text = (root / "book" / "references.bib").read_text(encoding="utf-8")
    entries = dict(ENTRY.findall(text))
    if citation not in entries:
        hint = did_you_mean(citation, entries, "add the paper there first")
        raise BadParameter(f"cite={citation!r}: not in book/references.bib; {hint}")
    fields = re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", entries[citation], re.MULTILINE)
    return {key: re.sub(r"[{}]", "", value) for key, value in fields}


def _paper(fields: dict[str, str], paper: str, citation: str) -> str:
    """The head of a paper's file: how to cite it."""
    surnames = [author.partition(",")[0] for author in fields["author"].split(" and ")]
    many = f"{surnames[0]} et al." if len(surnames) > 2 else " & ".join(surnames)
    short = f"{many} ({fields['year']})"
    head = {"id": paper, "citation": citation, "title": fields["title"], "short": short}
    # A JSON text is a TOML text too.
    lines = [f"{key} = {json.dumps(text, ensure_ascii=False)}\n" for key, text in head.items()]
    return f"# {short}: what it states, and the numbers it published.\n\n{''.join(lines)}"
