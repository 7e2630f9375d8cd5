"""Merges: weights by hand, whose tokenizer they have, and as steps, arms and parents."""

import itertools
import json
import shutil
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from forgetting import LoRA, Task, foundation, merge, merging, store
from forgetting.engine import compute
from forgetting.experiments import resources, study
from forgetting.experiments.study import Cell, Question
from forgetting.lineage import Checkpoint, Graft, Samples, Step
from forgetting.merging import TIES, Fisher
from forgetting.models import foundations, vocabularies
from forgetting.models.family import UnknownFamily
from forgetting.models.frames import Projection

CHINESE = Task("zh_everyday")
QUICK = {"tokens": 64, "length": 32, "batch": 2, "learning_rate": 1e-2}

pytestmark = pytest.mark.usefixtures("own_home")


@dataclass(frozen=True)
class Elect:
    """As TIES does it, untrimmed: of the differences to the base the mean of the sign that weighs
    more."""

    scale: float = 1.0
    costs: ClassVar[bool] = True

    def recipe(self):
        return {"method": "elect", "scale": self.scale}

    def merge(self, base, models):
        merged = {}
        for name, before in base.items():
            moved = torch.stack([model[name] - before for model in models])
            chosen = moved * moved.sum(dim=0) > 0
            mean = (moved * chosen).sum(dim=0) / chosen.sum(dim=0).clamp(min=1)
            merged[name] = before + self.scale * mean
        return merged


@dataclass(frozen=True)
class Noise(Step):
    """A kind of step that the package does not know: every weight of the parent, moved a little."""

    kind: ClassVar[str] = "noise"
    doing: ClassVar[str] = "shaking"
    costs: ClassVar[bool] = True
    parent: Checkpoint
    scale: float

    @property
    def parents(self):
        return (self.parent,)

    def recipe(self):
        return {"step": self.kind, "parent": self.parent.key, "scale": self.scale}


@compute.weights.register
def _(step: Noise):
    return {name: w + step.scale for name, w in compute.state(step.parent).items()}


@dataclass(frozen=True)
class Hello:
    """Prompts of one word."""

    def recipe(self):
        return {"prompts": "hello"}

    def texts(self, tokenizer, *_):
        return ["hello"]


@pytest.fixture
def folder(tiny, tmp_path):
    """Makes a model of `tiny`'s shape in a folder of its own, and its checkpoint."""

    def make(name, *, template="same", token=None, config=None, shift=0.0):
        path = tmp_path / name
        shutil.copytree(tiny.foundation.folder, path)
        state = load_file(path / "model.safetensors")
        moved = {key: tensor + shift for key, tensor in state.items()}
        save_file(moved, path / "model.safetensors", metadata={"format": "pt"})
        if template != "same":
            (path / "chat_template.jinja").write_text(template)
        for file, change in (("tokenizer.json", token), ("config.json", config)):
            if change:
                settings = json.loads((path / file).read_text())
                change(settings)
                (path / file).write_text(json.dumps(settings))
        return foundation(str(path))

    return make


def assert_same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=tolerance, rtol=0, msg=name)


def moved(before, after):
    """Names of the weights that differ."""
    weights = compute.state(before)
    return {name for name, w in compute.state(after).items() if not torch.equal(w, weights[name])}


ADAPTED = {f"model.layers.{n}.self_attn.{part}_proj.weight" for n in (0, 1) for part in "qv"}

# -- weights -----------------------------------------------------------------------------------


def test_weighted_sum_by_hand():
    one, two = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([10.0, 20.0])}
    total = merging.weighted_sum([(1.0, one), (0.5, two), (-0.5, one)])
    assert total["w"].tolist() == [5.5, 11.0]
    assert one["w"].tolist() == [1.0, 2.0]


def test_models_of_different_shape_cannot_be_merged():
    one = {"w": torch.zeros(2), "b": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"^models differ in parameters, first: b$"):
        merging.weighted_sum([(1.0, one), (1.0, {"w": torch.zeros(2)})])
    with pytest.raises(ValueError, match=r"^w has shapes \(2,\) and \(3,\); merges need one arch"):
        merging.weighted_sum([(1.0, {"w": torch.zeros(2)}), (1.0, {"w": torch.zeros(3)})])


def test_a_method_merges_what_its_operands_are(folder):
    """By hand: +1 and +3 agree, -2 and +4 leave the latter, and so for every weight."""
    base, one, three, less, four = (
        folder(str(shift), shift=shift) for shift in (0.0, 1.0, 3.0, -2.0, 4.0)
    )
    start = compute.state(base)
    agreed = compute.state(merge(base, [one, three], Elect()))
    assert_same(agreed, {name: w + 2.0 for name, w in start.items()}, 1e-5)
    won = compute.state(merge(base, [less, four], Elect(scale=0.5)))
    assert_same(won, {name: w + 2.0 for name, w in start.items()}, 1e-5)


def test_a_merge_is_the_weighted_sum_of_its_parents(tiny):
    chat = tiny.train(CHINESE, seed=1, **QUICK)
    taught = tiny.train(CHINESE, tune=LoRA(), seed=2, **QUICK)
    new = compute.state(taught + 0.75 * (chat - tiny))
    w, c, t = compute.state(tiny), compute.state(chat), compute.state(taught)
    assert_same(new, {name: t[name] + 0.75 * (c[name] - w[name]) for name in w}, 1e-6)
    forgot = compute.state(tiny - (chat - tiny))
    assert_same(forgot, {name: 2 * w[name] - c[name] for name in w}, 1e-6)


def test_a_sum_has_no_order(folder):
    """Whatever the order of writing: the same key, so the same bits."""
    base, one, two = folder("base"), folder("one", shift=1.0), folder("two", shift=0.1)
    spelled = [base + 0.25 * (one - base) + 0.5 * (two - base), two - 0.5 * (two - base)]
    spelled[1] += 0.25 * (one - base)
    assert spelled[0] == spelled[1]
    assert [c.foundation.name.rpartition("/")[2] for c in spelled] == ["base", "two"]
    assert_same(*map(compute.state, spelled))


def test_a_tied_head_counts_once(folder):
    one, two = folder("one", shift=0.5), folder("two")
    merged = two + 0.5 * (one - two)
    state = compute.state(merged)
    assert sum(tensor.numel() for tensor in state.values()) == 26_880
    assert "lm_head.weight" not in state
    model, _ = compute.model(merged)
    assert sum(p.numel() for p in model.parameters()) == 26_880
    assert model.lm_head.weight is model.model.embed_tokens.weight
    expected = compute.state(two)["model.embed_tokens.weight"] + 0.25
    torch.testing.assert_close(model.lm_head.weight.detach(), expected)


# -- whose tokenizer ---------------------------------------------------------------------------

FRENCH = "Always answer in French. {{ messages[0]['content'] }}"


def test_the_first_operand_gives_tokenizer_and_template(folder):
    """Whichever has the lower hash: a checkpoint's rule can be read off the line that made it."""
    base, chat = folder("base"), folder("chat", template=FRENCH, shift=-1.0)
    taught = base.train(CHINESE, **QUICK)
    on_base, on_chat = taught + (chat - base), chat + (taught - base)
    assert on_base.foundation == base.step and on_chat.foundation == chat.step
    assert on_base.layers == 2
    assert {c.key: f for f, c in on_base.step.terms} == {c.key: f for f, c in on_chat.step.terms}
    assert on_base.key != on_chat.key
    assert on_base.recipe()["tokenizer"] == base.key
    assert on_chat.recipe()["tokenizer"] == chat.key

    half = base + 0.5 * (chat - base), chat + 0.5 * (base - chat)
    templates = [compute.model(c)[1].chat_template for c in half]
    assert templates == [compute.model(base)[1].chat_template, FRENCH]
    assert_same(*map(compute.state, half))


def test_of_several_models_that_are_alike_any_one_may_be_first(folder):
    """The third has another template: the key says which of two, not which of three."""
    one, two = folder("one"), folder("two", shift=1.0)
    other = folder("other", template=FRENCH, shift=2.0)

    def third(a, b, c):
        return a + 0.25 * (b - a) + 0.25 * (c - a)

    keys = {
        operands: third(*operands).step.recipe()["tokenizer"]
        for operands in itertools.permutations((one, two, other))
    }
    assert {keys[o] for o in keys if o[0] == other} == {other.key}
    assert {keys[o] for o in keys if o[0] != other} == {min(one.key, two.key)}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config", lambda settings: settings.update(eos_token_id=1)),
        ("config", lambda settings: settings.update(rope_parameters={"rope_theta": 5e5})),
        ("token", lambda settings: settings["pre_tokenizer"].update(add_prefix_space=True)),
    ],
)
def test_end_tokens_and_configuration_are_the_first_operands_too(folder, file, change):
    plain, other = folder("plain"), folder("other", shift=1.0, **{file: change})
    one, two = plain + 0.5 * (other - plain), other + 0.5 * (plain - other)
    assert one != two and one.recipe()["tokenizer"] == plain.key
    assert compute.model(two)[0].config.eos_token_id == (
        compute.model(other)[0].config.eos_token_id
    )


@pytest.mark.parametrize("noise", [None, "transformers_version", "_name_or_path", "dtype"])
def test_models_that_are_alike_beside_their_weights_have_one_merge(folder, noise):
    """Who wrote a configuration, and in which precision, does not matter."""
    change = noise and (lambda settings: settings.update({noise: "float16"}))
    one, two = folder("one"), folder("two", shift=1.0, config=change)
    halves = [one + 0.5 * (two - one), two + 0.5 * (one - two)]
    assert halves[0] == halves[1] and "tokenizer" not in halves[0].recipe()


def swap(settings):
    vocabulary = settings["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


def add(settings):
    new = {**settings["added_tokens"][0], "id": 259, "content": "<pad>"}
    settings["added_tokens"].append(new)


@pytest.mark.parametrize(
    ("change", "first", "second"),
    [
        (swap, "'a' is {a} in plain and {b} in other", "'b' is {a} in other and {b} in plain"),
        (add, "'<pad>' is missing in plain and 259 in other",
         "'<pad>' is 259 in other and missing in plain"),
    ],
)  # fmt: skip
def test_vocabularies_that_differ_are_refused_where_the_merge_is_written(
    folder, change, first, second
):
    plain, other = folder("plain"), folder("other", shift=1.0, token=change)
    ids = {letter: vocabularies.vocabulary(plain.step)[letter] for letter in "ab"}
    for token, write in (
        (first, lambda: plain + 0.5 * (other - plain)),
        (second, lambda: other.train(CHINESE) + 0.5 * (plain - other)),
        (first, lambda: merge(plain, [plain, other], Elect())),
    ):
        with pytest.raises(ValueError) as caught:
            write()
        message = str(caught.value).replace(f"{plain.step.folder.parent}/", "")
        token = token.format(**ids)
        assert message == f"vocabularies differ: token {token}; a merge needs one vocabulary"


# -- methods and their keys --------------------------------------------------------------------


def test_a_method_and_the_order_of_its_operands_name_a_merge(tiny):
    one, two = (tiny.train(CHINESE, seed=seed, **QUICK) for seed in (1, 2))
    merged = merge(tiny, [one, two], Elect())
    assert merged.recipe() == {
        "step": "merge",
        "version": 1,
        "how": {"method": "elect", "scale": 1.0},
        "of": [tiny.key, one.key, two.key],
    }
    assert merged.parents == (tiny, one, two) and merged.foundation is tiny.foundation
    others = [
        merge(tiny, [two, one], Elect()),
        merge(tiny, [one], Elect()),
        merge(tiny, [one, two], Elect(2.0)),
        tiny + 0.5 * (one - tiny) + 0.5 * (two - tiny),
    ]
    assert len({merged.key, *(c.key for c in others)}) == 5
    inner = merged + 0.5 * (one - tiny)  # in a sum it is one operand
    assert {c.key: f for f, c in inner.step.terms} == {merged.key: 1, one.key: 0.5, tiny.key: -0.5}
    assert repr(merge(tiny, [tiny], Elect())) == (
        "merge(foundation('tiny'), [foundation('tiny')], Elect(scale=1.0))"
    )
    with pytest.raises(ValueError, match=r"^models=\[\]: Elect\(scale=1.0\) merges at least one"):
        merge(tiny, [], Elect())


def test_what_costs_is_stored_and_sums_are_made_when_they_are_read(tiny, folder, monkeypatch):
    one, two = folder("one", shift=1.0), folder("two", shift=2.0)
    calls = []
    really = Elect.merge
    monkeypatch.setattr(Elect, "merge", lambda *given: calls.append(1) or really(*given))
    merged, total = merge(one, [two], Elect()), one + 0.5 * (two - one)
    first = compute.state(merged)
    assert_same(compute.state(merged), first)
    assert_same(compute.state(merge(one, [two], Elect())), first)
    compute.make(merged)
    assert len(calls) == 1
    entry = store.get("weights", merged.key)
    assert json.loads((entry / "recipe.json").read_text()) == merged.lineage()
    compute.make(total)
    compute.state(total)
    assert store.get("weights", total.key) is None
    assert compute.losses(merged) == compute.losses(total) == []


def test_a_merge_that_is_missing_is_an_error_while_a_book_is_rendered(folder, monkeypatch):
    one, two = folder("one"), folder("two", shift=2.0)
    merged = merge(one, [two], Elect())
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(compute.NotComputed, match=f"{merged.key} is not in the results"):
        compute.state(merged)


# -- parents and arms --------------------------------------------------------------------------


def test_a_merge_is_trained_and_writes_as_any_model(tiny, trainings):
    one = tiny.train(CHINESE, seed=1, **QUICK)
    for merged in (tiny + 0.5 * (one - tiny), merge(tiny, [one], Elect())):
        after = merged.train(CHINESE, tune=LoRA(), seed=2, **QUICK)
        assert moved(merged, after) == ADAPTED
        samples = Samples(merged, Hello(), 4)
        assert samples.parents == (merged,)
        assert len(compute.samples(samples)) == 1
    assert trainings == [1, 2, 2]


def arms(tiny):
    """A training, a sum, a merge by a method, what was trained from it, and a kind of its own."""
    one = tiny.train(CHINESE, seed=1, **QUICK)
    merged = merge(tiny, [one], Elect(0.5))
    checkpoints = {
        "one": one,
        "half": tiny + 0.5 * (one - tiny),
        "elect": merged,
        "after": merged.train(CHINESE, seed=2, **QUICK),
        "noise": Checkpoint(Noise(merged, 0.01)),
    }
    asks = {"chinese": Task("arc_easy_standin", 2)}
    cells = [
        Cell(c, {"method": n, "learning_rate": 0.0, "seed": 0}) for n, c in checkpoints.items()
    ]
    return checkpoints, Question("trial", "smoke", cells, asks)


def test_a_plan_has_a_step_for_what_costs_alone(tiny):
    named, question = arms(tiny)
    steps = study.plan([question])
    of = {checkpoint.key: name for name, checkpoint in named.items()}

    def short(key):
        return f"{key.split('-')[0]} {of[key.rpartition('-')[2]]}"

    needs = {short(key): {short(need) for need in steps[key].needs} for key in steps}
    assert {key: on for key, on in needs.items() if not key.startswith("record")} == {
        "train one": set(),
        "measure one": {"train one"},
        "measure half": {"train one"},
        "merge elect": {"train one"},
        "measure elect": {"merge elect"},
        "train after": {"merge elect"},
        "measure after": {"train after"},
        "noise noise": {"merge elect"},
        "measure noise": {"noise noise"},
    }
    assert needs["record elect"] == {"measure elect", "merge elect"}
    made = {
        short(key): (step.kind, step.label.split()[0]) for key, step in steps.items() if step.label
    }
    assert made["merge elect"] == ("merge", "merging")
    assert made["noise noise"] == ("noise", "shaking")


def test_records_of_merges_and_of_a_new_kind(tiny, trainings):
    named, question = arms(tiny)
    runs = study.measure("trial", question.cells, question.asks, "smoke", say=lambda line: None)
    by_name = dict(zip(named, runs, strict=True))
    assert trainings == [1, 2]
    assert [run.trainable for run in runs] == [26_880, 0, 0, 26_880, 0]
    assert [len(run.losses) for run in runs] == [1, 0, 0, 1, 0]
    for name, step in (("half", "merge"), ("elect", "merge"), ("noise", "noise")):
        assert by_name[name].last_step["step"] == step
        assert by_name[name].lineage == named[name].lineage()
        assert by_name[name].scores["chinese"].n == 2
    assert by_name["noise"].last_step == {
        "step": "noise",
        "parent": named["elect"].key,
        "scale": 0.01,
    }
    shaken, before = compute.state(named["noise"]), compute.state(named["elect"])
    assert_same(shaken, {name: w + 0.01 for name, w in before.items()})


def test_a_kind_that_nobody_computes_is_named(tiny):
    class Unknown(Step):
        kind = "unknown"
        parents = ()

        def recipe(self):
            return {"step": self.kind}

    with pytest.raises(TypeError, match=r"^kind='unknown': no function computes it"):
        compute.state(Checkpoint(Unknown()))


# -- what it takes -----------------------------------------------------------------------------


def test_memory_of_a_merge_is_that_of_its_operands(folder, monkeypatch):
    models = [folder(str(number), shift=number) for number in range(4)]
    base, *others = models
    half, elect = base + 0.5 * (others[0] - base), merge(base, others, Elect())
    weights = 4 * 26_880
    assert resources.merging_memory(half.step) == resources.PROGRAM + 2 * weights
    assert resources.merging_memory(elect.step) == resources.PROGRAM + 6 * weights
    reading = resources.reading_memory(base)
    needed = max(reading, resources.merging_memory(elect.step))
    machine = SimpleNamespace(available=reading + 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    resources.check_memory([half])
    monkeypatch.setattr(resources, "PROGRAM", 0)
    monkeypatch.setattr(resources, "READING", (2, 0))
    machine.available = 6 * weights - 1
    with pytest.raises(
        resources.NotEnough,
        match=r"^memory: 0.0 GB free, about 0.0 GB needed to merge 4 models of 0M weights; merge",
    ):
        resources.check_memory([elect])
    machine.available = needed
    resources.check_memory([elect])


def test_memory_of_fishers_average_has_an_importance_a_weight_and_model(folder):
    """Three operands, two importances, the result, and as much again: 7 copies of 26,880 floats."""
    base, *others = (folder(str(number), shift=number) for number in range(3))
    fisher, ties = (merge(base, others, how) for how in (Fisher(CHINESE, 2), TIES()))
    assert resources.merging_memory(fisher.step) == 600_000_000 + 7 * 107_520
    assert resources.merging_memory(ties.step) == 600_000_000 + 5 * 107_520


def test_disk_and_data_of_a_merge(tiny, monkeypatch):
    one = tiny.train(CHINESE, tune=LoRA(rank=4), **QUICK)
    half, elect = tiny + 0.5 * (one - tiny), merge(tiny, [one], Elect())
    assert resources.trainable(half) == resources.trainable(elect) == 0
    adapter, whole = 4 * 896, 4 * 26_880

    def room(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))

    room(adapter)
    resources.check_resources([half], [])
    with pytest.raises(resources.NotEnough, match=r"^disk: .* needed for 2 checkpoints"):
        resources.check_resources([elect], [])
    room(adapter + whole)
    resources.check_resources([elect], [])
    monkeypatch.setattr(foundations, "load_model", lambda *_, **__: pytest.fail("a model is read"))
    missing = []
    monkeypatch.setattr(Task, "missing", lambda self: missing.append(self.name) or [])
    resources.check_resources([elect], [])
    assert missing == ["zh_everyday"]


# -- grafts ------------------------------------------------------------------------------------


@pytest.fixture
def ear():
    return foundation("tiny-frames")


def test_a_graft_is_a_step_of_two_models_a_connector_and_a_seed(tiny, ear):
    grafted = tiny.graft(ear, Projection(0.5), seed=3)
    assert grafted.recipe() == {
        "step": "graft",
        "version": 1,
        "parent": tiny.key,
        "other": ear.key,
        "connector": {"kind": "projection", "deviation": 0.5},
        "seed": 3,
    }
    assert isinstance(grafted.step, Graft) and grafted.parents == (tiny, ear)
    assert repr(grafted) == (
        "foundation('tiny').graft(foundation('tiny-frames'), Projection(deviation=0.5), seed=3)"
    )
    after = grafted.train(CHINESE)
    assert list(after.lineage()) == [tiny.key, ear.key, grafted.key, after.key]
    assert after.foundation is tiny.foundation and after.origin is grafted
    keys = {grafted.key, tiny.graft(ear, Projection(), seed=3).key}
    keys |= {tiny.graft(ear, Projection(0.5)).key, ear.graft(tiny, Projection(0.5), seed=3).key}
    assert len(keys) == 4


def test_a_grafted_model_has_the_parts_of_both(tiny, ear):
    grafted = tiny.graft(ear, Projection(0.5), seed=3)
    state, text, heard = (compute.state(c) for c in (grafted, tiny, ear))
    assert_same(
        {n: w for n, w in state.items() if n.startswith("language_model.")},
        {f"language_model.{name}": w for name, w in text.items()},
    )
    encoder = {name: w for name, w in heard.items() if name.startswith("encoder.")}
    assert len(encoder) == 2
    assert_same({name: w for name, w in state.items() if name in encoder}, encoder)
    drawn = state["connector.weight"]
    assert drawn.shape == (32, 16) and 0.4 < drawn.std() < 0.6
    twice, other = (compute.state(tiny.graft(ear, Projection(1.0), seed=seed)) for seed in (3, 4))
    torch.testing.assert_close(twice["connector.weight"], 2 * drawn)
    assert not torch.equal(other["connector.weight"], twice["connector.weight"])

    model, tokenizer = compute.model(grafted)
    ids = tokenizer("hello", return_tensors="pt").input_ids
    silence = {"heard": torch.zeros_like(ids).bool(), "frames": torch.zeros(0, 8)}
    with torch.no_grad():
        ours, plain = model(ids, **silence).logits, compute.model(tiny)[0](ids).logits
    torch.testing.assert_close(ours, plain)


def test_a_grafted_model_is_trained_and_merged(tiny, ear):
    grafted = tiny.graft(ear, Projection())
    count = 26_880 + (2 * 4 * 16 + 16) + (16 * 32 + 32)
    full, adapted = grafted.train(CHINESE, **QUICK), grafted.train(CHINESE, tune=LoRA(), **QUICK)
    before = compute.state(grafted)
    assert resources.parameters(full) == resources.trainable(full) == count
    assert sum(w.numel() for w in before.values()) == count
    assert moved(grafted, adapted) == {f"language_model.{name}" for name in ADAPTED}
    half = grafted + 0.5 * (full - grafted)
    resources.check_resources([half], [])
    model, _ = compute.model(half)
    name = "language_model.model.norm.weight"
    expected = (before[name] + compute.state(full)[name]) / 2
    torch.testing.assert_close(model.state_dict()[name], expected)
    for merged in (grafted + 0.5 * (tiny - ear), merge(tiny, [grafted], Elect())):
        with pytest.raises(ValueError, match=r"^models differ in parameters, first: connector"):
            compute.state(merged)


@pytest.mark.parametrize("pair", [("tiny", "tiny"), ("tiny-t5", "tiny-frames")])
def test_what_no_family_puts_together_is_refused_before_anything_is_computed(pair):
    parent, other = map(foundation, pair)
    with pytest.raises(UnknownFamily, match=r"^connector=Projection\(deviation=0.02\): no family"):
        resources.check_memory([parent.graft(other, Projection())])
