"""Figures: what reaches a page, the same picture every time; and how arms look."""

import csv
import math
from base64 import b64decode
from functools import cache
from io import StringIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from studies import run, scores

from forgetting import chapters, foundation, method, wording
from forgetting.chapters import published
from forgetting.chapters.freezing import views as freezing
from forgetting.chapters.lora import views as lora
from forgetting.chapters.own_words import views as own_words
from forgetting.evidence import records
from forgetting.views import figures, tables, theme
from forgetting.views.figure_data import as_csv
from forgetting.views.theme import Look

RUNS = published.runs("freezing")
KL = ("new answers.forward_kl", "old text.forward_kl")


@cache
def divergences():
    """(divergence, drift) of every run that measured both, by chapter."""
    return published.across(*KL, "laptop")


def shown(figure, alt="A line."):
    InteractiveShell.instance()
    with capture_output() as captured:
        theme.show(figure, alt)
    (output,) = captured.outputs
    return output


def test_show_gives_a_picture_with_its_alt_text_and_closes_the_figure():
    figure, axis = plt.subplots()
    axis.plot([0, 1])
    output = shown(figure)
    assert b64decode(output.data["image/png"]).startswith(b"\x89PNG")
    assert output.data["text/plain"] == "A line."
    drawn = "across,up,series,x,y,x_low,x_high,y_low,y_high\n,,,0,0,0,0,0,0\n,,,1,1,1,1,1,1\n"
    assert output.metadata["image/png"] == {"alt": "A line.", "csv": drawn}
    assert not plt.fignum_exists(figure.number)
    theme.sign(signed := plt.figure(), RUNS)
    assert shown(signed).metadata["image/png"] == {"alt": "A line.", "csv": "", "records": True}


def rows(figure):
    header, *lines = csv.reader(StringIO(as_csv(figure)))
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_a_figures_data_are_its_marks_with_the_ends_of_their_bars():
    figure, axis = plt.subplots()
    axis.errorbar([1, 2], [0.5, 0.7], yerr=[[0.1, 0.2], [0.3, 0.4]], label="full")
    axis.scatter([3], [0.9], label="LoRA")
    axis.axhline(0)  # a rule has no data
    axis.set_xlabel("learned")
    axis.set_yticks([0, 1], ["none", "all"])
    marks = rows(figure)
    assert [(m["series"], m["x"], m["y"], m["y_low"], m["y_high"]) for m in marks] == [
        ("full", "1", "0.5", "0.4", "0.8"),
        ("full", "2", "0.7", "0.5", "1.1"),
        ("LoRA", "3", "0.9", "0.9", "0.9"),
    ]
    assert {(m["across"], m["up"]) for m in marks} == {("learned", "0: none; 1: all")}
    plt.close(figure)


DRAWN = {
    "anatomy": lambda: freezing.anatomy(foundation("tiny")),
    "plane": lambda: freezing.plane(RUNS),
    "law": lambda: lora.law(RUNS, x="chinese.nats", y="chat.nats", labels=("loss", "lost")),
    "before and after": lambda: figures.before_and_after(
        {"full": records.select(RUNS, method="full", learning_rate=1e-4)},
        records.start_of(RUNS),
        {"arc.acc": "ARC-easy", "winogrande.acc": "WinoGrande"},
        freezing.LOOKS,
    ),
    "law of the book": lambda: own_words.law_of_the_book(divergences(), ("divergence", "drift")),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_figure_is_the_same_bytes_every_time(draw):
    assert shown(draw()).data["image/png"] == shown(draw()).data["image/png"]


def test_the_law_of_the_book_is_drawn_from_every_trained_run_that_measured_both():
    points = divergences()
    trained = [run for run in records.stored("lora") if not run.start]
    assert "freezing" not in points and len(points["lora"]) == len(trained) > 50
    assert sorted(points["lora"]) == sorted(tuple(map(run.mean, KL)) for run in trained)


@pytest.mark.parametrize(("share", "sign"), [(True, 1), (False, -1)])
def test_to_learn_is_to_the_right(share, sign):
    """Nats of a text fall where it is learned, a share of right answers rises."""
    (axis,) = figures.plane(
        RUNS,
        freezing.LOOKS,
        learned="chat.nats",
        losses={"chat.nats": "lost"},
        skill="chat",
        share=share,
    ).axes
    curves = [container[0].get_data() for container in axis.containers]
    assert curves and all(np.allclose(x, sign * y) for x, y in curves)
    plt.close(axis.figure)


def test_a_figure_says_which_runs_it_draws():
    runs = [run("untouched", 0.0), run(seed=1, timing={"date": "2026-02-03T04:05:06Z"})]
    assert theme.provenance(runs) == "laptop tier · tiny · 2 seeds at the central rate · 2026-02-03"
    assert theme.provenance(runs[:1]).split(" · ")[2] == "1 seed at the central rate"


@pytest.mark.parametrize("name", chapters.names())
def test_no_two_arms_look_alike_and_the_first_of_a_method_looks_like_it(name):
    experiment = chapters.experiment(name)
    curves, looks = dict(theme.curves(experiment)), theme.looks(experiment)
    assert list(looks) == list(curves) and len(set(looks.values())) == len(looks)
    firsts = {of: curve for curve, of in reversed(curves.items())}
    for of, curve in firsts.items():
        card = method.named(of).card
        assert looks[curve] == (card.colour, card.marker), (curve, of)


def test_variants_have_their_methods_hue_and_markers_that_are_free(monkeypatch):
    """A third of the way to white: #0080FF is 0, 128, 255, and 0 + 0.35·255 = 89 = 0x59."""
    own = {"LoRA": Look("#0080FF", "s"), "Full": Look("#000000", "o")}
    monkeypatch.setattr(theme, "own_look", lambda name: own.get(name, theme.UNKNOWN))
    methods = {"LoRA": "LoRA", "LoRA r 4": "LoRA", "full": "Full", "mine": "", "yours": ""}
    looks = theme.distinct(methods)
    assert looks == {
        "LoRA": ("#0080FF", "s"),
        "LoRA r 4": ("#59ACFF", "o"),
        "full": ("#000000", "o"),
        "mine": (theme.GREY, "o"),
        "yours": (theme.tint(theme.GREY, 0.35), "D"),
    }
    assert (looks["Full"], looks["new"]) == (("#000000", "s"), (theme.GREY, "s"))  # no arms
    assert theme.tint("#FFFFFF", -0.5) == theme.tint("#000000", 0.5) == "#808080"
    many = theme.distinct({f"r {rank}": "LoRA" for rank in range(60)})
    assert len(set(many.values())) == 60


def test_arms_stand_in_the_experiments_order_and_those_it_has_not_come_last():
    runs = [run(name) for name in ("b", "untouched", "z", "a", "b")]
    looks = theme.Looks.fromkeys("abc", theme.UNKNOWN)
    assert theme.arms_of(runs, looks) == ["a", "b", "z"]


def test_what_guessing_gets_stands_under_the_untouched_model():
    """Two of four options right; a likelihood has no guess."""
    start = run("untouched", 0.0, 0, {
        "arc": scores("arc_easy_pinned", acc=[1, 0, 1, 0]),
        "text": {"log_likelihood": [-2.0], "tokens": [1]},
    })  # fmt: skip
    table = tables.changes_table({}, {"arc.acc": "ARC", "text.nats": "text"}, start)
    assert list(table["ARC"]) == ["0.50", "0.25"] and list(table["text"]) == ["2.00", ""]
    assert list(table.index) == ["untouched", "a guess"]


def test_what_one_answer_to_everything_gets_stands_below_it(four_reviews):
    """Three of four reviews are negative: it has three right, and of the two labels one."""
    before = run("untouched", 0.0, 0, {"label": four_reviews(1, 1, 0, 0)})
    after = run(asked={"label": four_reviews(1, 1, 1, 1)})
    columns = tables.measured({"label.em": "right", "label.balanced": "alike", "b.em": "b"}, before)
    table = tables.changes_table({"full": [after]}, columns, before)
    assert list(table.index) == ["untouched", "a guess", "always one answer", "full"]
    assert list(table["right"][:3]) == ["0.50", "0.50", "0.75"]
    assert list(table["alike"][:3]) == ["0.33", "0.50", "0.50"]  # of 3 negative two, of 1 none
    assert table["right"]["full"].startswith("+0.50") and table["alike"]["full"].startswith("+0.67")
    axis = figures.before_and_after(
        {"full": [after]}, before, columns, {"full": Look("#000000", "o")}
    ).axes[0]
    marks = {line.get_label(): float(line.get_xdata()[0]) for line in reversed(axis.lines)}
    assert (marks["a guess"], marks["always one answer"]) == (0.5, 0.75)
    plt.close(axis.figure)


def test_what_stayed_is_told_beside_an_accuracys_change():
    """Of four items one is gained and one lost: no change, and half of them stayed."""
    before, after = (
        run(seed=0, asked={"arc": {"acc_norm": a}}) for a in ([1, 1, 0, 0], [1, 0, 1, 0])
    )
    row = tables.churn_table({"full": [after]}, before, {"arc.acc_norm": "ARC"}).loc["full, ARC"]
    assert row.tolist() == [4, "+0.000", "50%", "1.0", "1.0"]


def test_numbers_of_a_table_have_a_true_minus_and_words_stay_as_they_were():
    cells = {"change": "-0.29\u00a0±\u00a00.08", "interval": "[-1, +2]", "said": "no-one owes -5"}
    table = tables.titled({"full": cells | {"items": 48, "loss": math.nan}}, "method")
    assert list(table.loc["full"])[:4] == ["−0.29\u00a0±\u00a00.08", "[−1, +2]", cells["said"], 48]
    assert wording.true_minus("-1e-05, -inf, pre-1") == "−1e−05, −inf, pre-1"
