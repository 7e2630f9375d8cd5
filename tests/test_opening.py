"""How chapters open: the plane with its slider, slopes, and what stands below the title."""

import csv
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import nbformat
import pytest
from lxml.html import fragments_fromstring
from studies import run as a_run

from forgetting.chapters import published
from forgetting.checking import BadFile
from forgetting.evidence.claims import Verdict
from forgetting.evidence.intervals import Effect
from forgetting.experiments.experiment import Loss, Plane
from forgetting.models.parts import Part
from forgetting.site import anatomy, drawing, heroes, opening, plane
from forgetting.site.markup import BookError, render
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
    return Place(method, trainable=1, share=1.0, matched={}, marks=at)


DRIFT = Loss("old text.forward_kl", "drift", "nats a token", +1)
AXES = Plane("calls.nats", "calls", (DRIFT,), "full", "training everything", "what may move")


def plane_of(*places: Place) -> Measured:
    return Measured(AXES, [], {place.method: place for place in places}, theme.Looks())


def with_slider(runs: Measured, caption: str) -> str:
    words = drawing.steps(runs)
    return render("figure.html.jinja", picture=drawing.drawn(runs), words=words, caption=caption)


def test_the_slider_has_a_step_for_each_rate_and_names_what_was_run_there():
    """Rates are counted from each arm's own central one."""
    full = placed("full", (-1, 3e-5, 0.1, 0.0, 3), (0, 1e-4, 0.3, 0.1, 3), (1, 3e-4, 0.2, 0.4, 1))
    lora = placed("LoRA", (0, 3e-4, 0.3, 0.1, 3))
    (figure,) = fragments_fromstring(with_slider(plane_of(full, lora), "What it shows."))
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
    html = with_slider(plane_of(placed("full", (0, 1e-4, 0.3, 0.1, 1))), "")
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


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("conversation", r"a conversation\.py"),
        ("anatomy", r"a moving\(\) in its views\.py"),
        ("shares", r"a compared\(\) in its views\.py"),
    ],
)
def test_a_hero_that_nobody_wrote_is_one_line(kind, needs):
    with pytest.raises(BookError, match=f"^lora: hero='{kind}': needs {needs}"):
        heroes.draw("lora", kind, "", [])


def test_a_misspelt_key_or_arm_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(opening.chapters, "folders", lambda: {"lamol": tmp_path})
    for written, told in (
        ('answr = "It forgets."', "answr=.*: no such field; did you mean 'answer'"),
        ('arms = ["replai 5 %"]', "arms='replai 5 %': .* no such arm; did you mean 'replay 5 %'"),
    ):
        (tmp_path / "claims.toml").write_text(f"{written}\n")
        with pytest.raises(BadFile, match=rf"claims\.toml: {told}"):
            opening.of_chapter("lamol")
    (tmp_path / "claims.toml").write_text('arms = ["LAMOL", "replay 5 %"]\n')
    assert opening.of_chapter("lamol").arms == ["LAMOL", "replay 5 %"]


def test_takeaways_are_as_many_as_figures_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(opening.chapters, "folders", lambda: {"lora": tmp_path})
    assert opening.takeaways("lora", 3) == opening.takeaways("no chapter", 3) == []
    (tmp_path / "claims.toml").write_text('takeaways = ["It drifts.", "It learns."]\n')
    assert opening.takeaways("lora", 2) == ["It drifts.", "It learns."]
    assert opening.takeaways("lora", 0) == []  # nothing was executed
    with pytest.raises(BadFile, match=r"takeaways: 2 sentences for 1 figure; write one for each"):
        opening.takeaways("lora", 1)


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


# -- openings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "notebook", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_every_chapter_opens_with_its_answer_its_verdicts_and_a_picture(notebook):
    contents = nbformat.read(notebook, as_version=4).cells
    chapter = notebook.stem.partition("_")[2]
    if not published.runs(chapter):
        pytest.skip("no records yet: the chapter is not in the book")
    (opened, picture, link), files = opening.opened(notebook, contents, REPOSITORY / "_toc.yml")
    ((file, data),) = files.items()
    assert file in link and data.count("\n") > 3 and not data.startswith("\n")
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


# -- kinds of pictures -------------------------------------------------------------------------


def line(arm: str, learned: float, lost: float, seeds: int, **how: str) -> anatomy.Line:
    """An arm of a model of three blocks; `how` says how each lane moves, a letter a block."""
    words = {"m": "moves", "b": "beside", "h": "held"}
    parts = {Part("embedding", None): words[how["embedding"]]}
    parts |= {Part(kind, n): words[how[kind][n]] for n in range(3) for kind in ("attention", "mlp")}
    mark = Mark(0, 1e-4, seeds, effect(learned), {DRIFT.words: effect(lost)})
    return anatomy.Line(arm, Look("#0072B2", "o"), 1, parts, mark)


def test_an_anatomy_has_a_row_an_arm_with_what_moves_and_a_mark_for_learned_and_lost():
    arms = [
        line("first held", 0.3, -0.1, 3, embedding="m", attention="hmm", mlp="hmm"),
        line("adapter", 0.1, 0.2, 1, embedding="h", attention="bbb", mlp="hhh"),
    ]
    for svg, sheet in zip(pictures(anatomy.drawn(plane_of(), arms)), anatomy.BODIES, strict=True):
        held, adapter = [g for g in svg.iter("g") if g.get("style")]
        assert [g.find("text").text for g in (held, adapter)] == ["first held", "adapter"]
        blocks = [each for each in held.iter("line") if each.get("class").startswith("blocks")]
        kinds = [each.get("class").split()[1] for each in blocks]
        assert kinds == ["held", "moves"] * 2  # in either lane the first block, then two
        widths = [float(each.get("x2")) - float(each.get("x1")) for each in blocks]
        assert widths[1] > 1.9 * widths[0]
        assert not held.findall("line[@class='stripe']")
        assert len(adapter.findall("line[@class='stripe']")) == 1
        learned, lost = held.findall("circle")
        assert learned.get("fill") and sheet.learned[0] <= float(learned.get("cx"))
        zero = [float(z.get("x1")) for z in svg.iter("line") if z.get("class") == "zero"]
        assert len(zero) == 2 and float(lost.get("cx")) < zero[1] <= sheet.lost[1]
        assert [c.get("class") for c in adapter.findall("circle")] == ["hollow", "hollow"]
        assert not adapter.findall("line[@class='bar']")  # of a single run
        bottom = float(svg.get("viewBox").split()[3])
        assert all(float(t.get("y")) < bottom for t in svg.iter("text"))
        assert "first held learned 0.3, −0.1; adapter" in svg.get("aria-label")


def test_neighbouring_blocks_that_move_alike_are_one_stretch():
    arm = line("a", 0, 0, 3, embedding="h", attention="mmh", mlp="bbb")
    assert anatomy.stretches(arm.parts) == [
        (0, 0, 2, "moves"),
        (0, 2, 1, "held"),
        (1, 0, 3, "beside"),
    ]


def test_an_anatomys_arms_stand_at_their_own_rates_as_the_chapter_ran_them():
    hero = heroes.draw("freezing", "anatomy", "It moves.", [])
    header, *rows = csv.reader(hero.data.splitlines())
    rates = {row[0]: row[1] for row in rows}
    assert rates["full"] == "0.0001" and rates["LoRA ×10"] == rates["(IA)³ ×10"] == "0.001"
    learned = {row[0]: float(row[header.index("learned: Chinese text")]) for row in rows}
    assert learned["LoRA"] < learned["LoRA ×10"]
    assert hero.figure.count("<svg") == 2 and "<strong>It moves.</strong>" in hero.figure


@pytest.fixture
def surprised(monkeypatch):
    """Two kinds of answers: tokens and nats, of the second one question more."""
    mark = heroes.BETWEEN_TOKENS
    ask = "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
    asked = {"gold": {"surprise": [6.0, 0.1]}, "own": {"surprise": [0.2, 0.3, 0.4, 0.5]}}
    answers = {
        "gold": [(ask.format("Which <b>?"), f"bad{mark}<|im_end|>")],
        "own": [
            (ask.format("What?"), mark.join("xy")),
            (ask.format("Which <b>?"), f"It{mark}\n"),
        ],
    }
    run = a_run("untouched", asked=asked, answers=answers)
    monkeypatch.setattr(heroes.published, "surprised", lambda chapter: run)


def test_a_strip_has_the_first_question_that_all_answered_and_each_tokens_own_nats(surprised):
    hero = heroes.draw("own_words", "surprise", "", ["own", "gold"])
    (figure,) = fragments_fromstring(hero.figure)
    assert figure.find(".//p[@class='asked']").text == "Which <b>?"
    assert [b.text for b in figure.findall(".//p[@class='who']/b")] == ["own", "gold"]
    own, gold = figure.findall(".//p[@class='words']")
    assert [span.get("title") for span in own.findall("span")] == ["0.40 nats", "0.50 nats"]
    assert own.text_content() == "It↵"
    hard, end = gold.findall("span")
    assert hard.find("ruby/rt").text == "6.0" and "65%" in hard.get("style")
    assert end.text_content() == " ■" and end.find("ruby") is None
    assert "perplexity 21.1; 50 % of the tokens above 0.9 nats" in figure.text_content()
    assert hero.data.splitlines() == [
        "answer,token,nats", "own,It,0.4", "own,↵,0.5", "gold,bad,6.0", "gold, ■,0.1",
    ]  # fmt: skip


def test_a_chapter_whose_answers_nobody_measured_has_no_strip(monkeypatch):
    monkeypatch.setattr(heroes.published, "surprised", lambda chapter: None)
    assert heroes.draw("own_words", "surprise", "", ["own"]) is None


# -- shares ------------------------------------------------------------------------------------


def test_shares_are_means_over_seeds_a_column_a_model(monkeypatch):
    """By hand: one of two seeds, then both."""

    def run(value):
        return SimpleNamespace(mean=lambda measure: {"label.em": value, "json.json": 1.0}[measure])

    models = {"before": [run(0.0)], "after": [run(0.5), run(1.0)]}
    words = {"label.em": "right", "json.json": "JSON"}
    views = SimpleNamespace(compared=lambda runs: (models, words))
    monkeypatch.setattr(heroes, "import_module", lambda name: views)
    monkeypatch.setattr(heroes, "_signed", lambda *_: "signed")
    hero = heroes.draw("operation", "shares", "", [])
    assert hero.data.splitlines() == [
        "share of items,before,after",
        "right,0,0.75",
        "JSON,1,1",
        "seeds,1,2",
    ]
    assert "--share: 75.0%" in hero.figure
    models["after"] = []
    assert heroes.draw("operation", "shares", "", []) is None
