"""What Colab and Binder do with the book: a machine that has nothing of it yet."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.specifiers import SpecifierSet

from forgetting.site.book import plain

REPOSITORY = Path(__file__).parents[1]
CONFIG = yaml.safe_load((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
PIP = "import json, sys\nprint(json.dumps(['pip', *sys.argv[1:]]))\n"


def test_a_clean_machine_has_the_package_after_the_first_cell(tmp_path):
    """A Python without site-packages, a clone from this machine, and a pip that only says what."""
    (tmp_path / "stub" / "pip").mkdir(parents=True)
    (tmp_path / "stub" / "pip" / "__init__.py").touch()
    (tmp_path / "stub" / "pip" / "__main__.py").write_text(PIP)
    source, machine = tmp_path / "source", tmp_path / "machine"
    machine.mkdir()
    (source / "src").mkdir(parents=True)
    (source / "src" / "forgetting").symlink_to(REPOSITORY / "src" / "forgetting")
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)

    cell = plain.fetching()
    assert CONFIG["repository"]["url"] in cell
    here = cell.replace(CONFIG["repository"]["url"], source.as_uri())
    after = "import forgetting\nprint(forgetting.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{here}\n{here}\n{after}"],  # a second time does nothing
        cwd=machine,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "stub")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    installed, found = done.stdout.splitlines()
    packages = ["--requirement", "book/requirements.lock", "--editable", "book"]
    assert json.loads(installed) == ["pip", "install", "--quiet", *packages]
    assert Path(machine, found) == machine / "book" / "src" / "forgetting" / "__init__.py"


def test_the_launch_button_opens_what_binder_has_written_out():
    """Colab opens nothing but files of a repository, which are MyST: it has no button."""
    lines = (REPOSITORY / "binder" / "postBuild").read_text().splitlines()
    (command,) = [line for line in lines if "python -m" in line]
    module, folder = command.partition("python -m ")[2].split()
    assert module == plain.__name__ and folder == CONFIG["repository"]["path_to_book"]
    assert "binderhub_url" in CONFIG["launch_buttons"]
    assert "colab_url" not in CONFIG["launch_buttons"]
    assert os.access(REPOSITORY / "binder" / "postBuild", os.X_OK)


def test_binder_writes_plain_notebooks_of_the_book_without_running_them(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "references.bib").write_text("")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: a\nchapters:\n- file: notebooks/01_b\n"
    )
    cells = [new_markdown_cell("# B\n\nSee {doc}`../how_to_read`."), new_code_cell("1 / 0")]
    for name in ("01_b", "02_not_in_the_book"):
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr(plain.sphinx, "set_substitutions", lambda app, config: None)
    plain.write_unexecuted(tmp_path, tmp_path / "build" / "plain")
    (written,) = (tmp_path / "build" / "plain" / "notebooks").iterdir()
    assert written.name == "01_b.ipynb"
    title, text, fetch, code = nbformat.read(written, as_version=4).cells
    assert (title.source, text.source) == ("# B", "See *how to read*.")
    assert (fetch.source, code.source, code.outputs) == (plain.fetching(), "1 / 0", [])


def test_the_address_of_the_repository_stands_in_the_configuration_alone():
    """Who publishes the book elsewhere changes `_config.yml`, and GitHub's CITATION.cff with it."""
    home = CONFIG["repository"]["url"]
    assert plain.fetching().count(home) == 1
    for path in (*NOTEBOOKS, REPOSITORY / "data" / "skeleton" / "chapter.ipynb"):
        assert home not in path.read_text(encoding="utf-8"), path.name
    for path in (REPOSITORY / "book").glob("*.md"):
        assert home not in path.read_text(encoding="utf-8"), path.name
    cite = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"repository-code: \W*(https:[\w/.-]+)", cite) == [home]


@pytest.mark.parametrize("folder", ["", "binder"])
def test_conda_and_binder_find_all_that_their_environment_names(folder):
    here = REPOSITORY / folder
    environment = yaml.safe_load((here / "environment.yml").read_text(encoding="utf-8"))
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python=")]
    assert python.partition("=")[2] + ".0" in SpecifierSet(PROJECT["requires-python"])
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    files = [line.partition(" ")[2] for line in pip]
    up = "../" if folder else ""
    assert files == [f"{up}requirements.lock", ".." if folder else "."]
    assert all((here / file).exists() for file in files)


def test_binder_has_a_small_torch_and_trains_nothing():
    """pip's torch has GPU libraries; conda's has none, and pip leaves it where versions agree."""
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    version = re.search(r"^torch==(.*)$", lock, re.MULTILINE)[1]
    environment = yaml.safe_load((REPOSITORY / "binder/environment.yml").read_text("utf-8"))
    assert f"pytorch-cpu={version}" in environment["dependencies"]
    start = REPOSITORY / "binder" / "start"
    assert os.access(start, os.X_OK)
    say = "import os; print(os.environ['FORGETTING_RENDER'], os.environ['FORGETTING_ROOT'])"
    done = subprocess.run([start, sys.executable, "-c", say], cwd=REPOSITORY, capture_output=True)
    assert done.stdout.decode().split() == ["1", str(REPOSITORY)]
