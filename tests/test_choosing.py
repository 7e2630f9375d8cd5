"""Which method should I use? What the page recommends, and what its menus show."""

import re
from itertools import product
from pathlib import Path

import browser
import pytest
from studies import drifting

from forgetting.chapters import published
from forgetting.site import plane
from forgetting.site.markup import Contents
from forgetting.site.pages import choosing

STATIC = Path(__file__).parents[1] / "book" / "_static"
CONTENTS = Contents(("02_lora",))
OLD_TEXT = "drift on old text"


def arm(name, rate, learned, drift, trainable):
    """Three seeds that learned so many nats of five, in a model of 1,000 weights."""
    return drifting(name, rate, 4, 5 - learned, drift, trainable=trainable)


@pytest.fixture
def measured(monkeypatch):
    """Full training learns 2 nats at its usual rate: 1.8 are enough."""
    stored = [
        *drifting("untouched", 0.0, 0, 5.0, 0.0)[:1],
        *arm("full", 1e-4, 2.0, 0.30, 1000),
        *arm("full", 3e-5, 1.0, 0.10, 1000),
        *arm("LoRA r 64", 3e-4, 2.1, 0.20, 145),
        *arm("LoRA r 64", 9e-5, 1.9, 0.08, 145),
        *arm("LoRA r 64", 3e-5, 1.9, 0.01, 145)[:2],  # two seeds recommend nothing
        *arm("LoRA r 4", 3e-4, 1.7, 0.05, 9),  # learned too little
    ]
    monkeypatch.setattr(published, "runs", lambda name, *_: stored if name == "lora" else [])
    at_rates = choosing.at_rates  # items without any spread have no interval: 0.02 for all
    monkeypatch.setattr(choosing, "at_rates", lambda places: [*map(narrow, at_rates(places))])
    return plane.measured()


def smallest_first(measured):
    return sorted(measured["lora"].places.values(), key=lambda place: place.trainable)


def narrow(row, half=0.02):
    def around(effect):
        return effect.model_copy(update={"low": effect.mean - half, "high": effect.mean + half})

    lost = {words: around(effect) for words, effect in row.mark.lost.items()}
    return row._replace(mark=row.mark._replace(learned=around(row.mark.learned), lost=lost))


def test_what_loses_least_of_what_learned_enough_at_three_seeds_is_recommended(measured):
    rows = choosing.at_rates(smallest_first(measured))
    assert [(row.place.method, row.mark.rate, row.mark.seeds) for row in rows] == [
        ("LoRA r 4", 3e-4, 3),
        ("LoRA r 64", 3e-5, 2),
        ("LoRA r 64", 9e-5, 3),
        ("LoRA r 64", 3e-4, 3),
        ("full", 3e-5, 3),
        ("full", 1e-4, 3),
    ]
    answers = [a for a in choosing.answers(rows, measured["lora"].axes) if a.loss.words == OLD_TEXT]
    assert [answer.shares for answer in answers] == [[1.0, 0.25], [0.05, 0.01], [0.001]]
    best = answers[0].best
    assert best and (best.place.method, best.mark.rate) == ("LoRA r 64", 9e-5)
    assert best.mark.lost[OLD_TEXT].mean == pytest.approx(0.08)
    assert answers[1].best is None and answers[1].nearest is rows[0]
    assert answers[2].best is None and answers[2].nearest is None


def test_rates_whose_intervals_overlap_with_the_best_are_named(measured):
    rows = choosing.at_rates(smallest_first(measured))
    rows[2] = narrow(rows[2], half=0.11)
    answer = next(choosing.answers(rows, measured["lora"].axes))
    assert answer.level == [rows[3]]  # 0.20, not full's 0.30


def test_the_page_has_one_sentence_for_each_combination_and_a_row_for_each_rate(measured):
    page = choosing.page(measured, CONTENTS)
    told = [
        (loss, share)
        for loss, shares in re.findall(r'data-stays="(.*?)" data-shares="(.*?)"', page)
        for share in shares.split()
    ]
    losses = [loss.words for loss in measured["lora"].axes.losses]
    assert sorted(told) == sorted(product(losses, map(str, choosing.SHARES)))
    words = " ".join(re.sub(r"<.*?>", "", page).split())
    assert "LoRA r 64 at a rate of 9e-05 loses least: it learned +1.900 ± 0.020" in words
    assert "where training everything at the usual 0.0001 learned +2.000 ± 0.020" in words
    assert "LoRA r 4 at 0.0003 came nearest: it learned +1.700 ± 0.020" in words
    assert "No method that was run here is this small." in words
    assert re.findall(r'<tr [^>]*id="([\w-]+)"', page) == [
        "lora-lora-r-4",
        "lora-lora-r-64",
        "lora-full",
    ]


# Puts into the title what is not hidden.
MARK = """addEventListener("load", () => {
    document.title = [...document.querySelectorAll(".answer, tbody tr")]
        .filter((e) => !e.closest("[hidden]") && !e.classList.contains("too-large"))
        .map((e) => e.textContent.trim().replace(/\\s+/g, " ").slice(0, 40)).join("|");
});"""


def test_an_address_chooses_one_sentence_and_the_rows_that_are_small_enough(measured, tmp_path):
    blocks = re.findall(r"```\{raw\} html\n(.*?)```", choosing.page(measured, CONTENTS), re.DOTALL)
    other = blocks[1].replace('"lora', '"other')
    body = f"{blocks[0]}<section>{blocks[1]}</section><section>{other}</section>".replace(
        "</select>", '<option value="other">another skill</option></select>', 1
    )
    script = (STATIC / "choosing.js").read_text()
    page = f"<!doctype html><meta charset=utf-8><script>{script}</script><body>{body}"
    dom = browser.seen(tmp_path, f"{page}<script>{MARK}</script>", "#teach=lora&share=0.05")
    answer, *rows = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1].split("|")
    assert "Nothing this small learned enough" in answer or answer.startswith("Drift on old text")
    assert len(rows) == 1 and rows[0].startswith("LoRA r 4")
