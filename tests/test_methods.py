"""Methods: each one's card, what it is called in a lineage, and files of a reader's own."""

import os
import pickle
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from forgetting import Full, LoRA, Task, foundation, merge, method
from forgetting.engine import compute
from forgetting.lineage import Samples, Settings
from forgetting.objectives import Old
from forgetting.recipes import InForm, SelfOutput
from forgetting.recipes.answers import Asking
from forgetting.recipes.free_text import EMPTY_TURN, Opening
from forgetting.recipes.lamol import Begun
from forgetting.recipes.paraphrased import Retelling
from forgetting.recipes.synthesised import Demonstrations, Refreshed
from forgetting.store import hash_key

BIBLIOGRAPHY = Path(__file__).parents[1] / "book" / "references.bib"

# -- cards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", method.methods(), ids=lambda entry: entry.name)
def test_every_method_has_a_card_that_says_all_it_should(entry):
    card, thing = entry.card, entry.load()
    assert all(getattr(card, text) for text in method.TEXTS)
    assert card.equation.count("{") == card.equation.count("}")
    keys = re.findall(r"@\w+\{(\w+),", BIBLIOGRAPHY.read_text(encoding="utf-8"))
    assert set(card.citations) <= set(keys)
    assert thing.card.title == card.title  # what is read is what runs
    assert getattr(import_module(f"forgetting.{entry.package}"), entry.name) is thing
    path, line = method.where(entry.symbol)
    lines = (method.HERE / path).read_text(encoding="utf-8").splitlines()
    assert re.match(rf"(class|def) {entry.name}\b", lines[line - 1])


def test_a_page_shows_the_code_of_all_that_share_it():
    (page,) = (card for card in method.cards() if card.name == "elastic-weights")
    assert page.symbols == ("forgetting.objectives.EWC", "forgetting.objectives.MAS")
    assert page.members == ("EWC", "MAS")
    assert method.named("MAS").card.idea == page.idea != method.named("MAS").card.title
    assert method.named("MAS").card.colour != page.colour
    assert len({card.name for card in method.cards()}) == len(method.cards())
    with pytest.raises(LookupError, match=r"forgetting\.tuning defines no LORA"):
        method.where("forgetting.tuning.LORA")


def test_to_list_methods_nothing_slow_is_loaded():
    code = (
        "import sys\n"
        "from forgetting import method\n"
        "from forgetting.tuning import LoRA\n"
        "assert method.cards() and method.named('EWC') and LoRA().recipe()\n"
        "print({'torch', 'peft', 'transformers', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# -- a reader's own ----------------------------------------------------------------------------

FREEZE_NORMS = """
from forgetting.method import method
from forgetting.tuning.base import Tuning

@method(title="Freezing the norms", idea="Norms stay.", equation="dL/dg = 0", cost="None.",
        use="To ask what they hold.", citations=("li2024examining",), colour="#123456", marker="8")
class FreezeNorms(Tuning):
    def trains(self, part, blocks):
        return part.kind != "norm"
"""
NEAR_BEFORE = """
from dataclasses import dataclass

from torch.nn import functional

from forgetting.method import method
from forgetting.objectives.base import Objective, divergence

@method(title="Near before", idea="Stay.", equation="L + KL", cost="One reading.", use="Always.",
        citations=("marek2026forgetting",), colour="#123457", marker="8")
@dataclass(frozen=True)
class NearBefore(Objective):
    weight: float = 2.0
    reads_before = True
    mean = False

    def loss(self, step):
        learned = functional.cross_entropy(step.logits, step.wanted)
        return learned + self.weight * divergence(step.before, step.logits)
"""
ELECTED = """
from dataclasses import dataclass

import torch

from forgetting.method import method

@method(title="Elected", idea="Trim, elect a sign, average.", equation="tau", cost="Little.",
        use="For many models.", citations=("ilharco2023editing",), colour="#123458", marker="8")
@dataclass(frozen=True)
class Elected:
    density: float = 0.5
    costs = True

    def recipe(self):
        return {"method": "elected", "density": self.density}

    def merge(self, base, models):
        return {name: start + self.moved(start, [m[name] for m in models])
                for name, start in base.items()}

    def moved(self, start, ends):
        changes = torch.stack([self.trimmed(end - start) for end in ends])
        agree = changes.sign() == changes.sum(0).sign()
        return (changes * agree).sum(0) / agree.sum(0).clamp(min=1)

    def trimmed(self, change):
        count = round((1 - self.density) * change.numel())
        least = change.abs().flatten().sort().values[count] if count < change.numel() else torch.inf
        return change * (change.abs() >= least)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of one's own, laid out like the packages; what was imported of it is forgotten."""
    for package in method.QUESTIONS:
        (tmp_path / package).mkdir()
    monkeypatch.setenv(method.VARIABLE, str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def own(folder):
    """A freeze-like, a KL-like and a method like TIES, a file each."""
    (folder / "tuning" / "freeze_norms.py").write_text(FREEZE_NORMS)
    (folder / "objectives" / "near_before.py").write_text(NEAR_BEFORE)
    (folder / "merging" / "elected.py").write_text(ELECTED)
    return folder


def test_a_file_of_ones_own_is_a_method(own, monkeypatch):
    for name, package, colour in (
        ("FreezeNorms", "tuning", "#123456"),
        ("NearBefore", "objectives", "#123457"),
        ("Elected", "merging", "#123458"),
    ):
        entry = method.named(name)
        assert (entry.package, entry.card.colour) == (package, colour)
        assert entry.card.question == method.QUESTIONS[package]
        assert entry.path.is_relative_to(own) and Path(method.where(entry.symbol)[0]).is_absolute()
    assert "near-before" in {card.name for card in method.cards()}
    assert "Elected" in dir(import_module("forgetting.merging"))
    monkeypatch.delenv(method.VARIABLE)
    with pytest.raises(method.UnknownMethod, match="method='FreezeNorm': there is none; did you"):
        method.named("FreezeNorm")
    with pytest.raises(ImportError):
        exec("from forgetting.merging import Elected")


def test_a_model_is_trained_by_it_and_merged(own, tiny, own_home):
    from forgetting.merging import Elected
    from forgetting.objectives import NearBefore
    from forgetting.tuning import FreezeNorms

    given = {"tune": FreezeNorms(), "objective": NearBefore(3.0)}
    given |= {"tokens": 64, "length": 32, "learning_rate": 1e-2}
    one, other = (tiny.train(Task("zh_everyday"), seed=seed, **given) for seed in (1, 2))
    recipe = one.recipe()
    assert recipe["tune"] == {"kind": "FreezeNorms"}
    assert recipe["objective"] == {"objective": "NearBefore", "weight": 3.0}
    before, after, third = map(compute.state, (tiny, one, other))
    for name, start in before.items():
        assert torch.equal(start, after[name]) is ("norm" in name), name
    merged = merge(tiny, [one, other], Elected())
    for name, found in compute.state(merged).items():
        changes = torch.stack([after[name] - before[name], third[name] - before[name]])
        middle = changes.abs().flatten(1).sort(dim=1).values[:, round(changes[0].numel() / 2)]
        changes[changes.abs() < middle.view(2, *[1] * before[name].ndim)] = 0
        lone = torch.where(changes[0] == 0, changes[1], changes[0])
        same = torch.where(changes.prod(0) > 0, changes.mean(0), lone)
        larger = torch.where(changes[0].abs() > changes[1].abs(), changes[0], changes[1])
        expected = torch.where(changes.prod(0) < 0, larger, same)
        torch.testing.assert_close(found, before[name] + expected, atol=1e-6, rtol=0)


KEYS = """
import pickle, sys
from forgetting import Full, LoRA, Task, foundation
base = foundation("tiny")
assert base.foundation.folder.is_dir()
full = base.train(Task("zh_everyday"), tune=Full(), seed=3, learning_rate=1e-3)
lora = base.train(Task("zh_everyday"), tune=LoRA(rank=4))
sent = pickle.load(open(sys.argv[1], "rb"))
print(base.key, full.key, lora.key, (full + 0.5 * (lora - base)).key, sent.key)
"""


def test_another_process_and_another_home_give_the_same_keys(own, tiny, tmp_path):
    """The other process makes its own `tiny`, of the same bytes; its `hash` has another seed.

    As a worker does, it gets a pickle, and finds a reader's own method by the environment.
    """
    from forgetting.tuning import FreezeNorms

    chinese = Task("zh_everyday")
    full = tiny.train(chinese, tune=Full(), seed=3, learning_rate=1e-3)
    lora = tiny.train(chinese, tune=LoRA(rank=4))
    own_method = tiny.train(chinese, tune=FreezeNorms())
    here = [tiny.key, full.key, lora.key, (full + 0.5 * (lora - tiny)).key, own_method.key]
    (own / "sent").write_bytes(pickle.dumps(own_method))
    home = tmp_path / "home"
    environment = os.environ | {"FORGETTING_HOME": str(home), "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", KEYS, str(own / "sent")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == here
    folder = tiny.foundation.folder
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (home / "models" / folder.name / file).read_bytes() == (folder / file).read_bytes()


def written(name="Own", base="object", **card):
    fields = {"title": "t", "idea": "i", "equation": "e", "cost": "c", "use": "u"}
    fields |= {"citations": ("li2024examining",), "colour": "#123456", "marker": "o"} | card
    given = ", ".join(f"{field}={value!r}" for field, value in fields.items() if value is not None)
    return f"from forgetting.method import method\n@method({given})\nclass {name}: pass\n"


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("tuning/own.py", "def broken(:\n", r"own\.py: invalid syntax"),
        ("tuning/own.py", written("LoRA"), r"own\.py: LoRA stands in .*lora\.py too; rename one"),
        ("tuning/lora.py", written(), r"tuning/lora\.py: tuning has .*lora\.py; rename one"),
        ("merging/own.py", written(colour="#009E73", marker="s"), "marker 's', as LoRA has"),
        ("merging/own.py", written(citations=None), "Own's card: .*citations is missing"),
        ("merging/own.py", written(colour="red"), "Own's card: colour: "),
        ("merging/own.py", written(color="#123456"), "Own's card: color: "),
        ("merging/own.py", written(question="Why?"), r"question='Why\?': one of What is it shown"),
        ("merging/own.py", written(see="LORA"), "'LORA' is no method with a card of its own"),
        ("merging/own.py", written(beside=("MAS",)), "'MAS' is no method with a card of its own"),
        ("merging/own.py", written().replace("'t'", "T"), "title of Own's card is read, not run"),
    ],
)
def test_a_file_that_will_not_do_is_one_line(folder, path, text, words):
    (folder / path).write_text(text)
    with pytest.raises(method.BadMethod, match=words) as caught:
        method.methods()
    assert "\n" not in str(caught.value)


def test_what_cannot_be_imported_says_so_when_it_is_asked_for(folder):
    (folder / "merging" / "own.py").write_text("import nowhere\n" + written())
    assert method.named("Own").card.title == "t"
    with pytest.raises(method.BadMethod, match=r"own\.py: ModuleNotFoundError: No module named"):
        exec("from forgetting.merging import Own")


def test_a_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(method.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(method.BadMethod, match=r"FORGETTING_METHODS=.*none: no such folder"):
        method.methods()


# -- what a lineage calls them -----------------------------------------------------------------


class Shown:
    """A task with a recipe that no data set enters."""

    name = "stub"

    def recipe(self):
        return {"task": "stub", "version": 1}


# Keys of 2026: weights and samples are stored under what these values say of themselves.
RECIPES = """
4f5a399309a128fec37d  Full()
44996d417a5324980dea  FreezeFirst(10)
8947669f88a9aa13a126  FreezeLast(10)
b24897adfc06096f2230  OnlyLast(2)
9ac4131eb1edbb3de1e8  FreezeAttention()
a9846ddb186437977238  OnlyAttention()
9cdfaeb1d8864e779f3f  FreezeMLP()
3bfdc40c130ab8b93d5d  OnlyMLP()
f4450d9bae3854dfc75d  LoRA()
2edc90d3f018db5b27e7  LoRA(rank=16, alpha=32, dropout=0, modules=("q_proj", "down_proj"))
b30bb4fc15aaa50fb452  DoRA()
2b1675938ac288530e07  IA3()
dc1d219fa6ef80aecc89  AttentionDropout()
0282b3650cc71cf78ef8  CrossEntropy()
76d4493454e68fb74663  SelectiveMasking()
719635f4ec11061bc1fd  ShareMasking("low", 0.5)
71e0def696d416d50977  EntropyAdaptive()
9a9aa9463c95c0078ad5  KeepClose(3.0, everywhere=True)
c58bfee8184afbaabfc6  QuestionAndText()
4072b1636366c6d25cc9  QuestionTextAndKept(0.25, 2.0)
0d273ce34a710fbfd213  PolicyGradient()
0fccee7382e96c7586cb  EWC((old,), 7.0)
265970fa2825fd89473e  MAS((old,))
4bbfcd29055b272b266f  GEM((old,))
e9c246250c9017e7da25  WholeText(task)
a93b29494abc24f1b994  Gold(task)
6a3e632cbe7aaf277c33  Gold(task, like=own, same_length=True)
4e352bd0a3aadf51b775  Shuffled(task)
46119112654e074ae291  Paraphrased(task, tiny)
50f71cabf74d7ee5c45b  SelfOutput(task, tiny, count=8, shots=3, otherwise="gold")
1fe4b338025de616e4ab  Rollouts(task, tiny, count=4, max_new_tokens=12)
e693731c80e822eb555c  Distilled(task, tiny, count=2, teacher=tiny)
5b3ebd97b14b9d585f29  Rehearsed(task, (FreeText(tiny),), 0.5)
ce4e5fc0487b6a180a78  Rehearsed(Gold(task), (Gold(task), Gold(task)), 0.1)
5be8b031a544d4d10391  Together((Gold(task), InForm(task)))
e04ade46005f0806f68d  FreeText(tiny)
4b1662292d4ca851df63  FreeText(tiny, EMPTY_TURN)
cb1243ee154a4a56c3e7  InForm(task)
8508daa37f5591290cad  Lamol(task)
5e4f7123df505c85c8a9  Lamol(task, (task, task), tiny, 0.05, "task", top_k=1, kept=True)
d3da00bdbb545935914d  Lamol(task, (task,), real=True)
2fe59bf7b7b10b5e016a  Synthesised(task, tiny, tiny)
ec973473df0a514f133b  Asking(task, few, 1, 3)
d0b3bf71b98f223a972f  Retelling(task, few, 1)
cef7c7859f48d31165c5  Opening(EMPTY_TURN, 4)
c691fc222922d5f263b2  Demonstrations(task, 8, 0)
327980ba1bd2698571ab  Refreshed(texts)
425f24309d2dad683222  Begun((1, 2), 4)
"""


@pytest.fixture(scope="module")
def names():
    """What the expressions above speak of."""
    task, tiny = Shown(), foundation("tiny")
    prompts = (Asking, Begun, Demonstrations, Opening, Refreshed, Retelling)
    return {
        **{each.name: each.load() for each in method.methods()},
        **{each.__name__: each for each in prompts},
        **{"EMPTY_TURN": EMPTY_TURN, "task": task, "tiny": tiny},
        "own": SelfOutput(task, tiny),
        "old": Old(InForm(task), tiny, 4, 64),
        "few": Settings(style="sft", examples=4, length=64),
        "texts": Samples(tiny, Opening("", 4), max_new_tokens=8, top_p=0.6, until=("x",)),
    }


@pytest.mark.parametrize("line", RECIPES.strip().splitlines())
def test_recipes_of_before_keep_their_values(line, names):
    key, _, expression = line.partition("  ")
    assert hash_key(eval(expression, names).recipe()) == key
