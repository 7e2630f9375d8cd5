"""Sequences: which checkpoints a method makes of an order, what is trained once, what is read."""

import pickle
from collections import Counter

import numpy as np
import pytest

from forgetting import Settings, Task
from forgetting.engine import compute
from forgetting.evidence import definitions, papers
from forgetting.evidence.courses import Course, comparable, in_one_order, single_scores
from forgetting.experiments import budgets, panels, sequences, study
from forgetting.experiments.sequences import METHODS, chain, orders
from forgetting.lineage import Train
from forgetting.models.generation import Completion
from forgetting.objectives import CrossEntropy, KeepClose, QuestionAndText
from forgetting.recipes import InForm, Rehearsed, Synthesised
from forgetting.recipes.ssr import Demonstrations, spread, synthesised
from forgetting.regularisers import EWC, GEM
from forgetting.site import descriptions
from forgetting.site.markup import Contents
from forgetting.site.pages import method_cards
from forgetting.views import figures, tables

NAMED = {"sst": Task("mini_sentiment"), "srl": Task("mini_roles"), "woz": Task("mini_state")}
TASKS = list(NAMED.values())
QUICK = {"style": "sft", "examples": 4, "length": 192, "batch": 4, "learning_rate": 1e-3}


@pytest.fixture
def tokenizer(tiny):
    return compute.foundations.load_tokenizer(tiny.foundation.folder)


def step_of(checkpoint):
    assert isinstance(checkpoint.step, Train)
    return checkpoint.step


# -- the graph ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_chain_learns_each_task_from_the_last_checkpoint(tiny, method):
    base, *learned = chain(tiny, TASKS, METHODS[method], 0, **QUICK)
    assert base == tiny
    for before, after in zip([base, *learned], learned, strict=False):
        assert step_of(after).parent == before
        # Whoever it takes words or weights from was there before it.
        assert {parent.key for parent in after.parents} <= set(before.ancestors())
    shown = [step_of(checkpoint).shown for checkpoint in learned]
    taught = [getattr(one, "new", one).task for one in shown]
    assert taught == TASKS


def test_methods_differ_after_the_first_task_and_share_the_first():
    from forgetting import foundation

    tiny = foundation("tiny")
    chains = {name: chain(tiny, TASKS, method, 0, **QUICK) for name, method in METHODS.items()}
    firsts = {c[1].key for c in chains.values()}
    assert len(firsts) == 2  # with texts and without
    few = {"replay 1 %", "replay 5 %", "replay 10 %", "replay 20 %"}  # the same one of four, here
    assert len({c[3].key for n, c in chains.items() if n not in few}) == len(METHODS) - len(few)


def test_what_is_asked_for():
    from forgetting import foundation

    def last(name):
        return step_of(chain(foundation("tiny"), TASKS, METHODS[name], 0, **QUICK)[-1])

    assert last("fine-tune").objective == CrossEntropy()
    assert last("LAMOL").objective == last("real").objective == QuestionAndText(0.25)
    assert last("free text KL").objective == KeepClose(1.0)
    assert last("free text").objective == CrossEntropy()
    ewc, gem = last("EWC").objective, last("GEM").objective
    assert isinstance(ewc, EWC) and isinstance(gem, GEM)
    assert [one.shown.task for one in ewc.old] == TASKS[:2]
    assert [len(one.of.ancestors()) for one in gem.old] == [2, 3]  # as each had just been learned
    assert isinstance(last("replay 5 %").shown, Rehearsed)


def test_six_orders_share_what_begins_alike(tiny):
    every = orders(NAMED)
    assert len(every) == 6 and list(every[0]) == ["sst", "srl", "woz"]
    fine = METHODS["fine-tune"]
    made = [c for order in every for c in chain(tiny, list(order.values()), fine, 0, **QUICK)]
    assert len({checkpoint.key for checkpoint in made}) == 1 + 3 + 6 + 6


# -- measured ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def courses(tiny, session_home, tmp_path_factory):
    """Two tasks, three methods, both orders, at the smoke tier."""
    home = tmp_path_factory.mktemp("courses")
    (home / "models").symlink_to(session_home / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGETTING_HOME", str(home))
        two = dict(list(NAMED.items())[:2])
        methods = ["fine-tune", "LAMOL", "multitask"]
        asked = {"seeds": [0], "tier": "smoke", **QUICK}
        yield sequences.learn("lamol", tiny, two, methods, ["fine-tune"], **asked)


def test_stored_courses_are_found_from_their_ends(courses):
    """Fine-tuning's first checkpoint is LAMOL's rivals' too: one record, under one name."""
    measures = dict(zip(courses[0].tasks, courses[0].measures, strict=True))
    found = comparable(courses[2].records[-1], measures)
    assert {(c.method, c.order): c for c in found} == {(c.method, c.order): c for c in courses}
    more = {**measures, "woz": "mini_state:answered.ds_em"}
    assert comparable(courses[2].records[-1], more) == []
    other = courses[2].records[-1].model_copy(deep=True)
    other.training["settings"]["learning_rate"] = 5e-4
    assert comparable(other, measures) == []


def test_a_course_has_a_record_before_and_after_each_task(courses):
    told = [(c.method, c.order, len(c.records)) for c in courses]
    assert told == [
        ("fine-tune", "sst, srl", 3),
        ("fine-tune", "srl, sst", 3),
        ("LAMOL", "sst, srl", 3),
        ("multitask", "sst, srl", 2),
    ]
    assert courses[0].measures == ("mini_sentiment:answered.em", "mini_roles:answered.em")
    first, second, lamol, _ = courses
    assert first.records[0] == second.records[0] == lamol.records[0]
    assert lamol.records[2].shown["dreams"] == 1
    assert lamol.records[2].labels["last"] == "srl"
    assert [r.labels.get("learned") for r in lamol.records] == [None, "1 of 2", "2 of 2"]
    drawn = {"mini_sentiment:top 20", "mini_roles:top 20"}
    assert drawn <= lamol.records[2].scores.keys() and not drawn & lamol.records[1].scores.keys()


def fake(method, order, scores, drawn=0.25):
    """A course whose records say these scores."""

    class Said:
        def __init__(self, row):
            self.row = dict(zip(order, row, strict=True))

        def mean(self, measure):
            task, _, how = measure.removesuffix(".em").partition(":")
            return drawn if how == "top 20" else self.row[task]

    measures = tuple(f"{task}:answered.em" for task in order)
    return Course(method, order, measures, 0, tuple(map(Said, scores)))


def test_the_matrix_by_hand():
    """Two tasks: the first goes from 0.1 to 0.9 and back to 0.5; the second ends at 0.7."""
    one = fake("fine-tune", ("a", "b"), [[0.1, 0.0], [0.9, 0.2], [0.5, 0.7]])
    assert one.final() == pytest.approx(0.6) and one.final(drawn=True) == 0.25
    alone = {"a": 0.9, "b": 0.8}
    found = one.forgetting(alone)
    assert found["backward_transfer"] == pytest.approx(-0.4)
    assert found["forward_transfer"] == pytest.approx(0.2)
    assert found["intransigence"] == pytest.approx(0.05)
    R = np.array([[0.9, 0.2], [0.5, 0.7]])
    assert found == definitions.every_definition(R, [0.1, 0.0], [0.9, 0.8])
    assert "intransigence" not in one.forgetting({"a": 0.9})


def test_what_was_learned_alone_is_what_an_order_begins_with():
    first = fake("fine-tune", ("a", "b"), [[0, 0], [0.9, 0], [0, 0]])
    second = fake("fine-tune", ("b", "a"), [[0, 0], [0.8, 0], [0, 0]])
    other = fake("LAMOL", ("b", "a"), [[0, 0], [0.1, 0], [0, 0]])
    assert single_scores([first, second, other]) == {"a": 0.9, "b": 0.8}


def test_the_tables_by_hand():
    """Two orders of one method end at 0.6 and 0.8; drawn answers at 0.25."""
    one = fake("fine-tune", ("a", "b"), [[0.1, 0.0], [0.9, 0.2], [0.5, 0.7]])
    two = fake("fine-tune", ("b", "a"), [[0.0, 0.1], [0.8, 0.2], [0.7, 0.9]])
    both = fake("multitask", ("a", "b"), [[0.1, 0.0], [0.9, 0.9]])
    table = tables.orders_table([one, two, both], papers.paper("1909.03329").tables["single"])
    assert table.loc["fine-tune"].tolist() == ["60.0", "80.0", "70.0\u00a0±\u00a014.1", "2"]
    assert table.loc["multitask"].tolist() == ["90.0", "", "90.0", "1"]
    again = fake("fine-tune", ("a", "b"), [[0, 0], [1, 0], [0.5, 0.9]])  # ends at 0.7
    three = tables.orders_table([one, again, two]).loc["fine-tune"].tolist()
    assert three == ["65.0", "80.0", "72.5\u00a0±\u00a010.6", "3"]  # orders count alike
    assert tables.orders_table([one, again]).loc["fine-tune", "all"] == "65.0\u00a0±\u00a07.1"
    assert table.loc["paper: each task alone", "all"] == "82.1"
    lost = tables.forgetting_table([one, two, both])
    assert list(lost.index) == ["fine-tune"]
    assert lost.loc["fine-tune", "backward transfer"] == "-40.0"  # in the order of both
    # Alone a has 0.9 and b 0.8, as the second order begins with: so b lacks 0.1, and a nothing.
    assert lost.loc["fine-tune", "intransigence"] == "+5.0"
    assert tables.decoding_table([one]).loc["fine-tune"].tolist() == ["60.0", "25.0", "+35.0"]


def test_methods_are_compared_in_the_order_that_most_of_them_went_through():
    ab, ba = ("a", "b"), ("b", "a")
    went = (("x", ba), ("x", ab), ("y", ab))
    found = [fake(method, order, [[0, 0]] * 3) for method, order in went]
    assert in_one_order(found) == found[1:]
    assert in_one_order([]) == []


def test_the_curves_are_the_scores(courses):
    first, second, lamol, both = courses
    figure = figures.courses(courses)
    assert len(figure.axes) == 2
    lines = {tuple(map(float, line.get_ydata())) for line in figure.axes[0].lines}
    assert {tuple(c.scores()[:, 0]) for c in (first, lamol)} <= lines
    figure = figures.courses(courses, every_order=True)
    assert len(figure.axes) == 4
    lines = {tuple(map(float, line.get_ydata())) for line in figure.axes[1].lines}
    assert tuple(second.scores()[:, second.tasks.index("sst")]) in lines
    known = tables.known_table(courses)
    assert known.loc["multitask", "sst, score"] == f"{100 * both.scores()[-1, 0]:.0f}"
    assert known.loc["LAMOL", "srl, told apart"] == f"{100 * lamol.told_apart()[1]:.0f}"
    assert both.training_seconds() > 0


def test_time_is_told_in_terms_of_fine_tuning(courses):
    first, _, lamol, _ = courses
    axis = figures.spent(courses).axes[0]
    places = {
        container.get_label(): float(container.lines[0].get_xdata()[0])
        for container in axis.containers
    }
    assert places["fine-tune"] == 1.0
    ratio = lamol.training_seconds() / first.training_seconds()
    assert places["LAMOL"] == pytest.approx(ratio)
    assert "times that of LAMOL" in figures.spent([lamol]).axes[0].get_xlabel()


def test_dreams_are_told_by_place_and_task(courses):
    table = tables.dreams_table(courses, "LAMOL")
    assert list(table.index) == ["sst, generation 1"]
    assert table["written"].tolist() == [1]
    assert tables.gallery_table(courses, "fine-tune").empty


def test_dreams_of_several_draws_are_pooled():
    """Two draws of ten: 4 dreams of novelty 0.5, all "no"; 1 of novelty 1, "yes"."""
    one = {"dreams": 4, "novelty": 0.5, "distinct": 1.0, "copies": 1, "answers": {"no": 1.0}}
    two = {"dreams": 1, "novelty": 1.0, "distinct": 1.0, "copies": 0, "answers": {"yes": 1.0}}
    real = {"real answers": {"yes": 0.75, "no": 0.25}}
    row = tables._of_dreams(
        [({"dreams": 10, "valid": 5}, one | real), ({"dreams": 10, "valid": 3}, two | real)]
    )
    assert (row["written"], row["valid"], row["like this task"]) == (20, "40%", 5)
    assert (row["novelty"], row["copies"], row["distinct"]) == ("0.60", 1, "100%")
    assert (row["answers"], row["real answers"]) == ("no 80%, yes 20%", "yes 75%, no 25%")
    nothing = tables._of_dreams([({"dreams": 10, "valid": 0}, {"dreams": 0} | real)])
    assert (nothing["valid"], nothing["novelty"], nothing["answers"]) == ("0%", "nan", "")


def test_a_tier_says_which_tasks_are_learned():
    three = panels.sequence("lamol", "bundled", "laptop")
    assert [task.name for task in three.values()] == ["mini_sentiment", "mini_roles", "mini_state"]
    assert list(panels.sequence("lamol", "bundled", "classroom")) == ["sst", "srl"]
    own = panels.sequence("lamol", "public", "full", ["woz", "yelp"])
    assert [task.name for task in own.values()] == ["woz", "yelp"]
    for role in panels.SEQUENCE:
        assert panels.by_role("lamol", "bundled")[role].endswith(":answered")


def test_every_step_of_every_method_can_go_to_a_worker(tiny):
    """What a cluster is sent: steps that survive pickling, samples before what learns from them."""
    runs = [
        study.Run(checkpoint, {"method": name, "learning_rate": 1e-3, "seed": 0})
        for name, method in METHODS.items()
        for checkpoint in chain(tiny, TASKS, method, 0, **QUICK)[1:]
    ]
    panel = panels.asked_of("lamol", NAMED, "smoke")
    graph = study.plan(study.Question("lamol", "smoke", runs, panel))
    done = set()
    for key, step in graph.items():
        assert set(step.needs) <= done
        done.add(key)
        assert pickle.loads(pickle.dumps(step)).key == key
    kinds = Counter(step.kind.partition(" ")[0] for step in graph.values())
    # Before the second task all LAMOL's variants share one drawing, greedy dreams have their own;
    # before the third, one dream for two old tasks is none. SSR: a question and an answer, then an
    # answer to the same question and both for the second old task. Free text: two openings, and
    # before the third task two models to go on from each.
    assert kinds["sample"] == 2 + (2 + 3) + (2 + 4)


# -- SSR ---------------------------------------------------------------------------------------


def written(monkeypatch, by_prompts):
    monkeypatch.setattr(
        compute,
        "samples",
        lambda wanted: [
            [Completion([1], t, True)] for t in by_prompts[type(wanted.prompts).__name__]
        ],
    )


def test_synthesised_questions_get_the_latest_models_answers(tiny, tokenizer, monkeypatch):
    later = tiny.train(InForm(TASKS[0]), **QUICK)
    recipe = Synthesised(TASKS[0], tiny, later)
    asked, answered = recipe.samples(Settings(**QUICK), 0)
    assert (asked.of, answered.of) == (tiny, later)
    assert (asked.temperature, asked.top_p, asked.prompts.count) == (0.9, 0.6, 8)
    questions = [
        "a b\nAnswer: x",
        "no answer",
        "\nAnswer: no question",
        "c\nAnswer: 1\nAnswer: 2",
        "d e\nAnswer: y",
    ]
    written(
        monkeypatch, {"Demonstrations": questions, "Refreshed": ["new 1", "", "", "", "new 2 "]}
    )
    assert synthesised(asked) == ["a b", None, None, None, "d e"]
    assert recipe.kept(Settings(**QUICK), 0) == [("a b", "new 1"), ("d e", "new 2")]
    rows = recipe.rows(tokenizer, Settings(**QUICK), 0)
    assert [tokenizer.decode(row["input_ids"][:3]) for row in rows] == ["a b", "d e"]
    report = recipe.report(tokenizer, Settings(**QUICK), 0)
    assert (report["dreams"], report["valid"], report["old"]) == (5, 2, 2)


def test_what_the_prompts_depend_on_enters_the_key_of_what_is_trained(tiny):
    asked = Demonstrations(TASKS[0], 20, 8, 0).recipe()
    shown = Synthesised(TASKS[0], tiny, tiny).recipe()["shown"]
    assert {name: shown[name] for name in ("opening", "pool")} == {
        name: asked[name] for name in ("opening", "pool")
    }


def test_demonstrations_are_two_real_examples_out_of_the_pool(tokenizer):
    texts = Demonstrations(TASKS[0], 5, 7, 0).texts(tokenizer)
    first = [TASKS[0].example(d).question for d in TASKS[0].training_documents(0)[:5]]
    assert len(texts) == 7
    for text in texts:
        assert text.count("\nAnswer: ") == 2 and text.endswith("\n\nQuestion:")  # never in spaces
        assert text.startswith("Question: ")
        assert sum(question in text for question in first) == 2


def test_those_least_alike_are_kept():
    told = [("a b c", ""), ("a b c", ""), ("a b d", ""), ("x y", "")]
    assert spread(told, 2) == [("a b c", ""), ("x y", "")]
    assert len(spread(told, 9)) == 3


def test_everything_that_a_chapter_names_exists():
    for tier, budget in budgets.BUDGETS["lamol"].items():
        assert set(budget.rows) <= {*METHODS, "multitask"}, tier


def test_a_card_shows_what_a_method_ended_with(courses):
    known = {method.name: method for method in descriptions.methods()}
    contents = Contents(("05_lamol",))
    text = method_cards.card(known["fine-tune-in-turn"], {}, contents, courses)
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    rows = {name: rest for _, name, *rest in (line for line in cells if len(line) > 4)}
    first = courses[0]  # the second is of another order, through which nothing else went
    later = 100 * first.forgetting({})["backward_transfer"]
    assert rows["fine-tune"][:3] == ["1", f"{100 * first.final():.1f}", f"{later:+.1f}"]
    assert rows["multitask"][2] == "–"
    assert "No run of it" in method_cards.card(known["gem"], {}, contents, courses)
