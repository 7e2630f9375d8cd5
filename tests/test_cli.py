"""The command line: what each command answers, and how every expected error ends."""

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4
from studies import COMMIT, NOT_RUN, mirror_of, put, register, run, verdict
from typer.testing import CliRunner

import forgetting
from forgetting import chapters, cli, registry, store, tasks
from forgetting.chapters import choices, published
from forgetting.engine import scheduler
from forgetting.evidence import claims, records
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter
from forgetting.home import home
from forgetting.site import book

BASE, TUNED = "b" * 20, "a" * 20
FILES = {"docs/one.txt": b"first\n", "docs/two.txt": b"second\n"}
PARAMETERS = """\
tier: str = "laptop"  # which budget to spend [smoke|laptop]
seeds: list[int] = [0]  # one run a seed [0..9999]
methods: list[str] = []  # rows of the table; empty for all"""
TOY = """\
import os
for number, seed in enumerate(seeds, start=1):
    print(f"[{number}/{len(seeds)}] seed {seed} in {os.path.basename(os.getcwd())}", flush=True)
"""


def write_notebook(root, code, name="01_freezing", title="Freezing"):
    """A chapter: a heading, a parameters cell, and `code`."""
    cells = [
        v4.new_markdown_cell(f"# {title}\n\nText."),
        v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        v4.new_code_cell(code),
    ]
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells), path)


def stored_run(key=TUNED, **fields):
    """A stored run of `freezing`, by default at the laptop tier: a base, then a training step."""
    train = {
        "step": "train",
        "version": 1,
        "parent": BASE,
        "task": {"task": "zh", "version": 1.0, "templates": "ab12", "data": ["cd34"]},
        "tune": {"kind": "freeze_first", "layers": 10},
        "settings": {"style": "pretrain", "learning_rate": 3e-4},
        "seed": 0,
    }
    known = {
        "method": "freeze first third",
        "learning_rate": 3e-4,
        "asked": {"zh": {"log_likelihood": [-8.0, -4.0], "tokens": [4, 4]}},
        "experiment": "freezing",
        "model": {"name": "smollm2-135m", "digest": "d" * 64, "layers": 30, "parameters": 134},
        "lineage": {BASE: {"step": "foundation", "digest": "d" * 64}, key: train},
        "trainable": 1_234_567,
        "losses": [3.0, 2.5],
        "environment": {"device": "a laptop", "torch": "2.9.0"},
    }
    timing = {"date": "2026-11-21T10:00:00Z", "seconds": 90.0, "peak_memory_mib": 2048}
    known["timing"] = timing | fields.pop("timing", {})
    of_key = run(**known | {"key": key} | fields)
    put(of_key)
    return of_key


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book with one chapter and the public data set `tiny`; an empty home, no mirror."""
    root = tmp_path / "the [book]"
    (root / "data" / "tasks").mkdir(parents=True)
    register(root / "data", FILES, licence="CC0 [or none]")
    (root / "data" / "tasks" / "text").mkdir()
    (root / "data" / "tasks" / "text" / "reads_tiny.yaml").write_text(
        "task: reads_tiny\nmetadata: {version: 1.0, data: [tiny]}\n"
    )
    write_notebook(root, TOY)
    for variable, folder in (("ROOT", root), ("DATA", root / "data"), ("HOME", tmp_path / "home")):
        monkeypatch.setenv(f"FORGETTING_{variable}", str(folder))
    for variable in ("FORGETTING_RESULTS", "FORGETTING_DATA_MIRROR", "FORGETTING_RENDER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(registry, "HOST", "http://127.0.0.1:9")  # nothing listens on `discard`
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    tasks.task._config.cache_clear()
    yield root
    tasks.task._config.cache_clear()


def store_file(kind, key, content):
    store.put(kind, key, lambda folder: (folder / "file").write_bytes(content))


def call(*arguments, **options):
    return CliRunner().invoke(cli.app, arguments, **options)


def answer(*arguments, **options) -> str:
    """What a command that succeeds says on stdout."""
    result = call(*arguments, **options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def error_of(*arguments, code=1) -> str:
    """The one line on stderr of a command that fails as expected."""
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("error: ").rstrip("\n")


def rows(table: str) -> list[list[str]]:
    """The cells of a printed table's lines, header first."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip(" ─")]


# -- help --------------------------------------------------------------------------------------

COMMANDS = [
    "chapters",
    "run",
    "grade",
    "check",
    "records",
    "merge",
    "hear",
    "listen",
    "book",
    "clean",
]
COMMANDS += ["new chapter", "data list", "data fetch", "data verify"]


def test_help_and_grades_are_quick_and_load_no_torch(root):
    script = (
        "import sys, typer.testing, forgetting.cli as cli\n"
        "call = typer.testing.CliRunner().invoke\n"
        "assert 'chapters' in call(cli.app, ['--help']).stdout\n"
        "assert 'is not there' in call(cli.app, ['grade', 'freezing']).stderr\n"
        "heavy = {'torch', 'transformers', 'lm_eval', 'papermill', 'numpy'} & sys.modules.keys()\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Seconds of work, not of waiting: the clock on the wall depends on what else runs here.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_gives_an_example_and_a_duration(command):
    text = " ".join(answer(*command.split(), "--help").split())
    assert f"forgetting {command}" in text
    assert re.search(r"Takes (a |an |seconds)", text)


@pytest.mark.parametrize("arguments", [[], ["run"], ["data"], ["data", "fetch"]])
def test_without_arguments_there_is_help(arguments):
    assert "Usage:" in call(*arguments).output


# -- errors ------------------------------------------------------------------------------------


def test_every_expected_error_is_one_line(root, monkeypatch):
    from forgetting.engine import compute
    from forgetting.experiments import experiment, resources
    from forgetting.models import foundations, template

    errors = {
        registry.UnknownDataSet: 2,
        registry.UnknownFile: 1,
        registry.CorruptData: 1,
        registry.Unreachable: 1,
        foundations.UnknownFoundation: 1,
        foundations.FoundationUnavailable: 1,
        template.BadTemplate: 1,
        tasks.UnknownTask: 1,
        records.BadRecord: 1,
        resources.NotEnough: 1,
        compute.NotComputed: 1,
        book.BookError: 1,
        parameters.BadParameter: 2,
        parameters.BadCell: 1,
        experiment.BadExperiment: 1,
        chapters.UnknownChapter: 1,
        scheduler.BadScheduler: 2,
        scheduler.ClusterLost: 1,
        scheduler.WorkersLost: 1,
        PermissionError: 1,
    }
    for kind, code in errors.items():

        def fail(kind=kind):
            raise kind("name='x': broken;\n  mend it")

        monkeypatch.setattr(cli.evidence, "_chapters_with_records", fail)
        assert error_of("records", code=code) == "name='x': broken; mend it"


def test_a_bug_keeps_its_traceback(root, monkeypatch):
    def fail():
        raise ValueError("nobody expected this")

    monkeypatch.setattr(cli.evidence, "_chapters_with_records", fail)
    result = call("records")
    assert type(result.exception) is ValueError and "error: " not in result.stderr


def test_a_record_that_cannot_be_read_is_named(root):
    path = records.path_of(stored_run().key, "laptop")
    path.write_text(path.read_text().replace('"trainable": 1234567', '"trainable": 7'))
    assert error_of("chapters").startswith(f"{path.name}: sha256: the file was changed; ")
    path.unlink()
    missing = f"freezing.json: {path.name} is missing; run the chapter again"
    assert error_of("chapters") == missing


# -- chapters ----------------------------------------------------------------------------------


def test_chapters_tells_what_is_stored_and_how_long_it_took(root):
    write_notebook(root, TOY, "02_replay", title="Old [data] again")
    for number, seconds in enumerate((60.0, 180.0)):
        timing = {"date": f"2026-11-2{number}T10:00:00Z", "seconds": seconds}
        stored_run(str(number) * 20, timing=timing)
    stored_run("e" * 20, tier="smoke")
    assert rows(answer("chapters")) == [
        ["chapter", "title", "records", "minutes", "last run"],
        ["freezing", "Freezing", "1 smoke, 2 laptop", "4 (2.0 min)", "2026-11-21"],
        ["replay", "Old [data] again", "–", "–", "–"],
        ["minutes: of all laptop runs, and of one on average"],
    ]


def test_chapters_with_a_name_shows_its_parameters(root):
    told = rows(answer("chapters", "freezing"))
    assert told[:2] == [["Freezing"], ["parameter", "default", "what it does"]]
    assert told[2:4] == [["tier", "laptop", "which budget to spend"], ["one of smoke, laptop"]]
    assert told[4:6] == [["seeds", "0", "one run a seed"], ["each 0 to 9999"]]
    assert told[6] == ["methods", "–", "rows of the table; empty for all"]
    arms = " ".join(word for line in told[7:-1] for word in line)
    assert arms.startswith("each one of full, freeze first third,") and "LoRA ×10" in arms


@pytest.mark.parametrize("given", ["01_freezing", "notebooks/01_freezing.ipynb"])
def test_a_chapter_is_known_by_its_number_or_path_too(root, given):
    assert answer("chapters", given) == answer("chapters", "freezing")


def test_a_folder_without_chapters_is_named(root, monkeypatch, tmp_path):
    monkeypatch.setenv("FORGETTING_ROOT", str(tmp_path))
    said = error_of("chapters", code=2)
    assert said == f"{tmp_path}: has no notebooks/NN_name.ipynb; set FORGETTING_ROOT"


# -- run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tasks": ["sst", "wozz"]}, "tasks='wozz': lamol has no such name; did you mean 'woz'?"),
        ({"tasks": ["opera"]}, "tasks='opera': lamol has no such name; it has sst, srl, woz, "),
        ({"all_orders": ["multitask"]}, "all_orders='multitask': lamol has no such name; it has"),
        ({"tasks": ["sst", "mini_qa"], "methods": ["LAMOL", "LoRA"], "all_orders": ["GEM"]}, ""),
        ({"seeds": [0]}, ""),
    ],
)
def test_names_of_tasks_and_of_arms_in_turn_are_those_of_the_experiment(values, said):
    """Any method may be an arm, and any task may be learned in turn."""
    if not said:
        return choices.check("lamol", values)
    with pytest.raises(BadParameter, match=re.escape(said)):
        choices.check("lamol", values)


def test_run_passes_parameters_and_prints_what_the_notebook_prints(root):
    stored_run(tier="smoke")
    told = answer("run", "freezing", "--tier", "smoke", "-p", "seeds=3,4").splitlines()
    (output,) = (root / "build" / "runs").iterdir()
    assert re.fullmatch(r"freezing-smoke-[0-9a-f]{8}\.ipynb", output.name)
    assert told == [
        "tier = smoke (default: laptop)",
        "seeds = 3,4 (default: 0)",
        "1 smoke run stored already; one took 1.5 min",
        f"running {root}/notebooks/01_freezing.ipynb …",
        "[1/2] seed 3 in the [book]",
        "[2/2] seed 4 in the [book]",
        f"executed notebook: {output}",
    ]
    _, _, injected, code = json.loads(output.read_text())["cells"]
    assert injected["metadata"]["tags"] == ["injected-parameters"]
    assert 'tier = "smoke"\nseeds = [3, 4]\n' in "".join(injected["source"])
    assert "".join(code["outputs"][0]["text"]).startswith("[1/2]")


def test_the_notebook_is_told_where_to_compute(root, monkeypatch):
    told = []
    monkeypatch.setattr(
        cli.chapters, "_execute", lambda *_: told.append(os.environ["FORGETTING_SCHEDULER"])
    )
    monkeypatch.setenv("FORGETTING_SCHEDULER", "")  # given back after the test
    answer("run", "freezing", "--scheduler=tcp://10.0.0.1:8786")
    monkeypatch.setenv("FORGETTING_SCHEDULER", "local:2")
    answer("run", "freezing", "-p", "seeds=1")
    assert told == ["tcp://10.0.0.1:8786", "local:2"]


def test_the_output_is_named_by_the_settings_not_by_how_they_were_given(root):
    def name(**settings):
        given = {"tier": "laptop", "seeds": [0]} | settings
        return cli.chapters._output(root, "freezing", given).name

    assert name() == name(seeds=[0]) != name(seeds=[1])


def test_an_error_in_the_notebook_ends_in_its_one_line(root):
    write_notebook(root, "\nraise ValueError('seeds=[0]: too few;\\n  take three')")
    result = call("run", "freezing")
    (output,) = (root / "build" / "runs").iterdir()
    assert result.exit_code == 1
    assert result.stderr == "error: ValueError: seeds=[0]: too few; take three\n"
    assert result.stdout.splitlines()[-1] == (
        r"stopped in the cell `raise ValueError('seeds=[0]: too few;\n  take three')`; "
        f"the notebook so far: {output}"
    )


def test_a_kernel_that_dies_is_told(root):
    write_notebook(root, "import os\nos._exit(1)")
    assert error_of("run", "freezing") == (
        "the kernel died, most often for want of memory; finished runs are kept: "
        "give the same command again, with a smaller model if it dies again"
    )


def test_printed_lines_appear_at_once_and_ctrl_c_says_how_to_go_on(root):
    write_notebook(
        root,
        "import os, time\nprint('kernel', os.getpid())\n"
        "print('[1/2] method full · about 3 min left')\ntime.sleep(60)",
    )
    command = [sys.executable, "-m", "forgetting.cli", "run", "freezing", "-p", "seeds=0,1"]
    package = str(Path(forgetting.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": package}
    with subprocess.Popen(
        [*command, "--tier", "smoke"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # What a shell starts in the background ignores SIGINT, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("kernel"):
                kernel = int(line.split()[1])
            if line.startswith("[1/2]"):
                break
        assert psutil.pid_exists(kernel)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == (
        "\nstopped; finished runs are kept, go on with: "
        "forgetting run freezing -p tier=smoke -p seeds=0,1\n"
    )
    assert not psutil.pid_exists(kernel)


def test_how_to_go_on_repeats_every_option(root, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.chapters, "_execute", stop)
    monkeypatch.setattr("forgetting.site.report.published", lambda _: [])
    page = root / "my page.html"
    result = call("run", "freezing", "--tier", "smoke", "--processes", "2", "--report", str(page))
    assert result.exit_code == 130
    hint = f"forgetting run freezing -p tier=smoke --processes 2 --report '{page}'\n"
    assert result.stderr.endswith(hint)


# -- check -------------------------------------------------------------------------------------


@pytest.fixture
def judged(monkeypatch):
    """The verdicts that `published` gives, and the chapters it was asked for."""
    verdicts, asked = [], []
    monkeypatch.setattr(published, "verdicts", lambda name, **_: asked.append(name) or verdicts)
    return verdicts, asked


def test_check_shows_each_verdict_with_its_interval(root, judged):
    verdicts, asked = judged
    about = {"statement": "Freezing [attention] forgets less.", "unit": "nats a sub-word"}
    more = {"reason": "3 seeds are asked for", "needed": "2 more seeds"}
    verdicts += [
        verdict(id="c1", verdict="holds", **about),
        verdict(id="c2", verdict="undecided", seeds=1, **more, **about),
        verdict(id="c3", reason="no records", **about | NOT_RUN),
    ]
    told = rows(answer("check"))
    assert asked == [None]
    assert told == [
        ["verdict", "claim", "effect", "measured"],
        ["holds", "Freezing [attention] forgets less.", "−0.123", "laptop"],
        ["c1 · Li & Lee (2024)", "−0.2 to −0.05", "3 seeds"],
        ["nats a sub-word,", "2026-11-21"],
        ["above 0.02"],
        ["undecided", "Freezing [attention] forgets less.", "−0.123", "laptop"],
        ["c2 · Li & Lee (2024)", "−0.2 to −0.05", "1 seed"],
        ["3 seeds are asked for", "nats a sub-word,", "2026-11-21"],
        ["would decide: 2 more seeds", "above 0.02"],
        ["not tested", "Freezing [attention] forgets less.", "–", "–"],
        ["c3 · Li & Lee (2024)"],
        ["no records"],
        ["1 holds · 1 undecided · 1 not tested"],
    ]
    assert set(cli.evidence.COLOURS) == set(claims.WORDS)


def test_check_of_one_chapter(root, judged):
    assert answer("check", "01_freezing") == "no claims are written down for freezing\n"
    assert judged[1] == ["freezing"]


# -- records -----------------------------------------------------------------------------------


def test_records_lists_each_run_and_the_store(root):
    stored_run("ab" * 10)
    stored_run("cd" * 10, method="full", seed=1)
    stored_run("ef" * 10, tier="smoke")
    store_file("weights", "1" * 20, b"x" * 1000)
    store_file("scores", "2" * 20, b"x")
    (store.root() / "scores" / ("2" * 20) / "file").write_bytes(b"y")
    store.get("scores", "2" * 20)
    header = ["key", "labels", "seconds", "date"]
    told = rows(answer("records"))
    assert told[:-2] == [
        ["freezing, smoke tier"],
        header,
        ["efefefef", "freeze first third, learning_rate 0.0003, seed 0", "90", "2026-11-21"],
        ["freezing, laptop tier"],
        header,
        ["abababab", "freeze first third, learning_rate 0.0003, seed 0", "90", "2026-11-21"],
        ["cdcdcdcd", "full, learning_rate 0.0003, seed 1", "90", "2026-11-21"],
    ]
    assert told[-2] == [f"2 records in {root}/results, 1 smoke record in the cache"]
    sizes = r"damaged 1 \(\d+ bytes\), weights 1 \(1\.1 kB\)"
    assert re.fullmatch(f"store {re.escape(str(store.root()))}: {sizes}", told[-1][0])
    assert rows(answer("records", "freezing")) == told


def test_records_of_a_chapter_without_any(root):
    assert answer("records", "freezing").splitlines() == [
        "no records of freezing",
        f"0 records in {root}/results",
        f"store {store.root()}: empty",
    ]


def test_a_record_shows_its_whole_lineage(root):
    added = {
        "step": "merge",
        "version": 1,
        "terms": [[BASE, 0.5], [TUNED, 0.5]],
    }
    trained = stored_run()
    stored_run("ab" * 10, lineage=trained.lineage | {"ab" * 10: added})
    assert answer("records", "--key", "AB").splitlines() == [
        f"record {'ab' * 10}  freezing, laptop tier",
        "├── labels  freeze first third, learning_rate 0.0003, seed 0",
        "├── recipe, last step first",
        f"│   └── merge {'ab' * 10}",
        "│       ├── version  1",
        f"│       ├── terms  {BASE} 0.5 {TUNED} 0.5",
        f"│       ├── foundation {BASE}",
        "│       │   ├── name  smollm2-135m",
        f"│       │   ├── digest  {'d' * 64}",
        "│       │   ├── layers  30",
        "│       │   └── parameters  134",
        f"│       └── train {TUNED}",
        "│           ├── version  1",
        "│           ├── task  task zh, version 1, templates ab12, data cd34",
        "│           ├── tune  kind freeze_first, layers 10",
        "│           ├── settings  style pretrain, learning_rate 0.0003",
        "│           ├── seed  0",
        f"│           └── foundation {BASE}",
        "│               └── as above",
        "├── scores, mean ± standard error over items",
        "│   └── zh (2 items)  nats 1.5 ± 0.5",
        "├── trained  1,234,567 weights in 2 steps",
        "├── timing  date 2026-11-21T10:00:00Z, seconds 90, training_seconds 0, "
        "peak_memory_mib 2048",
        "└── environment  device a laptop, torch 2.9.0",
    ]


def test_a_key_must_name_one_record(root):
    for first in "abcdef":
        stored_run("0" + first * 19)
    said = error_of("records", "--key", "0", code=2)
    assert said == (
        "key='0': 6 records start so (0aaaaaaa, 0bbbbbbb, 0ccccccc, 0ddddddd and 2 more); "
        "add digits"
    )
    stored_run("0" + "a" * 19, experiment="other")  # one System that two experiments asked
    heads = [line for line in answer("records", "--key", "0a").splitlines() if "record 0" in line]
    key = "0" + "a" * 19
    assert heads == [f"record {key}  {name}, laptop tier" for name in ("freezing", "other")]


# -- the book ----------------------------------------------------------------------------------


def test_book_prints_where_the_pages_are(root, monkeypatch):
    asked = []

    def build(folder, *, strict):
        asked.append((folder, strict))
        return folder / "build" / "html"

    monkeypatch.setattr(book, "build", build)
    assert answer("book") == f"{root}/build/html/index.html\n"
    assert answer("book", "--no-strict") == f"{root}/build/html/index.html\n"
    assert asked == [(root, True), (root, False)]


def test_a_book_that_cannot_be_built_says_so_in_one_line(root, monkeypatch):
    assert error_of("book") == (
        f"{root}: has no _config.yml, so it is not the top folder of the book"
    )

    def build(folder, *, strict):
        raise book.BookError("Jupyter Book failed:\n  a.md:1: WARNING: one\n  b.md: two\n  c.md")

    monkeypatch.setattr(book, "build", build)
    assert error_of("book") == (
        "Jupyter Book failed: a.md:1: WARNING: one (and 2 more, see build/jupyter-book.log)"
    )


# -- clean -------------------------------------------------------------------------------------


@pytest.fixture
def cache(root):
    """A cache with something of everything, beside a record of each home."""
    stored_run()
    stored_run("e" * 20, tier="smoke")
    for kind in ("weights", "scores"):
        store_file(kind, "1" * 20, b"x" * 5000)
    cache = home()
    for folder in ("models/tiny-1", "data/someone__some-data", "store/damaged/scores-1"):
        (cache / folder).mkdir(parents=True)
        (cache / folder / "file").write_bytes(b"x" * 2000)
    return cache


def left(cache):
    files = (path.relative_to(cache) for path in cache.rglob("*") if path.is_file())
    files = (path for path in files if path.parts[0] != "locks")
    return {"/".join(path.parts[: 2 if path.parts[0] == "store" else 1]) for path in files}


ALL = {"store/weights", "store/scores", "store/damaged", "models", "data", "results"}


def test_clean_without_options_only_tells_sizes(cache):
    told = rows(answer("clean"))
    assert told[0] == ["in the cache", "size", "what it is"]
    assert [row[:2] for row in told[1:8]] == [
        ["weights", "5.1 kB"],
        ["scores", "5.1 kB"],
        ["damaged", "2.0 kB"],
        *([kind, "0 bytes"] for kind in ("cards", "classifiers")),
        ["models", "2.0 kB"],
        ["data", "2.0 kB"],
    ]
    assert told[8] == [f"in {cache}"]
    assert left(cache) == ALL


@pytest.mark.parametrize(
    ("options", "gone", "freed"),
    [
        (["--weights"], {"store/weights", "store/damaged"}, "7.1 kB"),
        (["--scores"], {"store/scores", "store/damaged"}, "7.1 kB"),
        (["--models", "--data"], {"models", "data"}, "4.0 kB"),
        (["--all"], ALL - {"results"}, "16.2 kB"),
    ],
)
def test_clean_deletes_what_was_named_and_no_record(cache, root, options, gone, freed):
    assert answer("clean", "--yes", *options).splitlines()[-1] == f"freed {freed}"
    assert left(cache) == ALL - gone
    assert len(list((root / "results").rglob("*.json"))) == 2


def test_clean_asks_first(cache):
    result = call("clean", "--weights", input="n\n")
    assert "delete weights, damaged (7.1 kB)? [y/N]" in result.stdout
    assert result.exit_code == 1 and left(cache) == ALL
    assert call("clean", "--weights").exit_code == 1, "nobody there to answer"
    assert left(cache) == ALL
    assert call("clean", "--weights", input="y\n").exit_code == 0
    assert left(cache) == ALL - {"store/weights", "store/damaged"}


# -- public data -------------------------------------------------------------------------------


@pytest.fixture
def mirror(root, tmp_path, monkeypatch):
    """The set `tiny` in a mirror."""
    monkeypatch.setenv("FORGETTING_DATA_MIRROR", str(tmp_path / "mirror"))
    return mirror_of(tmp_path / "mirror", FILES)


@pytest.mark.parametrize("at_hand", ["yes", "no"])
def test_data_list(mirror, monkeypatch, at_hand):
    if at_hand == "no":
        monkeypatch.delenv("FORGETTING_DATA_MIRROR")
    assert rows(answer("data", "list")) == [
        ["data set", "size", "at hand", "licence, and the tasks that read it"],
        ["tiny", "13 bytes", at_hand, "CC0 [or none]"],
        ["read by reads_tiny"],
    ]


def test_data_fetch_says_where_the_files_are(mirror):
    assert answer("data", "fetch", "tiny").splitlines() == [
        "tiny: 2 files, 13 bytes, hashes as registered; licence: CC0 [or none]",
        str(mirror / "docs"),
    ]


def test_data_verify_of_sound_files(mirror):
    sound = "1 data set sound, 0 files damaged, 0 data sets not at hand\n"
    assert answer("data", "verify") == sound
    assert answer("data", "verify", "tiny") == sound


def test_data_verify_names_a_flipped_byte_and_a_truncated_file(mirror):
    flipped, cut = (mirror / path for path in FILES)
    flipped.write_bytes(b"fIrst\n")
    cut.write_bytes(b"sec")
    result = call("data", "verify")
    assert result.exit_code == 1
    address = f"http://127.0.0.1:9/someone/some-data/{COMMIT}/docs"
    found, registered = (hashlib.sha256(b).hexdigest()[:12] for b in (b"fIrst\n", b"first\n"))
    assert result.stderr.splitlines() == [
        f"tiny: {flipped}: sha256 {found}…, registered is {registered}…; "
        f"replace it by {address}/one.txt",
        f"tiny: {cut}: 3 bytes, registered are 7; replace it by {address}/two.txt",
    ]
    assert result.stdout == "0 data sets sound, 2 files damaged, 0 data sets not at hand\n"


def test_data_verify_sees_the_cache_too(mirror):
    cached = home() / "data" / "someone__some-data" / "docs" / "one.txt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"f")
    result = call("data", "verify")
    assert result.stderr.startswith(f"tiny: {cached}: 1 bytes, registered are 6; ")


def test_data_verify_says_how_to_get_what_is_not_at_hand(root):
    told = (
        "0 data sets sound, 0 files damaged, 1 data set not at hand\n"
        "not at hand: tiny; get one with `forgetting data fetch NAME`, or set "
        "FORGETTING_DATA_MIRROR to a folder laid out as owner__repo/path\n"
    )
    assert answer("data", "verify") == told
    result = call("data", "verify", "tiny")
    assert (result.exit_code, result.stdout) == (1, told)
