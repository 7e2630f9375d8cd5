"""Divergence between two models' next-token distributions."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from forgetting import Task
from forgetting.engine import compute
from forgetting.lineage import Settings
from forgetting.models.causal import IGNORED, pretrain_rows, sft_rows
from forgetting.probes.divergence import Divergence, divergence, read, token_divergence

SETTINGS = Settings(tokens=96, length=24, batch=2)  # 4 rows


def log(*probabilities):
    return torch.tensor([probabilities]).log()


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
    pairs = [("What is in the sea?", "Salt, fish and ships.")]
    dialogue = SimpleNamespace(name="dialogue", chat=True, training_pairs=lambda seed: iter(pairs))
    chat = sft_rows(dialogue, tokenizer, Settings(tokens=200, length=200, batch=1), seed=0)
    assert (chat[0]["labels"] == IGNORED).any()
    return text + chat[:1]


# -- distributions by hand ---------------------------------------------------------------------


def test_two_coins_by_hand():
    """p = (1/2, 1/2), q = (1/4, 3/4)."""
    forward, reverse, same = token_divergence(log(0.5, 0.5), log(0.25, 0.75))
    assert forward.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert reverse.item() == pytest.approx(0.25 * math.log(1 / 2) + 0.75 * math.log(3 / 2))
    assert same.tolist() == [False]  # of two likeliest tokens the first is taken


def test_what_the_tuned_model_gave_up_counts_forward_and_what_it_made_up_backward():
    """p is spread over two tokens, q keeps one of them: p‖q is infinite, q‖p is ln 2."""
    forward, reverse, same = token_divergence(log(0.5, 0.5), log(1.0, 0.0))
    assert forward.item() == math.inf
    assert reverse.item() == pytest.approx(math.log(2))
    assert same.item()


def test_tokens_that_both_models_forbid_add_nothing():
    forward, reverse, _ = token_divergence(log(0.5, 0.5, 0.0), log(0.25, 0.75, 0.0))
    two, two_back, _ = token_divergence(log(0.5, 0.5), log(0.25, 0.75))
    assert (forward.item(), reverse.item()) == pytest.approx((two.item(), two_back.item()))


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
def test_a_distribution_is_at_zero_from_itself_exactly(pair):
    p = torch.tensor([pair[0]])
    forward, reverse, same = token_divergence(p, p)
    assert (forward.item(), reverse.item(), same.item()) == (0.0, 0.0, True)


@given(logits, st.floats(-5, 5))
def test_a_constant_added_to_all_logits_changes_nothing(pair, shift):
    p, q = (torch.tensor([side]) for side in pair)
    moved = token_divergence(p, q + shift)
    for value, expected in zip(moved[:2], token_divergence(p, q)[:2], strict=True):
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)


def test_logits_that_are_no_numbers_stay_visible():
    forward, reverse, _ = token_divergence(torch.zeros(1, 3), torch.full((1, 3), math.nan))
    assert math.isnan(forward.item()) and math.isnan(reverse.item())


# -- models ------------------------------------------------------------------------------------


def by_whole_logits(original, tuned, row):
    """The plain way: all logits of a row at once, float64, torch's kl_div."""
    with torch.no_grad():
        p, q = (
            model(input_ids=row["input_ids"][None]).logits[0, :-1].double().log_softmax(-1)
            for model in (original, tuned)
        )
    kept = row["labels"][1:] != IGNORED
    p, q = p[kept], q[kept]
    n = len(p)
    return (
        functional.kl_div(q, p, log_target=True, reduction="sum").item() / n,
        functional.kl_div(p, q, log_target=True, reduction="sum").item() / n,
        (p.argmax(-1) == q.argmax(-1)).double().mean().item(),
        n,
    )


def test_rows_are_what_whole_logits_and_kl_div_give(models, rows):
    found = divergence(*models, rows)
    expected = [by_whole_logits(*models, row) for row in rows]
    forward, reverse, same, tokens = zip(*expected, strict=True)
    assert found.forward == pytest.approx(forward, abs=1e-6)
    assert found.reverse == pytest.approx(reverse, abs=1e-6)
    assert found.agreement == pytest.approx(same)
    assert found.tokens == list(tokens)
    assert tokens[:4] == (23,) * 4 and tokens[4] < len(rows[4]["input_ids"]) - 1
    assert min(found.forward) > 0.001 and 0 < found.mean("agreement") < 1


def test_turning_the_models_round_swaps_forward_and_reverse(models, rows):
    found, back = divergence(*models, rows), divergence(*models[::-1], rows)
    assert found.forward == pytest.approx(back.reverse)
    assert found.reverse == pytest.approx(back.forward)
    assert found.agreement == back.agreement


def test_a_model_is_at_zero_from_itself_exactly(models, rows):
    found = divergence(models[0], copy.deepcopy(models[0]), rows)
    assert found.forward == found.reverse == [0.0] * 5
    assert found.agreement == [1.0] * 5


@pytest.mark.parametrize("chunk", [1, 7, 23, 10_000])
def test_the_chunks_do_not_matter(models, rows, chunk):
    found, other = divergence(*models, rows), divergence(*models, rows, chunk=chunk)
    assert other.forward == pytest.approx(found.forward, abs=1e-6)
    assert other.reverse == pytest.approx(found.reverse, abs=1e-6)
    assert (other.agreement, other.tokens) == (found.agreement, found.tokens)


def test_logits_exist_for_one_chunk_of_supervised_tokens_at_a_time(models, rows):
    sizes = []
    handle = (
        models[1]
        .get_output_embeddings()
        .register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape)))
    )
    divergence(*models, rows[:1], chunk=10)
    handle.remove()
    vocabulary = models[1].config.vocab_size
    assert sizes[2:] == [(10, vocabulary), (10, vocabulary), (3, vocabulary)]  # 2: the check


def test_the_mean_counts_tokens_and_not_rows():
    found = Divergence([1.0, 4.0], [0.0, 3.0], [1.0, 0.5], [2.0, 2.0], [1.0, 5.0], [3, 1])
    assert (found.mean(), found.mean("reverse"), found.mean("agreement")) == (1.75, 0.75, 0.875)
    assert (found.mean("greedy"), found.mean("nats")) == (2.0, 2.0)


def test_cross_entropy_on_the_originals_choice_and_on_the_text(models, rows):
    """Against `torch`'s own cross-entropy over the whole row of logits."""
    found = divergence(*models, rows)
    for number, row in enumerate(rows):
        before, after = (m(input_ids=row["input_ids"][None]).logits[0, :-1] for m in models)
        wanted = row["labels"][1:]
        kept = wanted != IGNORED
        nats = functional.cross_entropy(after, wanted, ignore_index=IGNORED)
        greedy = functional.cross_entropy(after[kept], before.argmax(dim=-1)[kept])
        assert found.nats[number] == pytest.approx(nats.item(), rel=1e-4)
        assert found.greedy[number] == pytest.approx(greedy.item(), rel=1e-4)


def test_a_reading_of_the_original_serves_many(models, rows):
    assert divergence(read(models[0], rows), models[1], rows) == divergence(*models, rows)


def test_training_moves_the_model_away_from_itself(tiny, rows):
    trained = tiny.train(Task("zh_everyday"), tokens=128, length=32, batch=2, learning_rate=1e-2)
    moved = divergence(compute.model(tiny)[0], compute.model(trained)[0], rows)
    assert moved.mean() > 0.01


# -- what is refused ---------------------------------------------------------------------------


def test_a_model_in_training_mode_is_refused(models, rows):
    tuned = copy.deepcopy(models[1]).train()
    with pytest.raises(ValueError, match=r"^tuned: is in training mode, .* call tuned\.eval\(\)$"):
        divergence(models[0], tuned, rows)


def test_models_of_two_vocabularies_are_refused(models, rows):
    smaller = copy.deepcopy(models[1])
    smaller.resize_token_embeddings(100)
    with pytest.raises(ValueError, match="tuned: vocabulary of 100 tokens, original of 259"):
        divergence(models[0], smaller, rows)


def test_a_model_that_caps_its_logits_is_refused_and_not_read_wrongly(models, rows):
    capped = copy.deepcopy(models[1])
    forward = capped.forward

    def soft_capped(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = torch.tanh(output.logits)
        return output

    capped.forward = soft_capped
    with pytest.raises(ValueError, match="tuned: LlamaForCausalLM scales or caps its logits"):
        divergence(models[0], capped, rows)


def test_rows_without_anything_to_compare_are_named(models, rows):
    empty = {"input_ids": torch.tensor([5, 6]), "labels": torch.tensor([5, IGNORED])}
    with pytest.raises(ValueError, match=r"^rows\[1\]: no supervised token; leave the row out$"):
        divergence(*models, [rows[0], empty])
    with pytest.raises(ValueError, match="rows: none given"):
        divergence(*models, [])
    with pytest.raises(ValueError, match="chunk=0: must be at least one token"):
        divergence(*models, rows, chunk=0)
