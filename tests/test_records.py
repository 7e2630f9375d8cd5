"""Records: what was measured, as small files that read back to the same bytes."""

import hashlib
import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem

from forgetting.evidence import records
from forgetting.evidence.records import BadRecord, Record, Sample, Scores

pytestmark = pytest.mark.usefixtures("own_home")


def scores(tokens=None, **items):
    n = len(next(iter(items.values())))
    return Scores(task="t", version=1.0, templates="abcd", n=n, batch=8, items=items, tokens=tokens)


def record(**fields):
    accuracy = scores(acc=[1.0, 0.0, 1.0], gold_margin=[0.25, -1.5, 3.125])
    text = scores(log_likelihood=[-10.5, -20.25], tokens=[5, 9])
    known = {
        "key": "0123456789abcdef0123",
        "chapter": "trial",
        "tier": "smoke",
        "labels": {"method": "LoRA", "learning_rate": 3e-5, "seed": 2},
        "model": {"name": "tiny", "layers": 2},
        "lineage": {"aa": {"step": "foundation", "digest": "dd"}},
        "trainable": 1792,
        "losses": [5.5, 5.25],
        "scores": {"arc": accuracy, "english": text},
        "samples": [Sample(task="prompts", prompt="早安？", answer='Good "morning"\n')],
        "environment": {"torch": "2.13.0"},
        "timing": {"seconds": 1.5},
    }
    return Record(**(known | fields))


# -- files -------------------------------------------------------------------------------------


def test_a_record_reads_back_the_same():
    saved = record()
    path = records.save(saved)
    assert path == records.path_of("trial", saved.key, "smoke")
    assert records.load(path) == saved
    assert records.load(path).to_json() == saved.to_json()
    assert records.seal(saved.to_json()) == path.read_text(encoding="utf-8")


def test_a_seal_is_the_sha256_of_the_record_without_it():
    head, digest, tail = records.seal(record().to_json()).rpartition(',\n "sha256": "')
    assert head + "\n}\n" == record().to_json()
    assert digest and tail == hashlib.sha256((head + "\n}\n").encode()).hexdigest() + '"\n}\n'


def test_every_changed_byte_of_a_record_is_found():
    content = records.seal(record().to_json()).encode()
    assert records.read(content, "r") == record()
    for at in range(len(content)):
        for bit in (1, 8, 64):
            changed = bytearray(content)
            changed[at] ^= bit
            with pytest.raises(BadRecord, match=r"^r: "):
                records.read(bytes(changed), "r")


def test_records_from_before_there_were_seals_are_read(tmp_path):
    (tmp_path / "old.json").write_text(record().to_json(), encoding="utf-8")
    assert records.load(tmp_path / "old.json") == record()


def test_the_same_record_is_the_same_bytes_and_plain_json():
    assert record().to_json() == record().to_json()
    assert json.loads(record().to_json()) == record().model_dump(mode="json")


def test_a_field_a_line_and_lists_of_numbers_on_one():
    lines = record().to_json().splitlines()
    assert ' "losses": [5.5,5.25],' in lines
    assert '    "acc": [1,0,1],' in lines
    assert '   "prompt": "早安？",' in lines


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_training_that_diverged_can_be_recorded(loss):
    path = records.save(record(losses=[5.5, loss]))
    assert records.load(path).losses[1] == pytest.approx(loss, nan_ok=True)


def test_above_100_kib_is_refused_and_nothing_is_written():
    long = Sample(task="prompts", prompt="p", answer="x" * 101 * 1024)
    with pytest.raises(BadRecord, match=r"record 0123456789abcdef0123: 10\d KiB, at most 100"):
        records.save(record(samples=[long]))
    assert not records.path_of("trial", record().key, "smoke").exists()


def edited(change):
    content = json.loads(record().to_json())
    change(content)
    return json.dumps(content)


BROKEN = {
    "a field too few": (edited(lambda c: c.pop("trainable")), "trainable"),
    "a field too many": (edited(lambda c: c.update(colour="red")), "colour"),
    "another type": (edited(lambda c: c.update(losses="low")), "losses"),
    "deep inside": (edited(lambda c: c["scores"]["arc"].update(n="x")), "scores.arc.n"),
    "an unknown tier": (edited(lambda c: c.update(tier="huge")), "tier"),
    "half a file": (record().to_json()[:200], "file"),
    "an empty file": ("", "file"),
}


@pytest.mark.parametrize(("text", "field"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_with_its_field(text, field, tmp_path):
    path = tmp_path / "abc.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadRecord, match=rf"^abc\.json: {field}: .*run the chapter again$"):
        records.load(path)


def test_bytes_that_are_no_text_are_a_broken_file(tmp_path):
    (tmp_path / "abc.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BadRecord, match=r"^abc\.json"):
        records.load(tmp_path / "abc.json")


def test_records_of_a_chapter_by_label(own_home):
    for seed in (2, 0, 1):
        labels = {"method": "LoRA" if seed else "Full", "seed": seed}
        records.save(record(key=f"{seed:020d}", labels=labels))
    records.save(record(key="f" * 20, chapter="other"))
    found = records.stored("trial", "smoke")
    assert [r.labels["seed"] for r in found] == [0, 1, 2]
    assert [r.seed for r in records.select(found, method="LoRA")] == [1, 2]
    assert records.select(found, method="LoRA", seed=0) == []
    assert records.stored("nothing", "smoke") == []


def test_a_toys_numbers_stay_out_of_the_book(own_home, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path / "results"))
    assert own_home in records.save(record()).parents
    assert tmp_path / "results" in records.save(record(tier="laptop")).parents
    assert records.chapters() == ["trial"]
    assert len(records.stored("trial", "smoke")) == len(records.stored("trial", "laptop")) == 1


# -- means and their errors --------------------------------------------------------------------


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_plain_means_are_numpys_and_scipys(values):
    found = scores(acc=values)
    assert found.mean("acc") == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.stderr("acc") == pytest.approx(sem(values), abs=1e-9)


def test_nats_are_weighted_by_tokens():
    """8 nats over 2 tokens and 6 over 6: 14/8 a token, not the mean of 4 and 1."""
    found = scores(log_likelihood=[-8.0, -6.0], tokens=[2, 6])
    assert found.metrics == ["nats"]
    assert found.values("nats") == ([4.0, 1.0], [2.0, 6.0])
    assert found.mean("nats") == 14 / 8


def test_the_ratio_estimators_error_by_hand():
    """r = 14/8; residuals x - r·t: 8 - 3.5 = 4.5 and 6 - 10.5 = -4.5; mean tokens 4.

    Var = Σ residual² / (n - 1) / n / mean² = 40.5 / 1 / 2 / 16.
    """
    found = scores(log_likelihood=[-8.0, -6.0], tokens=[2, 6])
    assert found.stderr("nats") == pytest.approx(math.sqrt(40.5 / 2 / 16))


def test_equal_weights_give_the_plain_error():
    weighted = scores(log_likelihood=[-4.0, -8.0, -15.0], tokens=[4, 4, 4])
    assert weighted.stderr("nats") == pytest.approx(sem([1.0, 2.0, 3.75]))


def test_one_item_has_no_error():
    assert math.isnan(scores(acc=[1.0]).stderr("acc"))


def test_a_measure_is_task_dot_metric():
    assert record().mean("arc.acc") == pytest.approx(2 / 3)
    assert record().stderr("arc.acc") == pytest.approx(1 / 3)
    assert record().mean("english.nats") == pytest.approx(30.75 / 14)


def test_an_unknown_metric_lists_the_known_ones():
    with pytest.raises(KeyError, match="metric='f1': t has acc, nats"):
        scores(acc=[1.0], log_likelihood=[-1.0], tokens=[1]).mean("f1")
