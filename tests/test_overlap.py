"""No training document stands in a test set of its family."""

import json
import os

import pytest

from forgetting import chapters, tasks
from forgetting.chapters.common import kept_of_alignment
from forgetting.tasks import Task
from forgetting.tasks.documents import public, without_overlap

pytestmark = pytest.mark.public
ONE_SOURCE = {"dolly_benign", "dolly_questions"}  # two cuts of it; see the test of aligned starts
FAMILIES = sorted({Task(name).family for name in tasks.names()})


@pytest.fixture
def public_data():
    """Without a mirror the bundled tasks alone are compared."""
    if "FORGETTING_DATA_MIRROR" not in os.environ:
        pytest.skip("no mirror of the public data sets")


def same(text):
    return " ".join(text.lower().split())


def texts(documents, fields=("prompt", "text")):
    """What distinguishes documents: the first of these fields that they have, or all of them."""
    return {same(next((d[f] for f in fields if d.get(f)), json.dumps(d))) for d in documents}


def splits(name):
    """The documents of a task's splits; without its data there are none to compare."""
    return {} if Task(name).missing() else Task(name).splits()


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_that_is_taught_is_tested(family):
    names = [name for name in tasks.names() if Task(name).family == family]
    found = {name: splits(name) for name in names}
    taught = {name: texts(s["train"]) for name, s in found.items() if "train" in s}
    tested = {name: texts(s["test"]) for name, s in found.items() if taught and "test" in s}
    shared = {
        (learned, asked): len(common)
        for learned, train in taught.items()
        for asked, test in tested.items()
        if {learned, asked} != ONE_SOURCE and (common := train & test)
    }
    assert shared == {}  # counts only: what overlaps may be harmful to print


def test_what_an_aligned_start_has_learned_is_asked_of_it_nowhere(public_data):
    """Its questions are a cut of their own of Dolly's rows: nobody may ask the other cuts."""
    experiment = chapters.experiment("averaging")
    learned = [*kept_of_alignment("public"), Task("sst_chat")]
    taught = {name: texts(splits(name)["train"]) for name in (task.name for task in learned)}
    asked = {ask.public for ask in experiment.every_ask()}
    tested = {name: texts(splits(name)["test"]) for name in asked}
    assert not {(a, b) for a, train in taught.items() for b, test in tested.items() if train & test}


def test_every_family_with_something_to_teach_is_looked_at(public_data):
    """The comparison above is not empty."""
    teaching = {name for name in tasks.names() if "train" in splits(name)}
    assert teaching >= {"gsm8k_pinned", "openfunctions", "alpaca", "lima"}
    assert "zh_everyday" in teaching
    assert all(texts(splits(name)["train"]) for name in teaching)


def test_no_question_about_functions_is_taught_in_another_form(public_data):
    taught = texts(splits("openfunctions")["train"], ["question"])
    for name in ("openfunctions", "bfcl_simple"):
        assert not taught & texts(splits(name)["test"], ["question"])


def test_passages_of_held_out_texts_stand_in_no_training_text():
    """Stronger than equality: tested passages are cut out of longer texts."""
    for name in ("zh_everyday", "zh_articles"):
        found = splits(name)
        taught = "\n".join(same(d["text"]) for d in found.get("train", []))
        assert not [1 for d in found.get("test", []) if same(d["text"]) in taught], name


def test_dolly_teaches_one_prompt_of_alpacaeval_twice(public_data):
    """What the check finds in raw files; `dolly`, should it ever be taught, has to be filtered."""

    def rows(name):
        return json.loads(public("sdft_data", name).read_text(encoding="utf-8"))

    train, test = rows("dolly_train.json"), rows("alpaca_eval.json")
    kept = without_overlap(train, test, key=lambda row: row["instruction"])
    assert len(train) - len(kept) == 2
    assert len({same(row["instruction"]) for row in train if row not in kept}) == 1


# -- the helper --------------------------------------------------------------------------------


def prompts(*them):
    return [{"prompt": prompt} for prompt in them]


def kept(train, *tests):
    return [
        d["prompt"]
        for d in without_overlap(
            prompts(*train), *(prompts(*t) for t in tests), key=lambda d: d["prompt"]
        )
    ]


def test_without_overlap_by_hand():
    assert kept(["a", "B  c", "d", "a"], ["A"], ["b\n C ", "x"]) == ["d"]
    assert kept(["Ünï\u3000x", "ab", "Straße"], ["ÜNÏ X", "a b", "STRASSE"]) == ["ab"]
    assert kept(["a.", "a"], ["a"]) == ["a."]  # punctuation counts
    assert kept(["a", "a"]) == ["a", "a"]
    assert kept([], ["a"]) == []
    assert kept(["", "  ", "a"], [""]) == ["a"]


def test_without_overlap_reads_generators_and_changes_nothing():
    train = prompts("a", "b")
    found = without_overlap(iter(train), iter(prompts("b")), key=lambda d: d["prompt"])
    assert found == [{"prompt": "a"}] and found[0] is train[0]
    assert train == prompts("a", "b")
