"""The book's builder: what it strips, what it refuses, and when it executes a notebook again."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from forgetting.chapters import published
from forgetting.site import book, sphinx
from forgetting.site.book import BookError, executing, normalising, staging, verifying

REPOSITORY = Path(__file__).parents[1]


# -- executing ---------------------------------------------------------------------------------


def write_notebook(root: Path, *, prose: str = "Some prose.", code: str = "1 + 1") -> None:
    notebook = new_notebook(cells=[new_markdown_cell(prose), new_code_cell(code)])
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / "01_freezing.ipynb")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: welcome\nchapters:\n  - file: notebooks/01_freezing\n"
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    """A book of one notebook and four generated pages, without records: it is quickly built."""
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path / "results"))
    generated = {Path(f"{name}.md"): f"# {name}\n" for name in ("scoreboard", "papers", "cite")}
    monkeypatch.setattr(staging, "pages", lambda _: generated)
    monkeypatch.setattr(staging.cards, "pages", lambda: {Path("tasks", "index.md"): "# Tasks\n"})
    for folder in ("book", "results", "data"):
        (tmp_path / folder).mkdir()
    write_notebook(tmp_path)
    return tmp_path


@pytest.fixture
def executions(monkeypatch) -> list[str]:
    """Sources that were to be executed; each gets the output 'ran'."""
    sources: list[str] = []

    def fake(notebook, *_):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                sources.append(cell.source)
                cell.outputs = [new_output("stream", name="stdout", text="ran\n")]
        return notebook

    monkeypatch.setattr(executing, "execute", fake)
    return sources


def executed(root: Path) -> nbformat.NotebookNode:
    (page,) = executing.executed([root / "notebooks" / "01_freezing.ipynb"], root, root)
    return page


def test_new_prose_is_shown_without_executing_again(root, executions):
    executed(root)
    write_notebook(root, prose="Other prose.")
    page = executed(root)
    assert executions == ["1 + 1"]
    assert page.cells[0].source == "Other prose."
    assert page.cells[1].outputs[0].text == "ran\n"


def test_new_code_a_new_record_new_data_and_a_new_library_execute_again(
    root, executions, monkeypatch
):
    monkeypatch.setattr(executing, "LIBRARY", root / "library")
    executed(root)
    write_notebook(root, code="2 + 2")
    executed(root)
    for name in ("results/freezing.json", "data/paper.csv", "library/claims.toml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
        executed(root)
        executed(root)
    assert executions == ["1 + 1", *["2 + 2"] * 4]


def test_what_is_gone_from_the_book_is_gone_from_the_stage(root, executions):
    (root / "book" / "old.md").write_text("# Old")
    nbformat.write(new_notebook(), root / "notebooks" / "09_later.ipynb")  # not in the contents
    source = staging.stage(root)
    assert (source / "old.md").exists()
    assert [path.name for path in (source / "notebooks").iterdir()] == ["01_freezing.ipynb"]
    (root / "book" / "old.md").unlink()
    (root / "notebooks" / "01_freezing.ipynb").unlink()
    staging.stage(root)
    names = {path.name for path in source.rglob("*.*")}
    assert names == {"scoreboard.md", "papers.md", "cite.md", "index.md"}


NOISY = """\
import os, sys, time, pandas
from IPython.display import display
print(os.environ["FORGETTING_RENDER"], len(os.environ["FORGETTING_ROOT"]))
print(f"/somewhere/tqdm.py: {time.time()}", file=sys.stderr)
print("text is cut into messages anywhere", flush=True)
widget = {"application/vnd.jupyter.widget-view+json": {"model_id": str(time.time())}}
display(widget | {"text/plain": "0%"}, raw=True)
display(pandas.DataFrame([1]).style)
"""


def test_two_executions_of_the_same_code_give_the_same_bytes(root):
    write_notebook(root, code=NOISY)
    pages = []
    for _ in range(2):
        pages.append(staging.serialise(executed(root)))
        for outputs in (root / "build" / "executed").iterdir():
            outputs.unlink()
    assert pages[0] == pages[1]
    page = nbformat.reads(pages[0].decode(), as_version=4)
    assert [cell.id for cell in page.cells] == ["cell-000", "cell-001"]
    printed, table = page.cells[1].outputs
    assert printed.text == f"1 {len(str(root))}\ntext is cut into messages anywhere\n"
    assert '<table id="T_00201">' in table.data["text/html"]
    assert page.cells[1].metadata == {}
    assert page.metadata.language_info == {"name": "python", "pygments_lexer": "ipython3"}


def test_a_failing_cell_is_named_with_the_last_line_of_its_error(root):
    write_notebook(root, code="\nraise ValueError('first line\\nrank=0: LoRA needs rank ≥ 1')")
    message = "01_freezing.ipynb, cell 2 (raise ValueError('first line\\nrank=0: LoRA needs rank"
    with pytest.raises(BookError) as failure:
        executed(root)
    assert str(failure.value).startswith(message)
    assert str(failure.value).endswith(": rank=0: LoRA needs rank ≥ 1")


# -- normalising -------------------------------------------------------------------------------


def normalised(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    cells = [new_markdown_cell("# A"), new_code_cell("show()", outputs=[output])]
    root = Path("/home/ann/book")
    return normalising.normalise(new_notebook(cells=cells), "a.ipynb", root).cells[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("saved to /home/ann/book/x.json", "its output shows a path of this machine: /home/ann/b"),
        ("<Model at 0x7f12345678>", "its output shows a memory address: at 0x7f12345678"),
        ("<Figure size 836x396 with 1 Axes>", "a figure was shown as text; show it with figures."),
    ],
)
def test_an_output_that_shows_this_machine_or_no_figure_is_refused(text, problem):
    with pytest.raises(BookError, match=re.escape(f"a.ipynb, cell 2: {problem}")):
        normalised(new_output("display_data", {"text/plain": text}))


def test_a_longer_path_with_the_same_beginning_is_not_ours():
    text = "see /home/ann/bookshop and x/home/ann/book"
    assert normalised(new_output("stream", text=text)).outputs[0].text == text


def test_the_alt_text_of_a_figure_moves_to_where_the_page_reads_it():
    about = {"image/png": {"alt": "A falling line."}}
    cell = normalised(new_output("display_data", {"image/png": "iVBORw0K"}, metadata=about))
    assert cell.metadata == {"mystnb": {"image": {"alt": "A falling line."}}}


# -- numbers in prose --------------------------------------------------------------------------


def test_prose_gets_the_numbers_of_the_records(root, monkeypatch):
    monkeypatch.setattr(published, "book_values", lambda: {"freezing": {"lost": 1.5}})
    config = SimpleNamespace(myst_substitutions={"own": "words"})
    sphinx.set_substitutions(SimpleNamespace(srcdir=root), config)
    values = config.myst_substitutions.pop("r")
    assert config.myst_substitutions == {"own": "words"} and values["freezing"]["lost"] == 1.5
    # No records hold the first chapter's conversation: the page that asks for it warns.
    assert values.keys() == {"freezing", "definitions", "times"}
    assert "Some prose" in values["times"] and "notebooks/01_freezing" in values["times"]


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


PROBLEMS = [
    ('<script src="https://cdn.example.org/a.js"></script>', "<script> asks another host"),
    ('<script src="//cdn.example.org/a.js"></script>', "<script> asks another host"),
    ('<link rel="stylesheet" href="https://x.example.org/a.css">', "<link> asks another host"),
    ('<link rel="Shortcut icon" href="https://x.example.org/a.ico">', "<link> asks another host"),
    ('<img src="http://x.example.org/a.png" alt="a line">', "<img> asks another host"),
    ('<iframe src="HTTPS://x.example.org/"></iframe>', "<iframe> asks another host"),
    ('<object data="https://x.example.org/a"></object>', "<object> asks another host"),
    ('<video poster="//x.example.org/a.png"></video>', "<video> asks another host"),
    ('<svg><image xlink:href="//x.example.org/a.png"/></svg>', "<image> asks another host"),
    ('<meta http-equiv="Refresh" content="0; url=https://x.example.org">', "<meta> asks another"),
    ('<img srcset="a.png, https://x.example.org/b.png 2x" alt="b">', "<img> asks another host"),
    ("<style>@import 'https://x.example.org/f.css';</style>", "a style asks for https"),
    ('<p style="background: url(//x.example.org/b.png)">', "a style asks for //x"),
    ('<img src="_images/b.png">', "the image _images/b.png has no alt text"),
    ('<img src="_images/b.png" alt=" ">', "the image _images/b.png has no alt text"),
    ('<img src="_images/b.png" alt="_images/b.png">', "the image _images/b.png has no alt text"),
    ('<td>{{ "%.2f"</td><td>format(r.x) }}</td>', 'a number was not filled in: {{ "%.2f"'),
]


def test_a_good_site_passes(site):
    verifying.verify(site, site.parent / "_toc.yml")


@pytest.mark.parametrize(("markup", "problem"), PROBLEMS)
def test_other_hosts_and_images_without_words_are_refused(site, markup, problem):
    with (site / "welcome.html").open("a") as page:
        page.write(markup)
    with pytest.raises(BookError, match=re.escape(f"welcome.html: {problem}")):
        verifying.verify(site, site.parent / "_toc.yml")


def test_a_stylesheet_may_not_ask_another_host_and_a_page_is_not_empty(site):
    (site / "_static").mkdir()
    font = "@font-face { src: url('https://f.example.org/f.woff') }"
    for name, text, problem in (
        ("_static/a.css", font, "a style asks for https://f.ex"),
        ("welcome.html", "", "is empty"),
    ):
        (site / name).write_text(text)
        with pytest.raises(BookError, match=f"{name}: {problem}"):
            verifying.verify(site, site.parent / "_toc.yml")
        (site / name).unlink()


def test_each_entry_of_the_table_of_contents_needs_its_page(site):
    toc = site.parent / "_toc.yml"
    toc.write_text("format: jb-book\nroot: welcome\nchapters:\n  - file: notebooks/01_freezing\n")
    with pytest.raises(BookError, match=r"_toc\.yml: notebooks/01_freezing has no page"):
        verifying.verify(site, toc)
    (site / "index.html").unlink()
    with pytest.raises(BookError, match="was not built"):
        verifying.verify(site, toc)


# -- the whole build ---------------------------------------------------------------------------


def test_a_missing_number_breaks_the_build_and_the_last_good_pages_stay(root):
    (root / "book" / "_static").mkdir()
    icon = "book/_static/favicon.svg"
    for name in ("book/references.bib", "book/bibliography.md", icon, "_config.yml"):
        (root / name).write_text((REPOSITORY / name).read_text())
    contents = [
        f"  - file: {name}\n"
        for name in ("papers", "scoreboard", "cite", "tasks/index", "bibliography")
    ]
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: welcome\nchapters:\n" + "".join(contents)
    )
    (root / "build" / "html").mkdir(parents=True)
    (root / "build" / "html" / "index.html").write_text("the last good page")
    page = root / "book" / "welcome.md"
    page.write_text('# Welcome\n\nIt lost {{ "%.2f"|format(r.freezing.full.lost) }}.\n')
    with pytest.raises(BookError, match=r"welcome\.md:3.*freezing"):
        book.build(root)
    assert (root / "build" / "html" / "index.html").read_text() == "the last good page"

    def bytes_of(html):
        files = (path for path in html.rglob("*") if path.is_file())
        return {path.relative_to(html): path.read_bytes() for path in files}

    broken = bytes_of(root / "build" / "_build" / "html")
    page.write_text("# Welcome\n\nA formula: $x^2$.\n")
    html = book.build(root)
    assert html == root / "build" / "html"
    assert "mathjax/tex-svg-full.js" in (html / "welcome.html").read_text()
    assert (html / "_static" / "mathjax" / "tex-svg-full.js").stat().st_size > 1_000_000
    assert (html / "_static" / "fonts" / "serif-regular.woff").is_file()
    assert "<loc>tasks/index.html</loc>" in (html / "sitemap.xml").read_text()
    # Two builds give the same bytes, but where the page that was mended stands.
    good = bytes_of(html)
    changed = {str(path) for path in good if good[path] != broken.pop(path)}
    assert changed == {"welcome.html", "_sources/welcome.md", "searchindex.js"} and not broken


def test_the_lock_file_pins_versions_and_names_no_place():
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins == sorted(pins, key=str.lower)
    assert [
        pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin)
    ] == []
