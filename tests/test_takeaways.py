"""What captions say of figures: one sentence each, with numbers from records, and true of them."""

import re
from functools import cache
from pathlib import Path
from statistics import fmean, median

import nbformat
import pytest
from jinja2 import Environment, StrictUndefined

from forgetting.chapters import published
from forgetting.chapters.freezing import views as freezing
from forgetting.chapters.lamol import views as lamol
from forgetting.evidence import laws, records
from forgetting.evidence.trajectories import in_one_order
from forgetting.experiments import parameters
from forgetting.site import opening, plane
from forgetting.views import figures, tables

REPOSITORY = Path(__file__).parents[1]
CHAPTERS = parameters.chapters(REPOSITORY)
IN_THE_BOOK = [name for name in CHAPTERS if f"{CHAPTERS[name].stem}\n" in (
    REPOSITORY / "_toc.yml").read_text()]  # fmt: skip


@cache
def values():
    return published.book_values()


@cache
def marks(chapter):
    """By arm and rate, where it lies on its chapter's plane."""
    places = plane.measured([chapter])[chapter].places.values()
    return {(place.method, mark.rate): mark for place in places for mark in place.marks}


@pytest.mark.parametrize("chapter", IN_THE_BOOK)
def test_every_figure_of_a_chapter_has_its_sentence_with_numbers_from_records(chapter):
    said = opening.of_chapter(chapter).takeaways
    if not said and not published.runs(chapter):
        pytest.skip("no records yet, so that nobody can say what is seen")
    cells = nbformat.read(CHAPTERS[chapter], as_version=4).cells
    shown = sum("theme.show(" in cell.source for cell in cells if cell.cell_type == "code")
    assert len(said) == shown
    for sentence in said:
        assert sentence.endswith(".") and not re.search(r"\.\s", sentence)
        typed = re.sub(r"\{\{.*?\}\}", "", sentence)
        assert not re.search(r"\d", typed.replace("rank 4", "")), typed
        filled = Environment(undefined=StrictUndefined).from_string(sentence).render(r=values())
        assert not re.search(r"(?<![\w.])-\d|nan|inf", filled), filled


def test_rewards_made_labels_less_likely_at_every_rate_and_a_third_of_the_rate_taught_them():
    at = marks("operation")
    assert all(mark.learned.mean < 0 for (arm, _), mark in at.items() if arm == "RL style")
    assert at["SFT style", 3e-5].learned.mean >= at["SFT style", 1e-4].learned.mean
    runs = published.runs("operation")
    (known,) = [v for v in published.verdicts("operation") if v.id == "sft-loses-knowledge"]
    assert known.effect > 0 and runs  # the usual benchmark shows no loss


def test_no_chat_answers_were_lost_and_adapters_leave_the_weights():
    lost = [next(iter(mark.lost.values())).mean for mark in marks("freezing").values()]
    assert max(lost) < 0
    moving = freezing.moving(freezing.experiment.base("laptop"))
    whole = [name for name, parts in moving.items() if "moves" not in parts.values()]
    assert whole == list(moving)[-4:] and "LoRA" in whole[0]


def test_accuracy_stays_within_its_interval_and_one_line_misses_ia3_most():
    runs = published.runs("lora")
    start, trained = records.start_of(runs), [run for run in runs if not run.start]
    central = tables.by_arm(published.whole(published.chapters.experiment("lora"), runs),
                            {name: None for name, _ in marks("lora")})  # fmt: skip
    accuracy = ["hellaswag.acc_norm", "arc challenge.acc", "winogrande.acc"]
    for group in central.values():
        change = figures.change(group, start, tuple(accuracy))
        assert change.low < 0 < change.high
    xs = [run.mean("new answers.nats") for run in trained]
    ys = [run.mean("old text.greedy_nats") for run in trained]
    line = laws.line(xs, ys)
    above = [y - line.slope * x - line.intercept for x, y in zip(xs, ys, strict=True)]
    farthest = sorted(zip(above, (run.labels["method"] for run in trained), strict=True))[-3:]
    assert {method for _, method in farthest} == {"(IA)³"}
    directions = {
        name: fmean(fmean(run.scores["spectrum"].items["rank_90"]) for run in group)
        for name, group in central.items()
        if all("spectrum" in run.scores for run in group)
    }
    assert directions["full"] > max(directions["LoRA r 4"], directions["LoRA r 64"])


def test_own_words_lie_where_the_same_questions_do_and_divergence_tells_nothing():
    at = marks("own_words")
    own, same = at["own", 3e-4], at["gold (same questions)", 3e-4]
    assert abs(own.learned.mean - same.learned.mean) < 0.01
    assert all(abs(own.lost[k].mean - same.lost[k].mean) < 0.01 for k in own.lost)
    points = published.across("new answers.forward_kl", "old text.forward_kl", "laptop")
    together = [pair for pairs in points.values() for pair in pairs]
    assert laws.line(*zip(*together, strict=True)).r2 < 0.05


def test_bare_labels_taught_more_and_repeated_ones_lose_json():
    runs = published.runs("own_answers")
    start = records.start_of(runs)
    whole = published.whole(published.chapters.experiment("own_answers"), runs)
    by_arm = {
        arm: [run for run in whole if run.labels["method"] == arm]
        for arm in dict.fromkeys(run.labels["method"] for run in whole if not run.start)
    }
    right = {arm: figures.change(of, start, "label.em").mean for arm, of in by_arm.items()}
    bare = [effect for arm, effect in right.items() if arm.startswith("gold")]
    own = [effect for arm, effect in right.items() if not arm.startswith("gold")]
    assert min(bare) > max(own)
    json = {arm: fmean(run.mean("json.json") for run in of) for arm, of in by_arm.items()}
    assert json["paraphrase"] > 0.95 and json["gold (length of own)"] < 0.5


def test_fine_tuning_loses_two_tasks_and_nothing_in_turn_reaches_all_at_once():
    same = in_one_order(published.sequences("lamol"))
    by_arm = {arm: [t for t in same if t.method == arm] for arm in {t.method for t in same}}
    plain = sum(t.scores() for t in by_arm["fine-tune"]) / len(by_arm["fine-tune"])
    assert all(plain[-1, task] < plain[task + 1, task] / 2 for task in (0, 1))
    final = {arm: fmean(t.final() for t in of) for arm, of in by_arm.items()}
    assert max(final, key=final.get) == "multitask"
    took = {arm: median(t.training_seconds() for t in of) for arm, of in by_arm.items()}
    assert final["real"] >= final["LAMOL"] and took["real"] < took["LAMOL"]
    (all_orders,) = [v for v in published.verdicts("lamol") if v.id == "lamol-prevents"]
    assert all_orders.low < 0 < all_orders.effect < all_orders.high


def test_the_curves_are_drawn_along_the_order_that_most_methods_went_through():
    sequences = published.sequences("lamol")
    shared = in_one_order(sequences)
    first = lamol.along_orders(sequences).axes[0]
    assert [tick.get_text() for tick in first.get_xticklabels()][1:] == [*shared[0].tasks]
    in_turn = {each.method for each in shared if len(each.runs) > 2}
    assert len(first.get_legend_handles_labels()[1]) > len(in_turn) > 10  # and all at once
