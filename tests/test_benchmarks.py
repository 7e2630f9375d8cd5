"""The benchmarks' report: what stands in the README is what was stored."""

import importlib.util

import pytest

from forgetting.evidence.records import project_root

FOLDER = project_root() / "benchmarks"


def script(name):
    """A benchmark as a module; it finds `report` beside it, as it does when it is run."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report():
    return script("report")


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


RECORDS = "records of the 3 runs whose processes have as many threads (1)"


def test_sides_are_compared_with_the_first_and_their_records_with_each_other(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    compared = script("scheduler").compared

    def run(seconds, threads, *records):
        return {"seconds": seconds, "threads": threads, "records": list(records)}

    found = {
        "1": [run(30.0, "1", "a", "b")],
        "2": [run(20.0, "2", "A", "B")],
        "local:2": [run(14.0, "1", "a", "b"), run(16.0, "1", "a", "b")],
    }
    assert compared(found) == {
        "runs of a side": 1,
        "one process, one thread, seconds": 30.0,
        "one process, two threads, seconds": 20.0,
        "`local:2`, seconds": 15.0,
        "one process, two threads, times as fast as one process, one thread": 1.5,
        "`local:2`, times as fast as one process, one thread": 2.0,
        RECORDS: "the same",
    }
    found["local:2"][1]["records"] = ["a", "c"]
    assert compared(found)[RECORDS] == "OTHERS"
