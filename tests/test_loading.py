"""What is loaded of a model's folder: weights by the model's own names, every file in one key."""

import datetime
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.utils import chat_template_utils

from forgetting import Task, foundation, store
from forgetting.engine import compute
from forgetting.models import foundations, loading, template
from forgetting.models.rows import example_row
from forgetting.tasks import Turn

pytestmark = pytest.mark.usefixtures("own_home")
QUICK = {"style": "sft", "examples": 2, "length": 256, "learning_rate": 1e-2}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of `tiny`."""
    return shutil.copytree(tiny.foundation.folder, tmp_path / "model")


def change(folder, write):
    """Let `write` change the tensors of a folder in place."""
    tensors = load_file(folder / WEIGHTS)
    write(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


# -- weights by name ---------------------------------------------------------------------------


def test_a_tied_head_that_is_stored_twice_counts_once_and_keeps_what_was_learned(folder):
    """Merge tools leave a copy of the embeddings under the head's name."""
    change(folder, lambda t: t.update({HEAD: t[EMBEDDING].clone()}))
    base = foundation(str(folder))
    before = compute.state(base)
    assert HEAD not in before and base.foundation.facts["parameters"] == 26_880
    tuned = base.train(Task("mini_sentiment"), **QUICK)
    moved = load_file(store.get("weights", tuned.key) or compute._folder(tuned) / compute.MOVED)
    assert (moved[EMBEDDING] - before[EMBEDDING]).abs().max() > 1e-3
    loaded, _ = compute.model(tuned)
    torch.testing.assert_close(loaded.lm_head.weight.detach(), moved[EMBEDDING])
    half, _ = compute.model(base + 0.5 * (tuned - base))
    expected = (before[EMBEDDING] + moved[EMBEDDING]) / 2
    torch.testing.assert_close(half.get_input_embeddings().weight.detach(), expected)


def test_a_second_copy_in_another_format_is_neither_counted_nor_merged(folder):
    """Some repositories have the weights a second time, under the names of another program."""
    plain = foundation(str(folder))
    other = {n.removeprefix("model."): w for n, w in load_file(folder / WEIGHTS).items()}
    save_file(other, folder / "consolidated.safetensors")
    base = foundation(str(folder))
    assert base == plain and base.foundation.facts["parameters"] == 26_880
    tuned = base.train(Task("mini_sentiment"), **QUICK)
    half = compute.state(base + 0.5 * (tuned - base))
    model, _ = compute.model(base)
    assert half.keys() == dict(model.named_parameters()).keys()


def test_experts_are_merged_as_the_model_holds_them(tiny, tmp_path):
    """Mixtral's files have a tensor an expert, its model has one of them all."""
    shape = {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 259}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 3}
    torch.manual_seed(0)
    mixtral = MixtralForCausalLM(MixtralConfig(**shape, **heads))
    shutil.copytree(tiny.foundation.folder, tmp_path / "experts")
    mixtral.save_pretrained(tmp_path / "experts")
    stored = load_file(tmp_path / "experts" / WEIGHTS)
    state = compute.state(foundation(str(tmp_path / "experts")))
    assert any(".experts.2." in name for name in stored) and stored.keys() != state.keys()
    assert state.keys() == dict(mixtral.named_parameters()).keys()
    for name, weight in mixtral.named_parameters():
        torch.testing.assert_close(state[name], weight.detach())
    count = foundations.parameter_count(tmp_path / "experts")
    assert count == sum(w.numel() for w in mixtral.parameters())


# -- one key for what is read ------------------------------------------------------------------

BESIDE = {
    "chat_template.jinja": "{{ messages[0].content }}!",
    "additional_chat_templates/tool_use.jinja": "{{ messages[0].content }}?",
    "merges.txt": "#version: 0.2\na b\n",
    "vocab.txt": "a\n",
    "tokenizer.model": "pieces",
    "source.spm": "pieces",
    "generation_config.json": "{}",
    "special_tokens_map.json": "{}",
}


@pytest.mark.parametrize("name", BESIDE)
def test_every_file_that_is_loaded_enters_the_digest(folder, name):
    before = loading.digest(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(BESIDE[name])
    assert loading.digest(folder) != before


@pytest.mark.parametrize("name", ["README.md", "pytorch_model.bin", "LICENSE", ".gitattributes"])
def test_what_is_not_loaded_does_not(folder, name):
    before = loading.digest(folder)
    (folder / name).write_text("x")
    assert loading.digest(folder) == before


def shard(folder, **places):
    """Cut the weights into shards, by the first letters of a tensor's name."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    of = {
        n: next(p for start, p in places.items() if n.startswith(f"model.{start}")) for n in tensors
    }
    for place in set(of.values()):
        (folder / place).parent.mkdir(exist_ok=True)
        save_file({n: w for n, w in tensors.items() if of[n] == place}, folder / place)
    (folder / loading.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": of}))


def test_shards_are_those_that_the_index_names(folder):
    whole = compute.state(foundation(str(folder)))
    shard(folder, embed="one.safetensors", layers="more/two.safetensors", norm="one.safetensors")
    save_file({"x": torch.zeros(1)}, folder / "three.safetensors")
    before = loading.digest(folder)
    names = [path.relative_to(folder).as_posix() for path in loading.weight_files(folder)]
    assert names == ["more/two.safetensors", "one.safetensors"]
    state = compute.state(foundation(str(folder)))
    assert state.keys() == whole.keys()
    assert all(torch.equal(state[name], whole[name]) for name in whole)
    content = bytearray((folder / "more/two.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "more/two.safetensors").write_bytes(content)
    assert loading.digest(folder) != before


def test_a_template_writes_the_same_date_every_day(folder, monkeypatch):
    """The date is the library's, and stands in the digest; a day later the rows are the same."""
    file = folder / "chat_template.jinja"
    file.write_text("{{ strftime_now('%d %b %Y') }}\n" + file.read_text())
    rows = []
    for day in (1, 2):

        class Day(datetime.datetime):
            @classmethod
            def now(cls, tz=None, day=day):
                return datetime.datetime(2031, 1, day)

        monkeypatch.setattr(chat_template_utils, "datetime", Day)
        tokenizer = foundations.load_tokenizer(folder)
        task = Task("mini_sentiment_chat")
        rows.append(example_row(next(task.training_examples(0)), tokenizer, 2000))
    assert rows[0]["input_ids"].tolist() == rows[1]["input_ids"].tolist()
    assert tokenizer.decode(rows[0]["input_ids"]).startswith("26 Jul 2024\n")
    before = loading.digest(folder)
    monkeypatch.setattr(loading, "TODAY", datetime.datetime(2031, 1, 1))
    assert loading.digest(folder) != before


def test_a_template_may_ask_whether_there_is_a_date(folder):
    file = folder / "chat_template.jinja"
    asked = '{% if strftime_now is defined %}{{ strftime_now("%Y") }} {% endif %}'
    file.write_text(asked + file.read_text())
    said = template.chat(foundations.load_tokenizer(folder), [Turn("user", "Hi")])
    assert said.startswith("2024 <|im_start|>")


# -- the cache's own models --------------------------------------------------------------------


@pytest.fixture
def packaged(own_home):
    """`tiny` in a cache of the test's own."""
    (own_home / "models").unlink()
    return foundation("tiny").foundation.folder


def test_any_flipped_byte_of_a_packaged_model_is_noticed(packaged, own_home):
    flipped = 0
    for path in sorted(packaged.iterdir()):
        content = path.read_bytes()
        for place in {0, len(content) // 3, len(content) - 1}:
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(changed)
            flipped += 1
            assert foundation("tiny").foundation.folder == packaged
            assert path.read_bytes() == content
    assert len(list((own_home / "store" / "damaged").iterdir())) == flipped == 18


def test_a_file_that_was_not_there_is_noticed(packaged, own_home):
    (packaged / "adapter_config.json").write_text("{}")
    assert not (foundation("tiny").foundation.folder / "adapter_config.json").exists()
    (aside,) = (own_home / "store" / "damaged").iterdir()
    assert (aside / "adapter_config.json").exists()


def test_a_model_that_an_older_version_unpacked_gets_a_manifest(packaged):
    (packaged / store.MANIFEST).unlink()
    before = (packaged / WEIGHTS).stat().st_mtime_ns
    assert foundation("tiny").foundation.folder == packaged
    assert store.problem(packaged) is None and (packaged / WEIGHTS).stat().st_mtime_ns == before
