"""The engine: a lineage's weights, computed once, and equal to those computed by hand."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from forgetting import IA3, FreezeFirst, LoRA, OnlyLast, OnlyMLP, Task, store
from forgetting.engine import compute

CHINESE = Task("zh_everyday")
QUICK = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-2}

pytestmark = pytest.mark.usefixtures("own_home")


def stored_tensors(checkpoint):
    compute.state(checkpoint)
    return load_file(store.get("weights", checkpoint.key) / "changed.safetensors")


def assert_same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=tolerance, rtol=0, msg=name)


def test_lora_is_w_plus_alpha_over_r_times_b_a(tiny):
    """Of an adapter its own tensors are stored, and no others."""
    checkpoint = tiny.train(CHINESE, tune=LoRA(rank=4, alpha=12, dropout=0.0), **QUICK)
    adapter = stored_tensors(checkpoint)
    before, after = compute.state(tiny), compute.state(checkpoint)
    for layer in (0, 1):
        for module in ("q_proj", "v_proj"):
            name = f"model.layers.{layer}.self_attn.{module}"
            a = adapter[f"base_model.model.{name}.lora_A.weight"]
            b = adapter[f"base_model.model.{name}.lora_B.weight"]
            assert a.shape[0] == b.shape[1] == 4 and b.abs().max() > 0
            expected = before[f"{name}.weight"] + 12 / 4 * (b @ a)
            torch.testing.assert_close(after[f"{name}.weight"], expected, atol=1e-6, rtol=0)
    assert len(adapter) == 2 * 2 * 2


def test_ia3_scales_outputs_of_k_and_v_and_inputs_of_down(tiny):
    checkpoint = tiny.train(CHINESE, tune=IA3(), **QUICK)
    adapter = stored_tensors(checkpoint)
    before, after = compute.state(tiny), compute.state(checkpoint)

    def scale(name):
        (tensor,) = (t for key, t in adapter.items() if name in key)
        return tensor.flatten()

    for module in ("self_attn.k_proj", "self_attn.v_proj"):
        name = f"model.layers.0.{module}"
        expected = scale(name)[:, None] * before[f"{name}.weight"]
        torch.testing.assert_close(after[f"{name}.weight"], expected)
    name = "model.layers.0.mlp.down_proj"
    torch.testing.assert_close(
        after[f"{name}.weight"], before[f"{name}.weight"] * scale(name)[None, :]
    )


def test_of_other_tunings_what_may_move_is_stored(tiny):
    names = set(stored_tensors(tiny.train(CHINESE, tune=OnlyMLP(), **QUICK)))
    assert len(names) == 6 and all(".mlp." in name for name in names)


def test_a_model_answers_as_the_adapter_did(tiny):
    """Merged weights against peft's own forward pass with the adapter beside the model."""
    from peft import set_peft_model_state_dict

    checkpoint = tiny.train(CHINESE, tune=LoRA(), **QUICK)
    wrapped = LoRA().apply(compute.model(tiny)[0])
    set_peft_model_state_dict(wrapped, stored_tensors(checkpoint))
    merged, tokenizer = compute.model(checkpoint)
    ids = tokenizer("早安，你好嗎？", return_tensors="pt").input_ids
    with torch.no_grad():
        theirs, ours = wrapped.eval()(ids).logits, merged(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_each_step_is_computed_once(tiny, trainings):
    first = tiny.train(CHINESE, seed=1, **QUICK)
    second = first.train(CHINESE, tune=LoRA(), seed=2, **QUICK)
    compute.state(second)
    assert trainings == [1, 2]
    once = compute.state(second)
    compute.state(first)
    compute.state(second + 0.5 * (first - tiny))
    assert trainings == [1, 2]
    assert_same(compute.state(second), once)


@pytest.mark.parametrize("tune", [FreezeFirst(1), OnlyLast(1), LoRA()], ids=repr)
def test_two_epochs_are_the_beginning_of_four(tiny, trainings, tune):
    """Dropout included: a run of its own gives the bits that the longer one passed."""
    few = {"examples": 5, "length": 32, "batch": 2, "learning_rate": 1e-2, "tune": tune}
    long = tiny.train(CHINESE, epochs=4, seed=1, **few)
    passed = [long.after(epochs) for epochs in (1, 2)]
    compute.train_through([*passed, long])
    assert trainings == [1]
    on_the_way = [(stored_tensors(one), compute.losses(one)) for one in (*passed, long)]
    assert trainings == [1]
    assert [len(losses) for _, losses in on_the_way] == [3, 6, 12]  # 5 examples: 3 steps
    store.clean({"weights"})
    for checkpoint, (tensors, losses) in zip(passed, on_the_way, strict=False):
        assert_same(stored_tensors(checkpoint), tensors)
        assert compute.losses(checkpoint) == losses == on_the_way[-1][1][: len(losses)]
    compute.train_through(passed)  # nothing is missing
    assert trainings == [1, 1, 1]


def test_a_long_chain_that_is_stored_is_read(tiny, tmp_path, monkeypatch):
    """2,000 trainings, each of which left the same norm: no recursion."""
    save_file({"model.norm.weight": torch.full((32,), 2.0)}, tmp_path / "changed.safetensors")
    monkeypatch.setattr(store, "get", lambda kind, key: tmp_path)
    checkpoint = tiny
    for seed in range(2000):
        checkpoint = checkpoint.train(CHINESE, seed=seed)
    kept = compute.state(tiny)
    assert_same(compute.state(checkpoint), kept | {"model.norm.weight": torch.full((32,), 2.0)})


def test_one_training_passes_one_recipe_alone(tiny):
    one, other = (tiny.train(CHINESE, examples=4, epochs=2, seed=seed) for seed in (1, 2))
    with pytest.raises(ValueError, match="2 recipes that differ in more than their epochs"):
        compute.train_through([one, other])


def test_a_damaged_checkpoint_is_trained_again_to_the_same_weights(tiny, trainings):
    checkpoint = tiny.train(CHINESE, seed=1, **QUICK)
    before = {name: t.clone() for name, t in compute.state(checkpoint).items()}  # no memory map
    path = store.get("weights", checkpoint.key) / "changed.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert_same(compute.state(checkpoint), before)
    assert trainings == [1, 1]


def test_losses_and_recipe_lie_beside_the_weights(tiny):
    checkpoint = tiny.train(CHINESE, **QUICK)
    assert compute.losses(checkpoint) == []
    compute.state(checkpoint)
    losses = compute.losses(checkpoint)
    assert len(losses) == 2 and all(4 < loss < 7 for loss in losses)  # log 259 is 5.6
    recipe = json.loads((store.get("weights", checkpoint.key) / "recipe.json").read_text())
    assert recipe == checkpoint.lineage()
    assert compute.losses(tiny) == []


def test_nothing_is_computed_while_a_book_is_rendered(tiny, trainings, monkeypatch):
    checkpoint = tiny.train(CHINESE, seed=1, **QUICK)
    merged = tiny + 0.5 * (checkpoint - tiny)
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    for asked in (checkpoint, merged):
        with pytest.raises(compute.NotComputed, match=f"{checkpoint.key} is not in the results"):
            compute.state(asked)
    assert trainings == []
    monkeypatch.delenv("FORGETTING_RENDER")
    compute.state(checkpoint)
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    assert compute.state(merged).keys() == compute.state(tiny).keys()
    assert trainings == [1]
