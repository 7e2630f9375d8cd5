"""The metrics, on cases short enough to judge by eye."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.tasks.metrics import CHECKS, follows, language, mean_repetition, repetition


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
def test_mean_repetition_is_a_share_and_names_of_tokens_do_not_matter(ids):
    assert 0 <= mean_repetition(ids) < 1
    assert mean_repetition(ids) == mean_repetition([f"token {i}" for i in ids])


def test_an_n_gram_has_a_token():
    with pytest.raises(ValueError, match="n=0"):
        repetition([1, 2], 0)


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("en", ["The weather is nice today, so we walked to the market."]),
        ("zh", ["今天天氣很好，我們走路去市場買菜。", "今天天气很好，我们走路去市场买菜。"]),
        ("zh", ["我想預約明天早上的門診。", "佢哋今日唔喺屋企，你食咗飯未呀？"]),  # Cantonese too
        ("other", ["¿Dónde está la biblioteca municipal?", "これは新しいペンですか。"]),
        ("other", ["", " \n", "😀😀😀", "……！？", "123 456"]),
    ],
)
def test_language(code, texts):
    assert [language(text) for text in texts] == [code] * len(texts)


JSON = {"kind": "json", "keys": ["name", "color"]}
YES_NO = {"kind": "exact", "values": ["yes", "no"]}


@pytest.mark.parametrize(
    ("check", "right", "wrong"),  # what follows a form, and what only looks so
    [
        (
            JSON,
            [
                '{"name": "banana", "color": "yellow"}',
                '```json\n{"color": "yellow", "name": "banana", "more": 1}\n```',
            ],
            [
                '{"name": "banana"}',
                "{'name': 'banana', 'color': 'yellow'}",
                '["name", "color"]',
                'Here it is: {"name": "banana", "color": "yellow"}',
                '{"name": "banana", "color": "yellow"',
            ],
        ),
        ({"kind": "json"}, ["{}"], []),
        ({"kind": "uppercase"}, ["IT IS BLUE, 7 DAYS!"], ["IT IS BLUe", "123!", "天空是藍色的。"]),
        ({"kind": "lowercase"}, ["it is blue, 7 days!"], ["it is Blue", "天空是藍色的。"]),
        (
            {"kind": "one_word"},
            ["Paris.", "巴黎。", "  well-known\n"],
            ["New York", "?!", "法國的首都是巴黎。"],
        ),
        (
            {"kind": "max_words", "n": 3},
            ["Cats like fish.", "Cats - like - fish."],  # a dash is no word
            ["Cats like fish and milk.", "貓喜歡吃魚，也喜歡喝牛奶。"],
        ),
        ({"kind": "min_words", "n": 3}, ["Cats like fish."], ["Cats - - fish."]),
        (YES_NO, ["Yes.", " NO! ", "yes。"], ["Yes, they do.", "yesno"]),
        ({"kind": "starts_with", "text": "Because"}, ["because it rains."], ["It is because."]),
        ({"kind": "ends_with", "text": "?"}, ["Is it?\n"], ["Is it? I think so."]),
        ({"kind": "contains", "text": "shell"}, ["I found a Shell."], ["A sh ell."]),
        ({"kind": "excludes", "text": "white"}, ["Snow is cold."], ["Snow is WHITE."]),
        (
            {"kind": "bullets", "n": 2},
            ["- milk\n- bread", "Here you are:\n * milk\n\n * bread\nEnjoy!"],
            ["- milk\n- bread\n- eggs", "-milk\n-bread", "milk - bread - eggs"],
        ),
        (
            {"kind": "numbered", "n": 2},
            ["1. wash\n2. rinse", "Do this:\n1. wash\n   well\n2. rinse"],
            ["1. wash\n3. rinse", "1. wash\n2. rinse\n3. dry", "1.5 litres\n2.5 litres"],
        ),
        ({"kind": "language", "language": "en"}, ["Cats like the sun."], ["貓喜歡在太陽下睡覺。"]),
        ({"kind": "language", "language": "zh"}, ["貓喜歡在太陽下睡覺。"], ["Cats like the sun."]),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_forms_that_are_followed_and_that_only_look_so(check, right, wrong):
    for answer in right + wrong:
        assert follows(answer, check) == (answer in right), answer


@pytest.mark.parametrize("kind", CHECKS)
def test_an_empty_answer_follows_nothing(kind):
    arguments = {"n": 0, "text": "", "values": [""], "keys": [], "language": "other"}
    assert not follows(" \n", {"kind": kind, **arguments})


def test_an_unknown_check_lists_the_known_ones():
    with pytest.raises(ValueError, match="kind='upper': no such check; known: json, uppercase"):
        follows("X", {"kind": "upper"})
