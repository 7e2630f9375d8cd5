"""Figures: what reaches a page, and that it is the same picture every time."""

from base64 import b64decode

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from forgetting import freezing_rows
from forgetting.evidence import claims, records
from forgetting.evidence.records import Record
from forgetting.views import figures

STORED = records.stored("freezing", "laptop")
UNTOUCHED = records.select(STORED, method="untouched")[0]


def shown(figure, alt="A line."):
    InteractiveShell.instance()
    with capture_output() as captured:
        figures.show(figure, alt)
    (output,) = captured.outputs
    return output


def test_show_gives_a_picture_with_its_alt_text_and_closes_the_figure():
    figure, axis = plt.subplots()
    axis.plot([0, 1])
    output = shown(figure)
    assert b64decode(output.data["image/png"]).startswith(b"\x89PNG")
    assert output.data["text/plain"] == "A line."
    assert output.metadata["image/png"]["alt"] == "A line."
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.anatomy({n: row.tune for n, row in freezing_rows(30).items()}, 30),
        lambda: figures.plane(
            STORED,
            learned="zh_articles.nats",
            losses={"dolly.nats": "lost", ("arc_easy_pinned.acc", "winogrande_pinned.acc"): "kept"},
            untouched=UNTOUCHED,
            skill="Chinese",
        ),
        lambda: figures.law(
            STORED, x="zh_articles.nats", y="dolly.nats", labels=("loss", "forgetting")
        ),
        lambda: figures.before_and_after(
            {"full": records.select(STORED, method="full", learning_rate=1e-4)},
            UNTOUCHED,
            {"arc_easy_pinned.acc": "ARC-easy", "winogrande_pinned.acc": "WinoGrande"},
        ),
        lambda: figures.law_of_the_book(
            claims.of_the_book("new answers.forward_kl", "old text.forward_kl", "laptop"),
            labels=("divergence", "drift"),
        ),
        lambda: figures.claim_intervals(claims.verdicts("freezing", "laptop")),
    ],
    ids=["anatomy", "plane", "law", "before_and_after", "law_of_the_book", "claim_intervals"],
)
def test_a_figure_is_the_same_bytes_every_time(draw):
    assert shown(draw()).data["image/png"] == shown(draw()).data["image/png"]


def test_the_law_of_the_book_is_drawn_from_every_trained_run_that_measured_both():
    found = claims.of_the_book("new answers.forward_kl", "old text.forward_kl", "laptop")
    lora = [r for r in records.stored("lora", "laptop") if r.training]
    assert len(found["lora"]) == len(lora) and "freezing" not in found
    measures = ("openfunctions:drift.forward_kl", "wikitext2:drift.forward_kl")
    assert sorted(found["lora"]) == sorted(tuple(map(r.mean, measures)) for r in lora)


@pytest.mark.parametrize(("share", "sign"), [(True, 1), (False, -1)])
def test_to_learn_is_to_the_right(share, sign):
    """Nats of a text fall where it is learned, a share of right answers rises."""
    figure = figures.plane(
        STORED,
        learned="dolly.nats",
        losses={"dolly.nats": "lost"},
        untouched=UNTOUCHED,
        skill="chat",
        share=share,
    )
    (axis,) = figure.axes
    curves = [container[0].get_data() for container in axis.containers]
    assert curves and all(np.allclose(x, sign * y) for x, y in curves)
    plt.close(figure)


def test_a_figure_says_which_records_it_draws():
    said = figures.provenance(STORED)
    assert "laptop tier" in said and "smollm2-135m" in said and "3 seeds" in said


def test_every_record_of_the_book_is_readable():
    assert all(isinstance(record, Record) for record in STORED) and len(STORED) >= 54
