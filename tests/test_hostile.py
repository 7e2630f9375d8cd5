"""Bad input: one line names the field, the value and the remedy; nothing runs, nothing is lost.

A row is one fault: what is broken, and words that its line must have. Whatever is raised is an
error of this package, which the command line tells in one line and with an exit code.
"""

import json
import math
import pickle
import shutil

import nbformat
import pytest
import torch
from nbformat import v4
from safetensors.torch import load_file, save_file
from studies import put, run
from transformers import BertConfig, BertForMaskedLM
from typer.testing import CliRunner

from forgetting import (
    FreezeFirst,
    LoRA,
    Settings,
    Task,
    adaptation,
    cli,
    evaluate,
    foundation,
    lineage,
    measure,
    merge,
    objectives,
    recipes,
    registry,
    store,
    tasks,
)
from forgetting.engine import compute
from forgetting.evidence import papers, records
from forgetting.evidence.sealed import seal
from forgetting.experiments.study import Cell
from forgetting.lineage import Samples
from forgetting.merging import linear
from forgetting.models import family
from forgetting.probes.measures import Drift

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def refused(action, *words, strict=True):
    """The one line of an expected error, which has these words.

    Unless `strict` it may be a plain `ValueError`: of values that no command takes.
    """
    with pytest.raises((ValueError, RuntimeError, OSError)) as caught:
        action()
    line = str(caught.value)
    kind = type(caught.value)
    ours = kind.__module__.startswith("forgetting.") or issubclass(kind, OSError)
    assert ours or (kind is ValueError and not strict), repr(caught.value)
    assert "\n" not in line.strip() and len(line) < 700, line
    assert [word for word in words if word not in line] == [], line


def rows(table):
    return [pytest.param(*row[1:], id=row[0]) for row in table]


# -- models ------------------------------------------------------------------------------------


def config(**fields):
    def change(folder):
        content = json.loads((folder / "config.json").read_text())
        kept = {k: v for k, v in (content | fields).items() if v != "gone"}
        (folder / "config.json").write_text(json.dumps(kept))

    return change


def text(name, content):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def tensors(edit):
    def change(folder):
        state = load_file(folder / WEIGHTS)
        edit(state)
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def cut(name, keep):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return change


def index(**shards):
    def change(folder):
        (folder / WEIGHTS).rename(folder / "one.safetensors")
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": shards}))

    return change


def only(name, content):
    """No weights, and this instead."""

    def change(folder):
        (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(content)

    return change


def filled(value):
    return tensors(lambda state: state["model.norm.weight"].fill_(value))


def typed(dtype):
    return tensors(lambda s: s.update({"model.norm.weight": s["model.norm.weight"].to(dtype)}))


def encoder(folder):
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(vocab_size=259, num_attention_heads=4, **shape)).save_pretrained(
        folder
    )


def template(content):
    return text("chat_template.jinja", content)


USER = "{{ messages[0].content }}"
NORM, HEAD = "model.norm.weight", "lm_head.weight"
FOLDERS = [
    ("no configuration", text("config.json", None), "config.json"),
    ("an empty configuration", text("config.json", ""), "config.json"),
    ("a configuration that is no JSON", text("config.json", "{"), "config.json"),
    ("a configuration that is a list", text("config.json", "[]"), "config.json"),
    ("a configuration in another encoding", text("config.json", b"\xff\xfe{"), "config.json"),
    ("no model_type", config(model_type="gone"), "config.json", "model_type"),
    ("a model_type nobody knows", config(model_type="quux"), "config.json", "quux"),
    ("a model_type without a text", config(model_type="vit"), "config.json", "vit"),
    ("code of its own", config(model_type="own", auto_map={"AutoConfig": "x.C"}), "config.json"),
    ("a width below 0", config(hidden_size=-1), "config.json"),
    ("a width in words", config(hidden_size="big"), "config.json", "big"),
    ("no heads", config(num_attention_heads=0), "config.json"),
    ("heads that do not divide", config(num_attention_heads=5), "config.json"),
    ("an activation nobody knows", config(hidden_act="nope"), "config.json", "nope"),
    ("a vocabulary below 0", config(vocab_size=-1), "config.json"),
    ("fewer embeddings than tokens", config(vocab_size=10), "embeds 10", "the tokenizer that"),
    ("quantised weights", config(quantization_config={"bits": 4}), "quantization_config", "plain"),
    ("weights elsewhere", config(transformers_weights="x.safetensors"), "transformers_weights"),
    ("a layer more than the weights", config(num_hidden_layers=3), "missing", "fetch the whole"),
    ("a layer less than the weights", config(num_hidden_layers=1), "unexpected", "configuration"),
    ("another width than the weights", config(intermediate_size=65), "65"),
    ("another vocabulary than the weights", config(vocab_size=300), "300"),
    ("a head that is not there", config(tie_word_embeddings=False), f"{HEAD} is missing"),
    ("no weights", text(WEIGHTS, None), "no safetensors weights", "save_pretrained"),
    ("weights as a pickle", only("pytorch_model.bin", pickle.dumps({})), "no safetensors weights"),
    ("weights of another name", only("weights.safetensors", b""), "no safetensors weights"),
    ("an empty file of weights", text(WEIGHTS, b""), WEIGHTS),
    ("half a header", cut(WEIGHTS, 100), WEIGHTS),
    ("half the weights", cut(WEIGHTS, 50_000), WEIGHTS),
    ("a pickle called safetensors", text(WEIGHTS, pickle.dumps({"a": 1})), WEIGHTS),
    ("a header of four billion bytes", text(WEIGHTS, b"\xff" * 64), WEIGHTS),
    ("a weight that is nan", filled(math.nan), NORM, "not finite"),
    ("a weight that is infinite", filled(math.inf), NORM, "not finite"),
    ("bytes for weights", typed(torch.int8), NORM, "I8", "floats"),
    ("integers for weights", typed(torch.int64), NORM, "I64", "floats"),
    ("truths for weights", typed(torch.bool), NORM, "BOOL", "floats"),
    ("a tensor that is missing", tensors(lambda s: s.pop(NORM)), f"{NORM} is missing"),
    ("a tensor too many", tensors(lambda s: s.update(x=torch.ones(1))), "x is unexpected"),
    ("a tensor of another name", tensors(lambda s: s.update(n=s.pop(NORM))), "missing"),
    ("a tensor of another shape", tensors(lambda s: s.update({NORM: torch.ones(31)})), "31"),
    ("no tensor at all", tensors(lambda s: s.clear()), "missing"),
    ("a tied head that differs", tensors(lambda s: s.update({HEAD: torch.ones(259, 32)})),
     "tie_word_embeddings=true", HEAD, "say false"),
    ("an adapter alone", text("adapter_config.json", "{}"), "adapter_config.json", "merge it"),
    ("a shard above the folder", index(a="../one.safetensors"), "'../one.safetensors'", "inside"),
    ("a shard at the root", index(a="/etc/one.safetensors"), "/etc/one.safetensors", "inside"),
    ("a pickle for a shard", index(a="pytorch_model-1.bin"), "pytorch_model-1.bin", "safetensors"),
    ("a missing shard", index(a="two.safetensors"), "'two.safetensors' is missing", "fetch"),
    ("an index of nothing", index(), "weight_map", "empty"),
    ("an index of numbers", index(a=1), "weight_map"),
    ("an index that is no JSON", only(INDEX, b"{"), INDEX),
    ("an index without a map", only(INDEX, b"{}"), INDEX, "weight_map"),
    ("no tokenizer", lambda f: [p.unlink() for p in f.glob("tokenizer*")], "tokenizer"),
    ("an empty tokenizer", text("tokenizer.json", ""), "tokenizer"),
    ("half a tokenizer", cut("tokenizer.json", 900), "tokenizer"),
    ("a tokenizer of nothing", text("tokenizer.json", "{}"), "tokenizer"),
    ("a tokenizer's settings that are no JSON", text("tokenizer_config.json", "{"), "tokenizer"),
    ("a template that does not end", template("{% for m in messages %}"), "chat_template"),
    ("an unknown filter", template(USER + "{{ 'a' | nope }}"), "chat_template", "nope"),
    ("a template that raises", template("{{ raise_exception('no') }}"), "chat_template", "no"),
    ("a template that calls nothing", template(USER + "{{ nope() }}"), "chat_template", "nope"),
    ("a template that leaves out the user", template("hello"), "leaves out what the user says"),
    ("a day in a variable", template(USER + "{{ strftime_now(x) }}"),
     "strftime_now: the prompt would depend on the day", "write"),
    ("a template that reads", template(USER + "{% include '/etc/passwd' %}"), "chat_template"),
    ("a look inside", template(USER + "{{ ''.__class__.__mro__ }}"), "chat_template"),
    ("a template without an end", template(USER + "{% for i in range(10**12) %}{% endfor %}"),
     "chat_template"),
    ("an encoder", encoder, "model_type='bert'", "goes on from a text"),
]  # fmt: skip


@pytest.fixture
def folder(tiny, tmp_path):
    return shutil.copytree(tiny.foundation.folder, tmp_path / "model")


@pytest.mark.parametrize(("broken", "words"), rows([(r[0], r[1], r[2:]) for r in FOLDERS]))
def test_a_model_that_cannot_be_loaded_whole(folder, broken, words):
    broken(folder)
    refused(lambda: compute.state(foundation(str(folder))), *words)


MODELS = [
    ("a model nobody made", "smollm2-153m", "smollm2-153m", "did you mean 'smollm2-135m'"),
    ("no model's name", "", "model=''", "packaged: "),
    ("a hub that is not reached", "no-one/nothing", "model='no-one/nothing'", "local folder"),
    ("a folder that is not there", "/no/such/folder", "/no/such/folder", "local folder"),
    ("an address", "https://example.org/model", "https://example.org/model", "packaged: "),
]


@pytest.mark.parametrize(("name", "words"), rows([(r[0], r[1], r[2:]) for r in MODELS]))
def test_a_model_that_is_not_there(name, words):
    refused(lambda: foundation(name), *words)


# -- records -----------------------------------------------------------------------------------

KEY = "0123456789abcdef0123"
ASKED = {"quiz": {"acc": [1, 0]}, "text": {"log_likelihood": [-1.5, -2.5], "tokens": [2, 3]}}


def a_run(**given):
    return run("LoRA", 1e-4, 1, ASKED, key=KEY, tier="smoke", losses=[2.5, 2.0], **given)


def at(path, value):
    """Sets what stands at a path of a file's fields; "gone" takes it away."""

    def change(fields):
        *above, last = path.split("/")
        for name in above:
            fields = fields[int(name) if isinstance(fields, list) else name]
        last = int(last) if isinstance(fields, list) else last
        if value == "gone":
            del fields[last]
        else:
            fields[last] = value

    return change


QUIZ, TEXT = "sessions/0/scores/probe of quiz", "sessions/0/scores/probe of text"
ANSWER = {"task": "opera", "prompt": "p", "answer": "a"}
RECORDS = [
    ("another's key", at("key", "f" * 20), "key"),
    ("a key that is no hash", at("key", "../../etc/passwd"), "key"),
    ("an older schema", at("schema_version", 1), "schema_version"),
    ("a later schema", at("schema_version", 3), "schema_version"),
    ("a schema in words", at("schema_version", "two"), "schema_version"),
    ("no model", at("model", "gone"), "model"),
    ("a model without a name", at("model/name", "gone"), "model", "name=None"),
    ("a model of many layers", at("model/layers", "many"), "layers='many'"),
    ("a model with a script", at("model/name", "<script>"), "'<script>'", "without"),
    ("no lineage", at("lineage", {}), "lineage"),
    (
        "the lineage of another",
        at("lineage/" + "f" * 20, {"step": "train"}),
        "lineage: ends with ffff",
    ),
    ("a recipe without a step", at(f"lineage/{KEY}/step", "gone"), f"lineage.{KEY}: step: missing"),
    ("no count of weights", at("trainable", "gone"), "trainable"),
    ("weights below 0", at("trainable", -1), "trainable"),
    ("half a weight", at("trainable", 1.5), "trainable"),
    ("a loss that is nan", at("losses/0", math.nan), "losses.0"),
    ("a loss that is infinite", at("losses/1", math.inf), "losses.1"),
    ("no session", at("sessions", []), "sessions"),
    ("an item that is nan", at(f"{QUIZ}/items/acc/0", math.nan), "acc.0"),
    ("an item in words", at(f"{QUIZ}/items/acc/0", "right"), "acc.0"),
    ("no item", at(f"{QUIZ}/n", 0), ".n"),
    ("more items than scores", at(f"{QUIZ}/n", 3), "acc: 2 values of n=3 items"),
    ("fewer items than scores", at(f"{QUIZ}/n", 1), "acc: 2 values of n=1 items"),
    ("tokens of one item", at(f"{TEXT}/tokens", [2]), "tokens: 1 values of n=2 items"),
    ("an item of no token", at(f"{TEXT}/tokens/0", 0), "tokens.0"),
    ("a likelihood of no tokens", at(f"{TEXT}/tokens", None), "tokens: missing"),
    ("blocks of three items", at(f"{QUIZ}/blocks", [0, 1, 1]), "blocks: 3 values of n=2 items"),
    ("an answer to nothing", at("sessions/0/samples", [ANSWER]), "samples: 'opera' has no scores"),
    ("no date", at("sessions/0/timing/date", "gone"), "date=None"),
    ("a date that is none", at("sessions/0/timing/date", "yesterday"), "yesterday"),
    ("seconds below 0", at("sessions/0/timing/seconds", -1.0), "seconds=-1"),
    ("seconds that are nan", at("sessions/0/timing/seconds", math.nan), "seconds=nan"),
    ("a machine with markup", at("sessions/0/environment/device", "{{ 1 }}"), "'{{ 1 }}'"),
    ("a machine of two lines", at("sessions/0/environment/device", "a\nb"), "environment"),
    ("a field nobody knows", at("note", "x"), "note"),
]


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(("change", "words"), rows([(r[0], r[1], r[2:]) for r in RECORDS]))
def test_a_record_that_cannot_be_so(change, words):
    """Sealed, and still refused; the record beside it is shown, and nothing is deleted."""
    put(a_run(), run("full", tier="smoke"))
    path = records.path_of(KEY, "smoke")
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields.pop("sha256")
    change(fields)
    path.write_text(seal(fields), encoding="utf-8")
    refused(
        lambda: records.load(path), path.name, *words, "run the chapter again" * (len(words) > 1)
    )
    bad = []
    assert [one.labels["method"] for one in records.stored("trial", "smoke", bad)] == ["full"]
    assert len(bad) == 1 and path.exists()


ENTRY = "runs/0"
INDEXES = [
    ("another experiment", at("experiment", "other"), "experiment: 'other'"),
    ("no experiment", at("experiment", "gone"), "experiment"),
    ("an older schema", at("schema_version", 1), "schema_version"),
    ("a panel that is missing", at("panels", {}), "panels"),
    ("a System that is no hash", at(f"{ENTRY}/system", "../x"), "system"),
    ("a tier nobody knows", at(f"{ENTRY}/tier", "lap"), "tier"),
    ("no method", at(f"{ENTRY}/labels/method", "gone"), "method=None"),
    ("a script for a method", at(f"{ENTRY}/labels/method", "<script>"), "'<script>'", "without"),
    ("a file for a method", at(f"{ENTRY}/labels/method", "{include}`x`"), "markup"),
    ("a template for a label", at(f"{ENTRY}/labels/also", "{{ x }}"), "markup"),
    ("a fence in a label", at(f"{ENTRY}/labels/also", "a\n```\n"), "markup"),
    ("a rate that is nan", at(f"{ENTRY}/labels/learning_rate", math.nan), "learning_rate=nan"),
    ("a rate in words", at(f"{ENTRY}/labels/learning_rate", "low"), "learning_rate='low'"),
    ("a seed in words", at(f"{ENTRY}/labels/seed", "one"), "seed='one'"),
    ("half a seed", at(f"{ENTRY}/labels/seed", 0.5), "seed=0.5"),
    ("a session before the first", at(f"{ENTRY}/sessions", [-1]), "sessions"),
    ("a start in words", at(f"{ENTRY}/start", "perhaps"), "start"),
    ("a role with a script", at("panels/x", {"<b>": "y"}), "'<b>'"),
]


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(("change", "words"), rows([(r[0], r[1], r[2:]) for r in INDEXES]))
def test_an_index_that_cannot_be_so(change, words):
    put(a_run())
    path = records.index_path("trial", "smoke")
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields.pop("sha256")
    change(fields)
    path.write_text(seal(fields), encoding="utf-8")
    refused(lambda: records.load_index("trial", "smoke"), "trial.json", *words)


BYTES = [
    ("nothing", lambda content: b""),
    ("half a file", lambda content: content[: len(content) // 2]),
    ("no seal", lambda content: content[:-80] + b"}\n"),
    ("another seal", lambda content: content.replace(b'"sha256": "', b'"sha256": "0')),
    ("another number", lambda content: content.replace(b"2.5", b"2.4")),
    ("a line more", lambda content: content + b"\n"),
    ("no text", lambda content: b"\x00\xff" * 99),
]


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize("change", rows(BYTES))
def test_a_file_that_is_not_as_it_was_written(change):
    put(a_run())
    path = records.path_of(KEY, "smoke")
    path.write_bytes(change(path.read_bytes()))
    refused(lambda: records.load(path), f"{KEY}.json", "sha256", "run the chapter again")


# -- values ------------------------------------------------------------------------------------

CHINESE = Task("zh_everyday")


class Words:
    """Prompts of one word."""

    def recipe(self):
        return {"prompts": "hello"}

    def texts(self, tokenizer, *_):
        return ["hello"]


def train(**given):
    return lambda base: base.train(given.pop("shown", CHINESE), **given).key


def draw(**given):
    return lambda base: Samples(base, Words(), **({"max_new_tokens": 4} | given)).key


def answer(**given):
    def ask(base):
        model, tokenizer = compute.model(base)
        family.family_of(model).answer(model, tokenizer, ["a"], **({"max_new_tokens": 2} | given))

    return ask


LABELS = {"method": "LoRA", "learning_rate": 1e-4, "seed": 0}


def asked(labels=LABELS, name="trial", tier="smoke", asks=(CHINESE,), **given):
    return lambda base: measure(name, [Cell(base, labels)], asks, tier, **given)


VALUES = [
    ("a seed below 0", train(seed=-1), "seed=-1", "0 to 4294967295"),
    ("half a seed", train(seed=0.5), "seed=0.5", "whole number"),
    ("a truth for a seed", train(seed=True), "seed=True", "whole number"),
    ("a seed in words", train(seed="one"), "seed='one'", "whole number"),
    ("a seed too large", train(seed=2**32), "seed=4294967296", "0 to"),
    ("a tuning's class", train(tune=LoRA), "tune=LoRA", "LoRA(…)"),
    ("an objective's class", train(objective=objectives.CrossEntropy), "write CrossEntropy(…)"),
    ("a task's class", train(shown=Task), "shown=Task", "Task(…)"),
    ("a task's name for a task", train(shown="zh_everyday"), "shown='zh_everyday'"),
    ("an objective for a tuning", train(tune=objectives.CrossEntropy()), "tune=CrossEntropy()"),
    ("a tuning for an objective", train(objective=LoRA()), "objective=LoRA("),
    ("no rate", train(learning_rate=0), "learning_rate=0", "greater than 0"),
    ("a rate that is nan", train(learning_rate=math.nan), "learning_rate=nan"),
    ("a rate above 1", train(learning_rate=3), "learning_rate=3", "less than or equal to 1"),
    ("a rate in words", train(learning_rate="high"), "learning_rate='high'", "number"),
    ("weights that decay without end", train(weight_decay=math.inf), "weight_decay=inf", "finite"),
    ("no clip", train(clip=0), "clip=0", "greater than 0"),
    ("a clip that is infinite", train(clip=math.inf), "clip=inf", "finite"),
    ("few tokens", train(tokens=3), "tokens=3", "16"),
    ("a short length", train(length=4), "length=4", "8"),
    ("no row in a step", train(batch=0), "batch=0", "1"),
    ("no example", train(examples=0), "examples=0", "1"),
    ("half an example", train(examples=1.5), "examples=1.5", "integer"),
    ("no epoch", train(examples=2, epochs=0), "epochs=0", "1"),
    ("epochs of tokens", train(epochs=3), "epochs=3", "name `examples`"),
    ("two amounts", train(examples=9, tokens=64), "examples=9", "name one"),
    ("a style nobody knows", train(style="rlhf"), "style='rlhf'", "pretrain"),
    ("a precision nobody knows", train(precision="int4"), "precision='int4'", "float32"),
    ("a setting nobody knows", train(learning_rat=1e-3), "learning_rat=0.001", "'learning_rate'"),
    ("a warmup of all", train(warmup=1.0), "warmup=1.0", "less than 1"),
    ("moments that never fade", train(beta2=1.0), "beta2=1.0", "less than 1"),
    ("a LoRA of no rank", lambda _: LoRA(rank=0), "rank=0", "1"),
    ("half a rank", lambda _: LoRA(rank=1.5), "rank=1.5", "integer"),
    ("a dropout of all", lambda _: LoRA(dropout=1.0), "dropout=1.0", "less than 1"),
    ("a parameter nobody knows", lambda _: LoRA(rnak=1), "rnak=1", "did you mean 'rank'?"),
    ("no block", lambda _: FreezeFirst(0), "k=0", "1"),
    ("blocks below 0", lambda _: FreezeFirst(-1), "k=-1", "1"),
    ("half a block", lambda _: FreezeFirst(1.5), "k=1.5", "integer"),
    ("a vector times nan", lambda b: b + math.nan * (b - b), "factor=nan", "finite"),
    ("a vector times infinity", lambda b: b + math.inf * (b - b), "factor=inf", "finite"),
    ("a vector times words", lambda b: b + "two" * (b - b), "factor='two'", "finite"),
    ("a merge of names", lambda b: merge(b, ["tiny"], linear), "models='tiny'"),
    ("a graft of a name", lambda b: b.graft("tiny", Words()), "other='tiny'"),
    ("a connector's class", lambda b: b.graft(b, Words), "connector=Words", "Words(…)"),
    ("an adaptation's class", lambda b: lineage.Adapt(b, adaptation.StreamICL), "how=StreamICL"),
    ("half a token to write", draw(max_new_tokens=1.5), "max_new_tokens=1.5", "whole number"),
    ("no token to write", draw(max_new_tokens=0), "max_new_tokens=0", "at least 1"),
    ("no sample a prompt", draw(per_prompt=0), "per_prompt=0", "at least 1"),
    ("half a sample a prompt", draw(per_prompt=1.5), "per_prompt=1.5", "whole number"),
    ("a sample's seed below 0", draw(seed=-1), "seed=-1", "0 to"),
    ("a temperature below 0", draw(temperature=-1.0), "temperature=-1.0", "above it"),
    ("a temperature that is nan", draw(temperature=math.nan), "temperature=nan", "above it"),
    ("prompts' class", lambda b: Samples(b, Words, 4), "prompts=Words", "Words(…)"),
    ("half a token answered", answer(max_new_tokens=1.5), "max_new_tokens=1.5", "whole number"),
    ("answers' seed below 0", answer(seeds=[-1]), "seed=-1", "0 to"),
    ("no row at a time", answer(batch=0), "batch=0", "at least 1"),
    ("half a row at a time", answer(batch=1.5), "batch=1.5", "whole number"),
    ("infinitely many items", lambda _: Task("zh_everyday", math.inf), "items=inf", "whole number"),
    ("half an item", lambda _: Task("zh_everyday", 1.5), "items=1.5", "whole number"),
    ("no item", lambda _: Task("zh_everyday", 0), "items=0", "at least 1"),
    ("a task nobody knows", lambda _: Task("zh_everyda"), "zh_everyda", "mean 'zh_everyday'"),
    ("one task asked twice", lambda b: evaluate(b, [Task("chat", 1), Task("chat", 2)]),
     "asked='chat'", "ask once"),
    ("a number in a recipe that is nan", lambda _: store.hash_key({"a": [1, {"b": math.nan}]}),
     "b=nan", "finite"),
    ("a set in a recipe", lambda _: store.hash_key({"a": {1, 2}}), "a={1, 2}", "set"),
    ("a weight that is nan", train(objective=objectives.QuestionAndText(math.nan)), "weight=nan"),
    ("a threshold below 1", lambda _: objectives.SelectiveMasking(0.5), "threshold=0.5"),
    ("a threshold that is nan", lambda _: objectives.SelectiveMasking(math.nan), "threshold=nan"),
    ("all tokens as one's most", lambda _: objectives.EntropyAdaptive(top=1), "top=1"),
    ("a mask of the middle", lambda _: objectives.ShareMasking("middle"), "which='middle'"),
    ("a mask of all", lambda _: objectives.ShareMasking(share=1.0), "share=1.0"),
    ("a mask of less than nothing", lambda _: objectives.ShareMasking(share=-0.1), "share=-0.1"),
    ("a memory of nothing", lambda _: adaptation.StreamICL(0), "k=0"),
    ("dreams of no size", lambda _: recipes.Lamol(CHINESE, gamma=0), "gamma=0"),
    ("marks nobody knows", lambda _: recipes.Lamol(CHINESE, tokens="both"), "tokens='both'"),
    ("dreams of nobody", lambda _: recipes.Lamol(CHINESE, previous=(CHINESE,)), "by="),
    ("nothing to rehearse", lambda _: recipes.Rehearsed(CHINESE, (CHINESE,), 0), "ratio=0"),
    ("too much to rehearse", lambda _: recipes.Rehearsed(CHINESE, (CHINESE,), 11), "ratio=11"),
    ("a ratio that is infinite", lambda _: recipes.Rehearsed(CHINESE, (CHINESE,), math.inf),
     "ratio=inf", "more than 0"),
    ("an experiment elsewhere", asked(name="../trial"), "experiment='../trial'", "without /"),
    ("an experiment of no name", asked(name=""), "experiment=''"),
    ("a tier nobody knows", asked(tier="lap"), "tier='lap'", "laptop"),
    ("no label", asked({}), "labels", "method=None"),
    ("a label that is nan", asked(LABELS | {"x": math.nan}), "x=nan", "finite"),
    ("a label with markup", asked(LABELS | {"x": "<b>"}), "'<b>'", "without"),
    ("a seed's label in words", asked(LABELS | {"seed": "one"}), "seed='one'", "number"),
    ("a probe's class", asked(asks={"drift": Drift}), "drift=Drift", "Drift(…)"),
    ("settings that are infinite", lambda _: Settings(epsilon=math.inf), "epsilon=inf", "finite"),
]  # fmt: skip


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(("action", "words"), rows([(r[0], r[1], r[2:]) for r in VALUES]))
def test_a_value_that_makes_no_sense(tiny, trainings, action, words):
    refused(lambda: action(tiny), *words, strict=False)
    assert trainings == []


# -- files of data -----------------------------------------------------------------------------

SOUND = """[set]
about = "two files"
repo = "someone/data"
commit = "0123456789abcdef0123456789abcdef01234567"
licence = "CC0"
files = [["docs/one.txt", 6, "{sha}"]]
""".replace("{sha}", "ab" * 32)
REGISTRIES = [
    ("no TOML", "[set", "registry.toml", "mend it"),
    ("no UTF-8", b"\xff", "registry.toml", "mend it"),
    ("no table", "set = 1", "registry.toml", "expected a table"),
    ("a path above the folder", SOUND.replace("docs/one", "../one"), "'../one.txt'", "within"),
    ("a path at the root", SOUND.replace("docs/one", "/etc/one"), "'/etc/one.txt'", "within"),
    ("a path of another system", SOUND.replace("docs/one", r"docs\\\\one"), "one.txt'", "within"),
    ("no path", SOUND.replace("docs/one.txt", ""), "files.0", "within"),
    ("a repository above", SOUND.replace("someone/data", "../.."), "repo='../..'"),
    ("a short commit", SOUND.replace("0123456789abcdef0123", ""), "commit"),
    ("a short sha256", SOUND.replace("abab", ""), "files.0"),
    ("no byte", SOUND.replace(", 6,", ", 0,"), "files.0", "greater than 0"),
    ("no file", SOUND.replace('["docs/one.txt", 6, "' + "ab" * 32 + '"]', ""), "files"),
    ("no licence", SOUND.replace("licence", "license"), "licence: missing"),
]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data/ folder of the test's own, with two tasks."""
    folder = tmp_path / "data"
    for place in ("tasks/text", "papers"):
        (folder / place).mkdir(parents=True)
    (folder / "registry.toml").write_text(SOUND)
    (folder / "tasks" / "text" / "good.yaml").write_text(YAML.replace("bad", "good"))
    (folder / "tasks" / "text" / "loaders.py").write_text("def load(**_): return {}\n")
    monkeypatch.setenv("FORGETTING_DATA", str(folder))
    yield folder
    tasks.task._config.cache_clear()


YAML = """task: bad
custom_dataset: !function loaders.load
output_type: generate_until
metadata: {version: 1.0, data: [set]}
"""


def written(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize(("content", "words"), rows([(r[0], r[1], r[2:]) for r in REGISTRIES]))
def test_a_registry_that_cannot_be_so(data, content, words):
    written(data / "registry.toml", content)
    refused(registry.names, str(data / "registry.toml"), *words)


TASKS = [
    ("no YAML", "task: [bad", "not YAML", "mend it"),
    ("a tag that runs code", "task: !!python/object/apply:os.system [ls]", "not YAML"),
    ("no UTF-8", b"task: \xff", "not YAML"),
    ("a list", "- task", "metadata=None", "give version and data"),
    ("nothing", "", "metadata=None"),
    ("no version", YAML.replace("version: 1.0, ", ""), "metadata.version=None", "number"),
    ("a version in words", YAML.replace("1.0", "one"), "metadata.version='one'", "number"),
    ("no data", YAML.replace("[set]", "[]"), "metadata.data=[]", "list of data sets"),
    ("another name", YAML.replace("task: bad", "task: good"), "task='good'", "bad"),
    ("a loader that is not there", YAML.replace("loaders.load", "loaders.lod"), "'loaders.lod'"),
    ("a file that is not there", YAML.replace("loaders.load", "loader.load"), "'loader.load'"),
]


@pytest.mark.parametrize(("content", "words"), rows([(r[0], r[1], r[2:]) for r in TASKS]))
def test_a_task_that_cannot_be_so_and_the_others_can_be_used(data, content, words):
    written(data / "tasks" / "text" / "bad.yaml", content)
    refused(lambda: Task("bad").documents("test"), str(data / "tasks/text/bad.yaml"), *words)
    assert Task("good").public == ["set"] and tasks.names() == ["bad", "good"]


PAPER = 'id = "x"\ncitation = "x"\ntitle = "T"\nshort = "S"\n'
TABLE = '[tables.one]\nsource = "S"\ncolumns = ["a", "b"]\nunit = "u"\nrows = {r = [1.0]}\n'
PAPERS = [
    ("no TOML", "id =", "x.toml", "mend it"),
    ("no title", PAPER.replace("title", "titel"), "title: missing"),
    ("a field nobody knows", PAPER + "year = 2024\n", "year=2024"),
    ("a row too short", PAPER + TABLE, "'r' has 1 numbers, 2 columns"),
    ("a number in words", PAPER + TABLE.replace("[1.0]", '["a", 1]'), "tables.one.rows.r.0='a'"),
]


@pytest.mark.parametrize(("content", "words"), rows([(r[0], r[1], r[2:]) for r in PAPERS]))
def test_a_paper_that_cannot_be_so(data, content, words):
    written(data / "papers" / "x.toml", content)
    refused(papers.papers, "x.toml", *words)


# -- commands ----------------------------------------------------------------------------------

PARAMETERS = """\
tier: str = "smoke"  # which budget to spend [smoke|laptop]
model: str = ""  # another model than the tier's
data: str = "bundled"  # which texts [auto|public|bundled]
methods: list[str] = []  # rows of the table
learning_rates: list[float] = []  # one run a rate [1e-7..0.1]
seeds: list[int] = [0]  # one run a seed [0..9999]
tokens: int = 0  # how much [0..10000000000]"""
GRADED = """# T

```{exercise-start} Twice
:label: twice
```
Write it; `exercises.twice(twice)` tests it.
```{exercise-end}
```

```{solution-start} twice
```
```python
def twice(number):
    return 2 * number
```
```{solution-end}
```
"""


@pytest.fixture
def book(tmp_path, monkeypatch, own_home):
    """A book with the chapter `freezing`, with an exercise, and with a record and weights."""
    root = tmp_path / "book"
    for place in ("notebooks", "answers", "book", "src/forgetting/chapters/twofold"):
        (root / place).mkdir(parents=True)
    cells = [
        v4.new_markdown_cell(GRADED),
        v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        v4.new_code_cell("1 / 0  # no row may come so far"),
    ]
    for name in ("01_freezing", "02_twofold"):
        nbformat.write(v4.new_notebook(cells=cells), root / "notebooks" / f"{name}.ipynb")
    (root / "book" / "references.bib").write_text("@misc{known2024,\n  title = {T},\n}\n")
    twofold = root / "src" / "forgetting" / "chapters" / "twofold"
    for name in ("__init__.py", "experiment.py"):
        (twofold / name).touch()
    (twofold / "exercises.py").write_text(
        "def twice(answer):\n    assert answer(2) == 4, 'not 4'\n"
    )
    monkeypatch.setenv("FORGETTING_ROOT", str(root))
    monkeypatch.setenv("FORGETTING_RESULTS", str(root / "results"))
    monkeypatch.chdir(root)
    put(run("LoRA", key=KEY, experiment="freezing"))
    store.put("weights", KEY, lambda folder: (folder / "w").write_bytes(b"w"))
    return root


def everything(*folders):
    """Every file's bytes, by name."""
    paths = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in paths if "locks" not in path.parts}


def told(*arguments):
    """The one line of a command that fails, after which everything is as it was."""
    result = CliRunner().invoke(cli.app, [str(word) for word in arguments], env={"COLUMNS": "400"})
    assert result.exit_code > 0, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    line = result.stderr
    return line.removeprefix("error: ").strip() if line.startswith("error: ") else line


def p(value):
    return ["run", "freezing", "-p", value]


def new(name, cite="known2024"):
    return ["new", "chapter", name, "--cite", cite]


COMMANDS = [
    ("digits with a line between", p("seeds=1_0"), "seeds='1_0'", "plain digits"),
    ("digits of another script", p("seeds=１"), "seeds='１'", "plain digits"),
    ("a rate with a line between", p("learning_rates=1_0e-4"), "'1_0e-4'", "plain digits"),
    ("a rate without end", p("learning_rates=inf"), "learning_rates='inf'", "finite"),
    ("a rate of 1", p("learning_rates=1"), "learning_rates='1'", "1e-7 to 0.1"),
    ("data nobody knows", p("data=pubic"), "data='pubic'", "did you mean 'public'?"),
    ("a method nobody knows", p("methods=full,LoRa"), "methods='LoRa'", "did you mean"),
    ("a method without its number", p("methods=FreezeFirst"), "methods='FreezeFirst'", "defaults"),
    ("a model nobody made", p("model=smolm2"), "model='smolm2'", "did you mean 'smollm2-135m'?"),
    ("a model that is a file", p("model=/etc/passwd"), "model='/etc/passwd'", "local folder"),
    ("a folder without a model", p("model=notebooks"), "config.json"),
    ("too few tokens", p("tokens=3"), "tokens=3", "16"),
    ("a parameter nobody knows", p("sseds=0"), "sseds='0'", "did you mean 'seeds'?"),
    ("no value", p("seeds"), "-p seeds", "name=value"),
    ("no name", p("=0"), "-p =", "name=value"),
    ("a value given twice", [*p("seeds=0"), "-p", "seeds=1"], "seeds='1'", "given twice"),
    ("a tier given twice", [*p("tier=laptop"), "--tier", "smoke"], "tier='laptop'", "given twice"),
    ("a chapter nobody wrote", ["run", "freezign"], "chapter='freezign'", "'freezing'"),
    ("a report in no folder", ["run", "freezing", "--report", "no/x.html"], "no/x.html", "make it"),
    ("a report that is a folder", ["run", "freezing", "--report", "book"], "book", "another file"),
    ("a place that is none", ["run", "freezing", "--scheduler", "here"], "'here'", "local:N"),
    ("no worker", ["run", "freezing", "--scheduler", "local:0"], "'local:0'", "local:N"),
    ("no process", ["run", "freezing", "--processes", "0"], "processes='0'", "from 1 to 64"),
    ("too many processes", ["run", "freezing", "--processes", "65"], "'65'", "from 1 to 64"),
    ("a chapter to check", ["check", "opera"], "chapter='opera'", "there are"),
    ("a chapter's records", ["records", "opera"], "chapter='opera'", "there are"),
    ("a key nobody has", ["records", "--key", "zz"], "key='zz'", "lists them"),
    ("a data set nobody has", ["data", "fetch", "gsm8"], "name='gsm8'", "nearest"),
    ("a task nobody has", ["measure", "gsm8"], "task='gsm8'", "no such task"),
    ("a name of the book's values", new("tasks"), "name='tasks'", "choose another"),
    ("a page's name", new("index"), "name='index'", "choose another"),
    ("a module's name", new("columns"), "name='columns'", "another"),
    ("a chapter that is there", new("freezing"), "name='freezing'", "another"),
    ("a word of Python", new("class"), "name='class'", "small letters"),
    ("a name with a space", new("a b"), "name='a b'", "small letters"),
    ("a name above the folder", new("../x"), "name='../x'", "small letters"),
    ("a paper nobody lists", new("fresh", cite="x"), "cite='x'", "add the paper"),
    ("a paper misspelt", new("fresh", cite="knwon2024"), "did you mean 'known2024'?"),
    ("answers that are not there", ["grade", "freezing"], "answers/freezing.py", "--new makes it"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), rows([(r[0], r[1], r[2:]) for r in COMMANDS]))
def test_a_command_that_makes_no_sense(book, own_home, monkeypatch, arguments, words):
    monkeypatch.setattr(cli.chapters, "_execute", lambda *_: pytest.fail("a kernel was started"))
    before = everything(book, own_home / "store")
    line = told(*arguments)
    assert [word for word in words if word not in line] == [] and line.count("\n") == 0, line
    assert everything(book, own_home / "store") == before


ANSWERS = [
    ("an end of the program", "import sys\ndef twice(n): sys.exit(0)", "SystemExit: 0"),
    ("an end of the process", "import os\ndef twice(n): os._exit(0)", "ends the program"),
    ("no end", "def twice(n):\n    while True: pass", "has not ended after 1 s"),
    ("a question to the reader", "def twice(n): return input()", "EOFError"),
    ("an answer that calls itself", "def twice(n): return twice(n)", "RecursionError"),
    ("no number", "twice = None", "TypeError"),
    ("the wrong number", "def twice(n): return n", "not 4"),
]


@pytest.mark.parametrize(("code", "words"), rows(ANSWERS))
def test_an_answer_that_does_not_pass(book, monkeypatch, code, words):
    monkeypatch.setattr("forgetting.site.coursework.SECONDS", 1)
    (book / "answers" / "twofold.py").write_text(code)
    result = CliRunner().invoke(cli.app, ["grade", "twofold"], env={"COLUMNS": "200"})
    assert result.exit_code == 1 and "0 of 1 exercise passed" in result.stdout, result.output
    assert words in " ".join(result.stdout.split())


UNREADABLE = [
    ("no Python", b"import math\ndef twice(", "line 2: SyntaxError"),
    ("an end of the program", b"import sys\nsys.exit(0)", "line 2: SystemExit: 0"),
    ("no UTF-8", b"# \xff", "not UTF-8", "save it as UTF-8"),
    ("a zero byte", b"a = 1\x00", "null bytes"),
    ("an error", b"1 / 0", "line 1: ZeroDivisionError"),
]


@pytest.mark.parametrize(("content", "words"), rows([(r[0], r[1], r[2:]) for r in UNREADABLE]))
def test_a_file_of_answers_that_cannot_be_run(book, content, words):
    (book / "answers" / "twofold.py").write_bytes(content)
    line = told("grade", "twofold")
    assert "answers/twofold.py" in line and all(word in line for word in words), line


def test_a_damaged_file_is_named_and_the_others_are_shown(book):
    put(run("full", experiment="freezing"))
    path = records.path_of(KEY, "laptop")
    path.write_bytes(path.read_bytes()[:99])
    for command in (["records"], ["chapters"], ["check", "freezing"]):
        result = CliRunner().invoke(cli.app, command, env={"COLUMNS": "200"})
        assert result.exit_code == 1 and result.stderr.count("\n") == 1
        assert result.stderr.startswith(f"error: {path.name}: sha256: the file is cut")
        assert "freezing" in result.stdout and path.exists()
    assert "full" in CliRunner().invoke(cli.app, ["records"]).stdout


def test_a_damaged_task_is_named_and_the_others_are_listed(book, data):
    written(data / "tasks" / "text" / "bad.yaml", "task: [bad")
    result = CliRunner().invoke(cli.app, ["data", "list"], env={"COLUMNS": "200"})
    assert result.exit_code == 1 and "bad.yaml: not YAML" in result.stderr
    assert "read by good" in result.stdout


def test_what_a_link_points_to_is_not_cleaned(book, own_home, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (own_home / "store" / "weights").rename(elsewhere)
    (own_home / "store" / "weights").symlink_to(elsewhere)
    before = everything(elsewhere)
    line = told("clean", "--weights", "--models", "--yes")
    assert "could not be deleted: weights" in line and "left alone" in line
    assert everything(elsewhere) == before and store.get("weights", KEY)


def test_a_disk_that_is_full_while_a_model_is_unpacked(own_home, monkeypatch):
    """Nothing half-written is left, and the next try has the disk for itself."""
    (own_home / "models").unlink()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("forgetting.models.tiny.save_file", full)
        words = ("tiny", "No space left on device", "forgetting clean")
        refused(lambda: foundation("tiny").foundation.folder, *words)
    assert list((own_home / "models").iterdir()) == []
    assert store.problem(foundation("tiny").foundation.folder) is None
