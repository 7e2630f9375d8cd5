"""The printed solutions pass their tests, and the stubs a reader starts from do not."""

import re

import nbformat
import numpy as np
import pytest

from forgetting.chapters import exercises
from forgetting.evidence.records import project_root

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))


def solution(label):
    """The names that the solution printed for exercise `label` defines."""
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, 4).cells]
    text = "\n".join(cell.source for cell in cells)
    block = re.search(rf"solution-start}} {label}.*?```python\n(.*?)```", text, re.S)
    assert block, label
    names = {}
    exec(block[1], names)
    return names


def test_printed_solutions_are_correct():
    assert exercises.supervised(solution("operation-supervised")["supervised"]) == "correct"
    assert exercises.advantages(solution("operation-advantages")["advantages"]) == "correct"
    assert exercises.json_kept(solution("operation-json")["json_kept"]) == "correct"
    assert exercises.repetition(solution("freezing-repetition")["repetition"]) == "correct"
    assert exercises.own_tuning(solution("freezing-norms")["OnlyNorms"]()) == "correct"
    assert exercises.matched_reading(solution("freezing-matched")["read"]) == "correct"
    assert exercises.rank_90(solution("lora-rank-exercise")["rank_90"]) == "correct"
    assert exercises.beaten_by(solution("lora-place")["place"]) == "correct"
    assert exercises.prediction(solution("lora-predict")["predict"]) == "correct"
    assert exercises.mask(solution("own-words-mask")["mask"]) == "correct"
    assert exercises.pick(solution("own-words-pick")["pick"]) == "correct"
    assert exercises.weight(solution("own-words-weights")["weight"]) == "correct"
    assert exercises.labels_named(solution("own-answers-named")["named"]) == "correct"
    assert exercises.rows_of_length(solution("own-answers-length")["rows"]) == "correct"
    assert exercises.change_shared(solution("own-answers-share")["share"]) == "correct"
    assert exercises.dreams_kept(solution("lamol-kept")["kept"]) == "correct"
    assert exercises.projected(solution("lamol-gem")["project"]) == "correct"
    assert exercises.label_entropy(solution("lamol-break")["entropy"]) == "correct"


def test_wrong_answers_get_a_hint():
    from forgetting.tuning import FreezeAttention

    with pytest.raises(AssertionError, match="SFT style learns the answer alone"):
        exercises.supervised(lambda style, question, answer: [True] * (question + answer))
    with pytest.raises(AssertionError, match="subtract the mean reward"):
        exercises.advantages(lambda rewards: rewards)
    with pytest.raises(AssertionError, match="must be one JSON object"):
        exercises.json_kept(lambda answer, key: key in answer)
    with pytest.raises(AssertionError, match="count the n-grams"):
        exercises.repetition(lambda ids, n: 0.0)
    with pytest.raises(AssertionError, match="expected False"):
        exercises.own_tuning(FreezeAttention())
    with pytest.raises(AssertionError, match="raise a ValueError"):
        exercises.matched_reading(lambda x, y, at: float(np.interp(at, x, y)))

    with pytest.raises(AssertionError, match="square the singular values"):
        exercises.rank_90(np.linalg.matrix_rank)
    with pytest.raises(AssertionError, match="better in one"):
        exercises.beaten_by(lambda learned, lost, others: sorted(others))
    with pytest.raises(AssertionError, match="the new run's own scatter"):
        exercises.prediction(lambda x, y, at: (4 - at, 0.1))

    with pytest.raises(AssertionError, match="a perplexity is the exponential"):
        exercises.mask(lambda nats, threshold: [n <= threshold for n in nats])
    with pytest.raises(AssertionError, match="leave out the wrong ones"):
        exercises.pick(lambda drawn: min(drawn, key=lambda one: one[2])[0])
    with pytest.raises(AssertionError, match="divided by the logarithm"):
        exercises.weight(lambda shares: 1 - max(shares))
    with pytest.raises(AssertionError, match="whole words, in any case"):
        exercises.labels_named(lambda text, labels: {one for one in labels if one in text.lower()})
    with pytest.raises(AssertionError, match="go round the answers"):
        exercises.rows_of_length(lambda lengths, wanted: -(-wanted // lengths[0]))
    with pytest.raises(AssertionError, match="that the control has too"):
        exercises.change_shared(lambda plain, control, other: 0.5)

    with pytest.raises(AssertionError, match="exactly one answer token splits a dream"):
        exercises.dreams_kept(lambda ids, mark: None)
    with pytest.raises(AssertionError, match="take away the part along g_old"):
        exercises.projected(lambda g, old: g)
    with pytest.raises(AssertionError, match="expected 1: add up"):
        exercises.label_entropy(lambda answers: 0.0)


def test_three_exercises_a_chapter():
    for path in NOTEBOOKS:
        text = "\n".join(c.source for c in nbformat.read(path, 4).cells)
        assert text.count("{exercise-start}") >= 3
        assert text.count("{exercise-start}") == text.count("{solution-start}")
