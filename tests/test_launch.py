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
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[1]
CONFIG = yaml.safe_load((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
PIP = "import json, sys\nprint(json.dumps(['pip', *sys.argv[1:]]))\n"


def first_cell():
    text = (REPOSITORY / "book" / "how_to_read.md").read_text(encoding="utf-8")
    return next(code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "clone" in code)


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

    cell = first_cell()
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_that_cell(path):
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source == first_cell().rstrip("\n")
    assert first.metadata.tags == ["remove-cell"]


def test_the_buttons_open_the_notebooks_where_they_are():
    assert CONFIG["repository"]["path_to_book"] == ""  # else links would lead beside notebooks/
    assert {"colab_url", "binderhub_url"} <= CONFIG["launch_buttons"].keys()


def test_every_address_of_the_repository_is_that_of_the_configuration():
    """Who publishes the book under another name changes `_config.yml`, and is told what else."""
    home = CONFIG["repository"]["url"]
    telling = [REPOSITORY / name for name in ("CITATION.cff", "book/how_to_read.md")]
    telling += [*NOTEBOOKS, REPOSITORY / "data" / "skeleton" / "chapter.ipynb"]
    for path in telling:
        text = path.read_text(encoding="utf-8")
        addresses = re.findall(
            r"(?:git.{0,40}clone.{0,40}|repository-code: \W*)(https:[\w/.-]+)", text
        )
        assert addresses == [home], (
            f"{path.name}: says {addresses}; write {home}, as _config.yml does"
        )


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
