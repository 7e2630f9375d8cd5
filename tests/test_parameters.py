"""What a chapter's `parameters` cell may say, and what a reader may ask for."""

import json
from pathlib import Path
from typing import Any

import pytest

from forgetting.experiments.parameters import (
    BadCell,
    BadParameter,
    Parameter,
    chapters,
    check,
    parameters_of,
    title_of,
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
"""


def notebook(folder: Path, *sources: str, name: str = "01_toy.ipynb", tag: int = -1) -> Path:
    """A notebook of a heading and `sources` as code cells, of which one is tagged."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": s}
        for s in sources
    ]
    cells[tag]["metadata"] = {"tags": ["hide-input", "parameters"]}
    heading = {"cell_type": "markdown", "metadata": {}, "source": ["# A *toy*\n", "\n", "Text."]}
    path = folder / name
    path.write_text(json.dumps({"cells": [heading, *cells], "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture
def declared(tmp_path):
    return parameters_of(notebook(tmp_path, CELL))


# -- reading -----------------------------------------------------------------------------------


def test_a_cell_is_read_line_by_line(declared):
    assert [p.name for p in declared] == [
        *("tier", "model", "methods", "learning_rates", "seeds", "tokens", "keep")
    ]
    tier, model, methods, rates, _, tokens, keep = declared
    budgets = ("smoke", "classroom", "laptop", "full", "paper")
    assert tier == Parameter("tier", "str", "laptop", "which budget to spend", choices=budgets)
    assert (model.default, model.choices) == ("", ())
    assert methods.choices == ("full", "freeze first third", "LoRA ×10")
    assert rates == Parameter(
        "learning_rates", "list[float]", [3e-4], "rate [per step] of every row", 1e-7, 1
    )
    assert (tokens.low, tokens.high, type(tokens.low)) == (256, 1_000_000_000, int)
    assert (keep.default, keep.low, keep.choices) == (False, None, ())
    assert [p.allowed for p in (model, rates, tokens)] == ["", "1e-7 to 1", "256 to 1000000000"]


def test_a_range_may_be_open_at_one_end(tmp_path):
    low, high = parameters_of(
        notebook(tmp_path, "a: int = 1  # a [1..]\nb: float = 0  # b [..2.5]")
    )
    assert (low.low, low.high, low.allowed) == (1, None, "at least 1")
    assert (high.low, high.high, high.allowed) == (None, 2.5, "at most 2.5")
    assert type(high.default) is float


def test_a_source_may_be_a_list_of_lines(tmp_path):
    path = notebook(tmp_path, "")
    content = json.loads(path.read_text())
    content["cells"][1]["source"] = ["a: int = 1  # one\n", "b: int = 2  # two"]
    path.write_text(json.dumps(content))
    assert [p.help for p in parameters_of(path)] == ["one", "two"]


BAD_CELLS = {
    "tokens = 5120": "'tokens = 5120' is no parameter; write it as "
    "`name: type = value  # what it does [low..high]`",
    "import os": "'import os' is no parameter; write it as "
    "`name: type = value  # what it does [low..high]`",
    "a: int": "a has no value; write it as `name: type = value  # what it does [low..high]`",
    "a: int = 1": "a has no comment that says what it does; "
    "write it as `name: type = value  # what it does [low..high]`",
    "a: int = 1  # [0..2]": "a has no comment that says what it does; "
    "write it as `name: type = value  # what it does [low..high]`",
    "a: int = 1; b: int = 2  # two": "one parameter a line, one line a parameter; "
    "write it as `name: type = value  # what it does [low..high]`",
    "a: list[int] = [\n  1]  # broken": "one parameter a line, one line a parameter; "
    "write it as `name: type = value  # what it does [low..high]`",
    "a: int = (": "'(' was never closed; "
    "write it as `name: type = value  # what it does [low..high]`",
    "a: dict = {}  # what": "a: dict is no type of a parameter; take one of str, int, float, bool, "
    "list[str], list[int], list[float], list[bool]",
    "a: int = 2 * 3  # six": "a needs a plain value, one that nobody has to compute",
    "a: int = 1.5  # what": "a=1.5: expected a whole number",
    "a: int = [1]  # what": "a=[1]: its default is no int",
    "a: list[int] = 1  # what": "a=1: its default is no list[int]",
    "a: int = 7  # what [0..5]": "a=7: at most 5",
    'a: str = "x"  # what [y|z]': "a='x': must be one of y, z",
    'a: str = "x"  # what [x|x]': "a: [x|x] has an empty or repeated choice; write [a|b]",
    'a: list[str] = ["x"]  # what [x,y|z]': "a: [x,y|z] has a comma, "
    "which separates a list's values",
    "a: bool = True  # what [0..1]": "a: a bool is true or false; remove [0..1]",
    "a: int = 1  # what [few]": "a: [few] is no range; write [lowest..highest]",
    "a: int = 1  # what [5..0]": "a: [5..0] is no range; write [lowest..highest]",
    "a: float = 1  # what [0..nan]": "a: [0..nan] is no range; write [lowest..highest]",
}


@pytest.mark.parametrize("line", BAD_CELLS)
def test_a_badly_written_cell_is_named_with_its_line(tmp_path, line):
    path = notebook(tmp_path, "import forgetting", f"first: int = 1  # the first\n\n{line}\n")
    with pytest.raises(BadCell) as error:
        parameters_of(path)
    assert str(error.value) == f"01_toy.ipynb, cell 3, line 3: {BAD_CELLS[line]}"


def test_a_name_is_declared_once(tmp_path):
    with pytest.raises(BadCell) as error:
        parameters_of(notebook(tmp_path, "a: int = 1  # one\na: int = 2  # two"))
    assert str(error.value) == (
        "01_toy.ipynb, cell 2, line 2: a is declared twice; remove one of the lines"
    )


def test_one_cell_is_tagged(tmp_path):
    path = notebook(tmp_path, "a: int = 1  # one")
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(BadCell) as error:
        parameters_of(path)
    assert str(error.value) == "01_toy.ipynb: has no cells tagged `parameters`; tag one of them"


@pytest.mark.parametrize("content", ["not json", "[]", '{"cells": [1]}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_named(tmp_path, content):
    path = tmp_path / "01_toy.ipynb"
    path.write_text(content)
    with pytest.raises(BadCell, match=r"^01_toy.ipynb: not a notebook of format 4 \(.*\)$"):
        parameters_of(path)


def test_chapters_in_the_order_of_the_book(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for name in ("10_replay.ipynb", "02_merging_two.ipynb", "draft.ipynb", "03_notes.md"):
        (tmp_path / "notebooks" / name).touch()
    assert list(chapters(tmp_path)) == ["merging_two", "replay"]
    assert chapters(tmp_path)["replay"].name == "10_replay.ipynb"
    assert chapters(tmp_path / "nowhere") == {}


def test_the_title_is_the_first_heading(tmp_path):
    path = notebook(tmp_path, "# a comment, no heading")
    assert title_of(path) == "A *toy*"
    path.write_text(path.read_text().replace("# A *toy*", "no heading"))
    assert title_of(path) == "01_toy"


# -- checking ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "0,1,2", [0, 1, 2]),
        ("seeds", " 7 ", [7]),
        ("seeds", 7, [7]),
        ("seeds", [7, "8"], [7, 8]),
        ("learning_rates", "3e-4, 1e-3", [3e-4, 1e-3]),
        ("learning_rates", "1", [1.0]),
        ("methods", "full,freeze first third", ["full", "freeze first third"]),
        ("methods", [], []),
        ("tokens", "1000000000", 1_000_000_000),
        ("tier", "smoke", "smoke"),
        ("model", "someone/some model, or other", "someone/some model, or other"),
        ("model", "", ""),
        ("keep", "Yes", True),
        ("keep", False, False),
    ],
)
def test_texts_become_values(declared, name, text, value):
    assert check(declared, {name: text}) == {name: value}
    assert type(check(declared, {name: text})[name]) is type(value)


def test_only_what_was_given_comes_back(declared):
    assert check(declared, {}) == {}
    assert list(check(declared, {"tokens": "300", "tier": "full"})) == ["tokens", "tier"]


BAD_VALUES: list[tuple[Any, ...]] = [
    ("sseds", "0", "sseds='0': freezing has no such parameter; did you mean 'seeds'?"),
    (
        *("colour", "red", "colour='red': freezing has no such parameter; it has tier, model, "),
        "methods, learning_rates, seeds, tokens, keep",
    ),
    ("learning_rates", "5", "learning_rates=5: at most 1"),
    ("learning_rates", "3e-4,1e-9", "learning_rates=1e-9: at least 1e-7"),
    ("learning_rates", "nan", "learning_rates='nan': expected a number"),
    ("learning_rates", [True], "learning_rates=True: expected a number"),
    ("tokens", "many", "tokens='many': expected a whole number"),
    ("tokens", "1.5", "tokens='1.5': expected a whole number"),
    ("tokens", 512.0, "tokens=512.0: expected a whole number"),
    ("tokens", " 255", "tokens=255: at least 256"),
    ("tokens", "1,2", "tokens='1,2': expected a whole number"),
    ("tokens", "", "tokens='': empty; leave tokens out for its default, 5120"),
    ("seeds", "0,,1", "seeds='0,,1': has an empty element; write one,another"),
    ("seeds", "0,", "seeds='0,': has an empty element; write one,another"),
    ("seeds", "", "seeds='': empty; leave seeds out for its default, [0]"),
    ("seeds", [], "seeds=[]: empty; leave seeds out for its default, [0]"),
    ("methods", "", "methods='': empty; leave methods out for its default, []"),
    ("seeds", "0,1,00", "seeds='0,1,00': 00 stands there twice; name each value once"),
    (
        *("learning_rates", "1e-3,0.001", "learning_rates='1e-3,0.001': "),
        "0.001 stands there twice; name each value once",
    ),
    ("seeds", "[0, 1]", "seeds='[0, 1]': write a list without brackets and quotes, as one,another"),
    ("seeds", "-1", "seeds=-1: at least 0"),
    (
        *("tier", "lptop", "tier='lptop': must be one of smoke, classroom, laptop, full, paper; "),
        "did you mean 'laptop'?",
    ),
    (
        *("methods", "full,LoRA x10", "methods='LoRA x10': must be one of "),
        "full, freeze first third, LoRA ×10; did you mean 'LoRA ×10'?",
    ),
    ("methods", "?", "methods='?': must be one of full, freeze first third, LoRA ×10"),
    ("model", 3, "model=3: expected text"),
    ("keep", "1", "keep='1': expected true or false"),
    ("keep", 1, "keep=1: expected true or false"),
]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [(name, value, "".join(said)) for name, value, *said in BAD_VALUES],
)
def test_a_problem_is_one_line_with_field_value_and_remedy(declared, name, value, message):
    with pytest.raises(BadParameter) as error:
        check(declared, {name: value}, chapter="freezing")
    assert str(error.value) == message
    assert "\n" not in message


def test_numbers_that_python_cannot_hold_are_refused(declared):
    for name, value in (("learning_rates", 10**400), ("tokens", "9" * 5000)):
        with pytest.raises(BadParameter, match=r"^[^\n]*: expected a (whole )?number$"):
            check(declared, {name: value})
