"""No training document stands in a test set of its family."""

import json
import os

import pytest

from forgetting import chapters, tasks
from forgetting.tasks import Task
from forgetting.tasks.documents import public, without_overlap

pytestmark = pytest.mark.public
ONE_SOURCE = (  # cuts of one set, of which no chapter asks one and teaches the other: see below
    {"dolly_benign", "dolly_questions"},
    {"harmful_openings", "advbench"},
    {"harmful_openings", "refusal_margin_advbench"},
    {"codes"},  # a code book is asked as it was told: it has twenty words
)
FAMILIES = sorted({Task(name).family for name in tasks.names()})


@pytest.fixture
def public_data():
    """Without a mirror the bundled tasks alone are compared."""
    if "FORGETTING_DATA_MIRROR" not in os.environ:
        pytest.skip("no mirror of the public data sets")


def same(text):
    return " ".join(text.lower().split())


def texts(documents, fields=("prompt", "text")):
    """What distinguishes documents: the first of these fields that they have, or all of them.

    Recordings are told apart by all that was drawn for them: one sentence is said by many voices.
    """

    def of(document):
        whole = json.dumps(document, default=len)
        return (
            whole if "sound" in document else next(filter(None, map(document.get, fields)), whole)
        )

    return {same(of(document)) for document in documents}


def splits(name):
    """The documents of a task's splits; without its data there are none to compare."""
    return {} if Task(name).missing() else Task(name).splits()


ALIGNMENT = {"dolly_questions", "safety_tuning"}
TAUGHT = {  # of chapters that teach more than one thing, some of what they must be found to teach
    "averaging": ALIGNMENT,
    "safety": ALIGNMENT,
    "adding": {"zh_articles", "alpaca_benign", "safety_tuning"},
    "skills": {"sst", "wikisql", "qa_srl", "amazon", "yelp_text", "toxigen_hateful"},
}


def test_no_chapter_asks_what_it_or_its_start_has_learned(public_data):
    """Recipes hold what is shown, under whichever key: all names of tasks in them are looked up."""
    for name, at_least in TAUGHT.items():
        experiment = chapters.experiment(name)
        cells, _ = experiment.cells(
            experiment.base("laptop"),
            experiment.taught("laptop", "public"),
            rates=(1e-4,),
            **experiment.budget("laptop").settings,
        )
        recipes = json.dumps([cell.checkpoint.lineage() for cell in cells])
        learned = {task for task in tasks.names() if f'"task": "{task}"' in recipes}
        taught = {task: texts(splits(task).get("train", [])) for task in learned}
        asked = {ask.public for ask in experiment.every_ask()}
        tested = {task: texts(splits(task)["test"]) for task in asked}
        assert learned >= at_least
        shared = {
            (a, b) for a, train in taught.items() for b, test in tested.items() if train & test
        }
        assert not shared, name


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
        if {learned, asked} not in ONE_SOURCE and (common := train & test)
    }
    assert shared == {}  # counts only: what overlaps may be harmful to print


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
