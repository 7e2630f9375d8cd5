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


def test_binder_finds_all_that_its_environment_names():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python=")]
    assert python.partition("=")[2] + ".0" in SpecifierSet(PROJECT["requires-python"])
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    files = [line.partition(" ")[2] for line in pip]
    assert files == ["requirements.lock", "."]
    assert all((REPOSITORY / file).exists() for file in files)
