"""What fine-tuning aims at: answers that are right, and answers that only look so."""

import ast
import json
import os
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting import tasks
from forgetting.grading import answers, sandbox
from forgetting.grading.answers import (
    Bare,
    Call,
    NoCall,
    code,
    final_number,
    first_call,
    last_number,
    parse_call,
    parse_calls,
    possible_call,
    same_call,
    same_call_text,
    same_number,
)
from forgetting.tasks import Task

pytestmark = pytest.mark.public


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 42.", "42"),
        ("1,000", "1000"),
        ("$1,234,567.50 in all", "1234567.5"),
        ("1000.0", "1000"),
        ("5 - 3 = 2", "2"),
        ("it is 5-3", "3"),  # a subtraction, and no minus three
        ("x = -3", "-3"),
        ("\u22127 degrees", "-7"),
        ("-$5", "-5"),
        ("about .5", "0.5"),
        ("3, 4", "4"),
        ("3,4", "4"),  # no group of three digits
        ("12,34", "34"),
        ("1,0000", "0"),
        ("20%", "20"),
        ("1/2", "2"),
        ("Room B12", "12"),
        ("", None),
        ("no number", None),
        ("forty-two", None),
        ("٤٢", None),  # Arabic digits: the sources' own patterns may differ, gold has none
        ("four ④", None),
        ("." * 1000 + ",", None),
    ],
)
def test_last_number(text, number):
    assert last_number(text) == (number if number is None else Decimal(number))


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("48/2 = 24\n48+24 = 72\n#### 72", 72),
        ("#### 72\n\nQuestion: 5 apples and 6?", 72),  # what follows is another problem
        ("#### 72 apples in 3 boxes", 72),
        ("#### 10\n#### 20", 10),
        ("####72", 72),
        ("#### $1,080", 1080),
        ("#### -4", -4),
        ("The total is 72 #### apples", 72),  # no number there: the last of all
        ("First 5, then 72", 72),
        ("#### ", None),
    ],
)
def test_final_number_in_gsm8ks_format(answer, number):
    assert final_number(answer) == number


@pytest.mark.parametrize(
    "written", ["1000", "1,000", "1000.0", "1000.", "$1,000", "01000", "+1000"]
)
def test_a_number_written_otherwise_is_the_same(written):
    assert same_number(f"That makes {written}", "They pay 250 * 4 = 1,000.\n#### 1,000")


@pytest.mark.parametrize(
    "answer",
    ["", "#### ", "100", "10000", "-1000", "1000.5", "1000 or 1001", "1 000", "one 1000th 3"],
)
def test_nearly_the_number_is_not_it(answer):
    assert not same_number(answer, "#### 1000")


def test_no_gold_number_is_matched_by_no_number():
    assert not same_number("nothing", "nothing either")


@given(st.integers(-(10**12), 10**12), st.text(max_size=20))
def test_any_whole_number_is_read_back(number, before):
    for written in (f"{number}", f"{number:,}", f"{number}.00", f"#### {number:,}"):
        assert final_number(f"{before.replace('#', '')} {written}") == number


@given(st.text())
def test_numbers_of_any_text(text):
    assert last_number(text) is None or isinstance(last_number(text), Decimal)


def test_numbers_of_very_long_texts():
    assert last_number("9" * 100_000 + " 7") == 7
    assert last_number("1," * 100_000 + "7") == 7


GOLD = 'shop.order(loc="Berkeley", item=["potato", "rice"], quantity=[6, 8])'


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
        "shop.order(loc=Berkeley, item=['potato', 'rice'], quantity=[6.0, 8])",
    ],
)
def test_the_same_call(answer):
    assert same_call(answer, GOLD)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "shop.order",
        "I would call shop.order for this.",
        "order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "my.shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.orders(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "Shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.order(loc='berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.order(loc='Berkeley', item=['rice', 'potato'], quantity=[6, 8])",
        "shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=['6', '8'])",
        "shop.order(loc='Berkeley', item=('potato', 'rice'), quantity=[6, 8])",
        "shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[[6, 8]])",
        "shop.order(loc='Berkeley', item='potato, rice', quantity=[6, 8])",
        "shop.order('Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.order('Berkeley', ['potato', 'rice'], [6, 8])",
        "shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8], tip=1)",
        "shop.order(1, loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.order(loc='Berkeley', item=['potato', 'rice'])",
        "shop.order(Loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.order(**{'loc': 'Berkeley', 'item': ['potato', 'rice'], 'quantity': [6, 8]})",
        "shop.order(loc='Oakland', loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8])",
        "shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8]",  # cut off
        "print(shop.order(loc='Berkeley', item=['potato', 'rice'], quantity=[6, 8]))",
        "shop.order(loc='Oakland')\n" + GOLD,  # the first call counts
        "shop.order(loc='Berkeley\u200b', item=['potato', 'rice'], quantity=[6, 8])",
    ],
)
def test_nearly_the_same_call(answer):
    assert not same_call(answer, GOLD)


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        ("f(x='5')", "f(x=5)", False),  # as in SDFT's comparison of texts, and BFCL's of types
        ("f(x=5)", "f(x='5')", False),
        ("f(x=True)", "f(x=1)", False),
        ("f(x=1)", "f(x=True)", False),
        ("f(x=5.0)", "f(x=5)", True),
        ("f(x=1e3)", "f(x=1000)", True),
        ("f(x=-5)", "f(x=5)", False),
        ("f(x=True)", "f(x=true)", True),  # two gold calls of the test set say true
        ("f(x='true')", "f(x=true)", False),
        ("f(x='Berkeley')", "f(x=Berkeley)", True),
        ("f(x=None)", "f()", False),
        ("f(x=[])", "f(x=())", False),
        ("f(x=[[1], [2, [3]]])", "f(x=[[1], [2, [3]]])", True),
        ("f(x=[[1], [2, [3]]])", "f(x=[[1], [2, 3]])", False),
        ("f(x={'a': 1, 'b': 2})", "f(x={'b': 2, 'a': 1})", True),
        ("f(x={'a': 1})", "f(x={'a': '1'})", False),
        ("f(x='Austin,  Texas')", "f(x='Austin,Texas')", True),
        ("f(x=g(1))", "f(x=g(1))", True),
        ("f(x=g(1))", "f(x=g(2))", False),
        ("f(x=g())", "f(x=g)", False),
        ("f(1, 2)", "f(1, 2)", True),
        ("f(2, 1)", "f(1, 2)", False),
        ("f(x='a)b(')", "f(x='a)b(')", True),
        (r"f(x='it\'s (')", 'f(x="it\'s (")', True),
        ("天氣.查詢(城市='臺北')", "天氣.查詢(城市='臺北')", True),
        ("f(x='臺北')", "f(x='台北')", False),
        ("f(x=2+3)", "f(x=5)", False),  # nothing is evaluated
    ],
)
def test_same_call_by_hand(answer, gold, same):
    assert same_call(answer, gold) == same


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
    for read in (parse_call, parse_calls):
        try:
            read(text)
        except NoCall as error:
            assert "\n" not in str(error) and len(str(error)) < 200
    first_call(text)
    assert not same_call(text, GOLD) and not same_call_text(text, GOLD)
    assert not possible_call(text, FUNCTION, POSSIBLE)


@given(st.text(alphabet="fx.()[]{}='\",:-1aé \n*\\", max_size=60))
def test_any_text_is_a_call_or_not(text):
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
        "style": ["", {"colour": ["red", "scarlet"], "width": [2, ""]}],
    }
}


@pytest.mark.parametrize(
    "arguments",
    [
        "base=10, height=5.0",
        "height=5, base=10",  # an int where a float is wanted
        "base=10, height=5, unit='Square-CM'",  # case and punctuation
        "base=10, height=5, exact=True",
        "base=10, height=5, corners=[0.5, 1.0]",
        "base=10, height=5, tags=['red', 'Dark blue']",
        "base=10, height=5, tags=[]",  # as good as left out
        "base=10, height=5, point=(1, 2)",
        "base=10, height=5, point=[1, 2]",  # JSON cannot say which of the two was meant
        "base=10, height=5, style={'colour': 'Scarlet'}",
        "base=10, height=5, style={'width': 2, 'colour': 'red'}",
        "base=10, height=5, unit=squarecm",  # read as a string
        "base=10, height=5, unit=''",
    ],
)
def test_possible_calls(arguments):
    call = f"geo.area({arguments})"
    assert possible_call(call, FUNCTION, POSSIBLE)
    assert possible_call(f"[{call}]", FUNCTION, POSSIBLE)
    assert possible_call(f"```\n{call}\n```", FUNCTION, POSSIBLE)
    assert not possible_call(f"Here: {call}", FUNCTION, POSSIBLE)  # the call and nothing else
    assert not possible_call(f"[{call}, {call}]", FUNCTION, POSSIBLE)
    assert not possible_call(f"geometry.{call}", FUNCTION, POSSIBLE)
    assert not possible_call(f"area({arguments})", FUNCTION, POSSIBLE)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "base=10",
        "10, 5",
        "10, height=5",
        "10, base=10, height=5",  # the leaderboard's own check does not see the positional one
        "base='10', height=5",
        "base=10.0, height=5",  # no int
        "base=True, height=5",
        "base=11, height=5",
        "base=10, height='5.0'",
        "base=10, height=True",
        "base=10, height=5, width=3",
        "base=10, height=5, exact=1",
        "base=10, height=5, exact='True'",
        "base=10, height=5, exact=true",  # the leaderboard reads a string
        "base=10, height=5, exact=False",
        "base=10, height=5, unit='square m'",
        "base=10, height=5, unit=['square cm']",
        "base=10, height=5, unit=None",
        "base=10, height=5, corners=(0.5, 1.0)",
        "base=10, height=5, corners=[1.0, 0.5]",
        "base=10, height=5, corners=[0.5, '1.0']",
        "base=10, height=5, corners='[0.5, 1.0]'",
        "base=10, height=5, corners=[[0.5, 1.0]]",
        "base=10, height=5, tags=['red']",
        "base=10, height=5, style={'colour': 'blue'}",
        "base=10, height=5, style={'width': 2}",  # the colour is missing
        "base=10, height=5, style={'colour': 'red', 'depth': 1}",
        "base=10, height=5, style=[]",
        "base=10, base=10, height=5",
        "base=10, height=1" + "0" * 400,  # no float is that large
        "base=10, height=f(5)",
    ],
)
def test_impossible_calls(arguments):
    assert not possible_call(f"geo.area({arguments})", FUNCTION, POSSIBLE)


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("def f():\n    return 1", "def f():\n    return 1"),
        ("```python\nx = 1\n```", "x = 1"),
        ("Here:\n```py\nx = 1\n```\nand\n```\ny = 2\n```", "x = 1"),
        ("```\nx = 1\n", "x = 1\n"),  # never closed
        ("```Python \r\nx = '```'\n```", "x = '```'"),
        ("```python\n\n```", ""),
        ("", ""),
        ("Use `x = 1` here", "Use `x = 1` here"),
    ],
)
def test_code_of_an_answer(answer, source):
    assert code(answer) == source


SIZES = {  # test, train
    "gsm8k_pinned": (1319, 7473),
    "multiarith": (180, 0),
    "svamp": (300, 0),
    "openfunctions": (112, 2211),
    "bfcl_simple": (400, 0),
    "mbpp_pinned": (500, 371),
    "humaneval_pinned": (164, 0),
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
    return getattr(tasks._code(path), function)(document, [answer])


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
    ("answer", "json", "right"),
    [
        ('{"sentiment": "positive"}', 1, 1),
        ('```json\n{"sentiment": "Positive.", "reason": "praise"}\n```', 1, 1),
        ('{"sentiment": "negative", "reason": "a pity"}', 1, 0),
        ('{"sentiment": ["positive"]}', 1, 1),  # brackets are punctuation, and it says so
        ('{"mood": "positive"}', 0, 0),
        ('["sentiment"]', 0, 0),
        ('{"sentiment": "positive"', 0, 0),
        ("positive", 0, 0),
        ("", 0, 0),
    ],
)
def test_a_label_in_an_object(answer, json, right):
    document = {"answer": "positive"}
    assert grade("mini_sentiment_json", document, answer) == {"json": json, "em": right}


@pytest.mark.parametrize(
    "answer, right",
    [
        ("positive", 1),
        ("Positive.", 1),
        ("The review is **positive**: it praises the cast.", 1),
        ("The review is negative.", 0),
        ("It is not negative but positive.", 0),  # names both: which it means is not decided here
        ("The reviewer is positively surprised.", 0),
        ("neutral", 0),
        ("", 0),
    ],
)
def test_a_label_within_other_words(answer, right):
    assert grade("mini_sentiment_asked", {"answer": "positive"}, answer) == {"em": right}


def test_a_review_is_asked_about_in_two_ways_and_is_the_same_review():
    chat, json, plain = (
        Task(f"mini_sentiment{form}").documents("test") for form in ("_chat", "_json", "")
    )
    labels = {document["context"]: document["answer"] for document in plain}
    for asked, ends in ((chat, "Answer with one word."), (json, "Output only the JSON object.")):
        assert {document["review"]: document["answer"] for document in asked} == labels
        assert all(document["prompt"].endswith(ends) for document in asked)
    for said, right in (("Positive.", 1), ("negative", 0), ("It is positive", 0)):
        document = {"answer": "positive"}
        assert grade("mini_sentiment_chat", document, said) == {"em": right}
    gold = Task("mini_sentiment_json").pair(json[0])[1]
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
    import re

    for document in Task("gsm8k_pinned").documents("train"):
        official = re.search(r"#### (\-?[0-9\.\,]+)", document["answer"]).group(1)
        assert final_number(document["answer"]) == Decimal(official.replace(",", ""))
        assert "<<" not in document["answer"]


def test_gold_calls_are_right_and_changed_ones_wrong(mirror):
    for document in Task("openfunctions").documents("test"):
        gold = document["answer"]
        assert grade("openfunctions", document, gold) == {"call": 1.0, "call_text": 1.0}
        assert grade("openfunctions", document, f"x.{gold}") == {"call": 0.0, "call_text": 1.0}
        assert not same_call(gold.replace("(", "(extra=1, ", 1), gold)
        assert not same_call(document["prompt"], gold)
        name = parse_call(gold).name
        assert f"Function to be used: {name}\n" in document["prompt"]


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


@pytest.mark.skipif(sandbox.unavailable() is not None, reason="programs cannot be confined here")
@pytest.mark.parametrize("name", ["mbpp_pinned", "humaneval_pinned"])
def test_gold_programs_pass_and_broken_ones_do_not(name, mirror):
    for document in Task(name).documents("test")[:4]:
        assert grade(name, document, document["answer"]) == {"passed": 1.0}
        for answer in ("", "    return None\n", "import sys; sys.exit(0)", "    raise SystemExit"):
            assert grade(name, document, answer) == {"passed": 0.0}


def test_lm_eval_runs_every_kind_of_task(tiny, mirror):
    """`tiny` solves nothing; its scores are there, between 0 and 1, and an answer an item."""
    from forgetting.evaluation import answers as given
    from forgetting.evaluation import evaluate

    names = ["svamp", "openfunctions", "bfcl_simple", "alpaca"]
    if sandbox.unavailable() is None:
        names += ["mbpp_pinned", "humaneval_pinned"]
    panel = [Task(name, 1) for name in names]
    scores = evaluate(tiny, panel)
    assert set(scores["openfunctions"].metrics) == {"call", "call_text"}
    assert set(scores["alpaca"].metrics) == {"nats"}
    for task in panel:
        assert scores[task.name].n == 1
        if task.config["output_type"] == "generate_until":
            assert {scores[task.name].mean(m) for m in scores[task.name].metrics} == {0.0}
            assert len(given(tiny, task)) == 1


@pytest.mark.skipif(sandbox.unavailable() is not None, reason="programs cannot be confined here")
def test_a_slow_right_answer_has_time(mirror):
    """The slowest gold program of MBPP, which a limit of 3 seconds fails on a slow machine."""
    slow = [d for d in Task("mbpp_pinned").documents("test") if "amicable" in d["task"]]
    assert [grade("mbpp_pinned", d, d["answer"]) for d in slow] == [{"passed": 1.0}]


def test_where_nothing_can_be_confined_no_score_is_invented(mirror, monkeypatch):
    monkeypatch.setattr(sandbox, "unavailable", lambda: "sandbox: not here")
    document = Task("mbpp_pinned").documents("test")[0]
    with pytest.raises(sandbox.SandboxUnavailable, match="not here"):
        grade("mbpp_pinned", document, document["answer"])


def test_what_is_trained_is_what_is_asked(mirror):
    """Prompts and answers of the training pairs, as the test shows them."""
    prompt, answer = next(Task("mbpp_pinned").training_pairs(seed=0))
    assert prompt.startswith("You are an expert Python programmer") and "\nassert " in prompt
    assert answer.startswith("```python\n") and answer.endswith("\n```") and "\r" not in answer
    prompt, answer = next(Task("openfunctions").training_pairs(seed=0))
    assert prompt.startswith("Construct a function call") and "(" in answer


def test_humanevals_prompts_reach_the_model_unchanged(mirror):
    from lm_eval.utils import apply_template

    task = Task("humaneval_pinned")
    for document in task.documents("test"):
        assert apply_template(task.config["doc_to_text"], document) == document["prompt"]
        assert apply_template(task.config["doc_to_target"], document) == document["answer"]
    assert not task.chat and task.config["target_delimiter"] == ""


def test_prompts_of_bfcl_have_the_form_that_openfunctions_teaches(mirror):
    def lines(name):
        prompts = [document["prompt"].split("\n") for document in Task(name).documents("test")]
        return {
            (p[0], p[1], p[3], p[-2], p[-1], p[2].split(":")[0], p[4].split(":")[0])
            for p in prompts
        }

    assert lines("bfcl_simple") <= lines("openfunctions")


def test_limits_of_the_reader_are_far_above_the_data(mirror):
    longest = max(len(d["answer"]) for d in Task("openfunctions").documents("train"))
    assert longest * 10 < answers.LONGEST_CALL_TEXT
