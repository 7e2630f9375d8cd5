"""Recognisers that adapt: losses against plain numpy, and weights that come back to the bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forgetting import foundation
from forgetting.adaptation import DSUTA, SDPL, SUTA, ContinualSUTA
from forgetting.adaptation.moving import Weights
from forgetting.adaptation.suta import confusion, entropy
from forgetting.engine import compute
from forgetting.models import ctc, whisper
from forgetting.models.ctc import Characters
from forgetting.tuning import OnlyNorms

QUICK = SUTA(steps=2, learning_rate=1e-2)


def plainly(logits, share=0.3, temperature=2.5, weigh=True, spoken=True):
    """SUTA's loss with loops over frames and classes."""
    frames, classes = logits.shape
    shares = [[np.exp(z / temperature) for z in row] for row in logits]
    shares = [[each / sum(row) for each in row] for row in shares]
    entropies = [-sum(p * np.log(p) for p in row) for row in shares]
    heard = [
        h for h, row in zip(entropies, logits, strict=True) if not spoken or np.argmax(row) > 0
    ]
    sure = sum(heard) / len(heard) if heard else 0.0
    weights = [1 + np.exp(-h) if weigh else 1.0 for h in entropies]
    weights = [w * frames / sum(weights) for w in weights]
    mixed = np.zeros((classes, classes))
    for weight, row in zip(weights, shares, strict=True):
        for j in range(classes):
            for k in range(classes):
                mixed[j, k] += weight * row[j] * row[k]
    mixed = np.array(
        [[mixed[j, k] / mixed[k].sum() for k in range(classes)] for j in range(classes)]
    )
    beside = sum(mixed[j, k] for j in range(classes) for k in range(classes) if j != k)
    return share * sure + (1 - share) * beside / classes


@given(
    seed=st.integers(0, 999),
    frames=st.integers(1, 7),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    temperature=st.sampled_from([1.0, 2.5]),
    weigh=st.booleans(),
    spoken=st.booleans(),
)
def test_the_loss_is_a_plain_one(seed, frames, share, temperature, weigh, spoken):
    logits = np.random.default_rng(seed).normal(size=(frames, 5)) * 3
    how = SUTA(share=share, temperature=temperature, weigh=weigh, spoken=spoken)
    found = float(how.loss(torch.tensor(logits)))
    assert found == pytest.approx(plainly(logits, share, temperature, weigh, spoken), abs=1e-6)
    single = float(how.loss(torch.tensor(logits, dtype=torch.float32)))
    assert single == pytest.approx(found, abs=1e-5)


def test_by_hand():
    """One frame, two classes alike: entropy log 2; every class is half the other's confusion."""
    logits = torch.zeros(1, 2)
    assert entropy(logits) == 0  # the likeliest of equals is the first, the blank
    assert float(entropy(logits, spoken=False)) == pytest.approx(np.log(2))
    assert float(confusion(logits)) == pytest.approx(0.5)
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    assert float(confusion(sure)) == pytest.approx(0, abs=1e-6)


def test_blanks_alone_and_certainty_give_numbers():
    for logits in (torch.zeros(3, 4), torch.tensor([[1e4, 0.0, 0.0, 0.0]] * 3)):
        logits = logits.clone().requires_grad_()
        loss = SUTA().loss(logits)
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all()


# -- on a tiny recogniser ----------------------------------------------------------------------


def tone(seconds, pitch):
    time = np.arange(int(seconds * whisper.RATE)) / whisper.RATE
    return (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


WAVES = [tone(0.2, pitch) for pitch in (150, 300, 450, 600, 750, 900, 1050, 1200)]


@pytest.fixture(scope="module")
def model(session_home):
    ear = foundation("tiny-whisper")
    loaded, _ = compute.model(ear.graft(ear, Characters(), seed=3))
    with torch.no_grad():
        loaded.head.weight *= 20  # surer of what it hears, and less of blanks
        loaded.head.bias[0] -= 3
    return loaded


@pytest.fixture
def untouched(model):
    """The model, and afterwards as it was."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    yield model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(before[name])


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_moves(model):
    def moving(tune):
        tune.apply(model)
        return {name for name, p in model.named_parameters() if p.requires_grad}

    norms = moving(OnlyNorms(convolutions=False))
    assert norms == {n for n, _ in model.named_parameters() if "norm" in n} and len(norms) == 10
    convolutions = {f"encoder.conv{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")}
    assert moving(OnlyNorms()) == norms | convolutions


@pytest.mark.parametrize("how", [QUICK, SDPL(2, 1e-2), SDPL(2, 1e-2, over="time")], ids=repr)
def test_an_episode_leaves_nothing(untouched, how):
    listener = how.begin(untouched)
    before, start = listener.weights.state(), listener.weights.write(WAVES[0])
    first = listener.answer(WAVES[0])
    assert (
        same(listener.weights.state(), before)
        and not listener.weights.optimiser.state[next(iter(listener.weights.moving.values()))]
    )
    listener.answer(WAVES[1])
    assert listener.answer(WAVES[0]) == first  # no neighbour matters
    assert listener.weights.write(WAVES[0]) == start


def test_a_step_goes_down_the_loss(untouched):
    weights = Weights(untouched, OnlyNorms(), 1e-3)
    how = SUTA(steps=5, learning_rate=1e-3)
    losses = [float(how.loss(untouched.hear(WAVES[2])).detach())]
    how.adapt(weights, WAVES[2])
    losses.append(float(how.loss(untouched.hear(WAVES[2])).detach()))
    assert losses[1] < losses[0]


def test_pseudo_labels_by_hand(untouched):
    """One step of Adam moves each weight by the rate, down the gradient's sign."""
    weights = Weights(untouched, OnlyNorms(convolutions=False), 1e-3)
    logits = untouched.hear(WAVES[0])
    classes = ctc.spelled(untouched.text(logits))
    assert len(classes)
    (gradient,) = torch.autograd.grad(ctc.loss(logits, classes), untouched.encoder.layer_norm.bias)
    before = untouched.encoder.layer_norm.bias.detach().clone()
    SDPL(steps=1, learning_rate=1e-3, tune=OnlyNorms(convolutions=False)).adapt(weights, WAVES[0])
    moved = untouched.encoder.layer_norm.bias.detach() - before
    clear = gradient.abs() > 1e-4
    assert clear.any()
    torch.testing.assert_close(moved[clear], -1e-3 * gradient[clear].sign(), rtol=1e-2, atol=0)


def by_snapshots(model, waves, steps, buffer):
    """Fast and slow weights, with the slow ones in a model of their own all the time."""
    slow = Weights(model, QUICK.tune, QUICK.learning_rate)
    held, kept, said = [], slow.state(), []
    for wave in waves:
        slow.restore(kept)
        for _ in range(steps):
            slow.step([lambda wave=wave: QUICK.loss(model.hear(wave))])
        said.append(slow.write(wave))
        held.append(wave)
        if len(held) == buffer:
            slow.restore(kept)
            slow.optimiser.zero_grad()
            torch.stack([QUICK.loss(model.hear(w)) for w in held]).mean().backward()
            slow.optimiser.step()
            kept, held = slow.state(), []
    return said, kept


def test_fast_and_slow_weights(untouched):
    listener = DSUTA(QUICK, buffer=3).begin(untouched)
    first = listener.weights.state()
    said = [listener.answer(wave) for wave in WAVES]
    slow = listener.weights.state()
    listener.weights.restore(first)
    theirs, kept = by_snapshots(untouched, WAVES, QUICK.steps, 3)
    assert said == theirs and slow.keys() == kept.keys()
    for name, tensor in slow.items():
        torch.testing.assert_close(tensor, kept[name], atol=1e-4, rtol=1e-3)


def test_an_oracle_and_a_detector_reset(untouched, monkeypatch):
    told = DSUTA(QUICK, buffer=2, reset="oracle").begin(untouched)
    first = told.weights.state()
    for wave in WAVES[:2]:
        told.answer(wave)
    assert not same(told.weights.state(), first)
    told.changed()
    assert same(told.weights.state(), first) and told.resets == 1
    detector = DSUTA(QUICK, buffer=2, reset="dynamic", shaped=6).begin(untouched)
    gains = iter([1.0, 3.0, 9.0, 9.0, 2.0, 2.0, 9.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(detector, "_gain", lambda wave: next(gains))
    fails = []
    for number in range(14):  # of mean 2 and deviation 1.41: 4 is two errors of a pair above
        detector.answer(WAVES[number % 8])
        fails.append(detector.fails)
    assert fails == [0] * 7 + [1, 1, 0, 0, 1, 1, 0] and detector.resets == 1
    assert detector.count == 0 and not detector.room and same(detector.weights.state(), first)


def test_what_was_taught_stays_until_a_reset(untouched):
    keeps = ContinualSUTA(SUTA(steps=1, learning_rate=1e-2)).begin(untouched)
    first = keeps.weights.state()
    keeps.answer(WAVES[0])
    keeps.answer(WAVES[1])
    moved = next(iter(keeps.weights.moving.values()))
    assert keeps.weights.optimiser.state[moved]["step"] == 2
    keeps.weights.restore(first)
    resets = ContinualSUTA(SUTA(steps=1, learning_rate=1e-2), every=1).begin(untouched)
    for wave in WAVES[:3]:
        resets.answer(wave)
    assert resets.weights.optimiser.state[moved]["step"] == 1


@pytest.mark.parametrize(
    "how",
    [ContinualSUTA(QUICK), DSUTA(QUICK, buffer=3), DSUTA(QUICK, 2, "dynamic", shaped=6)],
    ids=["continual", "never", "dynamic"],
)
@pytest.mark.parametrize("cut", [1, 5])
def test_one_that_resumes_goes_on_to_the_bit(untouched, how, cut):
    whole = how.begin(untouched)
    first = whole.weights.state()
    said = [whole.answer(wave) for wave in WAVES]
    end = whole.state()
    whole.weights.restore(first)
    begun = how.begin(untouched)
    again = [begun.answer(wave) for wave in WAVES[:cut]]
    kept = begun.state()
    begun.weights.restore(first)
    other = how.begin(untouched)
    other.resume(kept)
    again += [other.answer(wave) for wave in WAVES[cut:]]
    assert again == said and same(other.state(), end)
