"""Each way to merge: numbers by hand, identities, other implementations, and as a step."""

import itertools
import json
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from peft.utils import merge_utils
from torch.nn import functional

from forgetting import LoRA, Task, merge, store
from forgetting.checking import BadValue
from forgetting.engine import compute
from forgetting.engine.merges import LENGTH, Operands
from forgetting.merging import (
    DARE,
    TIES,
    AdapterScale,
    ChatVector,
    Fisher,
    GreedySoup,
    GroupSearch,
    LinearAverage,
    ModelStock,
    PermutedVector,
    RandomVector,
    ShuffledVector,
    Slerp,
    SlerpDeltas,
    Soup,
    TaskArithmetic,
    weighted_sum,
)
from forgetting.merging.group_search import groups
from forgetting.merging.slerp import along_arc
from forgetting.merging.sparse import largest
from forgetting.models.family import family_of, parts
from forgetting.models.parts import Part
from forgetting.models.rows import example_row, supervised

CHINESE, FACTS = Task("zh_everyday"), Task("arc_easy_standin", 6)
QUICK = {"tokens": 64, "length": 32, "batch": 2, "learning_rate": 1e-2}
# Each method, with the number of models it is shown here.
METHODS = {
    LinearAverage(): 2,
    TaskArithmetic(scale=0.5): 2,
    ChatVector(): 2,
    Slerp(0.3): 1,
    SlerpDeltas(0.3): 2,
    TIES(): 2,
    TIES(scope="global"): 2,
    DARE(0.5, seed=1): 2,
    DARE(0.5, seed=1, elect="sum"): 2,
    ModelStock(): 2,
    Soup(): 2,
    AdapterScale(0.5): 1,
    RandomVector(seed=1): 2,
    ShuffledVector(seed=1): 2,
}
EVERY = pytest.mark.parametrize("how", METHODS, ids=repr)


def one(*values):
    return {"w": torch.tensor(values, dtype=torch.float32)}


def merged(how, base, *models, tools=None):
    """The merged values of models with one tensor."""
    return how.merge(one(*base), [one(*model) for model in models], tools)["w"]


def near(tensor, *values, within=1e-6):
    torch.testing.assert_close(tensor, torch.tensor(values), atol=within, rtol=0)


def drawn(seed, scale=1.0, shapes=None):
    """A model of three tensors."""
    dice = torch.Generator().manual_seed(seed)
    shapes = shapes or {"embed": (6, 5), "layer": (4, 4, 3), "norm": (7,)}
    return {n: scale * torch.randn(shape, generator=dice) for n, shape in shapes.items()}


def tuned(base, seed, scale=0.1):
    return {name: tensor + drawn(seed, scale)[name] for name, tensor in base.items()}


def assert_near(found, expected, within=1e-6):
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=within, rtol=0, msg=name)


# -- numbers by hand ---------------------------------------------------------------------------


def test_averages_and_task_vectors_by_hand():
    base, a, b = (1.0, 1.0, 1.0), (2.0, 1.0, 0.0), (1.0, 3.0, -1.0)
    near(merged(LinearAverage(), base, a, b), 1.5, 2.0, -0.5)
    near(merged(LinearAverage((3, 1)), base, a, b), 1.75, 1.5, -0.25)
    near(merged(Soup(), base, a, b), 1.5, 2.0, -0.5)  # the base is not in it
    near(merged(TaskArithmetic.add(0.5), base, a, b), 1.5, 2.0, -0.5)
    near(merged(TaskArithmetic.negate(), base, a), 0.0, 1.0, 2.0)
    # A is (2, 1, 0), B is (1, 3, -1), C is the base itself: its change is none.
    near(merged(TaskArithmetic.analogy(), base, a, b, base), 0.0, 3.0, 0.0)
    near(merged(ChatVector((0.5,)), base, a, b), 2.0, 2.0, -1.0)
    near(merged(AdapterScale(0.5), base, a), 1.5, 1.0, 0.5)


def test_slerp_by_hand():
    """A third of the way from (1, 0) to (0, 2): 30 degrees, lengths as the formula has them."""
    near(merged(Slerp(1 / 3), (1.0, 0.0), (0.0, 2.0)), math.sqrt(0.75), 1.0)
    # |cos| is 1: half-way between opposite vectors lies nothing, on the line.
    near(merged(Slerp(), (1.0, 2.0), (-1.0, -2.0)), 0.0, 0.0)
    # Changes (1, 0) and (0, 1) of base (5, 5): the arc keeps the length, the mean does not.
    middle = merged(SlerpDeltas(), (5.0, 5.0), (6.0, 5.0), (5.0, 6.0)) - 5.0
    near(middle, math.sqrt(0.5), math.sqrt(0.5))
    near(merged(SlerpDeltas(0.25), (5.0, 5.0), (6.0, 5.0), (5.0, 5.0)), 5.75, 5.0)


def test_ties_by_hand():
    """Of five changes each model keeps its three largest; of the third weight -5 outweighs 4."""
    base = (0.0,) * 5
    a, b = (1.0, 2.0, 4.0, 0.5, 0.1), (3.0, 0.2, -5.0, 0.4, 1.0)
    near(merged(TIES(0.6), base, a, b), 2.0, 2.0, -5.0, 0.0, 1.0)
    # Twice as much of the first: 8 outweighs 5. What one model alone has is not halved.
    near(merged(TIES(0.6, weights=(2, 1)), base, a, b), 5 / 3, 2.0, 4.0, 0.0, 1.0)
    near(merged(TIES(0.6, scale=0.5), base, a, b), 1.0, 1.0, -2.5, 0.0, 0.5)
    # 1 and -1 weigh the same: + is elected.
    near(merged(TIES(1.0), (0.0, 0.0), (1.0, -1.0), (-1.0, 1.0)), 1.0, 1.0)


def test_ties_trims_within_tensors_or_among_all_weights():
    base = {"small": torch.zeros(2), "large": torch.zeros(2)}
    model = {"small": torch.tensor([0.1, 0.2]), "large": torch.tensor([3.0, 4.0])}
    by_tensor = TIES(0.5).merge(base, [model])
    assert (by_tensor["small"].tolist(), by_tensor["large"].tolist()) == (
        [0, pytest.approx(0.2)],
        [0, 4],
    )
    together = TIES(0.5, scope="global").merge(base, [model])
    assert (together["small"].tolist(), together["large"].tolist()) == ([0, 0], [3, 4])


def test_model_stock_by_hand():
    """At right angles nothing is left, at 60 degrees (cos 1/2, two models) t is 2/3."""
    near(merged(ModelStock(), (5.0, 5.0), (6.0, 5.0), (5.0, 7.0)), 5.0, 5.0)
    up = math.sqrt(0.75)
    found = merged(ModelStock(), (0.0, 0.0), (1.0, 0.0), (0.5, up))
    near(found, 2 / 3 * 0.75, 2 / 3 * up / 2)
    near(merged(ModelStock(), (5.0, 5.0), (6.0, 5.0), (4.0, 5.0)), 5.0, 5.0)  # against each other


def test_controls_have_the_length_of_the_change_in_each_tensor():
    base, a = drawn(0), tuned(drawn(0), 1)
    random, shuffled = (h.merge(base, [a]) for h in (RandomVector(3, 2.0), ShuffledVector(3, 2.0)))
    for name in base:
        change = 2.0 * (a[name] - base[name])
        for control in (random, shuffled):
            moved = control[name] - base[name]
            torch.testing.assert_close(moved.norm(), change.norm(), atol=1e-5, rtol=0)
            assert not torch.allclose(moved, change)
        values = (shuffled[name] - base[name]).flatten().sort().values
        torch.testing.assert_close(values, change.flatten().sort().values, atol=1e-6, rtol=0)
    cosine = functional.cosine_similarity(
        *(torch.cat([(s[n] - base[n]).flatten() for n in base]) for s in (random, a)), dim=0
    )
    assert abs(cosine) < 0.4  # of 85 numbers, deviation 1/√85 = .11


# -- identities --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        LinearAverage(),
        TaskArithmetic(),
        Slerp(1.0),
        TIES(1.0),
        TIES(1.0, scope="global"),
        DARE(1.0, seed=0),
        DARE(1.0, seed=0, elect="sum"),
        Soup(),
        AdapterScale(1.0),
    ],
    ids=repr,
)
def test_one_model_whole_is_that_model(how):
    base = drawn(0)
    model = tuned(base, 1)
    assert_near(how.merge(base, [model]), model)


@pytest.mark.parametrize(
    "how",
    [LinearAverage(), SlerpDeltas(), TIES(1.0), ModelStock(), Soup(), TaskArithmetic(scale=0.5)],
    ids=repr,
)
def test_a_model_twice_is_that_model(how):
    base = drawn(0)
    model = tuned(base, 1, 1e-4)  # so small that a clamp of 1e-6 would be felt
    assert_near(how.merge(base, [model, model]), model)


@pytest.mark.parametrize("how", [TaskArithmetic(), DARE(1.0, 0), DARE(1.0, 0, elect="sum")])
def test_a_model_twice_is_its_change_twice_where_nothing_is_divided(how):
    base = drawn(0)
    model = tuned(base, 1)
    twice = {name: 2 * model[name] - base[name] for name in base}
    assert_near(how.merge(base, [model, model]), twice)


@pytest.mark.parametrize(
    "how",
    [
        TaskArithmetic(scale=0.0),
        ChatVector((0.0,)),
        Slerp(0.0),
        TIES(scale=0.0),
        DARE(0.5, 1, scale=0.0),
        AdapterScale(0.0),
        RandomVector(1, 0.0),
        ShuffledVector(1, 0.0),
    ],
    ids=repr,
)
def test_strength_zero_is_the_base(how):
    base = drawn(0)
    new = base if not isinstance(how, ChatVector) else tuned(base, 2)
    models = [tuned(base, 1)] if not isinstance(how, ChatVector) else [new, tuned(base, 1)]
    assert_near(how.merge(base, models), new, 0 if not isinstance(how, Slerp) else 1e-6)


def test_ties_of_one_model_is_not_that_model():
    """Its largest fifth alone: of Gaussian changes some 81 % of the length."""
    base = drawn(0, shapes={"w": (10_000,)})
    change = drawn(1, shapes={"w": (10_000,)})["w"]
    found = TIES().merge(base, [{"w": base["w"] + change}])["w"] - base["w"]
    assert int((found.abs() > 1e-6).sum()) == 2_000
    assert 0.79 < found.norm() / change.norm() < 0.83


def test_a_chat_vector_does_not_know_which_part_was_added():
    base = drawn(0)
    new, chat = tuned(base, 1), tuned(base, 2)
    assert_near(
        ChatVector().merge(base, [new, chat]), ChatVector().merge(base, [chat, new]), within=1e-6
    )
    assert_near(ChatVector().merge(base, [base, chat]), chat)
    # The difference taken from the wrong model gives the chat model back.
    assert_near(ChatVector().merge(new, [new, chat]), chat)
    sums = weighted_sum([(1.0, new), (0.75, chat), (-0.75, base)])
    assert_near(ChatVector((0.75,)).merge(base, [new, chat]), sums)


def test_a_chat_vector_can_leave_embeddings_out():
    kinds = {"embed": "embedding", "layer": "mlp", "norm": "norm"}
    tools = SimpleNamespace(part=lambda name: Part(kinds[name], None))
    base = drawn(0)
    new, chat = tuned(base, 1), tuned(base, 2)
    found = ChatVector(skip_embed=True).merge(base, [new, chat], tools)
    whole = ChatVector().merge(base, [new, chat])
    assert_near(found, whole | {"embed": new["embed"]}, 0)
    assert found["embed"] is not new["embed"]
    with pytest.raises(BadValue, match=r"^tools: ChatVector.* asks the models"):
        ChatVector(skip_embed=True).merge(base, [new, chat])


VALUES = st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=4)


@given(VALUES, VALUES, VALUES, st.floats(-1, 2))
def test_arithmetic_is_linear(base, a, b, scale):
    whole = merged(TaskArithmetic((1, -0.5), scale), base, a, b)
    expected = [x + scale * ((y - x) - 0.5 * (z - x)) for x, y, z in zip(base, a, b, strict=True)]
    near(whole, *expected, within=1e-4)
    half = merged(LinearAverage((1 - scale, scale), normalize=False), base, base, a)
    near(half, *merged(AdapterScale(scale), base, a).tolist(), within=1e-4)


@given(VALUES, VALUES, st.floats(0, 1))
def test_slerp_begins_ends_and_stays_between(a, b, t):
    start, end = torch.tensor(a), torch.tensor(b)
    within = {"atol": 2e-3, "rtol": 0}
    torch.testing.assert_close(along_arc(start, end, 0.0), start, **within)
    torch.testing.assert_close(along_arc(start, end, 1.0), end, **within)
    back = along_arc(end, start, 1 - t)
    torch.testing.assert_close(along_arc(start, end, t), back, **within)


@given(VALUES, VALUES, st.sampled_from([0.25, 0.5, 1.0]))
def test_ties_never_leaves_the_range_of_the_changes_and_has_no_order(a, b, density):
    zero = [0.0] * 4
    found = merged(TIES(density), zero, a, b)
    low = torch.tensor([a, b, zero]).amin(dim=0)
    high = torch.tensor([a, b, zero]).amax(dim=0)
    assert (found >= low - 1e-6).all() and (found <= high + 1e-6).all()
    torch.testing.assert_close(merged(TIES(density), zero, b, a), found)


@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0]), min_size=1, max_size=12), st.floats(0.05, 1)
)
def test_exactly_so_many_are_kept_whatever_is_equal(values, density):
    kept = largest(torch.tensor(values), density)
    assert int(kept.sum()) == max(1, int(density * len(values)))
    sizes = torch.tensor(values).abs()
    assert kept.all() or sizes[kept].min() >= sizes[~kept].max()


# -- random numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", [DARE(0.5, seed=7), RandomVector(seed=7), ShuffledVector(seed=7)], ids=repr
)
def test_what_is_drawn_for_a_tensor_does_not_depend_on_the_others(how):
    base = drawn(0)
    models = [tuned(base, 1), tuned(base, 2)]
    whole = how.merge(base, models)
    assert_near(how.merge(base, models), whole, 0)
    backwards = dict(reversed(base.items()))
    assert_near(how.merge(backwards, models), whole, 0)
    alone = how.merge({"norm": base["norm"]}, [{"norm": m["norm"]} for m in models])
    assert torch.equal(alone["norm"], whole["norm"])
    other = replace(how, seed=8).merge(base, models)
    assert not torch.equal(other["embed"], whole["embed"])


def test_two_models_are_dropped_at_other_places():
    base = {"w": torch.zeros(1_000)}
    model = {"w": torch.ones(1_000)}
    found = DARE(0.5, seed=0, rescale=False).merge(base, [model, model])["w"]
    counts = [int((found == value).sum()) for value in (0, 1, 2)]
    assert sum(counts) == 1_000 and counts[1] == pytest.approx(500, abs=60)


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_dare_keeps_the_mean(density):
    """Of 200 draws the mean is δ, within 4 standard errors √((1-q)/q) |δ| / √200."""
    base, change = one(*[1.0] * 6), torch.tensor([0.1, -0.2, 0.3, 0.0, -1.0, 2.0])
    model = {"w": base["w"] + change}
    draws = [DARE(density, seed).merge(base, [model])["w"] - base["w"] for seed in range(200)]
    error = change.abs() * math.sqrt((1 - density) / density / 200)
    assert ((torch.stack(draws).mean(dim=0) - change).abs() <= 4 * error + 1e-6).all()
    kept = torch.stack(draws)[:, -1]
    torch.testing.assert_close(kept[kept != 0].unique(), change[-1:] / density, atol=1e-5, rtol=0)
    plain = DARE(density, 3, rescale=False).merge(base, [model])["w"] - base["w"]
    torch.testing.assert_close(plain / density, draws[3], atol=1e-5, rtol=0)


def test_a_seed_is_required():
    for kind in (RandomVector, ShuffledVector):
        with pytest.raises(TypeError, match="seed"):
            kind()
    with pytest.raises(TypeError, match="seed"):
        DARE(0.5)
    with pytest.raises(TypeError, match="seed"):
        GroupSearch(FACTS)
    with pytest.raises(BadValue, match="seed=-1"):
        DARE(0.5, -1)


# -- other implementations ---------------------------------------------------------------------


@pytest.mark.parametrize(("density", "count"), itertools.product([0.2, 0.5, 0.9], [2, 3]))
def test_ties_is_pefts_where_weights_are_one(density, count):
    base = {"w": torch.zeros(20, 7)}
    models = [drawn(seed, shapes={"w": (20, 7)}) for seed in range(count)]
    theirs = merge_utils.ties([m["w"] for m in models], torch.ones(count), density)
    torch.testing.assert_close(TIES(density).merge(base, models)["w"], theirs, atol=0, rtol=1e-6)


@pytest.mark.parametrize("density", [0.05, 0.2, 0.77])
def test_trimming_is_pefts(density):
    change = drawn(4, shapes={"w": (13, 11)})["w"]
    ours = change * largest(change.flatten(), density).view_as(change)
    theirs = merge_utils.magnitude_prune([change], torch.ones(1), density)
    assert torch.equal(ours, theirs)
    alone = TIES(density).merge({"w": torch.zeros_like(change)}, [{"w": change}])["w"]
    assert torch.equal(alone, theirs)


def test_dare_is_pefts_on_the_same_random_numbers(monkeypatch):
    """Its `bernoulli` is given the mask of ours."""
    base, change = torch.zeros(50, 3), drawn(5, shapes={"w": (50, 3)})["w"]
    ours = DARE(0.3, seed=2).merge({"w": base}, [{"w": change}])["w"]
    monkeypatch.setattr(torch, "bernoulli", lambda _: (ours != 0).float())
    theirs = merge_utils.dare_linear([change], torch.ones(1), 0.3)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_adapter_scale_is_pefts_scaling(tiny, tiny_model):
    """Scaling the adapter's α/r by s and merging it is θ₀ + s·ΔW."""
    model, _ = tiny_model
    base = compute.state(tiny)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])
    wrapped = get_peft_model(model, config)
    dice = torch.Generator().manual_seed(0)
    for name, weight in wrapped.named_parameters():
        if "lora_" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=dice)

    def whole(scale):
        states = {}
        layers = [m for m in wrapped.modules() if hasattr(m, "scaling") and hasattr(m, "lora_A")]
        assert len(layers) == 4
        for layer in layers:
            layer.scaling["default"] *= scale
        wrapped.merge_adapter()
        for name, weight in wrapped.get_base_model().named_parameters():
            states[name.replace(".base_layer", "")] = weight.detach().clone()
        wrapped.unmerge_adapter()
        for layer in layers:
            layer.scaling["default"] /= scale
        return {name: states[name] for name in base}

    adapted = whole(1.0)
    assert not torch.equal(*(s["model.layers.0.self_attn.q_proj.weight"] for s in (adapted, base)))
    for scale in (0.25, 0.5, 2.0):
        assert_near(AdapterScale(scale).merge(base, [adapted]), whole(scale), 1e-5)


@pytest.fixture
def mergekit():
    """mergekit's `merge_tensors` on a base and models, by method and parameters a model."""
    methods = pytest.importorskip("mergekit.merge_methods")

    def call(method, base, models, **parameters):
        ids = [f"model {number}" for number in range(len(models))]
        given = {
            name: dict(zip(ids, value, strict=True)) if isinstance(value, list) else value
            for name, value in parameters.items()
        }
        tensors, names = list(models), list(ids)
        if base is not None:
            tensors, names = [base, *models], ["base", *ids]
        return methods.merge_tensors(
            tensors,
            method,
            parameters=given,
            ids=names,
            base_index=None if base is None else 0,
        )

    return call


START = drawn(0, shapes={"w": (12, 9)})["w"]
ENDS = [START + drawn(seed, 0.3, {"w": (12, 9)})["w"] for seed in (1, 2, 3)]


@pytest.mark.parametrize("normalize", [True, False])
def test_averages_are_mergekits(mergekit, normalize):
    weights = [0.1, 1.0, 0.5]
    theirs = mergekit("linear", None, ENDS, weight=weights, normalize=normalize)
    ours = LinearAverage(tuple(weights), normalize).merge({"w": START}, [{"w": e} for e in ENDS])
    torch.testing.assert_close(ours["w"], theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("distance", "parallel"), [(0.3, False), (0.02, True)])
def test_slerp_is_mergekits_on_both_sides_of_nearly_parallel(mergekit, distance, parallel):
    end = START + distance * drawn(5, shapes={"w": (12, 9)})["w"]
    cosine = functional.cosine_similarity(START.flatten(), end.flatten(), dim=0)
    assert (cosine > 0.9995) == parallel
    for t in (0.2, 0.5, 0.9):
        theirs = mergekit("slerp", START, [end], t=t)
        ours = Slerp(t).merge({"w": START}, [{"w": end}])["w"]
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        line = (1 - t) * START + t * end
        assert torch.equal(ours, line) == parallel


@pytest.mark.parametrize("t", [0.2, 0.5])
def test_slerp_of_changes_is_mergekits_nuslerp_with_a_base(mergekit, t):
    theirs = mergekit("nuslerp", START, ENDS[:2], weight=[1 - t, t])
    ours = SlerpDeltas(t).merge({"w": START}, [{"w": end} for end in ENDS[:2]])["w"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [0.3, 0.0, 2.0]])
def test_task_vectors_are_mergekits(mergekit, weights):
    theirs = mergekit("task_arithmetic", START, ENDS, weight=weights, **{"lambda": 0.7})
    ours = TaskArithmetic(tuple(weights), 0.7).merge({"w": START}, [{"w": e} for e in ENDS])["w"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [1.0, 0.5, 0.2]])
@pytest.mark.parametrize("density", [0.2, 0.6, 1.0])
def test_ties_is_mergekits(mergekit, weights, density):
    theirs = mergekit("ties", START, ENDS, weight=weights, density=[density] * 3, **{"lambda": 1.3})
    how = TIES(density, 1.3, tuple(weights))
    ours = how.merge({"w": START}, [{"w": end} for end in ENDS])["w"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [2, 3])
def test_model_stock_is_mergekits(mergekit, count):
    shared = drawn(8, shapes={"w": (12, 9)})["w"]
    ends = [end + 0.5 * shared for end in ENDS[:count]]
    theirs = mergekit("model_stock", START, ends)
    ours = ModelStock().merge({"w": START}, [{"w": end} for end in ends])["w"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert (ours - START).norm() > 1


# -- methods that ask the models ---------------------------------------------------------------


@dataclass
class Bowls:
    """Tools whose losses are parabolas: nats are the distance to `goal`, importance is given."""

    goal: torch.Tensor
    curvatures: tuple = ()
    asked: int = 0

    def nats(self, state, task, part):
        assert part == "choose"
        self.asked += 1
        flat = torch.cat([tensor.flatten() for tensor in state.values()])
        return [float((flat - self.goal).square().mean())] * 2

    def importance(self, operand, task, examples):
        return one(*self.curvatures[operand - 1])

    def part(self, name):
        return Part("mlp" if name == "w" else name, None)


@given(VALUES, VALUES, *[st.lists(st.floats(0.5, 8, width=32), min_size=4, max_size=4)] * 2)
def test_fisher_is_the_lowest_point_of_the_sum_of_parabolas(a, b, steep, flat):
    """Σ Fᵢ/2 (θ - θᵢ)² has it where its derivative is 0."""
    how = Fisher(FACTS, 4, normalize=False)
    tools = Bowls(torch.zeros(4), (steep, flat))
    theta = merged(how, [0.0] * 4, a, b, tools=tools).double().requires_grad_()
    bowls = sum(
        (torch.tensor(f).double() / 2 * (theta - torch.tensor(m).double()).square()).sum()
        for f, m in ((steep, a), (flat, b))
    )
    (slope,) = torch.autograd.grad(bowls, theta)
    assert slope.abs().max() < 1e-4


def test_fisher_by_hand():
    a, b = (1.0, 1.0, 1.0), (3.0, 3.0, 3.0)
    zero = (0.0,) * 3
    # Importances (3, 1, 0) and (1, 1, 0) of means 4/3 and 2/3: (2.25, .75, 0) and (1.5, 1.5, 0).
    tools = Bowls(torch.zeros(3), ((3.0, 1.0, 0.0), (1.0, 1.0, 0.0)))
    near(merged(Fisher(FACTS, 4), zero, a, b, tools=tools), 1.8, 7 / 3, 2.0, within=1e-5)
    near(merged(Fisher(FACTS, 4, normalize=False), zero, a, b, tools=tools), 1.5, 2.0, 2.0)
    # Who counts for nothing anywhere is divided by nothing; who counts alike is averaged.
    tools = Bowls(torch.zeros(3), (zero, zero))
    near(merged(Fisher(FACTS, 4, weights=(3, 1)), zero, a, b, tools=tools), 1.5, 1.5, 1.5)
    tools = Bowls(torch.zeros(3), ((5.0, 2.0, 1.0), (10.0, 4.0, 2.0)))
    found = merged(Fisher(FACTS, 4, weights=(0.1, 1)), zero, a, b, tools=tools)
    torch.testing.assert_close(found, merged(LinearAverage((0.1, 1)), zero, a, b))
    for wrong in ({"weights": (1, -1)}, {"weights": (0, 0)}, {"floor": 0.0}, {"examples": 0}):
        with pytest.raises(BadValue):
            Fisher(**({"task": FACTS, "examples": 4} | wrong))


def test_a_greedy_soup_takes_what_does_not_make_it_worse():
    """Goal (0, 0). In order: (1, 1), then (-2, 1), whose mean with it is (-.5, 1): better; then
    (4, 4), which would spoil it."""
    tools = Bowls(torch.zeros(2))
    models = [(4.0, 4.0), (1.0, 1.0), (-2.0, 1.0)]
    near(merged(GreedySoup(FACTS), (9.0, 9.0), *models, tools=tools), -0.5, 1.0)
    assert tools.asked == 5
    # The same model again makes nothing worse.
    assert GreedySoup(FACTS).survey(one(0.0), [one(1.0), one(1.0)], Bowls(torch.zeros(1))) == [0, 1]
    with pytest.raises(BadValue, match=r"^tools: GreedySoup\(.*\) asks the models"):
        merged(GreedySoup(FACTS), (0.0,), (1.0,))


def test_a_search_finds_other_weights_for_other_groups():
    """The goal has the whole change of one group and nothing of the other's."""
    base = {"embedding": torch.zeros(3), "norm": torch.zeros(3)}
    model = {"embedding": torch.ones(3), "norm": torch.ones(3)}
    goal = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    tools = Bowls(goal)
    how = GroupSearch(FACTS, seed=0, tries=200)
    found = how.merge(base, [model], tools)
    assert tools.asked == 200
    assert found["embedding"].min() > 0.8 and found["norm"].max() < 0.2
    assert_near(how.merge(base, [model], Bowls(goal)), found, 0)
    same = replace(how, apart=False).merge(base, [model], Bowls(goal))
    assert torch.equal(same["embedding"], same["norm"])
    assert same["norm"].mean() == pytest.approx(0.5, abs=0.05)
    # One try is the mean of the models.
    first = replace(how, tries=1).merge(base, [model, base], Bowls(goal))
    assert first["norm"].tolist() == [0.5] * 3
    with pytest.raises(BadValue, match="no merge of 2 gives it a number"):
        replace(how, tries=2).merge(base, [model], Bowls(goal * math.nan))


def test_groups_of_a_model(tiny_model):
    """`tiny` has two blocks; nine have three thirds."""
    found = groups(parts(tiny_model[0]))
    assert found["model.embed_tokens.weight"] == "embedding"
    assert found["model.norm.weight"] == found["model.layers.1.input_layernorm.weight"] == "norm"
    assert found["model.layers.0.mlp.up_proj.weight"] == "mlp"
    assert found["model.layers.0.self_attn.q_proj.weight"] == "early attention"
    assert found["model.layers.1.self_attn.q_proj.weight"] == "middle attention"
    nine = groups({str(n): Part("attention", n) for n in range(9)} | {"h": Part("head", None)})
    assert [nine[str(n)].split()[0] for n in range(9)] == [
        *["early"] * 3,
        *["middle"] * 3,
        *["late"] * 3,
    ]
    assert nine["h"] == "embedding"


# -- what users ran into -----------------------------------------------------------------------


@EVERY
def test_operands_stay_and_shapes_are_the_bases(how):
    base = drawn(0)
    models = [tuned(base, seed) for seed in range(1, 1 + METHODS[how])]
    states = [base, *models]
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in states]
    found = how.merge(base, models)
    for state, copy in zip(states, before, strict=True):
        assert_near(state, copy, 0)
    assert list(found) == list(base)
    for name, tensor in found.items():
        assert (tensor.shape, tensor.dtype) == (base[name].shape, torch.float32)
        assert all(tensor.data_ptr() != state[name].data_ptr() for state in states)
    assert any(not torch.equal(found[name], base[name]) for name in base)


@EVERY
def test_merges_of_16_bit_weights_are_made_in_32(how):
    """Changes of half a percent are not rounded before they are added up."""
    short = [drawn(0), *(tuned(drawn(0), s, 0.005) for s in range(1, 1 + METHODS[how]))]
    short = [{n: t.bfloat16() for n, t in state.items()} for state in short]
    base, *models = [{n: t.float() for n, t in state.items()} for state in short]
    assert_near(how.merge(short[0], short[1:]), how.merge(base, models), 0)


@EVERY
def test_a_method_says_of_which_sum_its_weights_are(how):
    """Effective coefficients, the base's too: .1 and 1 are .09 and .91 where they are divided."""
    base = drawn(0)
    models = [tuned(base, seed) for seed in range(1, 1 + METHODS[how])]
    if coefficients := how.coefficients(len(models)):
        of_base, of_models = coefficients
        terms = [(of_base, base), *zip(of_models, models, strict=True)]
        assert_near(how.merge(base, models), weighted_sum(terms), 1e-5)
        assert of_base + sum(of_models) == pytest.approx(1)
    sums = (LinearAverage, TaskArithmetic, ChatVector, Soup, AdapterScale)
    assert isinstance(how, sums) == (coefficients is not None)


def test_weights_are_divided_only_where_it_is_asked():
    normal, plain = LinearAverage((0.1, 1)), LinearAverage((0.1, 1), normalize=False)
    assert normal.coefficients(2)[1] == pytest.approx((0.0909, 0.9091), abs=1e-4)
    assert plain.coefficients(2) == (0.0, (0.1, 1.0))
    assert ChatVector((0.5, 0.5)).coefficients(3) == (-1.0, (1.0, 0.5, 0.5))
    assert ChatVector(skip_embed=True).coefficients(2) is None
    for weights in ((1, -1), (-2, 1), (0, 0)):
        with pytest.raises(BadValue, match=r"^weights=.*normalize=False, or negate with"):
            LinearAverage(weights)
        LinearAverage(weights, normalize=False)
    with pytest.raises(BadValue, match=r"^weights=\(1.0, -1.0\): TIES divides by them"):
        TIES(weights=(1, -1))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: TIES(0), "density=0.0: the share that is kept"),
        (lambda: TIES(1.2), "density=1.2: "),
        (lambda: TIES(scope="layer"), "scope='layer': one of tensor, global"),
        (lambda: DARE(0.0, 1), "density=0.0: "),
        (lambda: DARE(0.5, 1, elect="mass"), "elect='mass': one of none, sum"),
        (lambda: Slerp(math.nan), "t=nan: a finite number is needed"),
        (lambda: TaskArithmetic(("a",)), "weights='a': a finite number is needed"),
        (lambda: GroupSearch(FACTS, 0, tries=0), "tries=0: a whole number is needed"),
        (lambda: GroupSearch(FACTS, 0, most_weight=0), "most_weight=0.0: has to be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_told(wrong, words):
    with pytest.raises(BadValue, match=f"^{words}"):
        wrong()


@pytest.mark.parametrize(
    ("how", "count", "words"),
    [
        (Slerp(), 2, "models: 2 beside the base; Slerp takes exactly 1"),
        (AdapterScale(0.5), 2, "models: 2 .* takes exactly 1"),
        (SlerpDeltas(), 3, "models: 3 .* takes exactly 2"),
        (ModelStock(), 1, "models: 1 beside the base; ModelStock takes at least 2"),
        (ChatVector(), 1, "models: 1 .* takes at least 2"),
        (LinearAverage((1, 2, 3)), 2, r"weights=.*: 3 for 2 models; give one each"),
    ],
)
def test_the_number_of_models_is_told(how, count, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        how.merge(one(0.0), [one(1.0)] * count)


@EVERY
def test_models_of_another_architecture_are_refused(how):
    with pytest.raises(ValueError, match=r"^models differ in parameters, first: layer$"):
        how.merge(drawn(0), [drawn(1, shapes={"embed": (6, 5)})] * METHODS[how])
    with pytest.raises(ValueError, match=r"^norm has shapes \(7,\) and \(8,\)"):
        how.merge(drawn(0), [drawn(0) | {"norm": torch.zeros(8)}] * METHODS[how])


def test_a_recipe_tells_all_that_the_result_depends_on():
    assert TIES().recipe() == {
        "method": "TIES",
        "version": 1,
        "density": 0.2,
        "scale": 1.0,
        "weights": None,
        "scope": "tensor",
    }
    assert DARE(0.5, 3).recipe()["seed"] == 3 and DARE(0.5, 3).recipe()["rescale"] is True
    assert GreedySoup(FACTS).recipe()["task"] == FACTS.recipe()
    as_json = [json.dumps(how.recipe(), sort_keys=True) for how in METHODS]
    assert len(set(as_json)) == len(METHODS)
    one_way, other = TIES(1, 2, weights=[1, 2]), TIES(1.0, 2.0, weights=(1.0, 2.0))
    assert one_way == other and one_way.recipe() == other.recipe() and hash(one_way) == hash(other)


# -- as a step ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """`tiny`, and two models trained from it, stored in a home that the tests here share."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(tiny.foundation.folder.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGETTING_HOME", str(home))
        models = [tiny.train(CHINESE, seed=seed, **QUICK) for seed in (1, 2)]
        for model in models:
            compute.make(model)
        yield (tiny, *models)


@EVERY
def test_a_merge_has_a_key_and_all_its_weights_once(trained, how):
    """No file holds them: they are made again of its operands, and are the same."""
    base, *models = trained
    checkpoint = merge(base, models[: METHODS[how]], how)
    assert checkpoint.recipe()["how"] == how.recipe()
    state = compute.state(checkpoint)
    assert state.keys() == compute.state(base).keys() and "lm_head.weight" not in state
    assert sum(tensor.numel() for tensor in state.values()) == 26_880
    compute.make(checkpoint)
    assert store.get("weights", checkpoint.key) is None
    assert_near(compute.state(checkpoint), state, 0)
    states = [compute.state(model) for model in models[: METHODS[how]]]
    assert_near(state, how.merge(compute.state(base), states), 0)


def test_a_merge_of_strength_zero_says_what_the_base_says(trained):
    base, *models = trained
    ids = torch.tensor([[72, 101, 108, 108, 111]])
    model, _ = compute.model(merge(base, models, TaskArithmetic(scale=0.0)))
    assert sum(p.numel() for p in model.parameters()) == 26_880
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with torch.no_grad():
        assert torch.equal(model(ids).logits, compute.model(base)[0](ids).logits)


@pytest.mark.parametrize(
    ("how", "parameters"),
    [
        (TIES(0.5, weights=(1, 0.5)), {"weight": {"a": 1.0, "b": 0.5}, "density": 0.5}),
        (TaskArithmetic((1, -0.5)), {"weight": {"a": 1.0, "b": -0.5}}),
    ],
)
def test_a_merged_model_says_what_mergekits_does(trained, how, parameters):
    """All tensors at once: the tied matrix, norms, three prompts' logits."""
    api = pytest.importorskip("mergekit.merge_methods.api")
    base, *models = trained
    names = {"TIES": "ties", "TaskArithmetic": "task_arithmetic"}
    states = dict(zip(("base", "a", "b"), map(compute.state, trained), strict=True))
    method = names[type(how).__name__]
    theirs = api.merge_state_dicts(states, method, parameters=parameters, base="base")
    ours, _ = compute.model(merge(base, models, how))
    other, _ = compute.model(base)
    other.load_state_dict(theirs, strict=False)
    with torch.no_grad():
        for text in (b"hello", b"Question: why", b"\xe4\xbd\xa0\xe5\xa5\xbd"):
            ids = torch.tensor([list(text)])
            torch.testing.assert_close(ours(ids).logits, other(ids).logits, atol=1e-4, rtol=0)


def test_a_merge_is_trained_from(trained, trainings):
    base, *models = trained
    first = merge(base, models, TIES())
    after = first.train(CHINESE, tune=LoRA(), seed=3, **QUICK)
    before, then = compute.state(first), compute.state(after)
    assert trainings == [3]
    moved = {name for name in before if not torch.equal(before[name], then[name])}
    assert len(moved) == 4 and all("self_attn" in name for name in moved)


def test_a_chat_vector_leaves_out_the_embeddings_of_a_model(trained):
    base, new, chat = trained
    found = compute.state(merge(base, [new, chat], ChatVector(skip_embed=True)))
    whole = compute.state(merge(base, [new, chat], ChatVector()))
    same = {name for name in found if torch.equal(found[name], whole[name])}
    assert found.keys() - same == {"model.embed_tokens.weight"}
    name = "model.embed_tokens.weight"
    assert torch.equal(found[name], compute.state(new)[name])


def test_a_permuted_base_computes_the_same_function(trained):
    """With zeros for a base the vector is the weights: permuted they are the same function."""
    model = trained[1]
    state = compute.state(model)
    nothing = {name: torch.zeros_like(value) for name, value in state.items()}
    permuted = PermutedVector(seed=3).merge(nothing, [state], tools_of(trained))
    moved = {name for name, value in state.items() if not torch.equal(value, permuted[name])}
    assert moved == {name for name in state if ".mlp." in name}
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        one, other = (compute._loaded(model, s)(input_ids=ids).logits for s in (state, permuted))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_a_permuted_vector_is_as_long_and_another(trained):
    base, new, _ = (compute.state(each) for each in trained)
    permuted = PermutedVector(seed=3).merge(base, [new], tools_of(trained))
    for name, value in permuted.items():
        torch.testing.assert_close((value - base[name]).norm(), (new[name] - base[name]).norm())
    names = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight")
    square = {name: torch.ones(4, 4) for name in names}
    with pytest.raises(ValueError, match=r"up_proj.weight: 4 × 4 in a model 4 wide"):
        PermutedVector(seed=3).merge(square, [square], tools_of(trained))


def tools_of(checkpoints):
    states = [compute.state(checkpoint) for checkpoint in checkpoints]
    config = compute.configuration(checkpoints[0])
    return Operands(checkpoints, states, compute._loaded, lambda: family_of(config))


def test_nats_are_those_of_the_answers_of_every_second_item(trained):
    """Each row by the model's own logits; the halves are disjoint and are all items."""
    tools = tools_of(trained)
    tokenizer = trained[0].foundation.tokenizer()
    documents = FACTS.documents("test")[:6]
    for part, own in (("choose", documents[0::2]), ("report", documents[1::2])):
        found = tools.nats(compute.state(trained[1]), FACTS, part)
        model, _ = compute.model(trained[1])
        expected = []
        for document in own:
            row = example_row(FACTS.example(document), tokenizer, LENGTH)
            with torch.no_grad():
                logits = model(row["input_ids"][None]).logits[0, :-1][supervised(row)]
            wanted = row["labels"][1:][supervised(row)]
            expected.append(float(functional.cross_entropy(logits, wanted)))
        assert found == pytest.approx(expected, abs=1e-4)
    again = tools.nats(compute.state(trained[2]), FACTS, "choose")
    assert again != tools.nats(compute.state(trained[1]), FACTS, "choose")
    with pytest.raises(ValueError, match=r"^task='arc_easy_standin': no item of its part 'report'"):
        tools.nats(compute.state(trained[1]), Task("arc_easy_standin", 1), "report")


def test_importance_is_the_mean_of_squared_gradients_of_whole_answers(trained):
    tools = tools_of(trained)
    found = tools.importance(1, CHINESE, 3)
    model, tokenizer = compute.model(trained[1])
    examples = list(CHINESE.training_examples(0))[:3]
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for example in examples:
        row = example_row(example, tokenizer, LENGTH)
        logits = model(row["input_ids"][None]).logits[0, :-1][supervised(row)]
        wanted = row["labels"][1:][supervised(row)]
        loss = functional.cross_entropy(logits, wanted, reduction="sum")
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for total, gradient in zip(expected.values(), gradients, strict=True):
            total += gradient.square() / 3
    assert found.keys() == expected.keys() == compute.state(trained[0]).keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("how", "tries"),
    [(GreedySoup(FACTS), 3), (Fisher(CHINESE, 2), 0), (GroupSearch(FACTS, seed=0, tries=3), 3)],
    ids=repr,
)
def test_methods_that_ask_are_steps_too(trained, how, tries, capsys):
    """They are stored, and say a line a try: a greedy soup two models and their mean."""
    base, *models = trained
    checkpoint = merge(base, models, how)
    compute.make(checkpoint)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"try {n + 1}" for n in range(tries)]
    assert all(line.endswith(" nats a token of arc_easy_standin") for line in lines)
    expected = how.merge(compute.state(base), list(map(compute.state, models)), tools_of(trained))
    assert_near(compute.state(checkpoint), expected, 1e-6)
    assert store.get("weights", checkpoint.key)


def test_a_search_does_not_do_worse_than_the_mean_where_it_chooses(trained):
    base, *models = trained
    tools = tools_of(trained)
    states = [
        compute.state(merge(base, models, how)) for how in (Soup(), GroupSearch(FACTS, 0, tries=4))
    ]
    mean, best = (sum(tools.nats(state, FACTS, "choose")) for state in states)
    assert best <= mean + 1e-5
