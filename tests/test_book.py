"""The book's builder: what it strips, what it refuses, and when it executes a notebook again."""

import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from forgetting.evidence import claims
from forgetting.site import book
from forgetting.site.book import BookError
from forgetting.site.sphinx import results

REPOSITORY = Path(__file__).parents[1]


# -- normalising -------------------------------------------------------------------------------


def as_executed(second: str, table: str, chunks: list[str]) -> nbformat.NotebookNode:
    """What papermill returns for one notebook, executed at `second`."""
    styled = f'<style>#{table} td {{}}</style><table id="{table}"><td id="{table}_row0_col0">1</td>'
    plain = f"<pandas.io.formats.style.Styler at 0x7f{second}b0c3011d0>"
    shown = {"text/html": styled, "text/plain": plain}
    code = new_code_cell(
        "score()",
        id=f"random-{second}",
        metadata={
            "papermill": {"start_time": f"2026-11-21T10:00:{second}", "duration": 1.5},
            "execution": {"iopub.status.busy": f"2026-11-21T10:00:{second}"},
            "tags": ["parameters"],
        },
        outputs=[
            new_output("stream", name="stderr", text="/somewhere/tqdm.py: warning\n"),
            *(new_output("stream", name="stdout", text=chunk) for chunk in chunks),
            new_output("display_data", shown),
            new_output("display_data", {book.WIDGET: {"model_id": second}, "text/plain": "0%"}),
        ],
    )
    papermill_says = {"output_path": f"/somewhere/{second}.ipynb", "duration": 3.0}
    metadata = {
        "papermill": papermill_says,
        "language_info": {"name": "python", "version": f"3.11.{second}"},
    }
    return new_notebook(
        cells=[new_markdown_cell("# A", id=f"md-{second}"), code], metadata=metadata
    )


def test_two_executions_give_the_same_bytes():
    one = as_executed("01", "T_a1b2c", ["hel", "lo\n"])
    two = as_executed("59", "T_fffff", ["hello\n"])
    first, second = (
        book.serialise(book.normalise(executed, "a.ipynb", Path("/nowhere")))
        for executed in (one, two)
    )
    assert first == second
    kept = json.loads(first)["cells"][1]
    assert kept["metadata"] == {"tags": ["parameters"]}
    assert [output["output_type"] for output in kept["outputs"]] == ["stream", "display_data"]
    assert kept["outputs"][0]["text"] == "hello\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("saved to /home/ann/book/x.json", "a path of this machine: /home/ann/book"),
        ("<Model at 0x7f12345678>", "a memory address: at 0x7f12345678"),
    ],
)
def test_an_output_that_shows_this_machine_is_refused(text, problem):
    cell = new_code_cell("show()", outputs=[new_output("stream", name="stdout", text=text)])
    notebook = new_notebook(cells=[new_markdown_cell("# A"), cell])
    with pytest.raises(BookError, match=re.escape(f"a.ipynb, cell 2: its output shows {problem}")):
        book.normalise(notebook, "a.ipynb", Path("/home/ann/book"))


def test_a_longer_path_with_the_same_beginning_is_not_ours():
    output = new_output("stream", name="stdout", text="see /home/ann/bookshop and x/home/ann/book")
    notebook = new_notebook(cells=[new_code_cell("show()", outputs=[output])])
    book.normalise(notebook, "a.ipynb", Path("/home/ann/book"))


def test_the_alt_text_of_a_figure_moves_to_where_the_page_reads_it():
    figure = new_output(
        "display_data",
        {"image/png": "iVBORw0K"},
        metadata={"image/png": {"alt": "A falling line."}},
    )
    notebook = new_notebook(cells=[new_code_cell("plot()", outputs=[figure])])
    cell = book.normalise(notebook, "a.ipynb", Path("/nowhere")).cells[0]
    assert cell.metadata["mystnb"]["image"]["alt"] == "A falling line."


def test_a_figure_that_would_be_shown_as_text_is_refused():
    output = new_output("display_data", {"text/plain": "<Figure size 836x396 with 1 Axes>"})
    notebook = new_notebook(cells=[new_code_cell("plot()", outputs=[output])])
    with pytest.raises(BookError, match=r"a\.ipynb, cell 1: a figure was shown as text"):
        book.normalise(notebook, "a.ipynb", Path("/nowhere"))


# -- executing ---------------------------------------------------------------------------------


def write_notebook(root: Path, *, prose: str = "Some prose.", code: str = "1 + 1") -> None:
    notebook = new_notebook(cells=[new_markdown_cell(prose, id="a"), new_code_cell(code, id="b")])
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / "01_freezing.ipynb")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: welcome\nchapters:\n  - file: notebooks/01_freezing\n"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("book", "results", "data"):
        (tmp_path / folder).mkdir()
    write_notebook(tmp_path)
    return tmp_path


@pytest.fixture
def executions(monkeypatch) -> list[str]:
    """Sources that papermill was asked to execute; each gets the output 'ran'."""
    sources: list[str] = []

    def fake(path, output, **options):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                sources.append(cell.source)
                cell.outputs = [new_output("stream", name="stdout", text="ran\n")]
        return notebook

    monkeypatch.setattr(papermill, "execute_notebook", fake)
    return sources


def staged(root: Path) -> nbformat.NotebookNode:
    page = book.stage(root) / "notebooks" / "01_freezing.ipynb"
    return nbformat.read(page, as_version=4)


def test_new_prose_is_shown_without_executing_again(root, executions):
    staged(root)
    write_notebook(root, prose="Other prose.")
    page = staged(root)
    assert executions == ["1 + 1"]
    assert page.cells[0].source == "Other prose."
    assert page.cells[1].outputs[0].text == "ran\n"


def test_new_code_a_new_record_and_new_data_execute_again(root, executions):
    staged(root)
    write_notebook(root, code="2 + 2")
    staged(root)
    (root / "results" / "freezing.json").write_text("{}")
    staged(root)
    (root / "data" / "paper.csv").write_text("1")
    staged(root)
    assert executions == ["1 + 1", "2 + 2", "2 + 2", "2 + 2"]


def test_what_is_gone_from_the_book_is_gone_from_the_stage(root, executions):
    (root / "book" / "old.md").write_text("# Old")
    source = book.stage(root)
    assert (source / "old.md").exists()
    (root / "book" / "old.md").unlink()
    (root / "notebooks" / "01_freezing.ipynb").unlink()
    book.stage(root)
    kept = {path.name for path in source.rglob("*") if path.parent.name != "tasks"}
    assert kept & {"old.md", "01_freezing.ipynb"} == set()
    assert {"scoreboard.md", "failures.md", "status.md"} <= kept  # what is made, not written


def test_a_chapter_that_the_contents_do_not_name_waits_for_its_records(root, executions):
    nbformat.write(new_notebook(), root / "notebooks" / "09_later.ipynb")
    pages = {path.name for path in (book.stage(root) / "notebooks").iterdir()}
    assert pages == {"01_freezing.ipynb"}


def test_an_unchanged_page_keeps_its_time_so_that_sphinx_does_not_read_it_again(root, executions):
    page = book.stage(root) / "notebooks" / "01_freezing.ipynb"
    before = page.stat().st_mtime_ns
    book.stage(root)
    assert page.stat().st_mtime_ns == before


def test_the_library_is_told_that_it_only_renders_and_real_executions_agree(root):
    code = "import os\nprint(os.environ['FORGETTING_RENDER'], len(os.environ['FORGETTING_ROOT']))"
    write_notebook(root, code=code)
    first = book.serialise(staged(root))
    for cached in (root / "build" / "executed").iterdir():
        cached.unlink()
    assert book.serialise(staged(root)) == first
    assert f"1 {len(str(root))}" in first.decode()


def test_a_failing_cell_is_named_with_the_last_line_of_its_error(root):
    write_notebook(root, code="\nraise ValueError('first line\\nrank=0: LoRA needs rank ≥ 1')")
    message = "01_freezing.ipynb, cell 2 (raise ValueError('first line\\nrank=0: LoRA needs rank"
    with pytest.raises(BookError) as failure:
        staged(root)
    assert str(failure.value).startswith(message)
    assert str(failure.value).endswith(": rank=0: LoRA needs rank ≥ 1")


# -- numbers in prose --------------------------------------------------------------------------


def test_numbers_come_from_the_records_and_are_empty_without_them(tmp_path, monkeypatch):
    found = {"freezing": {"lost": 1.5}}
    monkeypatch.setattr(claims, "book_values", lambda: found)
    assert results.values(tmp_path) == {}
    (tmp_path / "results").mkdir()
    assert results.values(tmp_path) == found


# -- verifying ---------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A good site of one page; `tmp_path/_toc.yml` is its table of contents."""
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: welcome\n")
    site = tmp_path / "html"
    site.mkdir()
    (site / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=welcome.html" />')
    (site / "welcome.html").write_text(
        '<link rel="canonical" href="https://example.org/welcome.html">'
        '<link rel="stylesheet" href="_static/custom.css"><script src="_static/a.js"></script>'
        '<a href="https://arxiv.org/abs/2401.03129">paper</a>'
        '<img src="_images/a.png" alt="A falling line.">'
        "<p>Write <code>{{ r.x }}</code> for a number.</p><pre>{{ r.y }}</pre>"
    )
    return site


def test_a_good_site_passes(site):
    book.verify(site, site.parent / "_toc.yml")


@pytest.mark.parametrize(
    ("markup", "problem"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', "<script> asks another host"),
        ('<script src="//cdn.example.org/a.js"></script>', "<script> asks another host"),
        ('<link rel="stylesheet" href="https://x.example.org/a.css">', "<link> asks another host"),
        ('<img src="http://x.example.org/a.png" alt="a line">', "<img> asks another host"),
        ('<iframe src="HTTPS://x.example.org/"></iframe>', "<iframe> asks another host"),
        ('<img srcset="a.png, https://x.example.org/b.png 2x" alt="b">', "<img> asks another host"),
        ("<style>@import 'https://x.example.org/f.css';</style>", "a style asks for https"),
        ('<p style="background: url(//x.example.org/b.png)">', "a style asks for //x"),
        ('<img src="_images/b.png">', "the image _images/b.png has no alt text"),
        ('<img src="_images/b.png" alt=" ">', "the image _images/b.png has no alt text"),
        (
            '<img src="_images/b.png" alt="_images/b.png">',
            "the image _images/b.png has no alt text",
        ),
        ('<td>{{ "%.2f"</td><td>format(r.x) }}</td>', 'a number was not filled in: {{ "%.2f"'),
    ],
)
def test_other_hosts_and_images_without_words_are_refused(site, markup, problem):
    with (site / "welcome.html").open("a") as page:
        page.write(markup)
    with pytest.raises(BookError, match=re.escape(f"welcome.html: {problem}")):
        book.verify(site, site.parent / "_toc.yml")


def test_a_stylesheet_may_not_ask_another_host(site):
    (site / "_static").mkdir()
    (site / "_static" / "a.css").write_text(
        "@font-face { src: url('https://f.example.org/f.woff') }"
    )
    with pytest.raises(BookError, match=re.escape("_static/a.css: a style asks for https://f.ex")):
        book.verify(site, site.parent / "_toc.yml")


def test_each_entry_of_the_table_of_contents_needs_its_page(site):
    toc = site.parent / "_toc.yml"
    toc.write_text("format: jb-book\nroot: welcome\nchapters:\n  - file: notebooks/01_freezing\n")
    with pytest.raises(BookError, match=r"_toc\.yml: notebooks/01_freezing has no page"):
        book.verify(site, toc)
    (site / "index.html").unlink()
    with pytest.raises(BookError, match="was not built"):
        book.verify(site, toc)


# -- the whole build ---------------------------------------------------------------------------


def test_a_missing_number_breaks_the_build_and_the_last_good_pages_stay(tmp_path, monkeypatch):
    index = {Path("tasks", "index.md"): "# Tasks\n"}  # without a hundred cards
    monkeypatch.setattr(book.staging.cards, "pages", lambda: index)
    (tmp_path / "book").mkdir()
    for name in ("book/references.bib", "book/bibliography.md", "_config.yml"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: welcome\nchapters:\n  - file: how_to_read\n"
        "  - file: scoreboard\n  - file: tasks/index\n  - file: bibliography\n"
    )
    (tmp_path / "book" / "how_to_read.md").write_text("# How to read\n")
    page = tmp_path / "book" / "welcome.md"
    page.write_text("# Welcome\n\nA formula: $x^2$.\n")
    html = book.build(tmp_path)
    assert html == tmp_path / "build" / "html"
    assert "mathjax/tex-svg-full.js" in (html / "welcome.html").read_text()
    assert (html / "_static" / "mathjax" / "tex-svg-full.js").stat().st_size > 1_000_000

    page.write_text('# Welcome\n\nIt lost {{ "%.2f"|format(r.freezing.full.lost) }}.\n')
    for _ in range(2):  # a second try must not pass because Sphinx has read the page already
        with pytest.raises(BookError, match=r"welcome\.md:3.*freezing"):
            book.build(tmp_path)
    assert "A formula" in (html / "welcome.html").read_text()

    page.write_text("# Welcome\n\nOther words.\n")
    (tmp_path / "book" / "how_to_read.md").write_text("# How to use\n")
    book.build(tmp_path)  # a title stands in the sidebar of pages that were not read again
    for name in ("welcome", "scoreboard", "bibliography"):
        assert "How to use" in (html / f"{name}.html").read_text()
    assert "Other words" in (html / "welcome.html").read_text()
    page.write_text("# Welcome\n\nYet other words.\n")
    book.build(tmp_path)
    assert "Yet other words" in (html / "welcome.html").read_text()


def test_only_what_other_pages_may_show_is_in_the_skeleton(tmp_path):
    page = tmp_path / "page.md"
    seen = []
    for text in ("# A\n\nb\n", "# A\n\nc\n", "# B\n\nc\n", "# B\n\nc {cite}`d`\n", "(l)=\n# B\n"):
        page.write_text(text)
        seen.append(book.skeleton(tmp_path))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 4


def test_the_lock_file_pins_versions_and_names_no_place():
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins == sorted(pins, key=str.lower)
    assert [
        pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin)
    ] == []
