"""The run card: what it says comes from the notebook and the records, and its three ways agree."""

import ast
import re
import shlex
from datetime import date
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from studies import put, run

from forgetting import chapters
from forgetting.checking import BadFile
from forgetting.evidence import records
from forgetting.experiments import parameters
from forgetting.site import opening, run_card, times
from forgetting.site.book.folding import folded
from forgetting.site.book.staging import data_files, with_generated_cells, with_opening

REPOSITORY = Path(__file__).parents[1]
CHAPTERS = parameters.chapters(REPOSITORY)
CELL = """\
tier: str = "laptop"  # which budget to spend [smoke|laptop]
seeds: list[int] = [0]  # one run a seed [0..9999]
words: list[str] = []  # a | b"""


def write(root):
    cell = new_code_cell(CELL, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell]), path := root / "01_trial.ipynb")
    return path


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    return tmp_path


def table_rows(card):
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.splitlines() if line[:1] == "|"]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


def test_parameters_and_tiers_are_read_not_typed(tmp_path):
    # 3 minutes in all, 90 seconds on average, 2 GiB at most.
    model = {"name": "smollm2-135m", "digest": "d", "layers": 30, "parameters": 134}
    for seed, seconds, memory in ((0, 30.0, 512), (1, 150.0, 2048)):
        timing = {"seconds": seconds, "peak_memory_mib": memory}
        put(run(seed=seed, model=model, timing=timing, environment={"device": "a laptop"}))
    rows = table_rows(run_card.card(write(tmp_path)))
    assert rows["`tier`"] == ["`laptop`", "which budget to spend (smoke, laptop)"]
    assert rows["`seeds`"] == ["`0`", "one run a seed (0 to 9999)"]
    assert rows["`words`"] == ["–", r"a \| b"]
    assert rows["`smoke`"] == ["–"] * 6
    assert rows["`laptop`"] == ["smollm2-135m", "2", "3 min", "1.5 min", "2.0 GiB", "a laptop"]
    assert "`full`" not in rows  # the notebook's tier does not know it


def shown(kind, content, **about):
    return [new_output("display_data", {kind: content}, metadata={kind: about})]


def test_what_is_generated_stands_below_what_it_is_about(tmp_path):
    """Below a figure its words, its data and its records; the card at the end of the verdict."""
    table = "across,up\n0,1\n"
    cells = [
        new_markdown_cell("# A"),
        new_code_cell(CELL, metadata={"tags": ["parameters"]}),
        new_code_cell(
            "anatomy()",
            metadata={"mystnb": {"image": {"alt": "A model."}}},
            outputs=shown("image/png", "iVBORw0K", alt="A model."),
        ),
        new_code_cell("plane()", outputs=shown("image/png", "iVBORw0K", records=True, csv=table)),
        new_code_cell("table()", outputs=shown("text/html", '<table class="dataframe">')),
        new_markdown_cell("## Verdict"),
        new_code_cell("verdicts()", outputs=shown("text/html", '<div data-of="records">')),
        new_markdown_cell("### What was scaled down"),
        new_markdown_cell("## Exercises"),
        new_code_cell("print()", outputs=[new_output("stream", name="stdout", text="x")]),
    ]
    path = write(tmp_path)
    card, link = run_card.card(path), "{.of-records}\n{doc}`records and recipes </records/trial>`"
    ((name, text),) = data_files(cells, "trial").items()
    assert text == table and re.fullmatch(r"data/trial-[0-9a-f]{8}\.csv", name)
    data = f"{{download}}`data (CSV) </{name}>`"
    sources = [cell.source for cell in with_generated_cells(cells, path, linked=True)]
    assert sources[:4] == ["# A", CELL, "anatomy()", "{.caption}\nA model."]
    assert sources[4:8] == ["plane()", f"{link} · {data}", "table()", link]
    assert sources[8:11] == ["## Verdict", "verdicts()", link]
    assert sources[11:] == ["### What was scaled down", card, "## Exercises", "print()"]
    staged = with_generated_cells(cells, path, linked=False)
    assert link not in [cell.source for cell in staged]
    nbformat.validate(new_notebook(cells=staged))
    made = [cell.source for cell in staged if "generated" in cell.metadata]
    assert card in made and not {cell.source for cell in cells} & set(made)
    without_verdict = with_generated_cells(cells[:5], path, linked=False)
    assert without_verdict[-1].source == card
    assert card not in [c.source for c in with_generated_cells(cells[2:], path, linked=False)]


def test_below_a_figure_its_takeaway_stands_first(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "takeaways", lambda chapter, figures: ["It drifts."] * figures)
    cells = [
        new_code_cell("plane()", metadata={"mystnb": {"image": {"alt": "A plane."}}}),
        new_code_cell("table()"),
    ]
    staged = with_generated_cells(cells, tmp_path / "01_trial.ipynb", linked=False)
    assert [c.source for c in staged] == [
        "plane()",
        "{.caption}\n**It drifts.** A plane.",
        "table()",
    ]


def test_the_time_in_class_is_shown_where_somebody_measured_it(results, tmp_path):
    assert times.in_class("lora") is None
    assert "In class" not in run_card.card(CHAPTERS["lora"])
    day = date(2026, 11, 30)
    times.note("lora", times.InClass(seconds=401, device='a "small" laptop, 2 cores', day=day))
    times.note("freezing", times.InClass(seconds=59, device="the same", day=day))
    times.note("lora", times.InClass(seconds=402, device='a "small" laptop, 2 cores', day=day))
    card = run_card.card(CHAPTERS["lora"])
    assert 'took 7 minutes from\nnothing, on a "small" laptop, 2 cores (2026-11-30).' in card
    assert "took 1 minute from" in run_card.card(CHAPTERS["freezing"])
    assert "In class" not in run_card.card(CHAPTERS["lamol"])
    names = re.findall(r"^\[(\w+)\]", times.times_file().read_text(), re.MULTILINE)
    assert names == ["freezing", "lora"]
    assert not records.experiments(results)  # it is no experiment's index


def test_a_time_that_nobody_can_have_measured_is_one_line(results):
    (results / "times.toml").write_text('[lora]\nseconds = 0\ndevice = "a"\nday = 2026-11-30\n')
    with pytest.raises(BadFile, match=r"times\.toml: seconds=0: should be greater than 0"):
        times.in_class("lora")


def test_code_folds_to_what_it_does_and_parameters_leave_the_page():
    cells = [
        new_code_cell("runs = experiment.run(tier)"),
        new_code_cell("theme.show(views.plane(runs), 'A plane.')"),
        new_code_cell("tables.churn_table(runs)", metadata={"tags": ["hide-input"]}),
        new_code_cell("1 + 1", metadata={"mystnb": {"code_prompt_show": "A sum"}}),
        new_code_cell(CELL, metadata={"tags": ["parameters"]}),
    ]
    before = [cell.copy() for cell in cells]
    staged = [folded(cell) for cell in cells]
    assert [cell.metadata["mystnb"]["code_prompt_show"] for cell in staged[:4]] == [
        "Code: run the experiment, or read what is stored of it",
        "Code: draw the figure",
        "Code: make the table",
        "A sum",
    ]
    assert [cell.metadata["tags"] for cell in staged] == [
        *[["hide-input"]] * 4,
        ["parameters", "remove-cell"],
    ]
    assert cells == before  # what is executed stays as it was


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_code_of_a_chapter_folds_to_a_line_that_says_nothing(chapter):
    cells = nbformat.read(CHAPTERS[chapter], as_version=4).cells
    code = [folded(cell) for cell in cells if cell.cell_type == "code"]
    seen = [c for c in code if "remove-cell" not in c.metadata["tags"]]
    assert "Code: code" not in [c.metadata["mystnb"]["code_prompt_show"] for c in seen]


def test_a_diagram_stands_below_the_background_and_the_opening_below_the_title(tmp_path):
    cells = [new_markdown_cell("# LoRA\n\nThe claim."), new_markdown_cell("## Background\n\nW.")]
    path = tmp_path / "02_lora.ipynb"
    staged = with_generated_cells(cells, path, linked=False)
    assert '<figure class="diagram">' in staged[2].source
    opened = with_opening(staged, ["kicker", "picture"])
    first = [cell.source for cell in opened[:5]]
    assert first == ["# LoRA", "kicker", "picture", "The claim.", "## Background\n\nW."]
    longer = with_opening(staged, ["kicker " * 2000])  # no chapter is longer for what it is given
    assert times.reading(longer) == times.reading(opened)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_card_lists_the_arms_and_tasks_of_the_experiment_and_every_tiers_model(chapter):
    rows, design = table_rows(run_card.card(CHAPTERS[chapter])), chapters.experiment(chapter)
    arms = list(design.arms_of(design.base("smoke")))
    assert rows["`methods`"][1].endswith(f"({', '.join(arms)})")
    for tier, budget in design.budgets.items():
        assert rows[f"`{tier}`"] == [budget.model, *["–"] * 5]
    if design.in_turn:
        assert rows["`tasks`"][1].endswith("(sst, srl, woz, squad, sql)")
        assert rows["`all_orders`"][1].endswith(
            f"({', '.join(n for n in arms if n != 'multitask')})"
        )


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_three_ways_say_the_same_run(chapter):
    declared = parameters.parameters_of(CHAPTERS[chapter])
    ways = re.findall(r"```\w+\n(.*?)\n```", run_card.card(CHAPTERS[chapter]), re.S)
    command, python, cell = ways
    words = shlex.split(command)
    assert words[:3] == ["forgetting", "run", chapter]
    pairs = [word.split("=") for word in words[3:] if word != "-p"]
    typed = parameters.check(declared, dict(pairs), chapter)
    (call,) = (node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call))
    notebook, _, values = map(ast.literal_eval, call.args)
    assert (REPOSITORY / notebook).is_file()
    lines = ast.parse(cell).body
    written = {line.target.id: ast.literal_eval(line.value) for line in lines}
    assert typed == values == written == {"seeds": run_card.more_seeds(declared)}
    assert all(values[p.name] != p.default for p in declared if p.name in values)
