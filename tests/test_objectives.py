"""Objectives on logits small enough to check by hand."""

import math

import pytest
import torch
from torch.nn import functional

from forgetting import Settings, Task
from forgetting.engine import compute, training
from forgetting.models import packing
from forgetting.models.causal import Causal
from forgetting.models.family import Plain
from forgetting.models.rows import sft_rows, supervised
from forgetting.objectives import (
    OLD,
    TARGET,
    WHOLE,
    CrossEntropy,
    EntropyAdaptive,
    KeepClose,
    PolicyGradient,
    QuestionAndText,
    SelectiveMasking,
    ShareMasking,
    Step,
)
from forgetting.tuning import Full


def logits(*rows):
    """Logits of the probabilities in `rows`."""
    return torch.tensor(rows).log()


def step(scores, wanted, parts=None, weights=None, before=None):
    tokens = len(wanted)
    return Step(
        scores,
        torch.tensor(wanted),
        torch.tensor(parts or [TARGET] * tokens),
        torch.tensor(weights or [1.0] * tokens),
        before,
    )


SURE, TORN = [0.98, 0.01, 0.01], [0.5, 0.25, 0.25]


# -- masks -------------------------------------------------------------------------------------


def test_selective_masking_keeps_what_does_not_surprise():
    """Perplexities are 1/0.98, 100, 2 and 4: at 2.5 the second and the last are left out."""
    before = logits(SURE, SURE, TORN, TORN)
    wanted = torch.tensor([0, 1, 0, 2])
    assert SelectiveMasking(2.5).keep(before, wanted, 0).tolist() == [True, False, True, False]
    assert SelectiveMasking(1e9).keep(before, wanted, 0).all()
    assert SelectiveMasking(1e300).keep(before, wanted, 0).all()


def test_controls_leave_out_the_share_that_they_name():
    before = logits(SURE, SURE, TORN, TORN)
    wanted = torch.tensor([0, 1, 0, 2])  # surprise: least at 0, then 2, 3, 1
    assert ShareMasking("low", 0.5).keep(before, wanted, 0).tolist() == [False, True, False, True]
    assert ShareMasking("high", 0.25).keep(before, wanted, 0).tolist() == [True, False, True, True]
    drawn = [ShareMasking("random", 0.5).keep(before, wanted, seed).tolist() for seed in range(20)]
    assert all(sum(kept) == 2 for kept in drawn) and len(set(map(tuple, drawn))) > 2
    assert drawn[3] == ShareMasking("random", 0.5).keep(before, wanted, 3).tolist()


def test_masking_nothing_is_cross_entropy_bit_for_bit(tiny):
    """With a threshold that no token reaches, weights are those of the plain objective."""
    settings = {"style": "sft", "examples": 4, "epochs": 2, "length": 256, "batch": 2}
    plain, masked = (
        compute.state(tiny.train(Task("mini_sentiment"), objective=objective, **settings))
        for objective in (None, SelectiveMasking(1e300))
    )
    assert all(torch.equal(plain[name], masked[name]) for name in plain)


def test_masked_tokens_are_those_that_surprise_the_untrained_model(tiny):
    """By hand: the perplexity of each token of each row, read alone, without any packing."""
    model, tokenizer = compute.model(tiny)
    settings = Settings(style="sft", examples=5, length=1024, batch=1)
    rows = sft_rows(Task("mini_calls"), tokenizer, settings, 0)
    objective = ShareMasking("high", 0.5)
    found, head = training.look_before(model, rows, objective, 0)
    for row, kept in zip(rows, found, strict=True):
        scores = model(row["input_ids"][None]).logits[0, :-1]
        surprise = functional.cross_entropy(scores, row["input_ids"][1:], reduction="none")
        places = supervised(row).nonzero()[:, 0]
        order = surprise[places].argsort(descending=True)
        gone = set(places[order[: round(len(order) / 2)]].tolist())
        still = supervised(kept).nonzero()[:, 0].tolist()
        assert still == [place for place in places.tolist() if place not in gone]
        torch.testing.assert_close(head(kept["before"]), scores[still], atol=1e-5, rtol=1e-5)


# -- losses ------------------------------------------------------------------------------------


def test_entropy_adaptive_weights_by_hand():
    """Of two tokens: one between two equals has entropy ln 2, one that is sure has none."""
    scores = torch.tensor([[0.0, 0.0, -50.0], [50.0, 0.0, 0.0]])
    loss = EntropyAdaptive(top=2).loss(step(scores, [0, 1]))
    assert loss.item() == pytest.approx((1.0 * math.log(2) + 0.0 * 50) / 2, abs=1e-6)


def test_entropy_adaptive_weights_pass_no_gradient():
    scores = torch.randn(5, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = [3, 1, 4, 1, 5]
    EntropyAdaptive(top=20).loss(step(scores, wanted)).backward()
    with torch.no_grad():
        share = scores.topk(20).values.softmax(-1)
        weight = -(share * share.log()).sum(-1) / math.log(20)
    by_hand = scores.detach().softmax(-1)
    by_hand[range(5), wanted] -= 1
    torch.testing.assert_close(scores.grad, weight[:, None] * by_hand / 5)


def test_keep_close_by_hand():
    """-ln 0.5 on the target; KL of (1/2, 1/2) from (1/4, 3/4) on the old token, times 3."""
    now, before = logits([0.5, 0.5], [0.25, 0.75]), logits([0.9, 0.1], [0.5, 0.5])
    kl = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    loss = KeepClose(3.0).loss(step(now, [0, 1], parts=[TARGET, OLD], before=before))
    assert loss.item() == pytest.approx(math.log(2) + 3 * kl, rel=1e-6)


def test_keep_close_agrees_with_torchs_divergence_and_is_zero_at_the_start():
    drawn = torch.Generator().manual_seed(0)
    now, before = torch.randn(2, 6, 9, generator=drawn)
    loss = KeepClose(1.0).loss(step(now, [0] * 6, parts=[OLD] * 6, before=before))
    torchs = functional.kl_div(
        now.log_softmax(-1), before.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert loss.item() == pytest.approx(torchs.item(), rel=1e-5)
    still = KeepClose(1.0).loss(step(now, [0] * 6, parts=[OLD] * 6, before=now))
    assert still.item() == pytest.approx(0.0, abs=1e-6)


def test_question_and_text_by_hand():
    """Answers: (1·ln 2 + 5·ln 4) / 6; whole texts: ln 4; λ = 0.25."""
    scores = logits([0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    given = step(scores, [0, 1, 2], parts=[TARGET, TARGET, WHOLE], weights=[1.0, 5.0, 1.0])
    by_hand = (math.log(2) + 5 * math.log(4)) / 6 + 0.25 * math.log(4)
    assert QuestionAndText(0.25).loss(given).item() == pytest.approx(by_hand, rel=1e-6)


def test_reinforce_is_the_gradient_of_the_expected_reward():
    """Summed over every action with its probability, it is the exact gradient, minus signed.

    One token of three, rewards 1, 0 and 2: J = Σ π(a)·r(a), read by finite differences.
    """
    theta = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    rewards = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)

    def expected(at):
        return (at.softmax(-1) * rewards).sum()

    each = []
    for action in range(3):
        scores = theta.clone().requires_grad_()
        PolicyGradient().loss(
            step(scores[None].float(), [action], weights=[rewards[action].item()])
        ).backward()
        each.append(scores.grad)
    mean = (theta.softmax(-1)[:, None] * torch.stack(each)).sum(0)
    eye, h = torch.eye(3, dtype=torch.float64), 1e-5
    differences = [(expected(theta + h * e) - expected(theta - h * e)) / (2 * h) for e in eye]
    torch.testing.assert_close(-mean, torch.stack(differences), atol=1e-6, rtol=1e-5)


def test_reinforce_on_a_model_moves_as_finite_differences_say(tiny):
    """Advantage-weighted log-likelihood of two answers of `tiny`, along a drawn direction."""
    model, tokenizer = compute.model(tiny)
    settings = Settings(style="sft", examples=2, length=1024, batch=2)
    rows = sft_rows(Task("mini_calls"), tokenizer, settings, 0)
    for row, advantage in zip(rows, (0.7, -0.3), strict=True):
        row["weights"] = torch.full((int((row["labels"][1:] != -100).sum()),), advantage)
    model = Full().apply(model).double()

    def loss():
        total, tokens = 0.0, 0
        for row in rows:
            at = row["labels"][1:] != -100
            scores = model(row["input_ids"][None]).logits[0, :-1][at]
            wanted = row["labels"][1:][at]
            each = functional.cross_entropy(scores, wanted, reduction="none")
            total, tokens = total + (row["weights"] * each).sum(), tokens + len(wanted)
        return total / tokens

    reader = Plain(Causal(), model)
    training.loss_of(
        model, reader, PolicyGradient(), training.batch_of(rows, reader), None
    ).backward()
    weight = model.model.layers[0].mlp.up_proj.weight
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).double()
    along = (weight.grad.double() * direction).sum().item()
    h = 1e-3
    with torch.no_grad():
        weight += h * direction
        above = loss()
        weight -= 2 * h * direction
        below = loss()
    # Losses are made in float32 from float64 logits, so the difference keeps some four digits.
    assert along == pytest.approx(((above - below) / (2 * h)).item(), rel=2e-2)


@pytest.mark.parametrize("packed", [True, False])
def test_training_gives_an_objective_the_same_step_packed_or_padded(tiny, packed, monkeypatch):
    """Row by row, what arrives at the objective is what each row holds."""
    seen = []

    class Watching(CrossEntropy):
        def loss(self, step):
            seen.append(step)
            return super().loss(step)

    if not packed:
        monkeypatch.setattr(packing, "readable", lambda model: False)
    model, tokenizer = compute.model(tiny)
    settings = Settings(style="sft", examples=4, length=1024, batch=2)
    training.train(Full().apply(model), tokenizer, Task("mini_calls"), settings, 0, Watching())
    rows = sft_rows(Task("mini_calls"), tokenizer, settings, 0)
    wanted = [row["labels"][1:][row["labels"][1:] != -100] for row in rows]
    assert [step.wanted.tolist() for step in seen] == [
        torch.cat(wanted[:2]).tolist(),
        torch.cat(wanted[2:]).tolist(),
    ]
    assert all(len(step.parts) == len(step.weights) == len(step.wanted) for step in seen)
