"""Resources: memory by its parts, counted by hand on `tiny`, and the largest batch that fits."""

import psutil
import pytest
import torch

from forgetting import IA3, FreezeFirst, FreezeLast, Full, LoRA, OnlyMLP, Settings, Task
from forgetting.experiments import resources
from forgetting.experiments.resources import NotEnough, largest_batch, training_memory

# tiny: 2 blocks, hidden 32, inner 64, 4 heads of 8 and 2 of keys, 259 words, 26,880 weights.
PASSING = 2 * 2 * 32 + 4 * 32 + 16 + 3 * 64  # norms; queries, keys and values twice; gate, up
INPUTS = 2 * 32 + 32 + 64  # attention's and the MLP's, attention's answer, the MLP's product
CHINESE = Task("zh_everyday")


def memory(model, tune, batch=2, length=64):
    return training_memory(model, tune, Settings(batch=batch, length=length))


def test_full_training_by_hand(tiny):
    found = memory(tiny, Full())
    assert found.weights == found.gradients == 4 * 26_880
    assert found.optimiser == 2 * 4 * 26_880
    assert found.update == resources.LARGEST_STEP * 4 * 259 * 32
    norms = 2 * 32  # their gains move, too: input_layernorm and post_attention_layernorm
    assert found.activations >= 4 * 2 * (PASSING + INPUTS) * 128
    assert found.activations <= 4 * 2 * (PASSING + INPUTS + norms) * 128
    assert found.logits == resources.LOGIT_COPIES * 4 * 259 * 128


def test_activations_and_logits_grow_with_tokens_alone(tiny):
    one, four = memory(tiny, LoRA()), memory(tiny, LoRA(), batch=4, length=128)
    assert four.activations == 4 * one.activations and four.logits == 4 * one.logits
    assert four[:5] == one[:5]


def test_what_is_frozen_below_all_that_moves_saves_nothing(tiny):
    """The MLPs of both blocks, of the last block, or all but a block: embeddings move there."""
    mlp, last = memory(tiny, OnlyMLP()), memory(tiny, FreezeFirst(1))
    assert mlp.activations == 4 * 2 * (PASSING + 32 + 64) * 128
    assert last.activations == memory(tiny, FreezeLast(1)).activations
    assert 4 * 2 * PASSING * 128 < last.activations < memory(tiny, Full()).activations


@pytest.mark.parametrize("tune", [LoRA(), IA3()])
def test_an_adapter_needs_hardly_more_than_the_weights_and_the_activations(tune, tiny):
    found, full = memory(tiny, tune), memory(tiny, Full())
    assert found.gradients + found.optimiser < 0.1 * (full.gradients + full.optimiser)
    assert found.activations < full.activations


@pytest.mark.parametrize("room", [0.0, 1e6, 1e7, 5e7])
def test_the_largest_batch_fits_and_one_more_does_not(room, tiny):
    settings = Settings(batch=1, length=128)
    free = memory(tiny, Full(), batch=1, length=16).peak + room
    fits = largest_batch(tiny, Full(), settings, free)
    if fits:
        assert memory(tiny, Full(), fits, 128).peak <= free
    assert memory(tiny, Full(), fits + 1, 128).peak > free


def test_a_run_that_cannot_fit_names_the_batch_that_would(tiny, monkeypatch):
    free = memory(tiny, Full(), batch=5, length=4096).peak

    class Machine:
        available = free

    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    shape = {"length": 4096, "tokens": 2**16}
    resources.check_memory([tiny.train(CHINESE, batch=5, **shape)])
    with pytest.raises(NotEnough, match=r"^memory: .* batch=8 of 4096 tokens; batch=5 fits$"):
        resources.check_memory([tiny.train(CHINESE, batch=8, **shape)])
    Machine.available = 2 * memory(tiny, Full(), batch=4, length=4096).peak
    with pytest.raises(NotEnough, match=r"GB a worker of 2, about .*; batch=4 fits$"):
        resources.check_memory([tiny.train(CHINESE, batch=5, **shape)], workers=2)
    Machine.available = memory(tiny, Full(), batch=1, length=256).peak
    with pytest.raises(NotEnough, match="no batch fits: shorten `length`, move fewer weights or"):
        resources.check_memory([tiny.train(CHINESE, batch=8, **shape)])


def test_memory_kept_from_an_earlier_training_counts_as_free(monkeypatch):
    """It is given back before the machine is asked."""
    asked = []

    class Machine:
        available = 5.0

        def __init__(self):
            asked.append("machine")

    monkeypatch.setattr(resources, "give_freed_memory_back", lambda: asked.append("given back"))
    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resources._free() == 5.0
    assert asked == ["given back", "machine"]
