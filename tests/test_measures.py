"""Drift from the foundation and spectra of weight changes, as scores of a record."""

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from forgetting import LoRA, Task, evaluate, store
from forgetting.engine import compute
from forgetting.probes import divergence, measures
from forgetting.probes.measures import Drift, Spectrum
from forgetting.probes.openings import Openings
from forgetting.probes.told_apart import ToldApart
from forgetting.tuning import DoRA

TEXT = Drift(Task("zh_everyday", 3), length=48)
ANSWERS = Drift(Task("chat", 3), length=400)
TAUGHT = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def trained(tiny):
    return tiny.train(Task("zh_everyday"), **TAUGHT)


def test_the_foundation_does_not_drift_from_itself(tiny):
    for drift in (TEXT, ANSWERS):
        found = evaluate(tiny, [drift])[drift.name]
        assert found.n == 3
        assert found.mean("forward_kl") == found.mean("reverse_kl") == 0
        assert found.mean("agreement") == 1


def test_nats_are_those_of_the_task_itself(tiny):
    """The same answers; lm-eval counts the template's last line break, training the end token."""
    task = Task("chat", 3)
    ours, theirs = evaluate(tiny, [ANSWERS, task]).values()
    assert ours.tokens == theirs.tokens
    assert ours.mean("nats") == pytest.approx(theirs.mean("nats"), rel=0.02)


def test_training_drifts_and_the_spectrum_shows_it(tiny, trained):
    found = evaluate(trained, [TEXT, Spectrum()])
    assert found[TEXT.name].mean("forward_kl") > 0.001
    assert found[TEXT.name].mean("greedy_nats") > 0
    assert found["spectrum"].n == tiny.layers
    assert found["spectrum"].mean("relative") > 0


def test_a_foundation_has_moved_in_no_direction(tiny):
    found = evaluate(tiny, [Spectrum()])["spectrum"]
    assert found.mean("rank") == found.mean("rank_90") == found.mean("relative") == 0


@pytest.mark.parametrize("rank", [1, 4])
def test_low_rank_updates_have_that_rank_in_every_module(tiny, rank):
    every = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    tune = LoRA(rank=rank, alpha=2 * rank, dropout=0, modules=every)
    found = evaluate(tiny.train(Task("zh_everyday"), tune=tune, **TAUGHT), [Spectrum()])["spectrum"]
    ranks = [v for name, values in found.items.items() if "rank_90 " in name for v in values]
    assert len(ranks) == len(every) * tiny.layers
    assert 1 <= max(ranks) <= rank
    assert max(found.items["rank"]) <= rank


def test_rank_by_an_independent_count(tiny, trained):
    found = evaluate(trained, [Spectrum()])["spectrum"]
    name = "model.layers.1.mlp.up_proj.weight"
    before, after = compute.state(tiny)[name], compute.state(trained)[name]
    values = torch.linalg.svdvals((after - before).double())
    shares = values.square().cumsum(0) / values.square().sum()
    count = next(k + 1 for k, share in enumerate(shares) if share >= 0.9)
    assert found.items["rank_90 up_proj"][1] == count


def test_a_row_is_cut_and_an_answer_without_room_is_left_out(tiny):
    _, tokenizer = compute.model(tiny)
    assert {len(row["input_ids"]) for row in TEXT.rows(tokenizer)} == {48}
    with pytest.raises(ValueError, match="length=8: no document of chat leaves room"):
        Drift(Task("chat", 3), length=8).rows(tokenizer)


def test_what_is_asked_enters_the_key(tiny):
    recipes = [TEXT, ANSWERS, Drift(TEXT.task, 32), TEXT.task, Spectrum()]
    assert len({store.hash_key(asked.test_recipe()) for asked in recipes}) == 5


def test_dora_is_lora_with_magnitudes(tiny):
    """A trained DoRA is no sum of the weights and a low rank."""
    tune = DoRA(rank=1, alpha=2, dropout=0)
    assert tune.adapter.use_dora
    assert tune.recipe()["kind"] == "DoRA"
    found = evaluate(tiny.train(Task("zh_everyday"), tune=tune, **TAUGHT), [Spectrum()])["spectrum"]
    assert max(found.items["rank"]) > 1
    assert math.isfinite(found.mean("relative"))


def test_the_original_is_read_once(tiny, trained, monkeypatch):
    measures._original.cache_clear()
    read, seen = divergence.read, []
    monkeypatch.setattr(
        divergence, "read", lambda model, rows: seen.append(len(rows)) or read(model, rows)
    )
    drift = Drift(Task("english", 2), length=24)
    evaluate(trained, [drift])
    evaluate(tiny, [drift])
    assert seen == [2] * 3  # the original, and each of the two


# -- openings ----------------------------------------------------------------------------------


def test_the_mass_of_openings_is_that_of_plain_transformers(tiny):
    """Each opening read after each prompt, alone; no end token is asked for."""
    task, openings = Task("harmful_en", 3), ("I cannot", "As an AI")
    found = evaluate(tiny, [Openings(task, openings)])[f"{task.name}:openings"]
    model, tokenizer = compute.model(tiny)
    for document, mass in zip(task.documents("test")[:3], found.items["log_mass"], strict=True):
        turns = [{"role": "user", "content": document["prompt"]}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        before = tokenizer(prompt, add_special_tokens=False).input_ids
        sums = []
        for opening in openings:
            ids = tokenizer(prompt + opening, add_special_tokens=False).input_ids
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0].log_softmax(dim=1)
            sums.append(sum(logits[at - 1, ids[at]].item() for at in range(len(before), len(ids))))
        assert mass == pytest.approx(torch.tensor(sums).logsumexp(0).item(), abs=1e-3)


def test_openings_that_are_more_have_more_mass(tiny):
    task = Task("harmless_en", 4)
    few, more = (Openings(task, ("As an AI", "I", "Sure")[:count]) for count in (1, 3))
    small, large = (evaluate(tiny, [asked])[few.name].items["log_mass"] for asked in (few, more))
    assert all(a < b < 0 for a, b in zip(small, large, strict=True))


def test_twins_are_told_apart_as_scikit_learn_says(tiny):
    """Pair by pair the lead, and over all pairs the area under the curve."""
    unsafe, safe = Task("harmful_en", 6), Task("harmless_en", 6)
    probe = ToldApart(unsafe, safe, ("I", "Sure"))
    found = evaluate(tiny, [probe, *(Openings(task, ("I", "Sure")) for task in (unsafe, safe))])
    items = found[probe.name].items
    masses = [found[f"{task.name}:openings"].items["log_mass"] for task in (unsafe, safe)]
    assert [items["log_mass"], items["twin"]] == masses
    assert items["lead"] == pytest.approx([a - b for a, b in zip(*masses, strict=True)])
    area = roc_auc_score([1] * 6 + [0] * 6, [*masses[0], *masses[1]])
    assert found[probe.name].mean("auc") == pytest.approx(area)
