"""Weight change: norms and ranks of updates whose singular values are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forgetting import Full, LoRA, Task
from forgetting.engine import compute
from forgetting.probes.weight_change import (
    effective_rank,
    rank_at_energy,
    total_change,
    weight_change,
)


def sigma(*values):
    return torch.tensor(values, dtype=torch.float64)


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def update(values, m, n, seed=0):
    """An m×n matrix with the singular values `values`."""
    u = torch.linalg.qr(random(m, len(values), seed=seed).double()).Q
    v = torch.linalg.qr(random(n, len(values), seed=seed + 1).double()).Q
    return u @ torch.diag(sigma(*values)) @ v.T


@pytest.mark.parametrize(
    ("values", "effective", "at_90", "at_100"),
    [
        ((3.0,), 1.0, 1, 1),
        ((2.0, 2.0, 2.0), 3.0, 3, 3),
        ((2.0, 2.0, 0.0, 0.0), 2.0, 2, 2),
        # p = 3/4, 1/4: exp of 3/4·ln(4/3) + 1/4·ln 4 is 4 / 3^(3/4); 9 of 10, in any order
        ((3.0, 1.0), 4 / 3**0.75, 1, 2),
        ((1.0, 3.0), 4 / 3**0.75, 1, 2),
        ((2.0, 1.0), 3 / 2 ** (2 / 3), 2, 2),  # 4 of 5
        ((1.0,) * 10, 10.0, 9, 10),
        ((0.1,) * 10, 10.0, 9, 10),
        ((5.0, 0.0), 1.0, 1, 1),
        ((0.0, 0.0), 0.0, 0, 0),
        ((), 0.0, 0, 0),
    ],
)
def test_ranks_by_hand(values, effective, at_90, at_100):
    assert effective_rank(sigma(*values)) == pytest.approx(effective)
    assert rank_at_energy(sigma(*values)) == at_90
    assert rank_at_energy(sigma(*values), 1.0) == at_100


positive = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


@given(positive, st.floats(1e-3, 1e3))
def test_ranks_lie_between_one_and_all_and_ignore_scale(values, factor):
    found = effective_rank(sigma(*values))
    assert 1 - 1e-9 <= found <= len(values) + 1e-9
    p = np.array(values) / sum(values)
    assert found == pytest.approx(math.exp(-sum(x * math.log(x) for x in p)))
    assert effective_rank(sigma(*(factor * v for v in values))) == pytest.approx(found)
    assert 1 <= rank_at_energy(sigma(*values)) <= len(values)


@given(positive, st.floats(0.01, 1))
def test_no_fewer_values_hold_the_share(values, share):
    k = rank_at_energy(sigma(*values), share)
    energy = sorted((v**2 for v in values), reverse=True)
    assert sum(energy[:k]) >= share * sum(energy) * (1 - 1e-9)
    assert k == 1 or sum(energy[: k - 1]) < share * sum(energy)


def test_an_impossible_share_is_refused():
    with pytest.raises(ValueError, match="share=0: must be above 0 and at most 1"):
        rank_at_energy(sigma(1.0), 0)


def test_a_change_by_hand():
    before = {"w": torch.tensor([[3.0, 0.0], [0.0, 4.0]]), "b": torch.tensor([1.0, 0.0])}
    after = {"w": torch.tensor([[6.0, 0.0], [0.0, 5.0]]), "b": torch.tensor([1.0, 2.0])}
    matrix, vector = weight_change(before, after)
    assert (matrix["module"], matrix["shape"]) == ("w", (2, 2))
    assert matrix["change"] == pytest.approx(math.sqrt(10))  # singular values 3 and 1
    assert matrix["norm"] == 5 and matrix["relative"] == pytest.approx(math.sqrt(10) / 5)
    assert matrix["spectral"] == pytest.approx(3)
    assert (matrix["rank"], matrix["rank_90"]) == (2, 1)
    assert matrix["effective_rank"] == pytest.approx(4 / 3**0.75)
    assert (vector["change"], vector["norm"], vector["relative"]) == (2, 1, 2)
    assert vector["spectral"] == 2 and vector["rank"] is vector["effective_rank"] is None
    total = total_change([matrix, vector])
    assert total["change"] == pytest.approx(math.sqrt(14))
    assert total["norm"] == pytest.approx(math.sqrt(26))
    assert total["relative"] == pytest.approx(math.sqrt(14 / 26))


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (32, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_low_rank_update_keeps_its_rank_though_weights_are_rounded(shape, dtype):
    values = (3.0, 2.0, 1.0)
    before = random(*shape, seed=9, dtype=dtype)
    after = (before.double() + update(values, *shape)).to(dtype)
    (row,) = weight_change({"w": before}, {"w": after})
    close = {"rel": 0.02 if dtype == torch.bfloat16 else 1e-5}
    assert row["rank"] == 3
    assert row["spectral"] == pytest.approx(3, **close)
    assert row["effective_rank"] == pytest.approx(effective_rank(sigma(*values)), **close)
    assert row["rank_90"] == 2  # (9 + 4) of 14
    whole = torch.linalg.svdvals(after.double() - before.double())
    assert (whole[3:] > 0).any()  # the noise that is left out
    assert row["change"] == pytest.approx(whole.square().sum().sqrt().item())


@given(st.integers(1, 5), st.integers(0, 50))
def test_an_update_of_rank_r_has_no_rank_above_r(r, seed):
    before = random(12, 20, seed=seed)
    after = before + random(12, r, seed=seed + 1) @ random(r, 20, seed=seed + 2)
    (row,) = weight_change({"w": before}, {"w": after})
    assert row["rank"] == r
    assert 1 <= row["effective_rank"] <= r + 1e-9
    assert 1 <= row["rank_90"] <= r
    assert row["spectral"] <= row["change"] <= math.sqrt(r) * row["spectral"] * (1 + 1e-6)


def test_numpy_agrees_on_norms():
    before, after = random(30, 50, seed=1), random(30, 50, seed=2)
    (row,) = weight_change({"w": before}, {"w": after})
    delta = after.double().numpy() - before.double().numpy()
    assert row["change"] == pytest.approx(np.linalg.norm(delta))
    assert row["spectral"] == pytest.approx(np.linalg.norm(delta, 2))
    assert row["rank"] == np.linalg.matrix_rank(delta) == 30


def test_nothing_moved_or_a_tensor_that_was_zero():
    state = {"w": random(4, 6), "b": torch.zeros(3), "empty": torch.zeros(2, 2)}
    rows = weight_change(state, {name: t.clone() for name, t in state.items()})
    for row in rows:
        assert row["change"] == row["relative"] == row["spectral"] == 0
    for row in (rows[0], rows[2]):
        assert row["rank"] == row["effective_rank"] == row["rank_90"] == 0
    assert total_change(rows)["relative"] == 0
    (row,) = weight_change({"b": torch.zeros(2)}, {"b": torch.ones(2)})
    assert row["relative"] == math.inf and row["change"] == pytest.approx(math.sqrt(2))


def test_more_than_two_dimensions_are_read_as_a_matrix():
    before, after = torch.zeros(4, 2, 3), random(4, 2, 3)
    flat = weight_change({"w": before.reshape(4, 6)}, {"w": after.reshape(4, 6)})[0]
    deep = weight_change({"w": before}, {"w": after})[0]
    assert deep == flat | {"shape": (4, 2, 3)}


def test_states_that_cannot_be_compared_are_refused():
    one = {"a": torch.zeros(2, 2), "b": torch.zeros(2)}
    for other, message in [
        ({"a": torch.zeros(2, 2)}, "models differ in parameters, first: b"),
        (one | {"b": torch.zeros(3)}, r"b has shapes \(2,\) and \(3,\); compare one arch"),
        (
            one | {"b": torch.full((2,), math.nan)},
            "b: after holds nan or inf; the training diverged",
        ),
        (
            one | {"b": torch.full((2,), math.inf)},
            "b: after holds nan or inf; the training diverged",
        ),
    ]:
        with pytest.raises(ValueError, match=f"^{message}"):
            weight_change(one, other)


QUICK = {"tokens": 256, "length": 32, "batch": 2, "learning_rate": 1e-2}


@pytest.mark.parametrize("r", [1, 4])
def test_lora_moves_its_modules_in_at_most_its_rank(r, tiny):
    adapted = tiny.train(Task("zh_everyday"), tune=LoRA(rank=r), seed=3, **QUICK)
    rows = weight_change(compute.state(tiny), compute.state(adapted))
    moved = {row["module"] for row in rows if row["change"] > 0}
    names = [row["module"] for row in rows]
    assert moved == {name for name in names if "q_proj" in name or "v_proj" in name}
    for row in rows:
        if row["module"] in moved:
            assert 1 <= row["rank"] <= r
            assert 1 <= row["effective_rank"] <= r + 1e-9
            assert row["rank_90"] <= r
        else:
            assert row["rank"] in (0, None)


def test_full_training_uses_more_directions_than_an_adapter(tiny):
    trained = tiny.train(Task("zh_everyday"), tune=Full(), seed=3, **QUICK)
    rows = weight_change(compute.state(tiny), compute.state(trained))
    assert all(row["change"] > 0 for row in rows)
    by_name = {row["module"]: row for row in rows}
    attention = by_name["model.layers.0.self_attn.q_proj.weight"]
    assert attention["rank"] == 32 and attention["effective_rank"] > 8
    whole = total_change(rows)
    flat = torch.cat(
        [(compute.state(trained)[n] - t).flatten() for n, t in compute.state(tiny).items()]
    )
    assert whole["change"] == pytest.approx(flat.norm().item(), rel=1e-5)
