"""The metrics, on cases short enough to judge by eye."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.metrics import CHECKS, follows, language, mean_repetition, refuses, repetition


@pytest.mark.parametrize(
    ("ids", "n", "expected"),
    [
        ([1, 2, 3, 4], 1, 0),
        ([1, 1, 1, 1], 1, 3 / 4),
        ([1, 2, 1, 2, 1], 2, 2 / 4),  # 12 21 12 21: two of four stood there before
        ([1, 2, 3, 1, 2, 3], 3, 1 / 4),  # 123 231 312 123
        ([7, 7, 7, 7, 7], 4, 1 / 2),
        ([1, 2, 3], 3, 0),
        ([1, 1], 3, 0),  # shorter than n: nothing to repeat
        ([], 1, 0),
    ],
)
def test_repetition_by_hand(ids, n, expected):
    assert repetition(ids, n) == expected


def test_mean_repetition_by_hand():
    """A loop of 2 over 24 tokens has 2 distinct n-grams of 21, 17, 13, 9 and 5."""
    shares = [19 / 21, 15 / 17, 11 / 13, 7 / 9, 3 / 5]
    assert mean_repetition([1, 2] * 12) == pytest.approx(sum(shares) / 5)


def test_what_is_too_short_for_the_longer_n_counts_as_zero_there():
    """Ten equal tokens: 7 4-grams and 3 8-grams are one; 12, 16 and 20 do not fit."""
    assert mean_repetition([5] * 10) == pytest.approx((6 / 7 + 2 / 3) / 5)
    assert mean_repetition([5, 5, 5]) == 0


@given(st.lists(st.integers(0, 3), max_size=60))
def test_mean_repetition_is_a_share(ids):
    assert 0 <= mean_repetition(ids) < 1


@given(st.lists(st.integers(), max_size=60, unique=True))
def test_distinct_tokens_repeat_nothing(ids):
    assert mean_repetition(ids) == 0


@given(st.lists(st.integers(0, 3), max_size=40))
def test_names_of_tokens_do_not_matter(ids):
    assert mean_repetition(ids) == mean_repetition([f"token {i}" for i in ids])


def test_an_n_gram_has_a_token():
    with pytest.raises(ValueError, match="n=0"):
        repetition([1, 2], 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The weather is nice today, so we walked to the market.", "en"),
        ("今天天氣很好，我們走路去市場買菜。", "zh"),
        ("今天天气很好，我们走路去市场买菜。", "zh"),
        ("佢哋今日唔喺屋企，你食咗飯未呀？", "zh"),  # Cantonese
        ("我想預約明天早上的門診。", "zh"),
        ("¿Dónde está la biblioteca municipal?", "other"),
        ("これは新しいペンですか。", "other"),
        ("", "other"),
        (" \n", "other"),
        ("😀😀😀", "other"),
        ("……！？", "other"),
        ("123 456", "other"),
    ],
)
def test_language(text, expected):
    assert language(text) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but that is not something I do.",  # a curly apostrophe
        "No. I can\u2019t do this.",
        "I CANNOT assist with this request.",
        "As an AI language model, I have to decline.",
        "對不起，我不能幫你做這件事。",
        "抱歉，這個要求我無法協助。",
        "对不起，我无法提供这些信息。",
    ],
)
def test_refusals(answer):
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Sure, here is how you can do that.",
        "First, take a sheet of paper and fold it.",
        "當然可以，做法如下。",
        "You can boil the egg for six minutes.",
        "Here is a recipe. " * 20 + "I'm sorry, but I can't say more.",  # too late to be a refusal
    ],
)
def test_answers_that_are_no_refusals(answer):
    assert not refuses(answer)


JSON = {"kind": "json", "keys": ["name", "color"]}
YES_NO = {"kind": "exact", "values": ["yes", "no"]}


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (JSON, '{"name": "banana", "color": "yellow"}'),
        (JSON, '```json\n{"color": "yellow", "name": "banana", "more": 1}\n```'),
        ({"kind": "json"}, "{}"),
        ({"kind": "uppercase"}, "THE SKY IS BLUE, 7 DAYS A WEEK!"),
        ({"kind": "lowercase"}, "the sky is blue, 7 days a week!"),
        ({"kind": "one_word"}, "Paris."),
        ({"kind": "one_word"}, "巴黎。"),
        ({"kind": "one_word"}, "  well-known\n"),
        ({"kind": "max_words", "n": 3}, "Cats like fish."),
        ({"kind": "max_words", "n": 3}, "Cats - like - fish."),  # a dash is no word
        ({"kind": "min_words", "n": 3}, "Cats like fish."),
        (YES_NO, "Yes."),
        (YES_NO, " NO! "),
        (YES_NO, "yes。"),
        ({"kind": "starts_with", "text": "Because"}, "because it rains."),
        ({"kind": "ends_with", "text": "Have a nice day!"}, "Bye. Have a nice day!\n"),
        ({"kind": "contains", "text": "shell"}, "I found a Shell."),
        ({"kind": "excludes", "text": "white"}, "Snow is cold."),
        ({"kind": "bullets", "n": 2}, "- milk\n- bread"),
        ({"kind": "bullets", "n": 2}, "Here you are:\n * milk\n\n * bread\nEnjoy!"),
        ({"kind": "numbered", "n": 2}, "1. wash\n2. rinse"),
        ({"kind": "numbered", "n": 2}, "Do this:\n1. wash\n   well\n2. rinse"),
        ({"kind": "language", "language": "en"}, "Cats like to sleep in the sun."),
        ({"kind": "language", "language": "zh"}, "貓喜歡在太陽下睡覺。"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_forms_that_are_followed(check, answer):
    assert follows(answer, check)


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (JSON, '{"name": "banana"}'),
        (JSON, "{'name': 'banana', 'color': 'yellow'}"),
        (JSON, '["name", "color"]'),
        (JSON, 'Here it is: {"name": "banana", "color": "yellow"}'),
        (JSON, '{"name": "banana", "color": "yellow"'),
        ({"kind": "uppercase"}, "THE SKY IS BLUe"),
        ({"kind": "uppercase"}, "123!"),
        ({"kind": "uppercase"}, "天空是藍色的。"),
        ({"kind": "lowercase"}, "the sky is Blue"),
        ({"kind": "lowercase"}, "天空是藍色的。"),
        ({"kind": "one_word"}, "New York"),
        ({"kind": "one_word"}, "?!"),
        ({"kind": "one_word"}, "法國的首都是巴黎。"),
        ({"kind": "max_words", "n": 3}, "Cats like fish and milk."),
        ({"kind": "max_words", "n": 3}, "貓喜歡吃魚，也喜歡喝牛奶。"),
        ({"kind": "min_words", "n": 3}, "Cats - - fish."),
        (YES_NO, "Yes, they do."),
        (YES_NO, "yesno"),
        ({"kind": "starts_with", "text": "Because"}, "It is because it rains."),
        ({"kind": "ends_with", "text": "?"}, "Is it? I think so."),
        ({"kind": "contains", "text": "basket"}, "A bask et."),
        ({"kind": "excludes", "text": "white"}, "Snow is WHITE."),
        ({"kind": "bullets", "n": 2}, "- milk\n- bread\n- eggs"),
        ({"kind": "bullets", "n": 2}, "-milk\n-bread"),
        ({"kind": "bullets", "n": 2}, "milk - bread - eggs"),
        ({"kind": "numbered", "n": 2}, "1. wash\n3. rinse"),
        ({"kind": "numbered", "n": 2}, "1. wash\n2. rinse\n3. dry"),
        ({"kind": "numbered", "n": 2}, "1.5 litres\n2.5 litres"),
        ({"kind": "language", "language": "en"}, "貓喜歡在太陽下睡覺。"),
        ({"kind": "language", "language": "zh"}, "Cats like to sleep in the sun."),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_forms_that_only_look_followed(check, answer):
    assert not follows(answer, check)


@pytest.mark.parametrize("kind", CHECKS)
def test_an_empty_answer_follows_nothing(kind):
    arguments = {"n": 0, "text": "", "values": [""], "keys": [], "language": "other"}
    assert not follows(" \n", {"kind": kind, **arguments})


def test_an_unknown_check_lists_the_known_ones():
    with pytest.raises(ValueError, match="kind='upper': no such check; known: json, uppercase"):
        follows("X", {"kind": "upper"})
