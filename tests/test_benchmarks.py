"""The benchmarks' report: what stands in the README is what was stored."""

import importlib.util

import pytest

from forgetting.records import project_root

FOLDER = project_root() / "benchmarks"


@pytest.fixture
def report():
    spec = importlib.util.spec_from_file_location("report", FOLDER / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_what_is_stored(report):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert report.refreshed(text) == text


def test_a_measurement_replaces_the_one_before(report, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "HERE", tmp_path)
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/evaluation.py", "--items", "2"])
    readme = tmp_path / "README.md"
    readme.write_text(f"# Speed\n\n{report.BEGIN}\nold\n{report.END}\nend\n")
    report.keep("panel", "Reading", {"ratio": 2.345678, "items": 1554})
    report.keep("panel", "Reading", {"ratio": 2.5, "items": 1554})
    text = readme.read_text()
    assert "| ratio | 2.5 |\n| items | 1,554 |" in text
    assert "`python benchmarks/evaluation.py --items 2`" in text
    assert "old" not in text and "2.35" not in text and text.endswith("end\n")
