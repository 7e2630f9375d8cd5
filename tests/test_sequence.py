"""Sequences of tasks: metrics by hand and by brute force, and the tasks on their public data."""

import itertools
import json
import os
from fractions import Fraction
from functools import cache
from types import SimpleNamespace

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import apply_template

from forgetting import tasks
from forgetting.chapters.lamol import views as lamol
from forgetting.tasks import Task
from forgetting.tasks.documents import in_order, without_overlap
from forgetting.tasks.grading.sequence import (
    AGGREGATES,
    OPERATORS,
    change_of_state,
    dialogue_state_matches,
    exact_match,
    logical_form_match,
    normalised,
    normalised_exact_match,
    normalised_f1,
    parse_sql,
    rouge_l,
)

pytestmark = pytest.mark.public


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat, sat.", "cat sat"),
        ("A man a plan", "man plan"),
        ("theatre and another", "theatre and another"),  # articles are whole words
        ("U.S.A.", "usa"),
        ("it's", "its"),
        ("well-known", "wellknown"),
        ("a.n", ""),  # punctuation goes first, and leaves an article
        ("…“¿", "…“¿"),  # only ASCII punctuation is dropped
        ("Élan  VITAL\u3000玉山", "élan vital 玉山"),
        ("", ""),
        ("the", ""),
    ],
)
def test_normalisation_by_hand(text, expected):
    assert normalised(text) == expected
    assert normalised(expected) == expected


@pytest.mark.parametrize(
    ("answer", "golds", "expected"),
    [
        ("the cat sat", ["cat"], Fraction(2, 3)),  # precision 1/2, recall 1
        ("cat", ["the cat sat"], Fraction(2, 3)),
        ("in the year 1964", ["1964", "in 1964"], Fraction(4, 5)),  # 2/3 and 1 of the second
        ("cat cat cat", ["cat"], Fraction(1, 2)),  # a word counts as often as the gold has it
        ("sat cat the", ["The cat sat."], 1),  # order does not matter
        ("dog", ["cat"], 0),
        ("", ["cat"], 0),
        ("cat", ["the"], 0),
        ("A", ["the"], 1),  # nothing is left of either
        ("", [""], 1),
        ("玉山", ["玉 山"], 0),
    ],
)
def test_f1_by_hand(answer, golds, expected):
    assert normalised_f1(answer, golds) == pytest.approx(float(expected))


def brute_force_f1(answer, gold):
    """Crosses out equal words; harmonic mean of the two shares that were, as fractions."""
    words, left = normalised(answer).split(), normalised(gold).split()
    size = len(left)
    if not words or not size:
        return Fraction(words == left)
    for word in words:
        if word in left:
            left.remove(word)
    shared = size - len(left)
    precision, recall = Fraction(shared, len(words)), Fraction(shared, size)
    return 2 / (1 / precision + 1 / recall) if shared else Fraction(0)


SENTENCES = st.lists(
    st.sampled_from(["the", "a", "Cat", "cat,", "玉山", "x.y", "été", "-", "an", "dog"]), max_size=7
).map(" ".join)


@given(SENTENCES | st.text(max_size=20), st.lists(SENTENCES, min_size=1, max_size=3))
def test_f1_by_brute_force(answer, golds):
    best = max(brute_force_f1(answer, gold) for gold in golds)
    assert normalised_f1(answer, golds) == pytest.approx(float(best))
    assert normalised_f1(answer, [*golds, answer]) == 1
    assert normalised_exact_match(answer, golds) <= (normalised_f1(answer, golds) == 1)


def test_exact_match_is_exact():
    assert exact_match(" negative\n", ["positive", "negative"])
    for nearly in ("Negative", "negative.", "negative positive", "negativ", "", "very negative"):
        assert not exact_match(nearly, ["negative"])
    assert normalised_exact_match("Negative.", ["the negative"])
    assert not normalised_exact_match("very negative", ["negative"])


def test_very_long_answers_are_scored():
    long = "word " * 50_000 + "玉山"
    assert normalised_f1(long, ["word"]) == pytest.approx(2 / 50_002)
    assert not exact_match(long, ["word"])
    assert not logical_form_match("select " * 50_000, "select a from table", ["a"])
    assert not logical_form_match("select a from table where " * 5_000, "select a from table", "a")
    assert change_of_state("a: b, " * 50_000 + ";").inform == {"a": "b"}


@pytest.mark.parametrize("metric", [normalised_f1, exact_match, normalised_exact_match, rouge_l])
def test_golds_are_a_list_of_at_least_one(metric):
    for wrong in ([], "cat"):  # of a string, each letter would be a gold
        with pytest.raises(ValueError, match="references="):
            metric("cat", wrong)


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("police killed the gunman", "police kill the gunman", 3 / 4),  # Lin (2004)
        ("the gunman police killed", "police killed the gunman", 2 / 4),
        ("The cat.", "the CAT", 1),
        ("canción", "cancion", 0),  # words of other scripts stay whole
        ("cancin", "canción", 0),
        ("玉山很高", "玉山高", 6 / 7),  # a Chinese character is a word
        ("", "cat", 0),
        ("...", "...", 0),
    ],
)
def test_rouge_l_by_hand(answer, gold, expected):
    assert rouge_l(answer, [gold]) == pytest.approx(expected)


def brute_force_rouge_l(answer, gold):
    """Tries every subsequence of the answer, the longest first."""

    def within(few, many):
        rest = iter(many)
        return all(word in rest for word in few)

    for size in range(len(answer), 0, -1):
        if any(within(few, gold) for few in itertools.combinations(answer, size)):
            return 2 * size / (len(answer) + len(gold))
    return 0


@given(
    st.lists(st.sampled_from("abé山"), max_size=7), st.lists(st.sampled_from("abé山"), max_size=7)
)
def test_rouge_l_by_brute_force(answer, gold):
    found = rouge_l(" ".join(answer), ["zzz", " ".join(gold)])
    assert found == pytest.approx(brute_force_rouge_l(answer, gold))


HEADER = ["Year", "Max speed (km/h)", "Speed", "Name and title", "No. in season", "From"]
GOLD = "select max speed from table where year = 1964 and name and title = Rock and Roll"


@pytest.mark.parametrize(
    ("query", "header", "form"),
    [
        (GOLD, HEADER, (2, 1, ((0, 0, "1964"), (3, 0, "rockandroll")))),
        ("select count year from table", HEADER, (0, 3, ())),
        ("select from from table where from > 3", HEADER, (5, 0, ((5, 1, "3"),))),
        # A column that begins like an aggregate is a column.
        ("select max speed (km/h) from table", HEADER, (1, 0, ())),
        ("select max max speed (km/h) from table", HEADER, (1, 1, ())),
        # The longest name counts where one is the beginning of another.
        ("select a from table where a = = 3", ["a", "a ="], (0, 0, ((1, 0, "3"),))),
        # Of two columns with one name it is the first, in the gold too.
        ("select a from table", ["b", "A", "a"], (1, 0, ())),
    ],
)
def test_sql_is_read_by_hand(query, header, form):
    assert parse_sql(query, header) == form


@pytest.mark.parametrize(
    "same",
    [
        GOLD,
        GOLD.upper(),
        f"  {GOLD}\n",
        GOLD.replace(" ", "   "),
        "select max speed from table where name and title = rock and roll and year = 1964",
        GOLD.replace("year = ", "year=").replace("title = ", "title ="),
        GOLD.replace("1964", "19 64").replace("and Roll", "androll"),
    ],
)
def test_sql_that_looks_wrong_and_is_right(same):
    assert logical_form_match(same, GOLD, HEADER)


OTHERS = {  # a part of the gold query, and what makes it another query
    GOLD: ["", "none", "max speed", "select max speed from table where"],
    "1964": ["1965", "1964.0", "'1964'"],  # values stand without quotation marks
    "year": ["yeer", "speed"],
    "year = ": ["year > ", ""],
    "year = 1964 and name and title = Rock and Roll": [
        "year = Rock and Roll and name and title = 1964",
        "year = 1964",
    ],
    "max ": ["min ", "median ", ""],
    "max speed": ["max speed (km/h)", "max year"],
    "from table ": ["from tables ", ""],
    "where": ["were"],
    "select": ["select select"],
    # Another condition, and one written twice.
    "Roll": ["Roll and speed = 3", "Roll and year = 1964", "Roll'", "Roll limit 1"],
}


@pytest.mark.parametrize("part", OTHERS)
def test_sql_that_looks_right_and_is_wrong(part):
    for other in OTHERS[part]:
        assert part in GOLD and not logical_form_match(GOLD.replace(part, other), GOLD, HEADER)


@pytest.mark.parametrize(
    ("gold", "answer"), [("6'2\"", "6'2"), ("“玉山”", "玉山"), ("a > b", "a = b")]
)
def test_signs_of_a_value_count(gold, answer):
    gold, answer = (f"select name from table where size = {value}" for value in (gold, answer))
    assert logical_form_match(gold, gold, ["name", "size"])
    assert not logical_form_match(answer, gold, ["name", "size"])


def test_a_gold_outside_the_form_is_met_word_for_word():
    assert logical_form_match("SELECT  1", "select 1", ["a"])
    assert not logical_form_match("select 2", "select 1", ["a"])


NAMES = ["year", "max year", "name (of it)", "year name", "玉山", "% share", "no. 1", "a"]
FORMS = st.tuples(
    st.sampled_from(AGGREGATES),
    st.sampled_from(NAMES),
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(OPERATORS),
            st.sampled_from(["1", "1 000", "rock and roll", "d'or", "ñandú", "a-b", "table 3"]),
        ),
        max_size=3,
    ),
)


def written(agg, column, conds):
    where = " and ".join(" ".join(cond) for cond in conds)
    return " ".join(f"select {agg} {column} from table".split()) + f" where {where}" * bool(conds)


@given(FORMS, st.randoms(use_true_random=False))
def test_a_query_is_itself_in_any_order_and_no_other(form, random):
    agg, column, conds = form
    gold = written(agg, column, conds)
    shuffled = written(agg, column, random.sample(conds, len(conds)))
    assert logical_form_match(shuffled.title().replace(" ", "  "), gold, NAMES)
    others = [written(agg, column, [*conds, ("a", "=", "zzz")])]
    others += [written(agg, other, conds) for other in NAMES if other != column]
    for i, (name, operator, value) in enumerate(conds):
        for changed in [
            (name, operator, f"{value} x"),
            (name, "<" if operator != "<" else "=", value),
        ]:
            others.append(written(agg, column, [*conds[:i], changed, *conds[i + 1 :]]))
        others.append(written(agg, column, conds[:i] + conds[i + 1 :]))
    for other in others:
        # "max year" is a column and an aggregate of another: the same text is the same query.
        assert logical_form_match(other, gold, NAMES) == (other == gold), other


@given(st.text(max_size=60), st.lists(st.text(max_size=5), max_size=3))
def test_any_text_and_any_header_can_be_read(text, header):
    for answer in (text, f"select {text} from table where {text}"):
        parse_sql(answer, header)
        assert logical_form_match(answer, answer, header)


def test_changes_of_state_by_hand():
    assert change_of_state("food: british, area: east; phone, address") == (
        {"food": "british", "area": "east"},
        {"phone", "address"},
    )
    assert change_of_state("price range: cheap;") == ({"price range": "cheap"}, set())
    assert change_of_state("; phone") == ({}, {"phone"})
    for nothing in ("none", "None", "", ";", " ; ", "food: thai", "a; b; c", "food thai;", "玉山"):
        assert change_of_state(nothing) == ({}, set()), nothing


@pytest.mark.parametrize(
    ("answer", "gold", "goal", "requests"),
    [
        ("food: thai, area: east;", "area: east, food: thai;", True, True),  # another order
        ("FOOD:thai ,area: East ;", "food: thai, area: east;", True, True),
        ("; address, phone", "; phone, address", True, True),
        ("food: thai, food: thai;", "food: thai;", True, True),
        ("food: chinese, food: thai;", "food: thai;", True, True),  # the last value counts
        ("food: thai, food: chinese;", "food: thai;", False, True),
        ("food: none;", "none", False, True),  # a slot of value "none" is no empty change
        ("none", "food: none;", False, True),
        ("food: thai", "food: thai;", False, True),  # no semicolon
        ("food: thai; none", "food: thai;", True, False),
        ("area: thai, food: east;", "food: thai, area: east;", False, True),  # swapped
        ("food: thai, area: east; phone", "food: thai; phone", False, True),
        ("phone", "; phone", True, False),
        ("positive", "none", True, True),  # in decaNLP too, what cannot be read changes nothing
    ],
)
def test_turns_by_hand(answer, gold, goal, requests):
    change, expected = change_of_state(answer), change_of_state(gold)
    assert (change.inform == expected.inform) is goal
    assert (change.request == expected.request) is requests


def test_a_wrong_turn_costs_the_turns_after_it_until_it_is_mended():
    golds = ["food: thai;", "none", "area: east;", "food: french;", "; phone"]
    assert dialogue_state_matches(golds, golds) == [True] * 5
    wrong = ["food: chinese;", *golds[1:]]
    assert dialogue_state_matches(wrong, golds) == [False, False, False, True, True]
    late = ["none", "food: thai;", *golds[2:]]
    assert dialogue_state_matches(late, golds) == [False, True, True, True, True]
    too_much = ["food: thai, area: none;", *golds[1:]]
    assert dialogue_state_matches(too_much, golds) == [False, False, True, True, True]
    assert dialogue_state_matches([], []) == []
    with pytest.raises(ValueError):
        dialogue_state_matches(golds[1:], golds)


CHANGES = st.sampled_from(
    ["none", "x: 1;", "x: 2;", "y: 1;", "x: 1, y: 2;", "; z", "y: 2; z", "玉"]
)


@given(st.lists(st.tuples(CHANGES, CHANGES), max_size=8))
def test_states_by_brute_force(turns):
    """Looks each slot up in the latest turn that names it, instead of summing states."""

    def latest(texts, slot):
        found = [t.split(f"{slot}: ")[1][0] for t in texts if f"{slot}: " in t]
        return found[-1] if found else None

    answers, golds = [a for a, _ in turns], [g for _, g in turns]
    expected = [
        all(latest(answers[:n], slot) == latest(golds[:n], slot) for slot in "xy")
        for n in range(1, len(turns) + 1)
    ]
    assert dialogue_state_matches(answers, golds) == expected


def test_order_is_kept_with_a_train_split_and_without():
    documents = [{"text": text} for text in "dcba"]
    assert in_order(documents[2:])["test"]["text"] == ["b", "a"]
    assert in_order(documents[2:], documents[:2])["train"]["text"] == ["d", "c"]


FOLDER = tasks.folder() / "sequence"
NAMES_OF_TASKS = sorted(path.stem for path in FOLDER.glob("*.yaml"))

# Test and train rows, and the train rows that were dropped since the test has them too.
SIZES = {
    "squad": (10_570, None, None),
    "qa_srl": (7_021, 7_129, 0),
    "wikisql": (15_573, 55_370, 2),
    "woz": (1_646, 1_970, 566),
    "sst": (1_821, 6_917, 3),
    "ag_news_pinned": (7_600, 4_000, 0),
    "amazon": (7_600, 5_000, 0),
    "dbpedia": (2_600, 5_000, 0),
    "yelp": (1_000, 4_000, 0),
    "ni_qg": (500, 200, 0),
    "ni_sum": (500, 200, 0),
} | {f"ni_{name}": (500, 2_000, 0) for name in ("qa", "sa", "trans", "para", "pe")}


def loaders():
    return tasks.task._code(FOLDER / "loaders.py")


@pytest.fixture(scope="module")
def mirror(bundled_data):
    if not os.environ.get("FORGETTING_DATA_MIRROR"):
        pytest.skip("FORGETTING_DATA_MIRROR is not set")


@pytest.fixture(scope="module")
def load(mirror):
    """The splits of a task, and how many training documents were dropped, by its name."""
    dropped = []

    def counted(train, *tests, key):
        train = list(train)
        kept = without_overlap(train, *tests, key=key)
        dropped.append(len(train) - len(kept))
        return kept

    @cache
    def once(name):
        dropped.clear()
        config = Task(name).config
        splits = getattr(loaders(), config["custom_dataset"].rpartition(".")[2])(
            **config["metadata"]
        )
        test, train = splits["test"].to_list(), splits.get("train")
        return SimpleNamespace(test=test, train=train, dropped=sum(dropped))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders(), "without_overlap", counted)
        yield once


def test_every_task_is_named_as_its_file_and_listed():
    assert set(NAMES_OF_TASKS) == set(SIZES)
    for name in NAMES_OF_TASKS:
        assert Task(name).config["task"] == name
        assert Task(name).chat == name.startswith("ni_")


@pytest.mark.parametrize("name", SIZES)
def test_documents_are_complete_and_none_is_in_both_splits(name, load):
    found, (n_test, n_train, dropped) = load(name), SIZES[name]
    assert len(found.test) == n_test
    assert (None if found.train is None else len(found.train)) == n_train
    assert found.dropped == (dropped or 0)
    for split in filter(None, (Dataset.from_list(found.test), found.train)):
        columns = split.to_dict()
        for field in ("prompt", "context", "question", "answer"):
            assert all(text and text == text.strip() for text in columns[field]), field
        for answers, first in zip(columns["answers"], columns["answer"], strict=True):
            assert answers[0] == first and all(answers) and "\n" not in "".join(answers)
    if found.train:
        asked = {" ".join(d["prompt"].lower().split()) for d in found.test}
        assert not any(" ".join(p.lower().split()) in asked for p in found.train["prompt"])
    config = Task(name).config
    for document in found.test[:20]:
        assert apply_template(config["doc_to_text"], document) == document["prompt"]
        assert apply_template(config["doc_to_target"], document) == document["answer"]
    assert ("training_split" in config) == (found.train is not None)


@pytest.mark.parametrize("name", SIZES)
def test_the_gold_answer_has_full_marks_and_another_has_not(name, load):
    """By the graders that lm-eval calls; the other answer is what another task would say."""
    test = load(name).test[:300]
    config = Task(name).config
    grade = getattr(
        tasks.task._code(FOLDER / "graders.py"), config["process_results"].split(".")[1]
    )
    wrong = "select x from table" if name != "wikisql" else "positive"
    metrics = [entry["metric"] for entry in config["metric_list"]]
    for answer, expected in ((None, 1), (wrong, 0)):
        scores = [grade(document, [answer or document["answer"]]) for document in test]
        assert all(list(score) == metrics for score in scores)
        assert all(isinstance(value, float) for score in scores for value in score.values())
        mean = sum(score[metrics[0]] for score in scores) / len(test)
        assert mean == expected if answer is None else mean < 0.05


QUALITY = "Is this sentence very negative, negative, neutral, positive, or very positive?"
DBPEDIA = (
    "Is this sentence Company, EducationalInstitution, Artist, Athlete, OfficeHolder, "
    "MeanOfTransportation, Building, NaturalPlace, Village, Animal, Plant, Album, Film, "
    "or WrittenWork?"
)


@pytest.mark.parametrize(
    ("name", "classes", "question"),
    [
        ("sst", 2, "is this review negative or positive?"),
        ("ag_news_pinned", 4, "Is this sentence World, Sports, Business, or Sci/Tech?"),
        ("amazon", 5, QUALITY),
        ("yelp", 5, QUALITY),
        ("dbpedia", 14, DBPEDIA),
    ],
)
def test_the_question_names_the_classes(name, classes, question, load):
    splits = load(name)
    for split in (Dataset.from_list(splits.test), splits.train):
        answers = set(split["answer"])
        assert set(split["question"]) == {question} and len(answers) == classes
        assert all(answer in question for answer in answers)
    assert Task(name).metadata["chance"] == pytest.approx(1 / classes, abs=1e-4)


def test_squad_answers_stand_in_their_passages(load):
    test = load("squad").test
    assert all(answer in d["context"] for d in test for answer in d["answers"])
    document = next(
        d for d in test if d["question"].startswith("The atomic number of the periodic")
    )
    assert document["answers"] == ["8"] and document["context"].startswith("Oxygen is a chemical")


def test_squad_has_a_train_split_where_its_file_is(mirror, load, tmp_path, monkeypatch):
    asked = load("squad").test[0]
    qas = [
        {"question": f" {asked['question'].upper()}", "answers": [{"text": asked["answer"]}]},
        {"question": "Who?", "answers": [{"text": "a  cat"}, {"text": "a cat"}, {"text": "cat"}]},
    ]
    article = {"paragraphs": [{"context": asked["context"], "qas": qas}]}
    file = tmp_path / "train-v1.1.json"
    file.write_text(json.dumps({"data": [article]}), encoding="utf-8")
    monkeypatch.setattr(loaders().registry, "available", lambda name: name == "squad_full")
    monkeypatch.setattr(loaders(), "public", lambda *_: file)
    (document,) = loaders().squad(**Task("squad").metadata)["train"].to_list()
    assert (document["question"], document["answers"]) == ("Who?", ["a cat", "cat"])


def test_semantic_roles_are_free_of_treebank_signs(load):
    untokenised = loaders()._untokenised
    assert untokenised("Auernheimer 's attorney did n't say : `` no '' -LRB- $ 5 -RRB- .") == (
        "Auernheimer's attorney didn't say: \" no \" ($5)."
    )
    assert untokenised("she said 'hello , world'") == "she said 'hello, world'"
    test = load("qa_srl").test
    assert all(answer in d["context"] for d in test for answer in d["answers"])
    assert not any(sign in d["prompt"] for d in test for sign in ("``", "-lrb-", " ,", " n't"))
    assert sum(len(d["answers"]) > 1 for d in test) > 1000


def test_wikisql_queries_are_about_the_columns_of_their_table(load):
    """The form that is read back from each query, written anew, is the query."""
    found = load("wikisql")
    for document in found.test[:1500]:
        header, form = document["header"], parse_sql(document["answer"], document["header"])
        assert document["context"].startswith(f"the table has columns {', '.join(header)} and key")
        dense = [name.replace(" ", "") for name in header]
        conds = {f"{dense[c]}{OPERATORS[o]}{value}" for c, o, value in form.conds}
        select, _, where = document["answer"].partition(" where ")
        assert select.split(" from table")[0].replace(" ", "") == (
            f"select{AGGREGATES[form.agg]}{dense[form.sel]}"
        )
        assert any(
            "and".join(order) == where.replace(" ", "") for order in itertools.permutations(conds)
        )
    assert not any("var0" in d["answer"] for d in found.test)  # a value that was not filled in
    assert len({tuple(d["header"]) for d in found.test}) > 3000


def test_woz_turns_are_decanlps(load):
    test = load("woz").test
    assert {d["question"] for d in test} == {"what is the change in state?"}
    by_place = {(d["dialogue"], d["turn"]): d for d in test}
    turn = by_place[803, 0]
    assert turn["context"] == "i am looking for a danish restaurant in the south part of town."
    assert turn["answer"] == "food: danish, area: south;"
    # The area was known before, so that only the food has changed.
    assert by_place[803, 1]["answer"] == "food: portuguese; phone, address"
    assert by_place[803, 2]["answer"] == "none"
    assert any(d["context"].startswith("area -- ") for d in test), "acts of the system come first"


def test_woz_states_sum_up_to_the_data_sets_own(load):
    """WOZ gives the whole state of each turn, which the sum of the changes has to be."""
    path = loaders().public("woz2.0", "woz_test_en.json")
    whole = {}
    for dialogue in json.loads(path.read_text(encoding="utf-8")):
        for n, turn in enumerate(dialogue["dialogue"]):
            informed = [i for i in turn["belief_state"] if i["act"] == "inform"]
            whole[dialogue["dialogue_idx"], n] = dict(s for i in informed for s in i["slots"])
    state, agree = {}, 0
    test = load("woz").test
    for document in test:
        state = {} if document["turn"] == 0 else state
        state = state | change_of_state(document["answer"]).inform
        agree += state == whole[document["dialogue"], document["turn"]]
    assert agree / len(test) > 0.99  # a slot may be taken back, which no change can say


def test_a_model_that_says_nothing_has_no_state_right_but_half_of_the_turns(load):
    """Turns without a change are many: read turn_goal_em and turn_request_em with care."""
    test = load("woz").test
    matches = []
    for _, turns in itertools.groupby(test, key=lambda d: d["dialogue"]):
        golds = [d["answer"] for d in turns]
        matches += dialogue_state_matches(["positive"] * len(golds), golds)
    assert sum(matches) == 0
    changes = [change_of_state(d["answer"]) for d in test]
    assert sum(not change.inform for change in changes) / len(test) > 0.5
    assert sum(not change.request for change in changes) / len(test) > 0.6


def test_dialogues_are_graded_in_order_only():
    grade = tasks.task._code(FOLDER / "graders.py").dialogue

    def turn(dialogue, number, answer="food: thai;"):
        return grade({"dialogue": dialogue, "turn": number, "answer": answer}, ["food: thai;"])

    assert turn(1, 0)["ds_em"] == 1
    assert turn(1, 1, "none") == {"ds_em": 1, "turn_goal_em": 0, "turn_request_em": 1}
    assert turn(2, 0, "food: french;")["ds_em"] == 0
    assert turn(2, 1)["ds_em"] == 1
    for dialogue, number in [(2, 1), (2, 3), (3, 1), (1, 2)]:
        with pytest.raises(ValueError, match=r"follows \(2, 1\); grade dialogues in order"):
            turn(dialogue, number)
    assert turn(2, 0)["ds_em"] == 1, "a second pass begins anew"


def test_super_ni_prompts_are_definition_and_input(load):
    document = load("ni_trans").test[0]
    assert document["question"] == (
        "You are given a sentence in English. Your job is to translate the English sentence into "
        "Spanish."
    )
    for name in ("ni_qa", "ni_sum", "ni_pe"):
        for document in load(name).test:
            assert document["prompt"] == f"{document['question']}\n\n{document['context']}"


def test_most_of_lamols_lead_on_reviews_is_had_without_reading():
    """By hand from the records: balanced .810, .552, .500 beside .333, 0 and .071, by seed.

    Of the lead, .620 - .135, what lies below .5 is 75 %. Of the 32 reviews 18 are negative.
    """
    if Task("sst").missing():
        pytest.skip("the labels are not at hand")
    gold = [Task("sst").gold(review) for review in Task("sst").documents("test")[:32]]
    assert (gold.count("negative"), gold.count("positive")) == (18, 14)
    told = lamol.quoted()["reviews"]
    assert told["lead"].startswith("+0.49 (") and told["balanced"].startswith("+0.49 (")
    assert told["ours"].startswith("+0.12 (") and told["plain"].startswith("−0.37 (")
    assert told["form"] == "75 %"
