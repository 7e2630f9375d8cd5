"""Recipes: which questions, whose answers, what is refused, and that nothing is drawn twice."""

from dataclasses import dataclass

import pytest
import torch

from forgetting import Settings, Task, store
from forgetting.engine import compute
from forgetting.experiments import study
from forgetting.lineage import Completion, Samples, nothing_drawn
from forgetting.models.causal import Causal
from forgetting.models.rows import IGNORED, TooLittleText, sft_rows
from forgetting.objectives import OLD, KeepClose
from forgetting.recipes import (
    EMPTY_TURN,
    Distilled,
    FreeText,
    Gold,
    InForm,
    Paraphrased,
    Rehearsed,
    Rollouts,
    SelfOutput,
    Shuffled,
    Synthesised,
    WholeText,
)
from forgetting.recipes.answers import Answer, Answers, questions, why_not
from forgetting.recipes.synthesised import Demonstrations, spread, synthesised

CALLS = Task("mini_calls")
FOUR = Settings(style="sft", examples=4, length=1024, batch=2)
MOOD = Task("mini_sentiment")
SHORT = {"style": "sft", "examples": 4, "length": 256, "batch": 2}
FEW = {"style": "sft", "examples": 4, "length": 1024, "batch": 2}


@pytest.fixture
def tokenizer(tiny):
    return compute.foundations.load_tokenizer(tiny.foundation.folder)


def written(*texts):
    """What the model is made to have written: a list of completions for each question."""

    def completion(text):
        text, _, nats = text.partition("@")
        return Completion([1] * 4, text, not text.endswith("…"), float(nats or 4.0))

    return lambda samples: [[completion(text) for text in each] for each in texts]


def gold(tokenizer):
    return [CALLS.example(d).answer for d in questions(CALLS, tokenizer, FOUR, 0)]


def answers(recipe, tokenizer, drawn=nothing_drawn):
    documents = questions(CALLS, tokenizer, FOUR, 0)
    return recipe.answers(documents, FOUR, 0, drawn)


# -- whose answers -----------------------------------------------------------------------------


def test_gold_gives_the_rows_of_the_task_itself(tokenizer):
    ours = Gold(CALLS).rows(tokenizer, FOUR, 0, nothing_drawn)
    tasks = sft_rows(CALLS, tokenizer, FOUR, 0)
    assert [row["input_ids"].tolist() for row in ours] == [r["input_ids"].tolist() for r in tasks]


@pytest.mark.parametrize("times", [0.3, 1, 2.5])
def test_gold_of_the_same_length_supervises_as_many_tokens(tokenizer, times):
    """To half an answer, whether the other answers are shorter or longer."""

    @dataclass(frozen=True)
    class Stretched(Answers):
        origin = "stretched"

        def answers(self, documents, settings, seed, drawn):
            right = [self.task.example(document).answer for document in documents]
            long = [(text * 3)[: round(times * len(text))] for text in right]
            return [Answer(text, "stretched") for text in long]

    settings = Settings(style="sft", examples=4, length=1024, batch=1)
    like = Stretched(CALLS)
    rows = Gold(CALLS, like=like, same_length=True).rows(tokenizer, settings, 0, nothing_drawn)
    lengths = [int((row["labels"] != IGNORED).sum()) for row in rows]
    wanted = sum(
        int((row["labels"] != IGNORED).sum())
        for row in like.rows(tokenizer, settings, 0, nothing_drawn)
    )
    plain = Gold(CALLS).rows(tokenizer, settings, 0, nothing_drawn)
    assert abs(sum(lengths) - wanted) <= max(lengths) / 2 + 1
    for place, row in enumerate(rows):
        assert row["input_ids"].tolist() == plain[place % 4]["input_ids"].tolist()
    with pytest.raises(ValueError, match="as long as what"):
        Gold(CALLS, same_length=True)
    assert Gold(CALLS, like=like).settings() == {"like": like.recipe()["shown"]}


def test_shuffled_gives_every_answer_to_another_question(tokenizer):
    right = gold(tokenizer)
    moved = [answer.text for answer in answers(Shuffled(CALLS), tokenizer)]
    assert sorted(moved) == sorted(right)
    assert all(one is not other for one, other in zip(moved, right, strict=True))


@pytest.mark.parametrize(
    ("text", "ended", "why"),
    [
        ("  ", True, "empty"),
        ("As the reference answer says: 4", True, "betrays itself"),
        ("Here is MY RESPONSE: 4", True, "betrays itself"),
        ("Your turn! f(x=1)", True, "betrays itself"),
        ("It is your turn now", True, "wrong"),
        ("f(", False, "no end"),
    ],
)
def test_why_an_answer_is_refused(text, ended, why):
    (document,) = CALLS.training_documents(0)[:1]
    assert why_not(CALLS, document, text, ended) == why


def test_a_right_answer_is_not_refused():
    for document in CALLS.training_documents(0)[:20]:
        assert why_not(CALLS, document, CALLS.example(document).answer, True) is None


def test_a_paraphrase_falls_back_to_gold_and_says_why(tiny, tokenizer):
    right = gold(tokenizer)
    drawn = written([right[0]], ["nonsense"], [""], [right[3] + "…"])
    retold = answers(Paraphrased(CALLS, tiny), tokenizer, drawn)
    assert [answer.text for answer in retold] == right
    origins = ["paraphrase", "gold: wrong", "gold: empty", "gold: no end"]
    assert [answer.origin for answer in retold] == origins
    report = Paraphrased(CALLS, tiny).report(tokenizer, FOUR, 0, drawn)
    assert report["questions"] == 4 and report["origins"]["paraphrase"] == 1


def test_self_output_takes_the_right_answer_that_surprises_least(tiny, tokenizer):
    right = gold(tokenizer)
    first = [f"{right[0]}@9", f" {right[0]}\n@2", "wrong@0.1"]
    drawn = written(first, ["wrong@0.1"], [f"{right[2]}@5"], ["wrong"])
    own = answers(SelfOutput(CALLS, tiny, count=3), tokenizer, drawn)
    assert [answer.text for answer in own] == [right[0], None, right[2], None]
    rehearsed = answers(SelfOutput(CALLS, tiny, count=3, otherwise="gold"), tokenizer, drawn)
    assert [answer.text for answer in rehearsed] == right
    assert [answer.origin for answer in rehearsed] == ["own", "gold: none right"] * 2
    like = answers(Gold(CALLS, like=SelfOutput(CALLS, tiny, count=3)), tokenizer, drawn)
    assert [answer.text for answer in like] == [right[0], None, right[2], None]
    rows = SelfOutput(CALLS, tiny, count=3).rows(tokenizer, FOUR, 0, drawn)
    assert len(rows) == 2


def test_no_right_answer_at_all_is_one_clear_line(tiny, tokenizer):
    drawn = written(*[["wrong"]] * 4)
    with pytest.raises(TooLittleText, match="none of 4 questions has an answer"):
        SelfOutput(CALLS, tiny, count=1).rows(tokenizer, FOUR, 0, drawn)


def test_shots_are_other_questions_and_stand_before_the_one_asked(tiny, tokenizer):
    (wanted,) = SelfOutput(CALLS, tiny, shots=2).samples(FOUR, 0)
    asked = [CALLS.example(document).question for document in questions(CALLS, tokenizer, FOUR, 0)]
    for question, text in zip(asked, wanted.prompts.texts(tokenizer, nothing_drawn), strict=True):
        assert text.count("<|im_start|>assistant") == 3
        assert text.count(question) == 1
        assert text.rindex(question) > text.rindex("<|im_start|>user")


# -- the graph ---------------------------------------------------------------------------------


def small(of):
    return SelfOutput(CALLS, of, count=2, max_new_tokens=4, otherwise="gold")


def test_what_is_shown_enters_the_key(tiny):
    other = tiny.train(Task("zh_everyday"), tokens=64, length=32)
    shown = [
        CALLS,
        Gold(CALLS),
        Shuffled(CALLS),
        Paraphrased(CALLS, tiny),
        Paraphrased(CALLS, other),
        small(tiny),
        small(other),
        Gold(CALLS, like=small(tiny)),
        Rehearsed(CALLS, (Task("zh_everyday"),), 0.5),
        Rehearsed(CALLS, (FreeText(tiny),), 0.5),
        Rehearsed(CALLS, (FreeText(tiny, EMPTY_TURN),), 0.5),
    ]
    keys = {tiny.train(one, **FEW).key for one in shown}
    assert len(keys) == len(shown)


def test_samples_are_drawn_once_for_all_who_need_them(tiny, own_home, monkeypatch):
    """Two methods, two rates: one drawing; and the plan draws before it trains."""
    answered, answer = [], Causal.answer
    monkeypatch.setattr(Causal, "answer", lambda *a, **k: answered.append(k) or answer(*a, **k))
    cells = [
        study.Cell(
            tiny.train(recipe, learning_rate=rate, **FEW),
            {"method": type(recipe).__name__, "learning_rate": rate, "seed": 0},
        )
        for recipe in (small(tiny), Gold(CALLS, like=small(tiny)))
        for rate in (1e-3, 1e-4)
    ]
    asks = {"form": Task("formats", 1)}
    graph = study.plan([study.Question("lora", "smoke", cells, asks)])
    kinds = [step.kind for step in graph.values()]
    assert kinds.count("sample") == 1 and kinds.index("sample") < kinds.index("train")
    (sample,) = [key for key, step in graph.items() if step.kind == "sample"]
    assert all(sample in step.needs for step in graph.values() if step.kind == "train")
    runs = study.measure("lora", cells, asks, "smoke", say=lambda _: None)
    assert sum("seeds" in given for given in answered) == 1  # the others answer the probe
    assert runs[0].shown["questions"] == 4
    assert sum(runs[0].shown["origins"].values()) == 4
    assert len(list((store.root() / "samples").iterdir())) == 1


def test_the_same_recipe_gives_the_same_samples_in_another_home(tiny, own_home, monkeypatch):
    wanted = FreeText(tiny).samples(Settings(examples=3, length=48), 1)[0]
    here = compute.samples(wanted)
    assert len(here) == 3 and all(len(each) == 1 for each in here)
    monkeypatch.setenv("FORGETTING_HOME", str(own_home / "elsewhere"))
    assert compute.samples(wanted) == here
    other = Samples(tiny, wanted.prompts, max_new_tokens=32, temperature=1.0, seed=2)
    assert compute.samples(other) != here


def test_refreshing_is_a_chain_of_checkpoints(tiny):
    """Each epoch learns what the model says now; fixed, all learn what it said at first."""
    recipe, epoch = small(tiny), FEW | {"epochs": 1}
    first = tiny.train(recipe, **epoch)
    fixed = first.train(recipe, **epoch)
    refreshed = first.train(small(first), **epoch)
    assert fixed != refreshed
    assert first in refreshed.parents and refreshed.step.samples[0].of == first
    assert fixed.step.samples[0].of == tiny


# -- rehearsal ---------------------------------------------------------------------------------


def test_a_ratio_says_how_much_old_stands_among_the_new(tiny, tokenizer):
    old = (Gold(Task("mini_sentiment")), Gold(Task("mini_qa")))
    recipe = Rehearsed(CALLS, old, 0.5)
    rows = recipe.rows(tokenizer, FOUR, 0, nothing_drawn)
    parts = [int(row.get("part", 0)) for row in rows]
    assert parts.count(OLD) == 2 and parts.count(0) == 4
    assert recipe.report(tokenizer, FOUR, 0, nothing_drawn)["old"] == 2


def test_free_text_is_supervised_after_its_opening(tiny, tokenizer):
    drawn = [
        [Completion(ids, "", ended)] for ids, ended in (([5, 6], True), ([], True), ([7], False))
    ]
    three = Settings(examples=3, length=64)
    rows = FreeText(tiny, EMPTY_TURN).rows(tokenizer, three, 0, lambda samples: drawn)
    begun = tokenizer(EMPTY_TURN, add_special_tokens=False).input_ids
    assert [row["input_ids"].tolist() for row in rows] == [
        [*begun, 5, 6, tokenizer.eos_token_id],
        [*begun, 7],
    ]
    assert [(row["labels"] != -100).sum().item() for row in rows] == [3, 1]


def test_keeping_close_on_free_text_holds_the_model_back(tiny, own_home):
    """With a large weight on the divergence, the model says what it said: its text's KL is less."""
    recipe = Rehearsed(MOOD, (FreeText(tiny),), 1.0)
    settings = SHORT | {"epochs": 4, "learning_rate": 1e-2}
    free, held = (
        tiny.train(recipe, objective=KeepClose(weight), **settings) for weight in (0.0, 30.0)
    )
    text = FreeText(tiny).samples(Settings(**SHORT), 0)[0]
    ids = [torch.tensor(one.ids) for (one,) in compute.samples(text) if len(one.ids) > 1]

    def divergence(checkpoint):
        was, now = (compute.model(c)[0] for c in (tiny, checkpoint))
        total = 0.0
        for each in ids:
            p, q = (m(each[None]).logits[0].log_softmax(-1) for m in (was, now))
            total += (p.exp() * (p - q)).sum(-1).mean().item()
        return total / len(ids)

    assert divergence(held) < 0.5 * divergence(free)


def test_a_recipe_of_ones_own_is_one_class(tiny, own_home):
    """All that training asks of a recipe."""
    row = {"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor([-100, 2, 3])}

    class Twice:
        name, parents = "twice", ()

        def missing(self):
            return []

        def recipe(self):
            return {"task": "twice"}

        def samples(self, settings, seed):
            return ()

        def rows(self, tokenizer, settings, seed, drawn):
            return [row, row]

        def report(self, tokenizer, settings, seed, drawn):
            return {"rows": 2}

    taught = tiny.train(Twice(), style="sft", examples=2, length=8, batch=1)
    compute.make(taught)
    assert len(compute.losses(taught)) == 2 and compute.shown(taught) == {"rows": 2}


# -- on-policy ---------------------------------------------------------------------------------


def test_advantages_are_rewards_less_the_questions_mean(tiny, tokenizer):
    """Of four questions one has right and wrong answers; the others teach nothing."""
    right = gold(tokenizer)
    mixed = [right[0], "wrong", "wrong", right[0]]
    drawn = written(mixed, ["wrong"] * 4, [right[2]] * 4, ["wrong"] * 4)
    rows = Rollouts(CALLS, tiny, count=4).rows(tokenizer, FOUR, 0, drawn)
    assert [set(row["weights"].tolist()) for row in rows] == [{0.5}, {-0.5}, {-0.5}, {0.5}]
    ids = [*[1] * 4, tokenizer.eos_token_id]  # the tokens that were drawn, not those of the text
    assert all(row["input_ids"][-5:].tolist() == ids for row in rows)
    report = Rollouts(CALLS, tiny, count=4).report(tokenizer, FOUR, 0, drawn)
    assert (report["right"], report["mixed"]) == (6, 1)


def test_nothing_moves_where_no_answer_is_better_than_another(tiny, tokenizer):
    drawn = written(*[["wrong"] * 2] * 4)
    rows = Rollouts(CALLS, tiny, count=2).rows(tokenizer, FOUR, 0, drawn)
    assert len(rows) == 1 and not rows[0]["weights"].any()


def test_the_teacher_reads_the_same_answer_after_another_prompt(tiny, tokenizer):
    right = gold(tokenizer)
    drawn = written(["a"], ["b"], ["c"], ["d…"])
    rows = Distilled(CALLS, tiny, count=1, teacher=tiny).rows(tokenizer, FOUR, 0, drawn)
    for row, answer in zip(rows, right, strict=True):
        kept = (row["labels"] != -100).sum()
        assert row["teacher_ids"][-kept:].tolist() == row["input_ids"][-kept:].tolist()
        assert answer in tokenizer.decode(row["teacher_ids"])
        assert int(row["part"]) == OLD
    assert len(rows[3]["input_ids"]) < len(rows[3]["teacher_ids"])


def test_distillation_moves_the_model_towards_what_the_teacher_says(tiny, own_home):
    """The teacher's divergence from the model, on the answers drawn at first, gets less."""
    recipe = Distilled(CALLS, tiny, count=2, max_new_tokens=8, teacher=tiny)
    taught = tiny.train(recipe, objective=KeepClose(), learning_rate=1e-2, epochs=6, **FEW)
    compute.make(taught)
    losses = compute.losses(taught)
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])


def test_whole_text_supervises_the_question_too(tokenizer):
    rows = WholeText(CALLS).rows(tokenizer, FOUR, 0, nothing_drawn)
    for row, document in zip(rows, questions(CALLS, tokenizer, FOUR, 0), strict=True):
        assert row["labels"].tolist() == row["input_ids"].tolist()
        example = CALLS.example(document)
        text = tokenizer.decode(row["input_ids"][:-1])
        assert text == f"{example.question}\n\n{example.answer}"


# -- SSR ---------------------------------------------------------------------------------------


def written_after(**by_prompts):
    return lambda samples: [
        [Completion([1], text, True)] for text in by_prompts[type(samples.prompts).__name__]
    ]


def test_synthesised_questions_get_the_latest_models_answers(tiny, tokenizer):
    later = tiny.train(InForm(MOOD), **SHORT)
    recipe = Synthesised(MOOD, tiny, later)
    asked, answered = recipe.samples(Settings(**SHORT), 0)
    assert (asked.of, answered.of) == (tiny, later)
    assert (asked.temperature, asked.top_p, asked.prompts.count) == (0.9, 0.6, 8)
    questions = [
        "a b\nAnswer: x",
        "no answer",
        "\nAnswer: no question",
        "c\nAnswer: 1\nAnswer: 2",
        "d e\nAnswer: y",
    ]
    drawn = written_after(Demonstrations=questions, Refreshed=["new 1", "", "", "", "new 2 "])
    assert synthesised(asked, drawn) == ["a b", None, None, None, "d e"]
    assert recipe.kept(Settings(**SHORT), 0, drawn) == [("a b", "new 1"), ("d e", "new 2")]
    rows = recipe.rows(tokenizer, Settings(**SHORT), 0, drawn)
    assert [tokenizer.decode(row["input_ids"][:3]) for row in rows] == ["a b", "d e"]
    report = recipe.report(tokenizer, Settings(**SHORT), 0, drawn)
    assert (report["dreams"], report["valid"], report["old"]) == (5, 2, 2)


def test_what_the_prompts_depend_on_enters_the_key_of_what_is_trained(tiny):
    asked = Demonstrations(MOOD, 8, 0).recipe()
    shown = Synthesised(MOOD, tiny, tiny).recipe()["shown"]
    assert {name: shown[name] for name in ("opening", "pool")} == {
        name: asked[name] for name in ("opening", "pool")
    }


def test_demonstrations_are_two_real_examples_out_of_the_pool(tokenizer):
    texts = Demonstrations(MOOD, 7, 0).texts(tokenizer, nothing_drawn)
    first = [MOOD.example(d).question for d in MOOD.training_documents(0)[:20]]
    assert len(texts) == 7
    for text in texts:
        assert text.count("\nAnswer: ") == 2 and text.endswith("\n\nQuestion:")  # never in spaces
        assert text.startswith("Question: ")
        assert sum(question in text for question in first) == 2


def test_those_least_alike_are_kept():
    told = [("a b c", ""), ("a b c", ""), ("a b d", ""), ("x y", "")]
    assert spread(told, 2) == [("a b c", ""), ("x y", "")]
    assert len(spread(told, 9)) == 3
