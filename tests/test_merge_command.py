"""Merging models in folders: what is written, what is said, and what is refused in one line."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from forgetting import TIES, Task, cli
from forgetting.engine import merge_files as engine
from forgetting.engine.merge_files import merge_files
from forgetting.engine.merge_recipes import MERGEKIT, BadRecipe, kinds, of_mergekit, read_recipe
from forgetting.merging import GreedySoup
from forgetting.models.packaged import PACKAGED

pytestmark = pytest.mark.usefixtures("session_home")

FRENCH = "{{ messages[0]['content'] }}<|im_end|>"
IDS = torch.tensor([[5, 70, 80, 90, 100, 33]])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(here):
    """Makes a folder with a model that lies near `tiny`, or near another one of the book's."""

    def make(name, seed=0, *, of="tiny", size=0.003, change=None, **files):
        path = here / name
        shutil.copytree(PACKAGED[of].locate(), path)
        state = load_file(path / "model.safetensors")
        dice = torch.Generator().manual_seed(seed)
        if seed:
            for key, tensor in state.items():
                noise = torch.randn(tensor.shape, generator=dice)
                state[key] = tensor + size * tensor.norm() / noise.norm() * noise
        if change:
            change(state)
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
        for file, edit in files.items():
            target = path / f"{file}.json"
            settings = json.loads(target.read_text()) if target.exists() else {}
            edit(settings)
            target.write_text(json.dumps(settings))
        return path

    return make


@pytest.fixture
def three(model):
    return [model(name, seed) for seed, name in enumerate(("base", "chat", "domain"))]


def recipe(here, **fields):
    path = here / "recipe.yaml"
    plain = {"method": "TIES", "base": "base", "models": ["chat", "domain"]}
    path.write_text(yaml.safe_dump(fields if "merge_method" in fields else plain | fields))
    return path


def call(*arguments):
    return CliRunner().invoke(cli.app, ["merge", *map(str, arguments)], env={"COLUMNS": "200"})


def refused(here, *arguments, **fields):
    """The one line of a merge that is not made, after which the folder is as it was."""
    path = recipe(here, **fields)
    before = sorted(here.rglob("*"))
    result = call(path, "--out", here / "out", *arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code and result.stderr.startswith("error: "), result.output
    assert result.stderr.count("\n") == 1 and sorted(here.rglob("*")) == before
    return result.stderr.removeprefix("error: ").rstrip()


def logits(folder):
    loaded, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        return loaded.eval()(IDS).logits


def state(folder):
    return load_file(Path(folder) / "model.safetensors")


# -- what is written ---------------------------------------------------------------------------


def test_a_merge_is_what_the_method_gives(here, three):
    merged = merge_files(recipe(here, parameters={"density": 0.5}), "out")
    expected = TIES(density=0.5).merge(state("base"), [state("chat"), state("domain")])
    found = state("out")
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], atol=1e-7, rtol=0)
    assert merged.parameters == sum(tensor.numel() for tensor in found.values()) == 26_880
    assert merged.folder == here / "out" and not list(here.glob(".out*"))


def test_in_python_with_a_method(here, three):
    merge_files(recipe(here, parameters={"density": 0.5}), "one")
    fields = {"method": TIES(density=0.5), "base": "base", "models": ["chat", "domain"]}
    merge_files(fields, "two")
    assert (here / "one/model.safetensors").read_bytes() == (
        here / "two/model.safetensors"
    ).read_bytes()
    assert merge_files("two/merge.yaml", "three").recipe.how == TIES(density=0.5)


def test_logits_of_a_merge_of_nothing_are_the_bases(here, model):
    """The head is tied: it is counted, merged and written once, though the files hold it twice."""

    def twice(weights):
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()

    model("base")
    model("chat", 1, change=twice)
    arithmetic = {"method": "TaskArithmetic", "models": ["chat"]}
    merge_files(recipe(here, **arithmetic, parameters={"scale": 0.0}), "out")
    assert torch.equal(logits("out"), logits("base"))
    assert "lm_head.weight" not in state("out")
    merge_files(recipe(here, **arithmetic), "whole")
    torch.testing.assert_close(logits("whole"), logits("chat"), atol=1e-5, rtol=0)


def test_a_folders_family_says_what_its_embeddings_are(here, three):
    merge_files(recipe(here, method="ChatVector", parameters={"skip_embed": True}), "out")
    same = {
        name for name, tensor in state("out").items() if torch.equal(tensor, state("chat")[name])
    }
    assert same == {"model.embed_tokens.weight"}


@pytest.mark.parametrize("kind", ["tiny-gpt2", "tiny-gemma"])
def test_other_architectures(here, model, kind):
    for seed, name in enumerate(("base", "chat", "domain")):
        model(name, seed, of=kind)
    merged = merge_files(recipe(here, method="TaskArithmetic", parameters={"scale": 0.0}), "out")
    torch.testing.assert_close(logits("out"), logits("base"), atol=0, rtol=0)
    assert merged.parameters == PACKAGED[kind].parameters


def test_a_files_prefix_and_buffers_do_not_matter(here, model):
    """As GPT-2 was published: without `transformer.`, and with masks that are no weights."""

    def published(weights):
        for name in list(weights):
            weights[name.removeprefix("transformer.")] = weights.pop(name)
        weights["h.0.attn.bias"] = torch.ones(1, 1, 4, 4)

    model("base", of="tiny-gpt2", change=published)
    model("chat", 1, of="tiny-gpt2")
    merge_files(recipe(here, method="LinearAverage", models=["chat"]), "out")
    assert torch.equal(logits("out"), logits("chat"))


def test_shards_load(here, three):
    merge_files(recipe(here, method="Soup"), "whole")
    merged = merge_files(recipe(here, method="Soup", max_shard_size="40KB"), "out")
    shards = sorted(path.name for path in Path("out").glob("*.safetensors"))
    assert len(shards) > 2 and not Path("out/model.safetensors").exists()
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    torch.testing.assert_close(logits("out"), logits("whole"), atol=0, rtol=0)
    index = json.loads(Path("out/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * merged.parameters
    again = recipe(here, method="Soup", base="out", models=["out"])  # and are merged again
    merge_files(again, "again")
    torch.testing.assert_close(logits("again"), logits("whole"), atol=0, rtol=0)


def test_packaged_names(here):
    merge_files({"method": "Soup", "base": "tiny", "models": ["tiny"]}, "out")
    assert torch.equal(logits("out"), logits(PACKAGED["tiny"].locate()))


# -- whose tokenizer, template, stop tokens ----------------------------------------------------


def test_the_merged_chat_model_stops(here, model):
    """A base ends a text, a chat model a turn: the merge has what it was told to have."""
    model("base", generation_config=lambda s: s.update(eos_token_id=0))
    (here / "base/chat_template.jinja").unlink()
    chat = model("chat", 1, generation_config=lambda s: s.update(eos_token_id=[2, 0]))
    (chat / "chat_template.jinja").write_text(FRENCH)
    model("domain", 2, generation_config=lambda s: s.update(eos_token_id=0))
    path = recipe(here, method="TaskArithmetic", tokenizer="chat", parameters={"scale": 0.5})
    result = call(path, "--out", "out")
    assert result.exit_code == 0, result.output
    assert "tokenizer: chat\nchat template: chat has one\n" in result.stdout
    assert "stop tokens: '<|im_end|>', '<|endoftext|>' (chat)" in result.stdout
    assert AutoTokenizer.from_pretrained("out").chat_template == FRENCH
    loaded = AutoModelForCausalLM.from_pretrained("out")
    assert loaded.generation_config.eos_token_id == [2, 0]
    loaded.get_output_embeddings().bias = torch.nn.Parameter(torch.zeros(259))
    with torch.no_grad():
        loaded.lm_head.bias[2] = 1e4
    assert loaded.generate(IDS, max_new_tokens=8, do_sample=False).shape[1] == IDS.shape[1] + 1

    bare = call(recipe(here, method="Soup"), "--out", "bare")
    assert "chat template: base has none" in bare.stdout
    assert (
        "warning: chat: its chat template and stop tokens differ from those of base, which the "
        "merge has; `tokenizer: chat` takes its own\n"
    ) in bare.stderr


def test_a_configuration_that_computes_otherwise_is_told(here, model):
    model("base")
    model("chat", 1, config=lambda s: s.update(rms_norm_eps=1e-5))
    result = call(recipe(here, method="Soup", models=["chat"]), "--out", "out")
    assert "warning: chat: config.json: rms_norm_eps is 1e-05, and in the merge 1e-06" in (
        result.stderr
    )


# -- numbers -----------------------------------------------------------------------------------


def test_effective_coefficients_and_their_sum(here, three):
    weighted = [{"path": "chat", "weight": 0.1}, {"path": "domain", "weight": 1.0}]

    def table(**fields):
        result = call(recipe(here, models=weighted, **fields), "--out", "out", "--force")
        assert result.exit_code == 0, result.output
        rows = [line.split() for line in result.stdout.partition("tokenizer:")[0].splitlines()]
        return {row[0]: row[1] for row in rows if row and row[0] in {*NAMES, "sum"}}

    NAMES = ("base", "chat", "domain")
    assert table(method="LinearAverage") == {
        "base": "0", "chat": "0.0909", "domain": "0.909", "sum": "1"
    }  # fmt: skip
    assert table(method="LinearAverage", parameters={"normalize": False})["sum"] == "1.1"
    assert table(method="TaskArithmetic", parameters={"scale": 2}) == {
        "base": "−1.2", "chat": "0.2", "domain": "2", "sum": "1"
    }  # fmt: skip
    assert table() == dict.fromkeys(NAMES, "varies")


def test_how_far_models_moved(here, three):
    merged = merge_files(recipe(here, method="TaskArithmetic", parameters={"scale": 0.5}), "out")
    assert merged.coefficients == [0.0, 0.5, 0.5]
    assert merged.moved[1:] == pytest.approx([0.003, 0.003], rel=1e-3)
    one, two = (
        torch.cat([(state(name)[key] - base).flatten() for key, base in state("base").items()])
        for name in ("chat", "domain")
    )
    middle = (one + two) / 2
    expected = [float(middle @ delta / (delta @ delta)) for delta in (one, two)]
    assert merged.shares == pytest.approx(expected, abs=1e-4) and merged.warnings == []


def test_one_model_through_ties_is_not_that_model(here, three):
    merged = merge_files(recipe(here, models=["chat"], parameters={"density": 0.2}), "out")
    assert 0.5 < merged.shares[0] < 0.8
    assert merge_files(recipe(here, models=["chat"], parameters={"density": 1}), "all").shares == (
        pytest.approx([1.0], abs=1e-4)
    )


def test_a_wrong_ancestor_is_told(here, model):
    model("base")
    model("chat", 1)
    model("domain", 2, size=0.5)
    result = call(recipe(here, method="Soup"), "--out", "out")
    assert result.stderr == (
        "warning: domain: ‖δ‖/‖θ‖ is 50%, above 10%: hardly tuned from base; name as base what it "
        "was tuned from\n"
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_dtype_of_what_is_written(here, three, dtype):
    half = {"method": "TaskArithmetic", "parameters": {"scale": 0.5}}
    merged = merge_files(recipe(here, **half, dtype=dtype), "out")
    merge_files(recipe(here, **half), "exact")
    assert {str(tensor.dtype) for tensor in state("out").values()} == {f"torch.{dtype}"}
    assert json.loads(Path("out/config.json").read_text())["dtype"] == dtype
    assert AutoModelForCausalLM.from_pretrained("out").dtype == getattr(torch, dtype)
    for name, tensor in state("exact").items():
        assert torch.equal(state("out")[name], tensor.to(getattr(torch, dtype)))
    lines = [line for line in merged.warnings if "rounding is" in line]
    assert len(lines) == (merged.rounding > 0.01) == (dtype != "float32")


# -- adapters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "rslora", "dora", "bias"])
def test_an_adapter_is_merged_as_two_forward_passes_say(here, model, kind):
    from peft import LoraConfig, PeftModel, get_peft_model

    base = model("base")
    torch.manual_seed(1)
    extra = {"rslora": {"use_rslora": True}, "dora": {"use_dora": True}, "bias": {"bias": "all"}}
    config = LoraConfig(
        r=4, lora_alpha=16, target_modules=["q_proj", "down_proj"], **extra.get(kind, {})
    )
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name or name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.1)
        if "magnitude" in name:
            weight.data *= 1.1
    wrapped.save_pretrained(here / "adapter")
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "adapter")
    with torch.no_grad():
        expected = adapted.eval()(IDS).logits
    merge_files(recipe(here, method="LinearAverage", models=["adapter"]), "out")
    assert (expected - logits("base")).abs().max() > 1e-2
    torch.testing.assert_close(logits("out"), expected, atol=1e-5, rtol=1e-4)
    merge_files(
        recipe(here, method="AdapterScale", models=["adapter"], parameters={"scale": 0}), "none"
    )
    assert torch.equal(logits("none"), logits("base"))


# -- refusals ----------------------------------------------------------------------------------


def test_vocabularies_that_differ(here, three):
    path = here / "chat/tokenizer.json"
    path.write_text(path.read_text().replace('"<|im_start|>"', '"<|begin|>"'))
    line = refused(here)
    assert line == (
        "vocabularies differ: token '<|im_start|>' is 1 in base and 259 in chat; a merge needs one "
        "vocabulary"
    )


def test_architectures_that_differ(here, model):
    def cut(weights):
        weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:200].clone()

    model("base")
    model("chat", 1, change=lambda w: w.update({"model.layers.0.extra.weight": torch.ones(2)}))
    model("domain", 1, change=cut, config=lambda s: s.update(vocab_size=200))
    wrong = refused(here)
    assert wrong == (
        "chat: model.layers.0.extra.weight: the base has not it; a merge needs one architecture"
    )
    assert refused(here, models=["domain"]) == (
        "domain: model.embed_tokens.weight has the shape (200, 32), and in the base (259, 32); a "
        "merge needs one architecture"
    )


def test_weights_that_are_missing_or_no_safetensors(here, three):
    (here / "domain/model.safetensors").rename(here / "domain/pytorch_model.bin")
    assert "domain: holds no safetensors weights" in refused(here)
    weights = state("chat")
    del weights["model.norm.weight"]
    save_file(weights, here / "chat/model.safetensors")
    assert refused(here, models=["chat"]).endswith(
        "chat: weights: model.norm.weight is missing; fetch the whole model"
    )
    (here / "chat/model.safetensors").write_bytes(b"cut")
    assert "chat/model.safetensors: cannot be read" in refused(here, models=["chat"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(here, model, value):
    model("base")
    model("chat", 1)
    model("domain", 2, change=lambda w: w["model.norm.weight"].fill_(value))
    assert refused(here, method="Soup") == (
        "domain: weights: model.norm.weight has values that are not finite; merge sound ones"
    )


def test_a_folder_that_is_there(here, three):
    path = recipe(here)
    for place in (here / "chat", "."):
        assert "which is merged; name another folder" in refused_out(path, place)
    other = here / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years")
    assert refused_out(path, other).endswith("is not empty; name another folder, or add --force")
    assert "holds something else than a model" in refused_out(path, other, "--force")
    assert (other / "thesis.txt").read_text() == "years"
    assert call(path, "--out", "out").exit_code == 0
    before = state("out")
    soup = recipe(here, method="Soup")
    assert "add --force" in refused_out(soup, here / "out")
    assert call(soup, "--out", "out", "--force").exit_code == 0
    assert any(not torch.equal(before[name], tensor) for name, tensor in state("out").items())


def refused_out(path, out, *more):
    result = call(path, "--out", out, *more)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1, result.output
    return result.stderr.rstrip()


def test_a_disk_without_room(here, three, monkeypatch):
    free = SimpleNamespace(free=1000)
    monkeypatch.setattr(engine.shutil, "disk_usage", lambda path: free)
    assert refused(here).endswith(
        "0.0 GB free, 0.0 GB needed; free space, name another disk, or write bfloat16"
    )
    free.free = 10**9

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.Shards, "write", full)
    assert "cannot be written (No space left on device)" in refused(here)


def test_weights_that_are_others_than_noted(here, three):
    merge_files(recipe(here), "first")
    note = yaml.safe_load(Path("first/merge.yaml").read_text())
    assert set(note["sha256"]) == {"base", "chat", "domain"}
    merge_files("first/merge.yaml", "again")
    assert Path("again/model.safetensors").read_bytes() == (
        Path("first/model.safetensors").read_bytes()
    )
    shutil.copy("domain/model.safetensors", "chat/model.safetensors")
    assert "sha256.chat.model.safetensors=" in refused(here, **note)


BAD = [
    ({"method": "TIE"}, "method='TIE': there is none; did you mean 'TIES'?"),
    ({"method": "GreedySoup"}, "method='GreedySoup': asks the models a task"),
    ({"parameters": {"densty": 0.2}}, "parameters.densty=0.2: TIES has no such parameter; did you"),
    ({"parameters": {"density": 2}}, "parameters: density=2.0: the share that is kept"),
    ({"method": "DARE", "parameters": {"density": 0.1}}, "parameters.seed: missing; DARE needs it"),
    ({"models": []}, "models=[]: a list is needed; name one model or more"),
    ({"modles": []}, "modles=[]: no such field; did you mean 'models'?"),
    ({"models": [{"path": "chat", "wieght": 1}]}, "models.0.wieght=1: no such field"),
    ({"dtype": "int8"}, "dtype='int8': "),
    ({"tokenizer": "other"}, "tokenizer='other': is none of the merged models; name one of 'base'"),
    ({"base": "nowhere"}, "base='nowhere': no such folder; "),
    ({"max_shard_size": "2 bananas"}, "max_shard_size='2 bananas': "),
    ({"method": "Slerp"}, "models: 2 beside the base; Slerp takes exactly 1"),
    ({"method": "ModelStock", "models": ["chat"]}, "models: 1 beside the base; ModelStock"),
    ({"parameters": {"weights": [1]}}, "parameters.weights=(1.0,): 1 for 2 models; give one each"),
    ({"models": [{"path": "chat", "weight": -1}]}, "parameters: weights=(-1.0,): TIES divides"),
    (
        {"method": "LinearAverage", "parameters": {"weights": [1, -1]}},
        "parameters: weights=(1.0, -1.0): their sum is not above 0",
    ),
    ({"method": "Soup", "models": [{"path": "chat", "weight": 1}]}, "models: weight: not beside"),
]


@pytest.mark.parametrize(("fields", "words"), BAD)
def test_a_recipe_that_is_not_understood(here, three, fields, words, monkeypatch):
    monkeypatch.setattr(engine.weight_files, "weights", lambda *_: pytest.fail("weights are read"))
    assert words in refused(here, **fields)


def test_a_method_that_asks_is_refused_in_python_too(here, three):
    asks = GreedySoup(Task("arc_easy_standin"))
    with pytest.raises(BadRecipe, match=r"^recipe: method='GreedySoup': asks the models a task"):
        merge_files({"method": asks, "base": "base", "models": ["chat"]}, "out")


def test_a_file_that_is_no_recipe(here):
    assert "no such file" in refused_out(here / "none.yaml", here / "out")
    (here / "recipe.yaml").write_text("- a\n- list")
    assert "expected fields" in refused_out(here / "recipe.yaml", here / "out")
    (here / "recipe.yaml").write_text("a: [")
    assert "not YAML" in refused_out(here / "recipe.yaml", here / "out")


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_merge_leaves_nothing(here, three, ending, code, monkeypatch):
    begun = []

    def interrupted(*_):
        begun.extend(here.glob(".out-*"))
        os.kill(os.getpid(), ending)
        time.sleep(60)

    monkeypatch.setattr(TIES, "survey", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a shell ignore it
    try:
        assert call(recipe(here), "--out", "out").exit_code == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert begun and not (here / "out").exists() and not list(here.glob(".out-*"))


# -- mergekit's recipes ------------------------------------------------------------------------


def kit(name, *, weights=(0.5, 0.3), density=None, **more):
    """A recipe of mergekit."""
    own = {"density": density} if density else {}
    models = [
        {"model": f"./{path}", "parameters": own | {"weight": weight}}
        for path, weight in zip(("chat", "domain"), weights, strict=False)
    ]
    base = {} if name == "linear" else {"base_model": "./base"}
    return {"merge_method": name, "models": models, "dtype": "float32", **base, **more}


KIT = {
    "linear": kit("linear", weights=(0.1, 1.0)),
    "linear, as they are": kit("linear", parameters={"normalize": False}),
    "linear, with its base": kit("linear", base_model="./base", parameters={"weight": 0.2}),
    "task_arithmetic": kit("task_arithmetic", parameters={"lambda": 0.7}),
    "task_arithmetic, normalized": kit("task_arithmetic", parameters={"normalize": True}),
    "ties": kit("ties", density=0.3),
    "ties, all": kit("ties", weights=(1, 1), parameters={"lambda": 0.5}),
    "dare_linear, all": kit("dare_linear"),
    "dare_ties, all": kit("dare_ties"),
    "slerp": {
        "merge_method": "slerp",
        "base_model": "./base",
        "models": [{"model": "./base"}, {"model": "./chat"}],
        "parameters": {"t": 0.4},
        "dtype": "float32",
    },
    "nuslerp": kit("nuslerp"),
    "model_stock": {
        "merge_method": "model_stock",
        "base_model": "./base",
        "models": [{"model": "./chat"}, {"model": "./near"}],
        "dtype": "float32",
    },
}


@pytest.mark.parametrize("name", KIT)
def test_a_recipe_of_mergekit_gives_what_mergekit_gives(here, three, model, name):
    pytest.importorskip("mergekit")
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    def near(weights):  # to chat, so that their changes point one way
        for key, tensor in state("chat").items():
            weights[key] = (weights[key] + tensor) / 2 + 0.5 * (tensor - state("base")[key])

    model("near", 3, change=near)
    for folder in (*three, here / "near"):
        config = json.loads((folder / "config.json").read_text())
        config["architectures"] = ["LlamaForCausalLM"]
        (folder / "config.json").write_text(json.dumps(config))
    theirs = MergeConfiguration.model_validate(KIT[name])
    run_merge(theirs, "theirs", options=MergeOptions(quiet=True), config_source="")
    merge_files(recipe(here, **KIT[name]), "ours")
    torch.testing.assert_close(logits("ours"), logits("theirs"), atol=1e-4, rtol=0)
    expected = {path.name: load_file(path) for path in Path("theirs").glob("*.safetensors")}
    tensors = {key: tensor for file in expected.values() for key, tensor in file.items()}
    for key, tensor in state("ours").items():
        torch.testing.assert_close(tensor, tensors[key], atol=2e-6, rtol=0, msg=key)


def test_what_is_meant_by_what_mergekit_leaves_out():
    read = read_recipe(kit("ties"))
    assert read.how == TIES(density=1.0, weights=(0.5, 0.3))
    dare = read_recipe(kit("dare_ties", density=0.1))
    assert (dare.how.rescale, dare.how.elect, dare.how.seed) == (True, "sum", 0)
    assert [remark.partition(":")[0] for remark in dare.remarks] == ["dare_ties"] * 2
    assert read_recipe(kit("linear", dtype=None)).dtype == "base"
    assert of_mergekit(kit("ties", dtype="bfloat16"))["remarks"] == (
        "dtype='bfloat16': what is written; the sum is made in float32",
    )
    assert {ours for ours, _ in MERGEKIT.values()} < set(kinds())


def with_parameters(name, **parameters):
    return kit(name, parameters=parameters)


BAD_KIT = [
    (kit("della"), "merge_method='della': not understood; understood are: linear, "),
    (kit("ties", slices=[]), "slices: []: not understood; of mergekit's keys"),
    (with_parameters("ties", density=[0, 0.5, 1]), "density=[0, 0.5, 1]: layer gradient"),
    (
        with_parameters("ties", density=[{"filter": "mlp", "value": 1}]),
        "layer gradients and filters are not understood; give a number",
    ),
    (with_parameters("ties", gamma=0.1), "parameters.gamma=0.1: not understood; ties has: weight,"),
    (with_parameters("ties", normalize=False), "parameters.normalize=False: TIES takes a mean"),
    (with_parameters("ties", density="much"), "parameters.density='much': a number is needed"),
    (kit("ties", tokenizer_source="union"), "tokenizer_source='union': a merge here needs one"),
    (kit("ties", tokenizer_source="./other"), "tokenizer='./other': is none of the merged models"),
    (kit("ties", chat_template="auto"), "chat_template: 'auto': not understood"),
    (kit("ties", weights=()), "models=[]: a list is needed"),
    (
        {"merge_method": "ties", "base_model": "./base", "models": [{"model": "./chat"}]},
        "models: ./chat: weight: missing; ties needs one for every model",
    ),
    (kit("ties", base_model=None), "base_model: missing; ties needs the common ancestor"),
]


@pytest.mark.parametrize(("fields", "words"), BAD_KIT)
def test_a_recipe_of_mergekit_that_is_not_understood(here, three, fields, words):
    assert words in refused(here, **fields)
