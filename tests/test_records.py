"""Records: what was measured, as small sealed files; who asks again is answered from them."""

import hashlib
import json
import logging
import math
import multiprocessing
import os
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem
from studies import CHINESE, cell, put, run, scores

from forgetting import Cell, Task, chapters, measure
from forgetting.evidence import records
from forgetting.evidence.records import BadRecord, Entry, Index, Record
from forgetting.evidence.sealed import seal, unseal
from forgetting.experiments.study import Question, answer, probe_key

pytestmark = pytest.mark.usefixtures("own_home")
KEY = "0123456789abcdef0123"


LABELS = {"method": "LoRA", "learning_rate": 3e-5, "seed": 2}
ASKED = {
    "arc": {"acc": [1, 0, 1], "gold_margin": [0.25, -1.5, 3.125]},
    "english": {"log_likelihood": [-10.5, -20.25], "tokens": [5, 9]},
}


def a_run(asked=ASKED, **given):
    """A LoRA's run: multiple choice, where it is asked with an answer, and a text."""
    usual = {"key": KEY, "trainable": 1792, "losses": [5.5, 5.25], "tier": "smoke"}
    usual["answers"] = {"arc": [("早安？", 'Good "morning"\n')]} if "arc" in asked else {}
    return run("LoRA", 3e-5, 2, asked, **(usual | given))


def text_of(record):
    return seal(record.model_dump(mode="json"))


def test_a_record_reads_back_to_the_same_bytes():
    record = a_run().record
    path = records.append(record, "smoke")
    assert path == records.path_of(KEY, "smoke")
    assert records.load(path) == record
    assert text_of(records.load(path)) == path.read_text(encoding="utf-8") == text_of(record)
    assert json.loads(text_of(record)).items() >= record.model_dump(mode="json").items()


def test_a_seal_is_the_sha256_of_the_file_without_it():
    head, digest, tail = text_of(a_run().record).rpartition(',\n "sha256": "')
    assert digest and tail == hashlib.sha256((head + "\n}\n").encode()).hexdigest() + '"\n}\n'


def test_a_field_a_line_and_lists_of_numbers_on_one():
    lines = text_of(a_run().record).splitlines()
    assert ' "losses": [5.5,5.25],' in lines
    assert '      "acc": [1,0,1],' in lines
    assert any('"prompt": "早安？", "answer": "Good' in line for line in lines)


@pytest.mark.parametrize("kind", [Record, Index])
def test_every_changed_byte_of_a_file_is_noticed(kind):
    put(a_run(asked={"arc": {"acc": [1, 0]}}))
    index = records.index_path("trial", "smoke")
    content = (index if kind is Index else records.path_of(KEY, "smoke")).read_bytes()
    assert unseal(kind, content, "r")
    for at in range(len(content)):
        for bit in (1, 8, 64):
            changed = bytearray(content)
            changed[at] ^= bit
            with pytest.raises(BadRecord, match=r"^r: "):
                unseal(kind, bytes(changed), "r")


def test_a_session_above_100_kib_is_refused_and_nothing_is_written():
    long = a_run(answers={"arc": [("p", "x" * 101 * 1024)]})
    with pytest.raises(BadRecord, match=rf"record {KEY}: 10\d KiB, at most 100"):
        records.append(long.record, "smoke")
    assert not records.path_of(KEY, "smoke").exists()


def test_a_toys_numbers_stay_out_of_the_book(own_home, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path / "results"))
    put(a_run(), a_run(tier="laptop"), a_run(tier="laptop", experiment="other"))
    for tier, folder in {"smoke": own_home / "results", "laptop": tmp_path / "results"}.items():
        assert records.path_of(KEY, tier) == folder / "records" / f"{KEY}.json"
        assert records.path_of(KEY, tier).exists() and records.index_path("trial", tier).exists()
        assert [stored.tier for stored in records.stored("trial", tier)] == [tier]
    assert records.experiments() == ["other", "trial"]
    assert records.experiments(own_home / "results") == ["trial"]


def test_one_more_question_appends_a_session_and_nothing_else():
    path = records.append(a_run().record, "smoke")
    before = path.read_text(encoding="utf-8")
    assert records.append(a_run(timing={"date": "2030-01-01"}).record, "smoke") == path
    assert path.read_text(encoding="utf-8") == before  # it had all of that
    more = a_run(asked={"quiz": {"acc": [0, 1]}}, losses=[9.0])
    records.append(more.record, "smoke")
    kept, _, _ = before.rpartition("\n ],")  # up to the end of the sessions
    assert path.read_text(encoding="utf-8").startswith(f"{kept},\n")
    assert records.load(path).sessions == a_run().record.sessions + more.record.sessions
    assert records.load(path).losses == [5.5, 5.25]


def measured_twice(key, probe):
    """A record in which one probe has 0.5 in the first session and 0.25 in the second."""
    part = a_run(key=key, asked={}).record
    sessions = [
        part.sessions[0].model_copy(update={"scores": {probe: scores(acc=[share])}})
        for share in (0.5, 0.25)
    ]
    path = records.append(part, "smoke")
    path.write_text(text_of(part.model_copy(update={"sessions": sessions})), encoding="utf-8")


def enter(name, panel, own, labels=None, key=KEY):
    entry = Entry(system=key, tier="smoke", design="", sessions=own, labels=labels or LABELS)
    records.enter(name, "smoke", panel, [entry])


def test_a_run_reads_its_own_sessions_before_others():
    """Two experiments measured one probe to different digits; each keeps what it published."""
    measured_twice(KEY, "probe")
    for name, own, mean in (("first", [0], 0.5), ("second", [1], 0.25), ("lost", [7], 0.5)):
        enter(name, {"role": "probe"}, own)
        assert records.stored(name, "smoke")[0].mean("role.acc") == mean


def test_what_a_run_says_of_its_sessions_and_its_computing():
    record = a_run(computing={"seconds": 7.0, "peak_memory_mib": 5}).record
    records.append(record, "smoke")
    timing = {"date": "2027-01-01T00:00:00Z", "seconds": 2.5, "peak_memory_mib": 9}
    later = a_run(asked={"quiz": {"acc": [0.5]}}, timing=timing)
    put(later)
    roles = {"a": "probe of arc", "q": "probe of quiz"}
    enter("other", roles, [0, 1])
    (one,) = records.stored("other", "smoke")
    assert one.timing == timing | {"seconds": 10.5, "training_seconds": 7.0}
    assert (one.key, one.seed, one.trainable, one.losses) == (KEY, 2, 1792, [5.5, 5.25])
    assert one.sessions["q"].timing == timing and one.sessions["a"] == record.sessions[0]
    assert one.last_step["settings"] == {"learning_rate": 3e-5}
    assert one.mean("a.acc") == pytest.approx(2 / 3)
    assert one.stderr("a.acc") == pytest.approx(1 / 3)
    with pytest.raises(KeyError, match=f"role='b': {KEY} was asked a, q"):
        one.mean("b.acc")


def test_a_run_entered_again_keeps_its_labels_and_has_the_roles_of_both():
    put(a_run(asked={"arc": {"acc": [1]}}))
    again = a_run(asked={"quiz": {"acc": [0]}}, labels={"method": "everything"})
    records.append(again.record, "smoke")
    enter("trial", {"quiz": "probe of quiz"}, [1], again.labels)
    index = records.load_index("trial", "smoke")
    (known,) = index.runs
    assert known.labels["method"] == "LoRA" and known.sessions == [0, 1]
    both = {"arc": "probe of arc", "quiz": "probe of quiz"}
    assert index.panels == {known.panel: both}  # the narrower one is nobody's any more
    (stored,) = records.stored("trial", "smoke")
    assert {role: of.mean("acc") for role, of in stored.scores.items()} == {"arc": 1, "quiz": 0}


def test_an_index_is_the_same_bytes_whoever_came_first():
    runs = [a_run(key=f"{n:020d}", labels={"seed": n % 2}, design=f"d{n % 3}") for n in range(6)]
    put(*runs)
    path = records.index_path("trial", "smoke")
    before = path.read_bytes(), path.stat().st_mtime_ns
    put(runs[3])
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    path.unlink()
    put(*reversed(runs))
    assert path.read_bytes() == before[0]
    assert [stored.seed for stored in records.stored("trial", "smoke")] == [0, 0, 0, 1, 1, 1]


def test_designs_separate_runs_and_each_has_its_start():
    """The start of two designs is one System, measured once, with an entry in each."""
    later = {"date": "2027-01-01T00:00:00Z"}
    old = [run("untouched", 0, key=KEY, design="old", tier="smoke")]
    new = [run("untouched", 0, key=KEY, design="new", tier="smoke")]
    old += [run(seed=seed, design="old", tier="smoke") for seed in range(3)]
    new += [run("LoRA", seed=9, design="new", tier="smoke", timing=later)]
    surprise = run(
        "untouched", 0, seed=5, design="surprise", tier="smoke", timing={"date": "2099-01-01"}
    )
    put(*old, *new, surprise)
    stored = records.stored("trial", "smoke")
    assert len(stored) == 7 and len(records.load(records.path_of(KEY, "smoke")).sessions) == 1
    alike = {design: records.comparable(stored, design) for design in ("old", "new")}
    assert [(one.labels["method"], one.seed, one.design) for one in alike["new"]] == [
        ("untouched", 0, "new"),
        ("LoRA", 9, "new"),
    ]
    assert [one.start for one in alike["old"]] == [True, False, False, False]
    for runs in alike.values():
        assert records.start_of(runs).key == KEY
    assert records.comparable(stored) == alike["new"]  # its arm was measured last
    assert records.comparable([surprise]) == [surprise] and records.comparable([]) == []
    assert [one.seed for one in records.select(alike["old"], method="full")] == [0, 1, 2]
    assert records.select(stored, method="LoRA", seed=0) == []
    with pytest.raises(LookupError, match="no model that they start from"):
        records.start_of(alike["new"][1:])


def test_an_index_whose_record_is_gone_or_lacks_a_role_says_so():
    put(a_run())
    enter("other", {"role": "another probe"}, [0])
    with pytest.raises(BadRecord, match=rf"^{KEY}\.json: role: has no scores; run the chapter"):
        records.stored("other", "smoke")
    records.path_of(KEY, "smoke").unlink()
    with pytest.raises(BadRecord, match=rf"^trial\.json: {KEY}\.json is missing; run the chapter"):
        records.stored("trial", "smoke")
    assert records.stored("nothing", "smoke") == []


def write_often(home, side):
    """A process that adds ten sessions to one record, and ten runs to one index."""
    os.environ["FORGETTING_HOME"] = home
    for number in range(10):
        role = f"{side} {number}"
        put(a_run(asked={role: {"acc": [1]}}))
        put(a_run(key=f"{side}{number:019d}", asked={"quiz": {"acc": [1]}}))


def test_two_processes_that_write_at_once_lose_nothing(own_home):
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=write_often, args=(str(own_home), side)) for side in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    every = {f"{side} {number}" for side in "ab" for number in range(10)}
    sessions = records.load(records.path_of(KEY, "smoke")).sessions
    assert len(sessions) == 20
    assert {role for s in sessions for role in s.scores} == {f"probe of {role}" for role in every}
    stored = records.stored("trial", "smoke")
    assert len(stored) == 21 and {role for one in stored for role in one.scores} == every | {"quiz"}


QUICK = {"tokens": 64, "length": 32, "batch": 2}
ASKS = {"choice": Task("arc_easy_standin", 2), "chinese": Task("zh_everyday", 2)}
START = {"method": "untouched", "learning_rate": 0.0, "seed": 0}


def ask(name, *cells, asks=ASKS, **given):
    return measure(name, cells, asks, "smoke", say=lambda line: None, **given)


def test_answers_asked_for_later_come_once(tiny, measured):
    spoken, start = {"said": Task("prompts_en", 1)}, Cell(tiny, START)
    assert ask("quiet", start, asks=spoken)[0].samples == []
    (heard,) = ask("loud", start, asks=spoken, keep=["said"])
    assert [said.task for said in heard.samples] == ["said"]
    assert records.stored("quiet", "smoke")[0].samples == []
    (now,) = ask("quiet", start, asks=spoken, keep=["said"])
    assert now.samples == heard.samples and measured == ["prompts_en"]
    assert len(records.load(records.path_of(tiny.key, "smoke")).sessions) == 2


def test_more_is_asked_of_a_run_and_what_it_published_stays(tiny):
    probe = probe_key(ASKS["choice"])
    measured_twice(tiny.key, probe)
    enter("trial", {"choice": probe}, [1], START, tiny.key)
    (more,) = ask("trial", Cell(tiny, START))
    assert more.mean("choice.acc") == 0.25 and more.scores.keys() == ASKS.keys()
    assert records.load_index("trial", "smoke").runs[0].sessions == [1, 2]


def test_a_damaged_index_is_set_aside_and_made_again_by_asking(tiny, own_home, caplog, measured):
    questions = [
        Question("trial", "smoke", [Cell(tiny, START, start=True)], ASKS, design="d"),
        Question("trial", "smoke", [Cell(tiny, START)], {"one": ASKS["choice"]}, design="e"),
    ]
    runs = answer(questions, say=lambda line: None)
    path = records.index_path("trial", "smoke")
    before = path.read_bytes()
    path.write_bytes(before.replace(b"untouched", b"unTouched", 1))
    with caplog.at_level(logging.WARNING):
        assert answer(questions, say=pytest.fail) == runs
    assert "index of trial is damaged (trial.json: sha256: the file was changed" in caplog.text
    assert path.read_bytes() == before and len(measured) == 2
    assert list((own_home / "store" / "damaged").glob("index-of-trial-*/trial.json"))


def test_a_merge_has_a_record_and_may_be_a_parent_and_a_start(tiny):
    """Half of full training: nothing was trained for it; a start is what is entered as one."""
    full = tiny.train(CHINESE, learning_rate=1e-3, **QUICK)
    half = tiny + 0.5 * (full - tiny)
    on = half.train(CHINESE, learning_rate=1e-3, **QUICK)
    arms = [cell(half, "half way back"), cell(on, "and on")]
    start, merged, after = ask("trial", Cell(tiny, START, start=True), *arms)
    assert merged.last_step["step"] == "merge" and merged.key == half.key
    assert merged.last_step["terms"] == sorted([[tiny.key, 0.5], [full.key, 0.5]])
    assert (merged.losses, merged.trainable, merged.timing["training_seconds"]) == ([], 0, 0.0)
    assert text_of(merged.record) == records.path_of(half.key, "smoke").read_text(encoding="utf-8")
    assert after.last_step["parent"] == half.key and len(after.losses) == 1
    assert [one.start for one in (start, merged, after)] == [True, False, False]
    ask("from a merge", arms[1], Cell(half, START, start=True))
    again = records.comparable(records.stored("from a merge", "smoke"))
    assert records.start_of(again) == again[0] and [one.key for one in again] == [half.key, on.key]


def test_every_published_file_is_whole_and_every_run_can_be_read():
    """Each index entry has its record with all roles; each record is some experiment's."""
    runs = [run for name in records.experiments() for run in records.stored(name)]
    assert len(runs) >= 308 and all(run.tier == "laptop" and run.scores for run in runs)
    files = {path.stem for path in records.path_of("", "laptop").parent.glob("*.json")}
    assert files == {run.key for run in runs}


def test_published_designs_are_those_that_the_experiments_have_now():
    assert set(records.experiments()) == {*chapters.names(), "tasks"}
    for name in chapters.names():
        experiment = chapters.experiment(name)
        designs = {run.design for run in records.stored(name)}
        assert designs - {"surprise"} == {experiment.design("laptop")}
        assert [run.start for run in experiment.stored("laptop")].count(True) == 1


# Values of the first schema's records, a file a run: arm, rate, seed, other labels, first loss and
# date; a role, a metric and its first items.
FIRST = {
    "freezing": (
        ("freeze attention", 1e-4, 1, {}, 3.168602, "2026-11-21T12:37:30Z"),
        ("chinese", "log_likelihood", [-322.0958, -491.6576, -532.3266]),
    ),
    "lamol": (
        ("GEM", 2e-4, 1, {"order": "sst, srl"}, 2.168648, "2026-11-22T16:43:24Z"),
        ("srl", "nf1", [1, 0.5, 1]),
    ),
    "lora": (
        ("LoRA r 4", 3e-4, 1, {"epochs": 2}, 0.882211, "2026-11-21T21:02:49Z"),
        ("new answers", "forward_kl", [0.2512156, 0.3263977, 0.2913769]),
    ),
    "operation": (
        ("RL style", 1e-4, 0, {"epochs": 3}, 0.0, "2026-11-22T01:22:09Z"),
        ("old answers", "forward_kl", [7.870854, 6.508217, 1.364483]),
    ),
    "own_answers": (
        ("gold", 1e-4, 2, {"epochs": 3}, 4.580716, "2026-11-22T08:04:46Z"),
        ("margin harmful", "gold_margin", [-4.731823, -4.981486, -6.640149]),
    ),
    "own_words": (
        ("STM", 3e-4, 2, {"epochs": 3}, 0.150612, "2026-11-22T01:45:16Z"),
        ("old text", "agreement", [0.9607843, 0.9504132, 0.9292035]),
    ),
    "tasks": (
        ("untouched", 0.0, 0, {}, None, "2026-11-21T18:49:32Z"),
        ("alpaca_benign", "log_likelihood", [-36.88667, -6.889942, -36.1513]),
    ),
}


@pytest.mark.parametrize("name", FIRST)
def test_what_was_published_first_stands_digit_for_digit(name):
    (method, rate, seed, others, loss, date), (role, metric, items) = FIRST[name]
    labels = {"method": method, "learning_rate": rate, "seed": seed} | others
    (run,) = records.select(records.stored(name), **labels)
    assert run.scores[role].items[metric][:3] == items
    assert run.losses[:1] == [loss] * (loss is not None)
    assert run.sessions[role].timing["date"] == date


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_plain_means_are_numpys_and_scipys(values):
    of_task = scores(acc=values)
    assert of_task.mean("acc") == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert of_task.stderr("acc") == pytest.approx(sem(values), abs=1e-9)


def test_nats_are_weighted_by_tokens():
    """8 nats over 2 tokens and 6 over 6: 14/8 a token, not the mean of 4 and 1.

    The ratio estimator's error: residuals x - r·t are 8 - 3.5 = 4.5 and 6 - 10.5 = -4.5, the mean
    item has 4 tokens; Var = Σ residual² / (n - 1) / n / mean² = 40.5 / 1 / 2 / 16.
    """
    text = scores(log_likelihood=[-8.0, -6.0], tokens=[2, 6])
    assert text.metrics == ["nats"]
    assert text.values("nats") == ([4.0, 1.0], [2.0, 6.0])
    assert text.mean("nats") == 14 / 8
    assert text.stderr("nats") == pytest.approx(math.sqrt(40.5 / 2 / 16))


def test_equal_weights_give_the_plain_error_and_one_item_none():
    weighted = scores(log_likelihood=[-4.0, -8.0, -15.0], tokens=[4, 4, 4])
    assert weighted.stderr("nats") == pytest.approx(sem([1.0, 2.0, 3.75]))
    assert math.isnan(scores(acc=[1.0]).stderr("acc"))


def test_an_unknown_metric_lists_the_known_ones():
    with pytest.raises(KeyError, match="metric='f1': quiz has acc, nats"):
        scores(acc=[1.0], log_likelihood=[-1.0], tokens=[1]).mean("f1")
