"""What an accuracy is without reading, and each label alike: numbers by hand."""

import pytest
from studies import scores

from forgetting.probes import baselines
from forgetting.tasks import Task

GUESS, ONE = "a guess", "always one answer"


def test_labels_count_alike(four_reviews):
    """Three negative reviews and a positive one: two of three and none is a third, not a half."""
    asked = four_reviews(1, 1, 0, 0)
    assert asked.mean("em") == 0.5
    assert asked.mean("balanced") == pytest.approx((2 / 3 + 0 / 1) / 2)
    assert baselines.label_weights(asked) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert four_reviews(1, 1, 1, 0).mean("balanced") == 0.5  # "negative" to everything
    assert four_reviews(0, 0, 0, 1).mean("balanced") == pytest.approx(0.5)  # "positive"
    assert "balanced" not in asked.metrics  # a way to weigh, of no record


def test_one_answer_to_everything(four_reviews):
    asked = four_reviews(0, 0, 0, 0)
    assert baselines.one_answer(asked).items == {"em": [1, 1, 1, 0]}
    assert baselines.floors(asked, "em") == {GUESS: 0.5, ONE: 0.75}
    assert baselines.floors(asked, "balanced") == {GUESS: 0.5, ONE: 0.5}
    assert baselines.floors(asked, "nats") == {}


def test_one_place_for_every_choice():
    """The bundled choices: as many of the first items as have their gold in the commonest place."""
    golds = [document["gold"] for document in Task("arc_easy_standin").documents("test")[:10]]
    asked = scores("arc_easy_standin", acc=[1] * 10, acc_norm=[0] * 10, choice=[0] * 10)
    assert list(baselines.golds(asked)) == golds
    most = max(golds.count(place) for place in range(4)) / 10
    for metric in ("acc", "acc_norm"):
        assert baselines.floors(asked, metric) == {GUESS: 0.25, ONE: most}
    assert baselines.floors(asked, "choice") == {} and not baselines.labelled(asked)


def test_a_form_is_no_accuracy_and_which_of_two_is_likelier_has_a_guess():
    asked = scores("mini_sentiment_json", json=[1, 1], em=[0, 1])
    assert baselines.floors(asked, "json") == {}
    assert baselines.floors(scores("sst:told apart", told_apart=[1]), "told_apart") == {GUESS: 0.5}


def test_without_gold_answers_only_the_guess_is_known():
    """No mirror; another version, whose items may be others; more items than there are."""
    asked = scores("sst:answered", em=[1, 0])
    assert baselines.floors(asked, "em") == {GUESS: 0.5}
    assert not baselines.labelled(asked)
    with pytest.raises(KeyError, match="sst:answered has no gold labels at hand"):
        asked.mean("balanced")
    assert baselines.floors(scores("mini_sentiment", version=0.5, em=[1]), "em") == {}
    many = len(Task("mini_sentiment").documents("test")) + 1
    assert baselines.golds(scores("mini_sentiment", em=[1] * many)) is None
