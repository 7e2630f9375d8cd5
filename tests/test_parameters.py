"""What a chapter's `parameters` cell may say, and what a reader may ask for."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from forgetting.experiments.parameters import (
    BadCell,
    BadParameter,
    Parameter,
    chapters,
    check,
    parameters_of,
    title_of,
    typed,
)

CELL = """\
tier: str = "laptop"  # which budget to spend [smoke|classroom|laptop|full|paper]
model: str = ""  # a packaged model, a hub id or a local folder; empty for the tier's own

# what is compared
methods: list[str] = []  # rows of the table; empty for all [full|freeze first third|LoRA ×10]
learning_rates: list[float] = [3e-4]  # rate [per step] of every row [1e-7..1]
seeds: list[int] = [0]  # one run a seed [0..9999]
tokens: int = 5120  # training tokens a run [256..1000000000]
keep: bool = False  # whether to keep the weights
share: float = 1  # what is replayed [..2.5]
"""
METHODS = "full, freeze first third, LoRA ×10"
TIERS = "smoke, classroom, laptop, full, paper"


def notebook(folder: Path, *sources: str, tag: str = "parameters") -> Path:
    """A notebook of a heading and `sources` as code cells, of which the last is tagged."""
    cells = [new_markdown_cell("# A *toy*\n\nText."), *map(new_code_cell, sources)]
    cells[-1].metadata["tags"] = ["hide-input", tag]
    path = folder / "01_toy.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def declared(tmp_path):
    return parameters_of(notebook(tmp_path, CELL))


def test_a_cell_is_read_line_by_line(declared):
    tier, model, methods, rates, seeds, tokens, keep, share = declared
    limits = "smoke|classroom|laptop|full|paper"
    assert tier == Parameter("tier", "str", "laptop", "which budget to spend", limits)
    assert (model.default, model.choices, model.allowed) == ("", (), "")
    assert methods.choices == ("full", "freeze first third", "LoRA ×10")
    about = "rate [per step] of every row"
    assert rates == Parameter("learning_rates", "list[float]", [3e-4], about, "1e-7..1")
    assert (seeds.default, seeds.help, seeds.is_list) == ([0], "one run a seed", True)
    assert (keep.default, keep.allowed) == (False, "")
    assert [p.allowed for p in (tier, rates, tokens)] == [TIERS, "1e-7 to 1", "256 to 1000000000"]
    assert (share.default, type(share.default), share.allowed) == (1.0, float, "at most 2.5")


BAD_CELLS = {
    "tokens = 5120": "tokens: None is no type of a parameter; use str, int, float, b",
    "import os": "`import os` is no parameter of its own; write",
    "a: int": "`a: int` is no parameter of its own; write",
    "a: int = 1; b: int = 2  # two": "`a: int = 1` is no parameter of its own; write each on",
    "first: int = 2  # again": "`first: int = 2` is no parameter of its own; write each on",
    "a: int = 1": "a has no comment that says what it does; write each on one line as `name: type",
    "a: int = 1  # [0..2]": "a has no comment that says what it does; write",
    "a: int = (": "'(' was never closed",
    "a: dict = {}  # what": "a: dict is no type of a parameter; use str, int, float, bool, list[s",
    "a: int = 2 * 3  # six": "a=2 * 3 []: a default is a plain value",
    "a: int = 1.5  # what": "a=1.5: should be a valid integer",
    "a: int = [1]  # what": "a=[1]: should be a valid integer",
    "a: list[int] = 1  # what": "a=1: should be a valid list",
    "a: bool = 1  # what": "a=1: should be a valid boolean",
    "a: int = 7  # what [0..5]": "a=7: must be 0 to 5",
    "a: int = 0  # what [1..]": "a=0: must be at least 1",
    'a: str = "x"  # what [y|z]': "a='x': must be one of y, z",
    'a: str = "x"  # what [x|x]': 'a="x" [x|x]: a default is a plain value; [one|another] limits t',
    'a: str = "x"  # what [x|]': 'a="x" [x|]: a default is a plain value; [one|another] limits t',
    'a: list[str] = ["x"]  # what [x,y|x]': 'a=["x"] [x,y|x]: a default is a plain value; [one|',
    "a: bool = True  # what [0..1]": "a=True [0..1]: a default is a plain value; [one|another] l",
    "a: int = 1  # what [few]": "a=1 [few]: a default is a plain value; [one|another] limits tex",
    "a: int = 1  # what [5..0]": "a=1: must be 5 to 0",
    "a: float = 1  # what [0..nan]": "a=1 [0..nan]: a default is a plain value; [one|another] l",
}


@pytest.mark.parametrize("line", BAD_CELLS)
def test_a_badly_written_cell_is_named_with_its_line(tmp_path, caplog, line):
    path = notebook(tmp_path, "import forgetting", f"first: int = 1  # the first\n\n{line}\n")
    with pytest.raises(BadCell) as error:
        parameters_of(path)
    assert str(error.value).startswith(f"01_toy.ipynb, line 3 of its parameters: {BAD_CELLS[line]}")
    assert "\n" not in str(error.value) and not caplog.records


def test_what_is_no_chapter_is_named(tmp_path):
    with pytest.raises(BadCell, match=r"^01_toy.ipynb: has no cells tagged `parameters`; tag one"):
        parameters_of(notebook(tmp_path, "a: int = 1  # one", tag="other"))
    for content in ("not json", "[]", '{"cells": [1]}', '{"worksheets": []}'):
        (tmp_path / "01_toy.ipynb").write_text(content)
        for read in (parameters_of, title_of):
            with pytest.raises(BadCell, match=r"^01_toy.ipynb: not a notebook of format 4 \("):
                read(tmp_path / "01_toy.ipynb")


def test_chapters_in_the_order_of_the_book_and_their_titles(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for name in ("10_replay.ipynb", "02_merging_two.ipynb", "draft.ipynb", "03_notes.md"):
        (tmp_path / "notebooks" / name).touch()
    assert list(chapters(tmp_path)) == ["merging_two", "replay"]
    assert chapters(tmp_path)["replay"].name == "10_replay.ipynb"
    assert chapters(tmp_path / "nowhere") == {}
    path = notebook(tmp_path, "# a comment, no heading")
    assert title_of(path) == "A *toy*"
    path.write_text(path.read_text().replace("# A *toy*", "no heading"))
    assert title_of(path) == "01_toy"


VALUES = [
    ("seeds", "0,1,2", [0, 1, 2]),
    ("seeds", " 7 ", [7]),
    ("learning_rates", "3e-4, 1e-3", [3e-4, 1e-3]),
    ("learning_rates", "1", [1.0]),
    ("methods", "full,freeze first third", ["full", "freeze first third"]),
    ("tokens", "1000000000", 1_000_000_000),
    ("tier", " smoke", "smoke"),
    ("model", "someone/some model, or other", "someone/some model, or other"),
    ("model", "", ""),
    ("keep", "Yes", True),
    ("keep", "false", False),
]


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_texts_become_values_and_only_what_was_given_comes_back(declared, name, text, value):
    assert repr(check(declared, {name: text})) == repr({name: value})  # of the same type
    assert check(declared, {name: typed(value)}) == {name: value}


BAD_VALUES = [
    ("sseds", "0", "freezing has no such parameter; did you mean 'seeds'?"),
    ("colour", "red", "freezing has no such parameter; it has tier, model, methods, learning"),
    ("learning_rates", "5", "must be 1e-7 to 1"),
    ("learning_rates", "3e-4,1e-9", "learning_rates='1e-9': must be 1e-7 to 1"),
    ("learning_rates", "nan", "should be a finite number"),
    ("tokens", "many", "should be a valid integer"),
    ("tokens", "1.5", "should be a valid integer"),
    ("tokens", "255", "must be 256 to 1000000000"),
    ("tokens", "1,2", "should be a valid integer"),
    ("tokens", "9" * 5000, "Unable to parse input string as an integer, exceeded maximum size"),
    ("tokens", "", "empty; leave tokens out for its default, 5120"),
    ("seeds", "0,,1", "write one,another without brackets, quotes or empty elements"),
    ("seeds", "0,", "write one,another without brackets, quotes or empty elements"),
    ("seeds", "[0, 1]", "write one,another without brackets, quotes or empty elements"),
    ("methods", "", "empty; leave methods out for its default, []"),
    ("seeds", "0,1,00", "00 stands there twice; name each value once"),
    ("learning_rates", "1e-3,0.001", "0.001 stands there twice; name each value once"),
    ("seeds", "-1", "must be 0 to 9999"),
    ("tier", "lptop", f"must be one of {TIERS}; did you mean 'laptop'?"),
    ("methods", "full,LoRA x10", f"methods='LoRA x10': must be one of {METHODS}; did you mean 'L"),
    ("methods", "?", f"must be one of {METHODS}"),
    ("keep", "perhaps", "should be a valid boolean"),
]


@pytest.mark.parametrize(("name", "text", "problem"), BAD_VALUES)
def test_a_problem_is_one_line_with_field_value_and_remedy(declared, name, text, problem):
    said = problem if problem.startswith(f"{name}=") else f"{name}={text!r}: {problem}"
    with pytest.raises(BadParameter, match=f"^{re.escape(said)}[^\n]*$"):
        check(declared, {name: text}, chapter="freezing")
