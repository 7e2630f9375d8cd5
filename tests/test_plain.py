"""Notebooks that are downloaded: plain Markdown with their numbers, which every program shows."""

import re
from pathlib import Path

import nbformat
import pytest
from jinja2 import UndefinedError
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pybtex.database import parse_string

from forgetting.site.book import plain, staging

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
BIBLIOGRAPHY = """
@article{three, author = {Sun, Fan-Keng and Ho, Cheng-Hao and Lee, Hung-yi}, year = {2020}}
@article{two, author = {Li, Chen-An and Lee, Hung-yi}, year = {2024}}
@article{group, author = {{The authors}}, year = {2026}}
"""


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "how_to_read.md").write_text("# How to read this book\n")
    values = {"r": {"lora": {"minutes": 12.345}}}
    return plain.Reader(values, parse_string(BIBLIOGRAPHY, "bibtex"), tmp_path)


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ('It took {{ "%.1f"|format(r.lora.minutes) }} min.', "It took 12.3 min."),
        ("{cite:t}`three` say; so {cite}`two,group`.",
         "Sun et al. (2020) say; so (Li and Lee, 2024; The authors, 2026)."),
        (r"{math}`W + \frac{\alpha}{r} B A`, a {term}`LoRA <adapter>`, a {term}`token`",
         r"$W + \frac{\alpha}{r} B A$, a LoRA, a token"),
        ("{doc}`../how_to_read`, {doc}`records </records/lora>`, {doc}`../status`",
         "*How to read this book*, records, *status*"),
        ("{.of-records}\n{doc}`Records </records/lora>`", "Records"),
        ("[holds]{.verdict .holds} and `[0]{.a}`", "holds and `[0]{.a}`"),
        ("```python\n{{ kept }}\n```", "```python\n{{ kept }}\n```"),
        ("```{exercise-start} Rank\n:label: a\n```\nWrite it.\n```{exercise-end}\n```",
         "### Exercise: Rank\n\nWrite it."),
        ("````{solution-start} a\n:class: dropdown\n````\n```python\n1\n```"
         "\n````{solution-end}\n````",
         "<details>\n<summary>Solution</summary>\n\n```python\n1\n```\n\n</details>"),
        (":::{admonition} Keep this\n:class: tip\nAsk *why*.\n:::",
         "> **Keep this**\n>\n> Ask *why*."),
        ("::::{admonition} Run card\n:class: dropdown\n\n| a |\n|---|\n| 1 |\n::::",
         "<details>\n<summary>Run card</summary>\n\n| a |\n|---|\n| 1 |\n\n</details>"),
        (":::::{tab-set}\n::::{tab-item} Python\n```python\n1\n```\n::::\n:::::",
         "**Python**\n\n```python\n1\n```"),
        ('```{raw} html\n<figure><svg aria-label="A: 1;"><path/></svg><svg aria-label="A: 1;"/>'
         "<figcaption>More <b>is</b> worse.</figcaption></figure>\n```",
         "> *Figure.* More is worse. (A: 1)"),
        ("```{math}\nx^2\n```", "$$\nx^2\n$$"),
    ],
)  # fmt: skip
def test_myst_is_written_out_as_markdown(reader, myst, markdown):
    assert reader.markdown(myst) == markdown


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{doc}`../how_to_read`", "[How to read this book]({}/how_to_read.html)"),
        ("{doc}`records </records/lora>`", "[records]({}/records/lora.html)"),
        ("{doc}`words <03_own_words>`", "[words]({}/notebooks/03_own_words.html)"),
        ("{download}`data (CSV) </data/a.csv>`", "data (CSV)"),
    ],
)
def test_links_lead_to_the_site_where_its_address_is_known(reader, myst, markdown):
    site = "https://book.example.org"
    linked = plain.Reader(reader.values, reader.bibliography, reader.source, f"{site}/")
    assert linked.markdown(myst) == markdown.format(site)
    assert "](" not in reader.markdown(myst)  # it is not: words alone


def test_a_number_that_no_record_holds_is_an_error(reader):
    with pytest.raises(UndefinedError):
        reader.markdown("{{ r.lora.gone.far }}")


def test_outputs_that_are_markdown_are_read_too(reader):
    output = new_output("display_data", data={"text/markdown": "{cite:t}`two`"})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output])])
    fetch, cell = reader.notebook(notebook).cells
    assert fetch.source == plain.fetching()
    assert cell.outputs[0].data["text/markdown"] == "Li and Lee (2024)"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Staged notebooks of all chapters, their run cards with them, as the book is built from."""
    source = tmp_path_factory.mktemp("source")
    (source / "notebooks").mkdir()
    (source / "references.bib").write_bytes((REPOSITORY / "book" / "references.bib").read_bytes())
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = staging.with_generated_cells(notebook.cells, path, linked=True)
        (source / "notebooks" / path.name).write_bytes(staging.serialise(notebook))
    return source


def test_every_notebook_that_is_downloaded_is_plain(source, tmp_path):
    plain.write(tmp_path, source)
    for path in NOTEBOOKS:
        target = tmp_path / "_sources" / "notebooks" / path.name
        notebook = nbformat.read(target, as_version=4)
        nbformat.validate(notebook)
        prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        text = "\n\n".join(prose)
        for myst in (r"\{\{", r"\{[a-z:]+\}`", r"(?:`{3,}|:{3,})\{", "^:[a-z]+: ", r"\{\.", ":::"):
            assert not re.search(myst, text, re.MULTILINE), (path.name, myst)
        exercises = len(re.findall("^### Exercise: ", text, re.MULTILINE))
        assert exercises == text.count("<summary>Solution</summary>") >= 3, path.name
        assert text.count("<details>") == text.count("</details>")
        before = nbformat.read(path, as_version=4)
        code = [cell.source for cell in before.cells if cell.cell_type == "code"]
        written = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        assert written == [plain.fetching(), *code]


def test_a_book_without_notebooks_has_nothing_to_write(tmp_path):
    plain.write(tmp_path / "pages", tmp_path)
    assert not (tmp_path / "pages").exists()
