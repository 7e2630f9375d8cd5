"""Methods: what each is called in a lineage."""

import pytest

from forgetting import foundation, method
from forgetting.lineage import Samples, Settings
from forgetting.objectives import Old
from forgetting.recipes import InForm, SelfOutput
from forgetting.recipes.answers import Asking
from forgetting.recipes.free_text import EMPTY_TURN, Opening
from forgetting.recipes.lamol import Begun
from forgetting.recipes.paraphrased import Retelling
from forgetting.recipes.synthesised import Demonstrations, Refreshed
from forgetting.store import hash_key


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
d106148280ee2b760819  FreeText(tiny, EMPTY_TURN, 0.7, 0.9)
cb1243ee154a4a56c3e7  InForm(task)
8508daa37f5591290cad  Lamol(task)
5e4f7123df505c85c8a9  Lamol(task, (task, task), tiny, 0.05, "task", top_k=1, kept=True)
d3da00bdbb545935914d  Lamol(task, (task,), real=True)
2fe59bf7b7b10b5e016a  Synthesised(task, tiny, tiny)
ec973473df0a514f133b  Asking(task, few, 1, 3)
d0b3bf71b98f223a972f  Retelling(task, few, 1)
cef7c7859f48d31165c5  Opening(EMPTY_TURN, 4)
c691fc222922d5f263b2  Demonstrations(task, 20, 8, 0)
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
