"""Weight change: norms and ranks of updates whose singular values are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import Full, LoRA, Task
from forgetting.engine import compute
from forgetting.probes.weight_change import effective_rank, rank_90, weight_change


def sigma(*values):
    return torch.tensor(values, dtype=torch.float64)


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def update(values, m, n, seed=0):
    """An m×n matrix with the singular values `values`."""
    u = torch.linalg.qr(random(m, len(values), seed=seed).double()).Q
    v = torch.linalg.qr(random(n, len(values), seed=seed + 1).double()).Q
    return u @ torch.diag(sigma(*values)) @ v.T


def change(before, after):
    return weight_change({"w": before}, {"w": after})["w"]


@pytest.mark.parametrize(
    ("values", "effective", "at_90"),
    [
        ((3.0,), 1.0, 1),
        ((2.0, 2.0, 2.0), 3.0, 3),
        ((2.0, 2.0, 0.0, 0.0), 2.0, 2),
        # p = 3/4, 1/4: exp of 3/4·ln(4/3) + 1/4·ln 4 is 4 / 3^(3/4); 9 of 10, in any order
        ((3.0, 1.0), 4 / 3**0.75, 1),
        ((1.0, 3.0), 4 / 3**0.75, 1),
        ((2.0, 1.0), 3 / 2 ** (2 / 3), 2),  # 4 of 5
        ((1.0,) * 10, 10.0, 9),
        ((0.1,) * 10, 10.0, 9),
        ((5.0, 0.0), 1.0, 1),
        ((0.0, 0.0), 0.0, 0),
        ((), 0.0, 0),
    ],
)
def test_ranks_by_hand(values, effective, at_90):
    assert effective_rank(sigma(*values)) == pytest.approx(effective)
    assert rank_90(sigma(*values)) == at_90


positive = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


@given(positive, st.floats(1e-3, 1e3))
@settings(max_examples=30)
def test_ranks_lie_between_one_and_all_and_ignore_scale(values, factor):
    rank = effective_rank(sigma(*values))
    assert 1 - 1e-9 <= rank <= len(values) + 1e-9
    p = np.array(values) / sum(values)
    assert rank == pytest.approx(math.exp(-sum(x * math.log(x) for x in p)))
    assert effective_rank(sigma(*(factor * v for v in values))) == pytest.approx(rank)


@given(positive)
@settings(max_examples=30)
def test_no_fewer_values_hold_nine_tenths(values):
    k, energy = rank_90(sigma(*values)), sorted((v**2 for v in values), reverse=True)
    assert 1 <= k <= len(values) and sum(energy[:k]) >= 0.9 * sum(energy) * (1 - 1e-9)
    assert k == 1 or sum(energy[: k - 1]) < 0.9 * sum(energy)


def test_a_change_by_hand():
    before, after = (torch.diag(torch.tensor(d)) for d in ([3.0, 4.0], [6.0, 5.0]))
    moved = change(before, after)  # singular values 3 and 1
    assert moved.relative == pytest.approx(math.sqrt(10) / 5)
    assert (moved.rank, moved.rank_90) == (2, 1)
    assert moved.effective_rank == pytest.approx(4 / 3**0.75)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (32, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_low_rank_update_keeps_its_rank_though_weights_are_rounded(shape, dtype):
    values = (3.0, 2.0, 1.0)
    before = random(*shape, seed=9, dtype=dtype)
    after = (before.double() + update(values, *shape)).to(dtype)
    moved = change(before, after)
    close = {"rel": 0.02 if dtype == torch.bfloat16 else 1e-5}
    assert (moved.rank, moved.rank_90) == (3, 2)  # (9 + 4) of 14
    assert moved.effective_rank == pytest.approx(effective_rank(sigma(*values)), **close)
    whole = torch.linalg.svdvals(after.double() - before.double())
    assert (whole[3:] > 0).any()  # the noise that is left out
    norms = whole.square().sum().sqrt() / before.double().norm()
    assert moved.relative == pytest.approx(norms.item())


@given(st.integers(1, 5), st.integers(0, 50))
@settings(max_examples=20)
def test_an_update_of_rank_r_has_no_rank_above_r(r, seed):
    before = random(12, 20, seed=seed)
    moved = change(before, before + random(12, r, seed=seed + 1) @ random(r, 20, seed=seed + 2))
    assert moved.rank == r and 1 <= moved.effective_rank <= r + 1e-9 and 1 <= moved.rank_90 <= r


def test_numpy_agrees():
    before, after = random(30, 50, seed=1), random(30, 50, seed=2)
    moved, delta = change(before, after), after.double().numpy() - before.double().numpy()
    assert moved.relative == pytest.approx(np.linalg.norm(delta) / np.linalg.norm(before.numpy()))
    assert moved.rank == np.linalg.matrix_rank(delta) == 30


def test_nothing_moved_or_a_matrix_that_was_zero():
    for matrix in (random(4, 6), torch.zeros(2, 2)):
        assert change(matrix, matrix.clone()) == (0.0, 0, 0.0, 0)
    assert change(torch.zeros(2, 2), torch.ones(2, 2)).relative == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_that_diverged_is_named(value):
    with pytest.raises(ValueError, match=r"^w: after holds nan or inf; the training diverged"):
        change(torch.zeros(2, 2), torch.full((2, 2), value))


QUICK = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-2}


def matrices(checkpoint):
    return {name: p for name, p in compute.state(checkpoint).items() if p.ndim == 2}


def test_lora_moves_its_modules_in_at_most_its_rank_and_full_training_all(tiny):
    tunes = (LoRA(rank=2), Full())
    trained = [tiny.train(Task("zh_everyday"), tune=tune, seed=3, **QUICK) for tune in tunes]
    lora, full = (weight_change(matrices(tiny), matrices(after)) for after in trained)
    moved = {name for name, matrix in lora.items() if matrix.relative > 0}
    assert moved == {name for name in lora if "q_proj" in name or "v_proj" in name}
    for name, matrix in lora.items():
        low, high = (1, 2) if name in moved else (0, 0)
        assert low <= matrix.rank <= high and matrix.rank_90 <= high
        assert low - 1e-9 <= matrix.effective_rank <= high + 1e-9
    attention = full["model.layers.0.self_attn.q_proj.weight"]
    assert all(matrix.relative > 0 for matrix in full.values())
    assert attention.rank == 32 and attention.effective_rank > 8
