"""How chapters open: the plane with its slider, slopes, and what stands below the title."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from lxml.html import fragments_fromstring

from forgetting import wording
from forgetting.chapters import published
from forgetting.checking import BadFile
from forgetting.evidence.claims import Verdict
from forgetting.evidence.intervals import Effect
from forgetting.experiments.experiment import Loss, Plane
from forgetting.site import drawing, opening, plane
from forgetting.site.markup import BookError
from forgetting.site.plane import Mark, Measured, Place
from forgetting.views import theme
from forgetting.views.theme import Look

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def runs() -> dict[str, Measured]:
    return plane.measured(["lora"])


def pictures(html: str) -> list[ElementTree.Element]:
    """The SVG of a desk and that of a phone."""
    return ElementTree.fromstring(f"<both>{html}</both>").findall(".//svg")


def test_a_drawn_plane_names_its_own_arms_and_keeps_all_marks_on_the_sheet(runs):
    pair = pictures(drawing.drawn(runs["lora"], {"LoRA r 4"}))
    others = [arm for arm in runs["lora"].places if arm != "LoRA r 4"]
    for svg, sheet in zip(pair, drawing.SHEETS, strict=True):
        words = [text.text for text in svg.iter("text")]
        assert "LoRA r 4" in words and "LoRA r 64" not in words
        assert [title.text for title in svg.iter("title")] == others
        for mark in svg.iter("circle"):
            assert sheet.left <= float(mark.get("cx")) <= sheet.right
            assert sheet.top <= float(mark.get("cy")) <= sheet.bottom
        colours = {mark.get("fill") for mark in svg.iter("circle")} - {None}
        assert colours == {runs["lora"].looks["LoRA r 4"].colour}
        label = svg.get("aria-label")
        assert "LoRA r 4 learned" in label and f"{len(others)} other methods" in label


def effect(mean: float) -> Effect:
    return Effect(mean=mean, low=mean - 0.01, high=mean + 0.01, items=9, seeds=3)


def placed(method: str, *marks: tuple[int, float, float, float, int]) -> Place:
    """An arm whose `marks` are (step, rate, learned, lost, seeds)."""
    at = tuple(
        Mark(step, rate, seeds, effect(learned), {DRIFT.words: effect(lost)})
        for step, rate, learned, lost, seeds in marks
    )
    usual = next(mark for mark in at if not mark.step)
    about = {"trainable": 1, "share": 1.0, "seconds": 1.0, "matched": {}}
    return Place(method, usual.rate, usual.seeds, learned=usual.learned, lost=usual.lost,
                 marks=at, **about)  # fmt: skip


DRIFT = Loss("old text.forward_kl", "drift", "nats a token", +1)
AXES = Plane("calls.nats", "calls", (DRIFT,), "full", "training everything", "what may move")


def plane_of(*places: Place) -> Measured:
    return Measured(AXES, [], {place.method: place for place in places}, theme.Looks())


def test_the_slider_has_a_step_for_each_rate_and_names_what_was_run_there():
    """Rates are counted from each arm's own central one."""
    full = placed("full", (-1, 3e-5, 0.1, 0.0, 3), (0, 1e-4, 0.3, 0.1, 3), (1, 3e-4, 0.2, 0.4, 1))
    lora = placed("LoRA", (0, 3e-4, 0.3, 0.1, 3))
    (figure,) = fragments_fromstring(drawing.with_slider(plane_of(full, lora), "What it shows."))
    slider = figure.find(".//input")
    assert (slider.get("min"), slider.get("max"), slider.get("value")) == ("-1", "1", "0")
    assert [each.text for each in figure.iter("data")] == [
        "lower: 3e-5",
        "each at its own rate: 1e-4 (full), 3e-4 (LoRA)",
        "higher: 3e-4",
    ]
    assert figure.find(".//output").text == "each at its own rate: 1e-4 (full), 3e-4 (LoRA)"
    shown = {g.get("data-step"): g.get("class") for g in figure.iter("g") if g.get("data-step")}
    assert shown == {"-1": "at", "0": "at on", "1": "at"}
    assert figure.find("figcaption").text == "What it shows."


def test_one_rate_has_no_slider_and_one_seed_a_hollow_mark():
    html = drawing.with_slider(plane_of(placed("full", (0, 1e-4, 0.3, 0.1, 1))), "")
    assert "<input" not in html
    assert 'class="hollow"' in html and 'class="bar"' not in html


def test_labels_at_one_place_stand_below_one_another():
    arms = [placed(f"arm {n}", (0, 1e-4, 0.3, 0.1, 3)) for n in range(4)]
    for svg in pictures(drawing.drawn(plane_of(*arms))):
        heights = sorted(float(t.get("y")) for t in svg.iter("text") if t.get("class") == "arm")
        assert all(low + drawing.LINE <= high for low, high in pairwise(heights))


def test_no_mark_of_a_small_drifts_axis_lies_off_the_sheet():
    """0.003 lies above the largest drift, 0.0025, and its room."""
    arms = placed("a", (0, 1e-4, 0.3, 0.0025, 3)), placed("b", (0, 1e-4, 0.3, 0.0005, 3))
    for svg in pictures(drawing.drawn(plane_of(*arms))):
        assert "0.003" not in [text.text for text in svg.iter("text")]


def test_a_hero_that_nobody_wrote_and_a_misspelt_key_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(opening.chapters, "folders", lambda: {"lora": tmp_path})
    with pytest.raises(BookError, match=r"^lora: hero='conversation': needs a conversation.py"):
        opening.hero("lora", opening.Opening(hero="conversation"))
    (tmp_path / "claims.toml").write_text('answr = "It forgets."\n')
    with pytest.raises(BadFile, match=r"answr=.*: no such field; did you mean 'answer'"):
        opening.of_chapter("lora")


def test_labels_are_moved_apart_and_stay_above_the_lowest_line():
    assert drawing.spread([10, 12, 100], 200) == [10, 25, 100]
    assert drawing.spread([90, 95, 99], 100) == [70, 85, 100]


def test_black_is_the_pages_own_ink():
    assert (drawing.inked("#000000"), drawing.inked("#0072B2")) == ("currentcolor", "#0072B2")


def test_a_run_that_unlearned_far_more_than_others_learned_is_cut_off_and_says_so():
    good, broken = placed("full", (0, 1e-4, 0.5, 0.1, 3)), placed("RL", (0, 1e-4, -8.0, 0.1, 3))
    for svg, sheet in zip(
        pictures(drawing.drawn(plane_of(good, broken))), drawing.SHEETS, strict=True
    ):
        (label,) = [t for t in svg.iter("text") if "RL" in (t.text or "")]
        assert label.text == "◂ RL (−8)"
        assert float(label.get("x")) < sheet.left + 20


def test_a_drift_is_drawn_by_its_root():
    """A quarter of the largest drift stands half as high above none."""
    marks = placed("a", (0, 1e-4, 0.3, 0.0, 3)), placed("b", (0, 1e-4, 0.3, 0.25, 3))
    svg, _ = pictures(drawing.drawn(plane_of(*marks, placed("c", (0, 1e-4, 0.3, 1.0, 3)))))
    low, middle, high = [float(c.get("cy")) for c in svg.iter("circle") if c.get("r") == "6"]
    assert low - middle == pytest.approx(middle - high, abs=0.2)


@pytest.mark.parametrize(
    "rate, words", [(1e-4, "1e-4"), (9e-5, "9e-5"), (0.01, "0.01"), (2.5e-4, "2.5e-4")]
)
def test_a_rate_is_written_as_people_write_it(rate, words):
    assert wording.rate(rate) == words


# -- openings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "notebook", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_every_chapter_opens_with_its_answer_its_verdicts_and_a_picture(notebook):
    contents = nbformat.read(notebook, as_version=4).cells
    opened, picture = opening.cells(notebook, contents, REPOSITORY / "_toc.yml")
    chapter = notebook.stem.partition("_")[2]
    assert "min to read" in opened and "{.answer}\n**" in opened
    assert "r.claims[" in opening.of_chapter(chapter).answer  # its numbers come from records
    counts = re.findall(r">(\d+) (?:holds?|too small|reversed|undecided|not tested)<", opened)
    assert sum(map(int, counts)) == len(published.verdicts(chapter))
    assert '<figure class="hero">' in picture and "<figcaption><strong>" in picture


def test_a_chapter_whose_author_said_nothing_opens_with_its_claims():
    held = Verdict(id="a", statement="It forgets.", paper="", citation="", source="", chapter="x",
                   verdict="holds", effect=0.5, low=0.4, high=0.6, unit="nats")  # fmt: skip
    open_claim = held.model_copy(update={"verdict": "undecided"})
    said = opening.answer([open_claim, held])
    assert said.startswith("**It forgets: holds.** Measured: +0.50 (+0.40 to +0.60; *holds*) nats;")
    assert said.endswith("1 of 2 claims are decided.")
    assert opening.answer([open_claim]).startswith("**Nothing is decided yet.** 1 claim ")


def test_the_part_of_a_chapter_is_the_caption_of_the_table_of_contents():
    toc = REPOSITORY / "_toc.yml"
    assert opening.part_of(toc, "notebooks/02_lora") == "What may move?"
    assert opening.part_of(toc, "welcome") == ""


def test_slopes_go_from_what_was_learned_to_what_is_left_and_are_named_at_their_end():
    looks = theme.Looks({"fine-tune": Look("#111111", "o"), "replay": Look("#222222", "o")})
    lines = {"fine-tune": (50.0, 20.0), "replay": (52.0, 45.0)}
    for svg in pictures(drawing.slopes(lines, looks)):
        names = [t.text for t in svg.iter("text") if t.get("class") == "arm"]
        assert names == ["fine-tune 20", "replay 45"]
        fallen = [
            float(line.get("y2")) - float(line.get("y1"))
            for line in svg.iter("line")
            if line.get("class") == "slope"
        ]
        assert fallen[0] > fallen[1] > 0  # pixels downwards: both forgot, fine-tuning more
