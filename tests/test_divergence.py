"""Divergence between two models' next-token distributions."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from forgetting import Task
from forgetting.engine import compute
from forgetting.lineage import Settings
from forgetting.models.rows import IGNORED, example_row, pretrain_rows
from forgetting.probes import divergence as probe
from forgetting.probes.divergence import Divergence, divergence, read, token_divergence
from forgetting.tasks import Example

SETTINGS = Settings(tokens=96, length=24, batch=2)  # 4 rows


@pytest.fixture(scope="module")
def models(tiny):
    """`tiny`, and `tiny` with its weights stirred."""
    original, _ = compute.model(tiny)
    tuned = copy.deepcopy(original)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in tuned.parameters():
            p += 0.05 * torch.randn(p.shape, generator=generator)
    return original, tuned


@pytest.fixture(scope="module")
def rows(tiny):
    """Four rows of text, and a dialogue of which the answer alone is supervised."""
    _, tokenizer = compute.model(tiny)
    text = pretrain_rows(Task("zh_everyday"), tokenizer, SETTINGS, seed=0)
    example = Example.of("What is in the sea?", "Salt, fish and ships.")
    chat = example_row(example, tokenizer, 200)
    assert (chat["labels"] == IGNORED).any()
    return [*text, chat]


@pytest.mark.parametrize(
    ("p", "q", "forward", "reverse", "same"),
    [
        ((1 / 2, 1 / 2), (1 / 4, 3 / 4), math.log(4 / 3) / 2, math.log(27 / 16) / 4, False),
        # Tokens that both models forbid add nothing.
        ((1 / 2, 1 / 2, 0), (1 / 4, 3 / 4, 0), math.log(4 / 3) / 2, math.log(27 / 16) / 4, False),
        # What the tuned model gave up counts forward, what it made up backward.
        ((1 / 2, 1 / 2), (1, 0), math.inf, math.log(2), True),
        ((1, 0), (1 / 2, 1 / 2), math.log(2), math.inf, True),
    ],
)
def test_coins_by_hand(p, q, forward, reverse, same):
    """Of two likeliest tokens the first is taken."""
    found = token_divergence(torch.tensor([p]).log(), torch.tensor([q]).log())
    assert [value.item() for value in found] == [*map(pytest.approx, (forward, reverse)), same]


def test_a_certain_and_an_uncertain_model_over_a_large_vocabulary():
    size = 50_000
    sure = torch.full((1, size), -1e4)
    sure[0, 7] = 0.0
    forward, reverse, same = token_divergence(sure, torch.zeros(1, size))
    assert forward.item() == pytest.approx(math.log(size), rel=1e-5)
    assert reverse.item() == pytest.approx(1e4 * (size - 1) / size - math.log(size), rel=1e-4)
    assert not same.item()


finite = st.floats(-30, 30, width=32)
logits = st.integers(2, 8).flatmap(
    lambda v: st.tuples(*[st.lists(finite, min_size=v, max_size=v)] * 2)
)


@given(logits)
@settings(max_examples=30)
def test_it_is_torchs_kl_div_and_never_negative(pair):
    p, q = (torch.tensor([side]) for side in pair)
    forward, reverse, _ = token_divergence(p, q)
    log_p, log_q = p.double().log_softmax(-1), q.double().log_softmax(-1)
    one = functional.kl_div(log_q, log_p, log_target=True, reduction="sum").item()
    other = functional.kl_div(log_p, log_q, log_target=True, reduction="sum").item()
    assert forward.item() == pytest.approx(one, abs=1e-4, rel=1e-4)
    assert reverse.item() == pytest.approx(other, abs=1e-4, rel=1e-4)
    assert forward.item() >= 0 and reverse.item() >= 0


@given(logits)
@settings(max_examples=10)
def test_a_distribution_is_at_zero_from_itself_exactly(pair):
    p = torch.tensor([pair[0]])
    forward, reverse, same = token_divergence(p, p)
    assert (forward.item(), reverse.item(), same.item()) == (0.0, 0.0, True)


@given(logits, st.floats(-5, 5))
@settings(max_examples=20)
def test_a_constant_added_to_all_logits_changes_nothing(pair, shift):
    p, q = (torch.tensor([side]) for side in pair)
    moved = token_divergence(p, q + shift)
    for value, expected in zip(moved[:2], token_divergence(p, q)[:2], strict=True):
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)


def test_logits_that_are_no_numbers_stay_visible():
    forward, reverse, _ = token_divergence(torch.zeros(1, 3), torch.full((1, 3), math.nan))
    assert math.isnan(forward.item()) and math.isnan(reverse.item())


def by_whole_logits(original, tuned, row):
    """The plain way: all logits of a row at once, torch's kl_div and cross-entropy."""
    kept = row["labels"][1:] != IGNORED
    with torch.no_grad():
        before, after = (
            m(input_ids=row["input_ids"][None]).logits[0, :-1] for m in (original, tuned)
        )
    before, after = before[kept].double(), after[kept].double()
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    greedy = before.argmax(-1)
    return (
        functional.kl_div(q, p, log_target=True, reduction="sum").item() / len(p),
        functional.kl_div(p, q, log_target=True, reduction="sum").item() / len(p),
        (greedy == after.argmax(-1)).double().mean().item(),
        functional.cross_entropy(after, greedy).item(),
        functional.cross_entropy(after, row["labels"][1:][kept]).item(),
        len(p),
    )


def compared(models, rows):
    return divergence(*(read(model, rows) for model in models), rows)


@pytest.mark.parametrize("chunk", [1, 7, 23, 10_000])
def test_rows_are_what_whole_logits_give_in_chunks_of_any_size(models, rows, chunk, monkeypatch):
    monkeypatch.setattr(probe, "CHUNK", chunk)
    found = compared(models, rows)
    expected = Divergence(*zip(*(by_whole_logits(*models, row) for row in rows), strict=True))
    for measure in ("forward", "reverse", "agreement", "greedy", "nats"):
        wanted = getattr(expected, measure)
        assert getattr(found, measure) == pytest.approx(wanted, abs=1e-6, rel=1e-5), measure
    assert found.tokens == list(expected.tokens)
    assert found.tokens[:4] == [23] * 4 and found.tokens[4] < len(rows[4]["input_ids"]) - 1
    assert min(found.forward) > 0.001 and 0 < sum(found.agreement) < 5


def test_a_model_is_at_zero_from_itself_exactly(models, rows):
    found = compared((models[0], copy.deepcopy(models[0])), rows)
    assert found.forward == found.reverse == [0.0] * 5
    assert found.agreement == [1.0] * 5


def test_logits_exist_for_one_chunk_of_supervised_tokens_at_a_time(models, rows, monkeypatch):
    monkeypatch.setattr(probe, "CHUNK", 10)
    sizes = []
    handle = (
        models[1]
        .get_output_embeddings()
        .register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape)))
    )
    compared(models, rows[:1])
    handle.remove()
    vocabulary = models[1].config.vocab_size
    assert sizes == [(10, vocabulary), (10, vocabulary), (3, vocabulary)]


def test_a_model_that_drops_out_is_refused(models, rows):
    tuned = copy.deepcopy(models[1]).train()
    with pytest.raises(ValueError, match=r"^model: is in training mode, .* call model\.eval\(\)$"):
        read(tuned, rows)
