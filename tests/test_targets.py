"""What fine-tuning aims at: answers that are right, and answers that only look so."""

import ast
import json
import os
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting import tasks
from forgetting.tasks import Task
from forgetting.tasks.grading import answers
from forgetting.tasks.grading.answers import (
    Bare,
    Call,
    NoCall,
    final_number,
    first_call,
    last_number,
    parse_call,
    possible_call,
    same_call,
    same_call_text,
    same_number,
)

pytestmark = pytest.mark.public


@pytest.mark.parametrize(
    ("number", "texts"),
    [
        (42, ["The answer is 42."]),
        (1000, ["1,000", "1000.0", "1000.", "$1,000", "01000", "+1000"]),
        (Decimal("1234567.5"), ["$1,234,567.50 in all"]),
        (2, ["5 - 3 = 2", "1/2"]),
        (3, ["it is 5-3", "1000th 3"]),  # a subtraction, and no minus three
        (-3, ["x = -3"]),
        (-1000, ["-1000"]),
        (1001, ["1000 or 1001"]),
        (Decimal("1000.5"), ["1000.5"]),
        (-7, ["\u22127 degrees"]),
        (-5, ["-$5"]),
        (0, ["1 000", "1,0000"]),
        (Decimal("0.5"), ["about .5"]),
        (4, ["3, 4", "3,4"]),  # no group of three digits
        (34, ["12,34"]),
        (20, ["20%"]),
        (12, ["Room B12"]),
        (7, ["9" * 100_000 + " 7", "1," * 100_000 + "7"]),
        # Of digits, only ASCII's: the sources' own patterns may differ, gold has no others.
        (None, ["", "no number", "forty-two", "٤٢", "four ④", "." * 1000 + ","]),
    ],
)
def test_last_number(number, texts):
    for text in texts:
        assert last_number(text) == final_number(text) == number
        assert same_number(text, "250 * 4 = 1,000.\n#### 1,000") == (number == 1000)


@pytest.mark.parametrize(
    ("number", "answers"),
    [
        (72, ["48/2 = 24\n48+24 = 72\n#### 72", "#### 72 apples in 3 boxes", "####72"]),
        (72, ["#### 72\n\nQuestion: 5 apples and 6?"]),  # what follows is another problem
        (72, ["The total is 72 #### apples", "First 5, then 72"]),  # the last of all
        (10, ["#### 10\n#### 20"]),
        (1080, ["#### $1,080"]),
        (-4, ["#### -4"]),
        (None, ["#### "]),
    ],
)
def test_final_number_in_gsm8ks_format(number, answers):
    assert [final_number(answer) for answer in answers] == [number] * len(answers)
    assert not any(same_number(answer, "nothing") for answer in answers)


@given(st.integers(-(10**12), 10**12), st.text(max_size=20))
def test_any_whole_number_is_read_back(number, before):
    for written in (f"{number}", f"{number:,}", f"{number}.00", f"#### {number:,}"):
        assert final_number(f"{before.replace('#', '')} {written}") == number


GOLD = "shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])"


def test_a_call_by_hand():
    call = parse_call('a.b(1, x="é", y=[-2, (True, None)], z={"k": 1.5}, w=Word, f=g(2))')
    assert call.name == "a.b" and call.positional == (1,)
    assert call.keywords == {
        "x": "é",
        "y": [-2, (True, None)],
        "z": {"k": 1.5},
        "w": Bare("Word"),
        "f": Call("g", (2,), {}),
    }
    assert type(call.keywords["w"]) is Bare


@pytest.mark.parametrize(
    "answer",
    [
        GOLD,
        "shop.order(quantity=[6,8], loc='Berkeley', item=['potato','rice'])",
        "shop.order( loc = 'Berkeley',\n  item = ['potato', 'rice'],\n  quantity = [6, 8] )",
        f"Sure! You can call `{GOLD}`.",
        f"```python\n{GOLD}\n```",
        f"{GOLD}\nother.call(x=1)",
        f"The function shop.order (see above) takes three: {GOLD}",
        "shop.order(loc=Berkeley, item=[\"potato\", 'rice'], quantity=[6.0, 8])",
    ],
)
def test_the_same_call(answer):
    assert same_call(answer, GOLD)


CHANGES = {  # a part of the gold call, and what makes it another call
    "shop.order": ["order", "my.shop.order", "shop.orders", "Shop.order"],
    "'Berkeley'": ["'berkeley'", "'Berkeley\u200b'"],
    "loc='Berkeley'": [
        "'Berkeley'",
        "1, loc='Berkeley'",
        "Loc='Berkeley'",
        "loc=1, loc='Berkeley'",
    ],
    "['potato', 'rice']": ["['rice', 'potato']", "('potato', 'rice')", "'potato, rice'"],
    "[6, 8]": ["['6', '8']", "[[6, 8]]", "[6, 8], tip=1"],
    ", quantity=[6, 8]": [""],
    GOLD[len("shop.order(") : -1]: [
        "'Berkeley', ['potato', 'rice'], [6, 8]",
        "**{'loc': 'Berkeley'}",
    ],
    "8])": ["8]"],  # cut off
    # The first call counts; there may be none.
    GOLD: [
        "",
        "shop.order",
        "I call shop.order.",
        f"print({GOLD})",
        f"shop.order(loc='x')\n{GOLD}",
    ],
}


@pytest.mark.parametrize("part", CHANGES)
def test_nearly_the_same_call(part):
    for other in CHANGES[part]:
        assert part in GOLD and not same_call(GOLD.replace(part, other), GOLD), other


@pytest.mark.parametrize(
    ("gold", "same", "others"),
    [
        # As in SDFT's comparison of texts, and BFCL's of types, "5" is not 5.
        ("5", ["5.0"], ["'5'", "-5", "2+3"]),  # nothing is evaluated
        ("1000", ["1e3"], []),
        ("'5'", [], ["5"]),
        ("1", [], ["True"]),
        ("True", [], ["1"]),
        ("true", ["True"], ["'true'"]),  # two gold calls of the test set say true
        ("Berkeley", ["'Berkeley'"], []),
        ("()", [], ["[]"]),
        ("[[1], [2, [3]]]", ["[[1], [2, [3]]]"], ["[[1], [2, 3]]"]),
        ("{'b': 2, 'a': 1}", ["{'a': 1, 'b': 2}"], ["{'a': 1}", "{'a': '1', 'b': 2}"]),
        ("'Austin,Texas'", ["'Austin,  Texas'"], []),
        ("g(1)", ["g(1)"], ["g(2)"]),
        ("g", [], ["g()"]),
        ("'a)b('", ["'a)b('"], []),
        ('"it\'s ("', [r"'it\'s ('"], []),
        ("'台北'", [], ["'臺北'"]),
    ],
)
def test_values_that_are_the_same(gold, same, others):
    for value in same + others:
        assert same_call(f"f(x={value})", f"f(x={gold})") == (value in same), value


def test_positions_and_names_that_are_the_same():
    assert same_call("f(1, 2)", "f(1, 2)") and not same_call("f(2, 1)", "f(1, 2)")
    assert not same_call("f(x=None)", "f()")
    assert same_call("天氣.查詢(城市='臺北')", "天氣.查詢(城市='臺北')")


ADVERSARIAL = [
    "f(" * 5_000,
    "f(x=" + "[" * 5_000 + "]" * 5_000 + ")",
    "f(x=" + "-" * 9_000 + "1)",
    "f(x=" + "(" * 90 + "1" + ")" * 90 + ")",
    "f(x=" + "{1:" * 3_000 + "1" + "}" * 3_000 + ")",
    "f" + ".f" * 4_000 + "(x=1)",
    "f(x=" + "9" * 9_000 + ")",
    "f(x=" + "g(" * 2_000 + ")" * 2_000 + ")",
    "f" + "()" * 4_000,
    "f(x='" + "a" * 200_000 + "')",
    "f(x='\0')",
    "f(x='\udc80')",
    "f(\ufeff)",
    "f(x=b'1', y=1j, z=..., *w)",
    "f(x=lambda: 0)",
    "f(x=__import__('os').system('true'))",
    "f(x=f'{1}')",
    "f(x={**{}})",
    "f(x={[]: 1})",
    r"f(x='\d\N{none}')",
    "f(x=1\n",
    "f(x:=1)",
    "\\" * 1000 + "f()",
    "[" * 5_000,
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ADVERSARIAL, ids=range(len(ADVERSARIAL)))
def test_no_text_breaks_the_reading(text):
    try:
        parse_call(text)
    except NoCall as error:
        assert "\n" not in str(error) and len(str(error)) < 200
    first_call(text)
    assert not same_call(text, GOLD) and not same_call_text(text, GOLD)
    assert not possible_call(text, FUNCTION, POSSIBLE)


@given(st.text() | st.text(alphabet="fx.()[]{}='\",:-1aé \n*\\", max_size=60))
def test_any_text_has_a_number_and_a_call_or_not(text):
    assert last_number(text) is None or isinstance(last_number(text), Decimal)
    assert first_call(text) is None or isinstance(first_call(text), Call)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "größe"]), VALUES, max_size=3))
def test_calls_are_read_as_literal_eval_reads_their_arguments(keywords):
    text = f"m.f({', '.join(f'{name}={value!r}' for name, value in keywords.items())})"
    read = parse_call(text).keywords
    tree = ast.parse(text, mode="eval").body
    assert read == {word.arg: ast.literal_eval(word.value) for word in tree.keywords} == keywords
    backwards = ",".join(f"{name}={value!r}" for name, value in reversed(keywords.items()))
    assert same_call(f"so: m.f({backwards})", text)


@given(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1, max_size=3))
def test_a_gold_call_in_other_words_still_counts_as_text(keywords):
    gold = f"m.f({', '.join(f'{name}={value!r}' for name, value in keywords.items())})"
    assert same_call_text(f"Try {gold} now", gold)


def test_sdfts_rule_reads_text():
    """What the two rules disagree about; each alone would tell half of the story."""
    swapped = "f(y=2, x=1)"
    prefixed = "wrong.f(x=1, y=2)"
    assert same_call(swapped, "f(x=1, y=2)") and not same_call_text(swapped, "f(x=1, y=2)")
    assert same_call_text(prefixed, "f(x=1, y=2)") and not same_call(prefixed, "f(x=1, y=2)")
    assert same_call_text("so: f(x='a',  y=2).", 'f(x="a", y=2)')
    assert not same_call_text("", "f(x=1)") and not same_call_text("f(x=1)", "")


FUNCTION = {
    "name": "geo.area",
    "parameters": {
        "properties": {
            "base": {"type": "integer"},
            "height": {"type": "float"},
            "unit": {"type": "string"},
            "exact": {"type": "boolean"},
            "corners": {"type": "array", "items": {"type": "float"}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "point": {"type": "tuple", "items": {"type": "integer"}},
            "style": {"type": "dict"},
            "day": {"type": "integer"},
        },
        "required": ["base", "height"],
    },
}
POSSIBLE = {
    "geo.area": {
        "base": [10],
        "height": [5.0],
        "unit": ["square cm", ""],
        "exact": ["", True],
        "corners": ["", [0.5, 1.0]],
        "tags": ["", ["Red", "dark-blue"]],
        "point": ["", [1, 2]],
        "day": ["", "to-day"],
        "style": ["", {"colour": ["red", "scarlet"], "width": [2, ""]}],
    }
}


VALUES_OF = {  # possible and impossible values of each parameter
    "base": (["10"], ["'10'", "10.0", "True", "11", "10, base=10"]),
    # An int is right where a float is wanted, but no float is as large as this one.
    "height": (["5.0", "5"], ["'5.0'", "True", "1" + "0" * 400, "f(5)"]),
    "unit": (["'Square-CM'", "squarecm", "''"], ["'square m'", "['square cm']", "None"]),
    "exact": (["True"], ["1", "'True'", "true", "False"]),  # true is read as a string
    "corners": (
        ["[0.5, 1.0]"],
        ["(0.5, 1.0)", "[1.0, 0.5]", "[0.5, '1.0']", "'[0.5, 1.0]'", "[[0.5, 1.0]]"],
    ),
    "tags": (["['red', 'Dark blue']", "[]"], ["['red']"]),  # [] is as good as left out
    "point": (["(1, 2)", "[1, 2]"], []),  # JSON cannot say which of the two was meant
    "style": (
        ["{'colour': 'Scarlet'}", "{'width': 2, 'colour': 'red'}"],
        ["{'colour': 'blue'}", "{'width': 2}", "{'colour': 'red', 'depth': 1}", "[]"],
    ),
    "day": (["'to-day'"], ["3"]),  # of another type than stated
    "width": ([], ["3"]),
}


@pytest.mark.parametrize("parameter", VALUES_OF)
def test_possible_and_impossible_values(parameter):
    possible, impossible = VALUES_OF[parameter]
    for value in possible + impossible:
        arguments = {"base": 10, "height": 5} | {parameter: value}
        call = f"geo.area({', '.join(f'{name}={value}' for name, value in arguments.items())})"
        for form in (call, f"[{call}]", f"```\n{call}\n```"):
            assert possible_call(form, FUNCTION, POSSIBLE) == (value in possible), form


@pytest.mark.parametrize(
    "answer",
    [
        "geo.area()",
        "geo.area(base=10)",
        "geo.area(10, 5)",
        "geo.area(10, height=5)",
        "geo.area(10, base=10, height=5)",  # the leaderboard's own check lets this pass
        "Here: geo.area(base=10, height=5)",  # the call and nothing else
        "[geo.area(base=10, height=5), geo.area(base=10, height=5)]",
        "geometry.geo.area(base=10, height=5)",
        "area(base=10, height=5)",
    ],
)
def test_impossible_calls(answer):
    assert possible_call("geo.area(height=5, base=10)", FUNCTION, POSSIBLE)
    assert not possible_call(answer, FUNCTION, POSSIBLE)


SIZES = {  # test, train
    "gsm8k_pinned": (1319, 7473),
    "multiarith": (180, 0),
    "svamp": (300, 0),
    "openfunctions": (112, 2211),
    "bfcl_simple": (400, 0),
    "alpaca": (805, 2000),
    "lima": (805, 1029),
    "sst_chat": (1821, 6917),
    "sst_json": (1821, 6917),
    "sst_asked": (1821, 6917),
}


@pytest.fixture
def mirror():
    if "FORGETTING_DATA_MIRROR" not in os.environ:
        pytest.skip("no mirror of the public data sets")


def grade(name, document, answer):
    """The scores that the task's grader gives."""
    module, _, function = Task(name).config["process_results"].rpartition(".")
    path = tasks.folder() / "targets" / f"{module}.py"
    return getattr(tasks.task._code(path), function)(document, [answer])


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_sets(name, mirror):
    task, (test, train) = Task(name), SIZES[name]
    assert len(task.documents("test")) == test
    if train:
        assert len(task.documents("train")) == train
    assert all(document["prompt"] for document in task.documents("test"))
    for entry in task.config["metric_list"]:
        assert entry["higher_is_better"]


@pytest.mark.parametrize(
    ("form", "scores", "answers"),
    [
        ("chat", {"em": 1}, ["Positive."]),
        ("chat", {"em": 0}, ["negative", "It is positive"]),
        ("asked", {"em": 1}, ["positive", "Positive.", "It is **positive**: it praises the cast."]),
        ("asked", {"em": 0}, ["It is negative.", "They are positively surprised.", "neutral", ""]),
        ("asked", {"em": 0}, ["It is not negative but positive."]),  # it names both
        (
            "json",
            {"json": 1, "em": 1},
            ['```json\n{"sentiment": "Positive.", "reason": "praise"}\n```'],
        ),
        ("json", {"json": 1, "em": 1}, ['{"sentiment": ["positive"]}']),  # so it says
        ("json", {"json": 1, "em": 0}, ['{"sentiment": "negative", "reason": "a pity"}']),
        ("json", {"json": 0, "em": 0}, ['{"mood": "positive"}', '["sentiment"]', "positive", ""]),
        ("json", {"json": 0, "em": 0}, ['{"sentiment": "positive"']),
    ],
)
def test_labels_in_answers(form, scores, answers):
    for answer in answers:
        assert grade(f"mini_sentiment_{form}", {"answer": "positive"}, answer) == scores, answer


def test_a_review_is_asked_about_in_two_ways_and_is_the_same_review():
    chat, json, plain = (
        Task(f"mini_sentiment{form}").documents("test") for form in ("_chat", "_json", "")
    )
    labels = {document["context"]: document["answer"] for document in plain}
    for asked, ends in ((chat, "Answer with one word."), (json, "Output only the JSON object.")):
        assert {document["review"]: document["answer"] for document in asked} == labels
        assert all(document["prompt"].endswith(ends) for document in asked)
    gold = Task("mini_sentiment_json").example(json[0]).answer
    assert grade("mini_sentiment_json", json[0], gold) == {"json": 1, "em": 1}


@pytest.mark.parametrize("name", ["gsm8k_pinned", "multiarith", "svamp"])
def test_gold_numbers_are_read_and_others_refused(name, mirror):
    for document in Task(name).documents("test"):
        assert grade(name, document, document["answer"]) == {"correct": 1.0}
        gold = final_number(document["answer"])
        assert gold == int(gold)
        assert grade(name, document, f"{document['prompt']} #### {gold + 1}") == {"correct": 0.0}
        assert grade(name, document, f"It is {gold}.0, so #### {gold:,}") == {"correct": 1.0}


def test_gsm8ks_answers_end_as_openais_pattern_reads_them(mirror):
    """Worked answers without the calculator's annotations."""
    for document in Task("gsm8k_pinned").documents("train"):
        official = re.search(r"#### (\-?[0-9\.\,]+)", document["answer"]).group(1)
        assert final_number(document["answer"]) == Decimal(official.replace(",", ""))
        assert "<<" not in document["answer"]


def test_gold_calls_are_right_and_changed_ones_wrong(mirror):
    train, test = map(Task("openfunctions").documents, ("train", "test"))
    assert max(len(document["answer"]) for document in train) * 10 < answers.LONGEST_CALL_TEXT
    for document in test:
        gold = document["answer"]
        assert grade("openfunctions", document, gold) == {"call": 1.0, "call_text": 1.0}
        assert grade("openfunctions", document, f"x.{gold}") == {"call": 0.0, "call_text": 1.0}
        assert not same_call(gold.replace("(", "(extra=1, ", 1), gold)
        assert not same_call(document["prompt"], gold)
        assert f"Function to be used: {parse_call(gold).name}\n" in document["prompt"]


def test_the_first_possible_values_are_right(mirror):
    """But for one question, whose required parameter is missing in its possible answer."""
    wrong = 0
    for document in Task("bfcl_simple").documents("test"):
        ((name, values),) = json.loads(document["possible"]).items()
        first = {key: _first(right[0]) for key, right in values.items() if right[0] != ""}
        text = f"{name}({', '.join(f'{key}={value!r}' for key, value in first.items())})"
        wrong += not grade("bfcl_simple", document, text)["call"]
        assert f"Function to be used: {name}\n" in document["prompt"]
        assert grade("bfcl_simple", document, text.replace("(", "x(", 1)) == {"call": 0.0}
    assert wrong == 1


def _first(value):
    """Possible values of dictionaries' entries are lists too."""
    if isinstance(value, dict):
        return {key: _first(right[0]) for key, right in value.items() if right[0] != ""}
    return [_first(item) for item in value] if isinstance(value, list) else value


def test_prompts_of_bfcl_have_the_form_that_openfunctions_teaches(mirror):
    def lines(name):
        prompts = [document["prompt"].split("\n") for document in Task(name).documents("test")]
        return {
            (p[0], p[1], p[3], p[-2], p[-1], p[2].split(":")[0], p[4].split(":")[0])
            for p in prompts
        }

    assert lines("bfcl_simple") <= lines("openfunctions")
