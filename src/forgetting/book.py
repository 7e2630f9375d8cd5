"""Build the book: prose, executed notebooks and run records become web pages. Nothing trains here.

`build(root)` writes `root/build/html`. It works in `root/build`:

    executed/<key>.ipynb   notebooks, run once per (code, records, library); new prose runs none
    source/                what Jupyter Book reads: `book/`, executed notebooks, generated pages
    _build/                Jupyter Book's own folder; copied to `html/` when every check has passed
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from forgetting import cards, explorer, run_card
from forgetting.pages import PageError, pages

EXECUTING_PACKAGES = (
    "papermill",
    "nbclient",
    "ipykernel",
    "ipython",
    "matplotlib",
    "seaborn",
    "pandas",
    "numpy",
    "scipy",
)
RENDERING_PACKAGES = (
    "jupyter-book",
    "sphinx",
    "myst-nb",
    "myst-parser",
    "sphinx-book-theme",
    "pydata-sphinx-theme",
    "sphinx-exercise",
    "sphinx-mathjax-offline",
    "sphinxcontrib-bibtex",
)


class BookError(RuntimeError):
    """The book cannot be built; the message says where and why."""


def build(root: Path, *, strict: bool = True) -> Path:
    """Build the book whose top folder is `root` and return the folder of its pages.

    With `strict`, a warning of Jupyter Book (a missing number, reference, citation or term) fails
    the build. The pages of the last good build stay in place until new ones have passed.
    """
    root = root.resolve()
    for name in ("_config.yml", "_toc.yml", "book"):
        if not (root / name).exists():
            raise BookError(f"{root}: has no {name}, so it is not the top folder of the book")
    source = stage(root)
    pages = run_jupyter_book(root, source, strict=strict)
    verify(pages, root / "_toc.yml")
    if strict:  # warnings are printed only while a page is read, so only a clean read may be reused
        (pages.parent / ".inputs").write_text(rendering_fingerprint(root))
        (pages.parent / ".skeleton").write_text(skeleton(source))
    html = root / "build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    return shutil.copytree(pages, html)


# -- staging -----------------------------------------------------------------------------------


def stage(root: Path) -> Path:
    """Lay out `build/source` and return it; a file whose bytes did not change is left untouched.

    Of the notebooks those are executed that the table of contents names: a chapter enters the book
    when its records are there.
    """
    source = root / "build" / "source"
    source.mkdir(parents=True, exist_ok=True)
    prose = (path for path in (root / "book").rglob("*") if path.is_file())
    files = {path.relative_to(root / "book"): path.read_bytes() for path in prose}
    named = {PurePosixPath(name).stem for name in _toc(root / "_toc.yml")}
    chapters = sorted(p for p in (root / "notebooks").glob("*.ipynb") if p.stem in named)
    try:
        made = pages([path.stem for path in chapters])
    except PageError as error:
        raise BookError(str(error)) from error
    for path, notebook in zip(chapters, executed(chapters, root, source), strict=True):
        chapter = path.stem.partition("_")[2]
        notebook = run_card.with_card(notebook, path)
        if Path("records", f"{chapter}.md") in made:
            notebook.cells = with_records(notebook.cells, chapter)
        files[Path("notebooks", path.name)] = serialise(notebook)
    measured = root / "benchmarks" / "README.md"
    if measured.exists():
        files[Path("benchmarks.md")] = measured.read_bytes()
    files |= {path: page.encode() for path, page in (made | cards.pages()).items()}
    if Path("explorer.md") in files:
        files[Path("explorer", "explorer.html")] = explorer.page(root).encode()
    _sync(source, files)
    return source


def _sync(folder: Path, files: Mapping[Path, bytes]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder) not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


# -- executing ---------------------------------------------------------------------------------


def executed(notebooks: Sequence[Path], root: Path, cwd: Path) -> list[NotebookNode]:
    """The notebooks with their outputs: run by papermill unless the same code ran before.

    Several run side by side, one a core, each in a process of its own.
    """
    fingerprint = execution_fingerprint(root)
    written = [nbformat.read(path, as_version=4) for path in notebooks]
    folder = root / "build" / "executed"
    cached = [folder / f"{execution_key(one, fingerprint)}.ipynb" for one in written]
    new = [pair for pair in zip(notebooks, cached, strict=True) if not pair[1].exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if len(new) == 1:
        _run(root, cwd, *new[0])
    elif new:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            list(pool.map(partial(_run, root, cwd), *zip(*new, strict=True)))
    found = [nbformat.read(path, as_version=4) for path in cached]
    return [with_prose(*pair) for pair in zip(found, written, strict=True)]


def _run(root: Path, cwd: Path, notebook: Path, cached: Path) -> None:
    fresh = normalise(execute(notebook, root, cwd), notebook.name, root)
    unfinished = cached.with_suffix(".partial")
    unfinished.write_bytes(serialise(fresh))
    unfinished.rename(cached)


def execution_fingerprint(root: Path) -> str:
    """Hash of all that a notebook's outputs depend on beside its own code."""
    library = sorted(Path(__file__).parent.rglob("*.py"))
    records = sorted(path for name in ("results", "data") for path in (root / name).rglob("*"))
    digest = hashlib.sha256(_versions(EXECUTING_PACKAGES).encode())
    for folder, paths in ((Path(__file__).parent, library), (root, records)):
        for path in paths:
            if path.is_file():
                digest.update(f"\0{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def execution_key(notebook: NotebookNode, fingerprint: str) -> str:
    """Hash of the code cells, with their tags and display options, and of `fingerprint`."""
    code = [
        [cell.source, {k: v for k, v in cell.metadata.items() if k not in VOLATILE}]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return hashlib.sha256(json.dumps([fingerprint, code], sort_keys=True).encode()).hexdigest()


def execute(path: Path, root: Path, cwd: Path) -> NotebookNode:
    """Run a notebook in a fresh kernel of this environment; the library may only read records."""
    import papermill  # imported late: it is needed only when a notebook has changed

    settings = {
        "FORGETTING_RENDER": "1",  # the library refuses to train
        "FORGETTING_ROOT": str(root),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel before one in the home folder
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "0",  # matplotlib writes no date into its files
    }
    try:
        with _environment(settings):
            return papermill.execute_notebook(
                str(path),
                None,
                kernel_name="python3",
                cwd=str(cwd),
                progress_bar=False,
                extra_arguments=["--log-level=ERROR"],  # no warning that the kernel listens on TCP
            )
    except papermill.PapermillExecutionError as error:
        last = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
        code = next((line for line in error.source.splitlines() if line.strip()), "")
        where = f"{path.name}, cell {error.cell_index + 1} ({code.strip()})"
        raise BookError(f"{where}: {last}") from error


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def with_prose(executed: NotebookNode, notebook: NotebookNode) -> NotebookNode:
    """`executed` code cells between the markdown of `notebook`, where the same code was found."""
    code = iter([cell for cell in executed.cells if cell.cell_type == "code"])
    page = executed.copy()
    page.metadata = _page_metadata(notebook.metadata)
    page.cells = [
        next(code) if cell.cell_type == "code" else cell.copy() for cell in notebook.cells
    ]
    _give_ids(page.cells)
    return page


def with_records(cells: Iterable[NotebookNode], chapter: str) -> list[NotebookNode]:
    """`cells`, and below each figure and table that was made from records a link to these."""
    found: list[NotebookNode] = []
    for cell in cells:
        found.append(cell)
        if cell.cell_type == "code" and any(map(_is_of_records, cell.outputs)):
            link = f"{{doc}}`Records and recipes </records/{chapter}>`"
            found.append(nbformat.v4.new_markdown_cell(f"{{.of-records}}\n{link}"))
    _give_ids(found)
    return found


def _is_of_records(output: NotebookNode) -> bool:
    told = output.get("metadata", {}).get("image/png", {})
    return bool(told.get("records")) or "dataframe" in output.get("data", {}).get("text/html", "")


# -- normalising -------------------------------------------------------------------------------

VOLATILE = ("papermill", "execution", "widgets", "collapsed", "vscode", "colab")
MEMORY_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
STYLER_ID = re.compile(r"\bT_[0-9a-f]{5}(?=[\"_ ]|$)")  # pandas draws a new one for each table
WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = ("image/png", "image/svg+xml", "image/jpeg")


def normalise(notebook: NotebookNode, name: str, root: Path) -> NotebookNode:
    """Strip what differs between two executions of the same code, so that their bytes are equal.

    Gone are papermill's and the kernel's timings, cell ids, stderr, widgets and the ids of pandas
    tables. An absolute path or a memory address cannot be repaired here: it is refused.
    """
    notebook.metadata = _page_metadata(notebook.metadata)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    _give_ids(notebook.cells)
    for number, cell in enumerate(notebook.cells, start=1):
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            where = f"{name}, cell {number}"
            cell.outputs = _joined_streams(out for out in cell.outputs if not _is_noise(out))
            for index, output in enumerate(cell.outputs):
                _fix_table_ids(output, f"T_{number:03d}{index:02d}")
                _refuse_local(output, where, root)
            _describe_images(cell, where)
    return notebook


def _page_metadata(metadata: NotebookNode) -> NotebookNode:
    kept = {key: value for key, value in metadata.items() if key not in VOLATILE}
    kept["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    kept["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return nbformat.from_dict(kept)


def _give_ids(cells: Iterable[NotebookNode]) -> None:
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index:03d}"


def _is_noise(output: NotebookNode) -> bool:
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def _joined_streams(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    # How printed text is cut into messages depends on timing.
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _texts(output: NotebookNode) -> list[str]:
    data = output.get("data", {}).items()
    shown = [value for kind, value in data if kind.startswith("text/") or kind == "image/svg+xml"]
    return [output.get("text", ""), *shown, *output.get("traceback", [])]


def _fix_table_ids(output: NotebookNode, identifier: str) -> None:
    data = output.get("data", {})
    if html := data.get("text/html"):
        data["text/html"] = STYLER_ID.sub(identifier, html)
        if "text/plain" in data:  # not shown, and a styled table's is its memory address
            data["text/plain"] = MEMORY_ADDRESS.sub("", data["text/plain"])


def _refuse_local(output: NotebookNode, where: str, root: Path) -> None:
    folders = {str(root), str(Path.home()), sys.prefix} - {"/", "/usr", "/usr/local"}
    either = "|".join(map(re.escape, folders))
    local = re.compile(rf"(?<![\w./-])(?:{either})(?=[/\s'\"]|$)")
    for text in _texts(output):
        if found := local.search(text):
            raise BookError(f"{where}: its output shows a path of this machine: {found[0]}")
        if found := MEMORY_ADDRESS.search(text):
            raise BookError(f"{where}: its output shows a memory address: {found[0]}")


def _describe_images(cell: NotebookNode, where: str) -> None:
    """Move the alt text that a figure was displayed with to where MyST-NB looks for it."""
    for output in cell.outputs:
        data = output.get("data", {})
        if data.get("text/plain", "").startswith("<Figure size") and not data.keys() & set(IMAGES):
            raise BookError(f"{where}: a figure was shown as text; show it with figures.show")
    texts = {
        about["alt"]
        for output in cell.outputs
        for kind, about in output.get("metadata", {}).items()
        if kind in IMAGES and about.get("alt")
    }
    if len(texts) > 1:
        raise BookError(f"{where}: shows figures with different alt texts; give each its own cell")
    for alt in texts:
        cell.metadata.setdefault("mystnb", NotebookNode()).setdefault("image", NotebookNode())
        cell.metadata.mystnb.image.setdefault("alt", alt)


def serialise(notebook: NotebookNode) -> bytes:
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


# -- rendering ---------------------------------------------------------------------------------


def run_jupyter_book(root: Path, source: Path, *, strict: bool) -> Path:
    """Turn `source` into pages and return their folder; pages read before are not read again."""
    output = root / "build" / "_build"
    inputs = output / ".inputs"
    if not inputs.is_file() or inputs.read_text() != rendering_fingerprint(root):
        shutil.rmtree(output, ignore_errors=True)
    inputs.unlink(missing_ok=True)
    # Sphinx writes only pages that it read again, and leaves old titles and links on the others.
    known = output / ".skeleton"
    if not known.is_file() or known.read_text() != skeleton(source):
        shutil.rmtree(output / "html", ignore_errors=True)
    # Links carry a file's checksum where the file stands already: they must not on a second build.
    shutil.rmtree(output / "html" / "_static", ignore_errors=True)
    known.unlink(missing_ok=True)
    shutil.rmtree(output / "jupyter_execute", ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(source), "--path-output", str(output.parent), "-n", "-q"]
    command += ["--config", str(root / "_config.yml"), "--toc", str(root / "_toc.yml")]
    command += ["-W", "--keep-going"] if strict else []
    settings = {"FORGETTING_ROOT": str(root), "PYTHONHASHSEED": "0", "NO_COLOR": "1"}
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    log = done.stdout + done.stderr
    (root / "build" / "jupyter-book.log").write_text(log)
    if done.returncode:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", log).replace(f"{source}/", "")
        lines = [line for line in plain.splitlines() if line.strip()]
        told = [line for line in lines if re.search(r"WARNING|ERROR|error:|Error", line)]
        raise BookError("Jupyter Book failed:\n  " + "\n  ".join((told or lines)[:20]))
    return output / "html"


SPEAKS_TO_OTHERS = re.compile(r'^[\s"]*(?:#|\(|:::|```)|\{')


def skeleton(source: Path) -> str:
    """Hash of the lines that may show on pages other than their own: headings, labels, roles."""
    digest = hashlib.sha256()
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(source).as_posix()}\0".encode())
        if path.suffix in (".md", ".ipynb"):
            lines = path.read_text(encoding="utf-8").splitlines()
            digest.update("\n".join(filter(SPEAKS_TO_OTHERS.search, lines)).encode())
        else:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def rendering_fingerprint(root: Path) -> str:
    """Hash of what changes how every page is read; what Sphinx itself notices is left out."""
    digest = hashlib.sha256(_versions(RENDERING_PACKAGES).encode())
    extensions = sorted((Path(__file__).parent / "_sphinx").glob("*.py"))
    bibliographies = sorted((root / "book").glob("*.bib"))
    for path in (root / "_config.yml", root / "_toc.yml", *extensions, *bibliographies):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _versions(packages: Iterable[str]) -> str:
    def installed(package: str) -> str:
        try:
            return f"{package}=={version(package)}"
        except PackageNotFoundError:
            return f"{package}: none"

    return "\n".join([sys.version.split()[0], *map(installed, packages)])


# -- verifying ---------------------------------------------------------------------------------


def verify(pages: Path, toc: Path) -> None:
    """Raise unless each entry of `toc` has its page, images have words, and no page phones out."""
    if not (pages / "index.html").is_file():
        raise BookError("index.html: was not built")
    for name in _toc(toc):
        page = pages / f"{PurePosixPath(name).with_suffix('')}.html"
        if not page.is_file():
            raise BookError(f"{toc.name}: {name} has no page {page.relative_to(pages)}")
    problems = [
        f"{path.relative_to(pages)}: {problem}"
        for path in sorted(pages.rglob("*"))
        if path.suffix in (".html", ".css") and path.parent.name != "_sources"
        for problem in page_problems(path)
    ]
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise BookError(problems[0] + more)


def _toc(path: Path) -> list[str]:
    from sphinx_external_toc.parsing import parse_toc_yaml

    return list(parse_toc_yaml(path))


OTHER_HOST = re.compile(r"\s*(?:(?:https?|wss?|ftp):)?//", re.IGNORECASE)
STYLE_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", re.IGNORECASE)
FILE_NAME = re.compile(r"\S+\.(?:png|svg|jpe?g|gif|webp)", re.IGNORECASE)
FETCHED_BY_LINK = {
    "stylesheet",
    "icon",
    "apple-touch-icon",
    "manifest",
    "modulepreload",
    "preload",
    "prefetch",
    "prerender",
    "preconnect",
    "dns-prefetch",
}
NOT_FETCHED = {"a", "area", "form", "link", "blockquote", "del", "ins", "q"}


def page_problems(path: Path) -> list[str]:
    """What is wrong with one page or stylesheet: requests to other hosts, images without words."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".css":
        return _style_problems(text)
    if "_static" in path.parts:  # templates of the theme, shown to nobody
        return []
    parser = _PageParser()
    parser.feed(text)
    parser.close()
    return parser.problems


def _style_problems(css: str) -> list[str]:
    addresses = [first or second for first, second in STYLE_URL.findall(css)]
    return [f"a style asks for {url}" for url in addresses if OTHER_HOST.match(url)]


VERBATIM = {"pre", "code", "script", "style", "textarea"}


class _PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self._in_style = False
        self._verbatim = 0  # depth of elements whose text is code

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self._verbatim += tag in VERBATIM
        relations = set(given.get("rel", "").lower().split())
        if tag not in NOT_FETCHED or (tag == "link" and relations & FETCHED_BY_LINK):
            for name in ("src", "href", "xlink:href", "data", "poster"):
                self._check(tag, given.get(name, ""))
            for candidate in given.get("srcset", "").split(","):
                self._check(tag, candidate)
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self._check(tag, given.get("content", "").partition("=")[2])
        self.problems += _style_problems(given.get("style", ""))
        if tag == "img":
            words = given.get("alt", "").strip()
            if not words or FILE_NAME.fullmatch(words):  # docutils falls back to the file's name
                self.problems.append(f"the image {given.get('src', '')} has no alt text")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        self._verbatim -= tag in VERBATIM

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.problems += _style_problems(data)
        elif not self._verbatim and "{{" in data:
            # In a table cell a bar ends the cell, and MyST says nothing of the torn substitution.
            shown = " ".join(data[data.index("{{") :].split())[:60]
            self.problems.append(f"a number was not filled in: {shown}")

    def _check(self, tag: str, address: str) -> None:
        if OTHER_HOST.match(address):
            self.problems.append(f"<{tag}> asks another host for {address.strip()}")
