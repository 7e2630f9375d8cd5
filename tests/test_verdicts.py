"""Verdicts as rows: which come first, and on which side of its threshold an effect lies."""

import colorsys
import math
import re
from pathlib import Path

import pytest
from lxml import html
from studies import NOT_RUN, verdict

from forgetting import method
from forgetting.chapters import verdicts as last_cell
from forgetting.views.verdicts import MIDDLE, REACH, on_line, rows

REPOSITORY = Path(__file__).parents[1]


def text(element):
    return " ".join(element.text_content().split())


@pytest.mark.parametrize(
    ("direction", "low", "effect", "high", "sides", "nothing"),
    [
        # Claimed to be above 0.1: farther than that is to the right, nothing is 0.1 to the left.
        ("greater", 0.2, 0.3, 0.4, (0.1, 0.2, 0.3), -0.1),
        ("greater", -0.4, -0.3, -0.2, (-0.5, -0.4, -0.3), -0.1),
        # Claimed to be below -0.1: the same picture, mirrored.
        ("less", -0.4, -0.3, -0.2, (0.1, 0.2, 0.3), -0.1),
        # Claimed to be within ±0.1: nothing is as far inside as one can be.
        ("equal", 0.02, 0.03, 0.04, (0.06, 0.07, 0.08), 0.1),
        ("equal", -0.05, 0.03, 0.11, (-0.01, 0.07, 0.1), 0.1),
        ("equal", 0.2, 0.3, 0.4, (-0.3, -0.2, -0.1), 0.1),
    ],
)
def test_right_of_the_threshold_is_as_claimed(direction, low, effect, high, sides, nothing):
    about = {"direction": direction, "low": low, "effect": effect, "high": high, "tolerance": 0.1}
    line = on_line(verdict(**about))
    reach = max(0.2, *map(abs, sides))
    places = [MIDDLE + REACH * value / reach for value in (*sides, nothing)]
    assert [line.low, line.effect, line.high, line.nothing] == pytest.approx(places, abs=0.06)
    moved = {name: value + 5 for name, value in about.items() if name in ("low", "effect", "high")}
    assert on_line(verdict(**about | moved, than=5.0)) == line


def test_the_picture_says_in_words_what_it_shows():
    ends = {"low": 0.01, "effect": 0.1, "high": 0.19, "verdict": "undecided"}
    assert on_line(verdict(**ends)).words == "undecided: the interval contains the threshold"
    assert on_line(verdict()).words == "reversed: the whole interval lies short of the threshold"
    endless = on_line(verdict(low=-math.inf, high=math.inf))
    assert (endless.low, endless.high) == (MIDDLE - REACH, MIDDLE + REACH)
    with pytest.raises(ValueError, match=r"toy.*has no effect to draw"):
        on_line(verdict(**NOT_RUN))


def test_decided_claims_come_first_then_open_ones_and_all_but_five_are_folded():
    kinds = [
        ("a", "not tested", False),
        ("b", "holds", True),
        ("c", "undecided", False),
        ("d", "reversed", False),
        ("e", "undecided", False),
        ("f", "holds", False),
        ("g", "too small", False),
    ]
    stored = [
        verdict(id=name, statement=f"claim {name}", verdict=word, exploratory=late)
        for name, word, late in kinds
    ]
    page = html.fromstring(rows(stored).data)
    statements = [text(s) for s in page.find_class("statement")]
    assert [s[6] for s in statements] == list("dfgceab")
    folded = [text(s) for s in page.xpath("//details//*[@class='statement']")]
    assert folded == ["claim a", "claim b (exploratory)"]
    assert page.xpath("//summary/text()") == ["2 more claims"]
    assert "no claims" in rows([]).data


def test_a_row_has_its_numbers_with_a_true_minus_beside_the_threshold_and_its_unit_once():
    page = html.fromstring(rows([verdict(q=0.0312, statement="<b>all</b>")]).data)
    assert text(page.find_class("statement")[0]) == "<b>all</b>"
    (numbers,) = page.find_class("numbers")
    assert text(numbers) == ("−0.123 [−0.200, −0.050] nats; holds above 0.02C1 · 3 seeds · q 0.031")
    (row,) = html.fromstring(rows([verdict(**NOT_RUN, reason="not run")]).data).find_class("claim")
    assert not row.xpath(".//svg") and text(row).endswith("holds above 0.02C1 · not run")
    assert "A tenth of a nat" in rows([verdict(unit="nats a token")]).data
    assert "A tenth of a nat" not in rows([verdict(unit="share of items")]).data


def test_a_chapter_has_all_its_claims_in_their_order():
    page = html.fromstring(last_cell.verdicts("freezing", "laptop").data)
    assert len(page.find_class("claim")) == 18
    first = [text(badge) for badge in page.find_class("verdict")][:5]
    assert "not tested" not in first
    assert page.get("data-of") == "records"


def hue(colour):
    """Degrees around the wheel; None of what is nearly grey."""
    red, green, blue = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    angle, _, saturation = colorsys.rgb_to_hls(red, green, blue)
    return 360 * angle if saturation > 0.2 else None


def test_no_verdict_has_the_hue_of_a_method():
    css = (REPOSITORY / "book" / "_static" / "custom.css").read_text()
    colours = dict(re.findall(r"--verdict-([a-z-]+): (#\w{6})", css))
    assert colours.keys() == {"holds", "reversed", "too-small", "undecided", "not-tested"}
    verdicts = [hue(c) for c in re.findall(r"--verdict-[a-z-]+: (#\w{6})", css)]
    methods = [hue(card.colour) for card in method.cards()]
    apart = [
        min(abs(one - other), 360 - abs(one - other))
        for one in verdicts
        for other in methods
        if one is not None and other is not None
    ]
    assert min(apart) > 15
