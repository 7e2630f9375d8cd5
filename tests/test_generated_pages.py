"""Generated pages: what they say of records and claims, and what breaks them."""

import html
import itertools
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from forgetting import method, wording
from forgetting.evidence import claims, papers, records
from forgetting.evidence.claims import Effect, Verdict
from forgetting.evidence.records import Record, Scores
from forgetting.experiments import methods, sequences
from forgetting.pages import (
    PageError,
    choosing,
    conversation,
    failures,
    markup,
    method_cards,
    pages,
    paper_list,
    plane,
    run_records,
    scoreboard,
    small_plane,
    status,
    times,
)
from forgetting.pages.markup import Contents
from forgetting.pages.plane import Loss, Place
from forgetting.site import book

REPOSITORY = Path(__file__).parents[1]
CONTENTS = Contents(("01_freezing",))
CHAT = Loss("chat.nats", "chat answers", "nats a token", +1)
REFUSING = Loss("margin.gold_margin", "lead of refusing", "nats", -1)


def verdict(**changes) -> Verdict:
    fields = {
        "id": "toy",
        "statement": "Freezing | keeps\nall",
        "paper": "Li & Lee (2024)",
        "citation": "li2024examining",
        "source": "C1",
        "chapter": "freezing",
        "verdict": "contradicted",
        "effect": -0.12345,
        "low": -0.2,
        "high": -0.05,
        "direction": "greater",
        "tolerance": 0.02,
        "unit": "nats",
        "tier": "laptop",
        "seeds": 3,
        "date": "2026-11-21",
        "why": "It was small.",
    }
    return Verdict(**(fields | changes))


NOT_RUN = {
    "verdict": "not run",
    **dict.fromkeys(("effect", "low", "high", "tier", "date")),
    "seeds": 0,
}


def effect(mean: float, half: float) -> Effect:
    return Effect(mean=mean, low=mean - half, high=mean + half, items=10, seeds=3)


def place(method: str, trainable: int, learned: float, **matched: Effect | None) -> Place:
    words = {"chat": "chat answers", "refusing": "lead of refusing"}
    return Place(
        method=method,
        rate=1e-4,
        seeds=3,
        trainable=trainable,
        share=trainable / 10**6,
        seconds=trainable / 10**4,
        learned=effect(learned, 0.01),
        lost={},
        matched={words[key]: value for key, value in matched.items()},
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# -- wording -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (0.25313, 0.0512, "+0.253\u00a0±\u00a00.051"),
        (-0.00959, 0.0069, "−0.0096\u00a0±\u00a00.0069"),
        (-2.08, 1.7, "−2.1\u00a0±\u00a01.7"),
        (120.4, 33.0, "+120\u00a0±\u00a033"),
        (0.5, 0.0, "+0.500\u00a0±\u00a00.000"),
    ],
)
def test_a_mean_has_as_many_decimals_as_its_interval_earns(mean, half, shown):
    assert wording.plus_minus(mean, half) == shown


def test_lists_and_counts_read_as_people_write_them():
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert (wording.count(1, "run"), wording.count(1200, "run")) == ("1 run", "1,200 runs")


# -- the scoreboard ----------------------------------------------------------------------------


def test_the_scoreboard_counts_verdicts_and_links_chapters():
    text = scoreboard.page([verdict(id="later", **NOT_RUN), verdict()], CONTENTS)
    assert "| [contradicted]{.verdict .contradicted} | 1 |" in text
    assert "| [undecided]{.verdict .undecided} | 0 |" in text
    rows = [cells(line) for line in text.splitlines() if line.startswith("| [Freezing")]
    assert rows[0] == [  # what was run stands before what was not
        r"[Freezing \| keeps all]{#claim-toy}",
        "{cite:t}`li2024examining`",
        "C1",
        "{doc}`freezing </notebooks/01_freezing>`",
        "[contradicted]{.verdict .contradicted}",
        "−0.123 [−0.2,\u00a0−0.05] nats",
        "laptop",
        "3 seeds",
        "2026-11-21",
    ]
    assert rows[1][4:] == ["[not run]{.verdict .not-run}", "–", "–", "–", "–"]


def test_a_chapter_that_is_not_in_the_book_is_named_without_a_link():
    assert CONTENTS.link("chat_vector") == "chat vector"


def test_a_book_without_claims_says_so():
    assert "No claim has been judged yet." in scoreboard.page([], CONTENTS)


def test_an_unknown_verdict_is_refused():
    with pytest.raises(PageError, match="verdict='maybe': must be one of holds, contradicted"):
        markup.badge("maybe")


# -- what papers state -------------------------------------------------------------------------


def test_every_statement_is_judged_by_claims_that_exist_or_stands_as_not_run():
    designed = {claim.id for paper in papers.papers() for claim in paper.claims}
    stated = [one for paper in papers.papers() for one in paper.stated]
    ids = [one.id for one in stated]
    assert len(set(ids) | designed) == len(ids) + len(designed), "an id stands twice"
    assert {name for one in stated for name in one.judged_by} <= designed
    on_board = {verdict.id for verdict in claims.scoreboard()}
    assert on_board == designed | {one.id for one in stated if not one.judged_by}


def test_papers_are_in_the_bibliography_and_named_apart():
    keys = set(re.findall(r"@\w+\{(\w+),", (REPOSITORY / "book/references.bib").read_text()))
    known = papers.papers()
    assert {paper.citation for paper in known} <= keys
    assert {key for card in method.cards() for key in card.citations} <= keys
    assert len({paper.short for paper in known}) == len(known)
    assert len({paper.citation for paper in known}) == len(known)


def test_no_published_number_was_recalled_instead_of_read():
    for path in (REPOSITORY / "data" / "papers").glob("*.toml"):
        assert "memory" not in path.read_text(encoding="utf-8").lower(), path.name


def test_a_papers_statement_shows_the_verdict_of_each_claim_that_judges_it():
    board = claims.scoreboard()
    text = paper_list.page(board)
    known = {one.id: one.verdict for one in board}
    row = next(line for line in text.splitlines() if "Repetition is the most visible" in line)
    assert f"[{known['li2024-repetition']}]" in row
    assert 'href="scoreboard.html#claim-li2024-repetition"' in row


def test_a_statement_that_names_no_claim_of_ours_is_refused():
    board = [one for one in claims.scoreboard() if one.id != "li2024-repetition"]
    with pytest.raises(PageError, match="judged_by='li2024-repetition': no claim in data/papers"):
        paper_list.page(board)


# -- what did not reproduce --------------------------------------------------------------------


def test_a_contradicted_claim_stands_with_effect_interval_and_reason():
    text = failures.page([verdict(), verdict(id="fine", verdict="holds")], CONTENTS)
    assert "## Contradicted (1)" in text
    assert "Claimed: above 0.02. Measured: −0.123 [−0.2,\u00a0−0.05] nats" in text
    assert "*Why:* It was small." in text and "*Scaled down:*" in text
    assert "#claim-fine" not in text


def test_a_contradicted_claim_without_a_reason_breaks_the_build():
    with pytest.raises(PageError, match=r"claim 'toy': it is contradicted and has no `why`; write"):
        failures.page([verdict(why="")], CONTENTS)


def test_an_undecided_claim_is_listed_with_what_keeps_it_open():
    open_one = verdict(verdict="undecided", reason="the interval contains the tolerance")
    text = failures.page([open_one], CONTENTS)
    assert "## Undecided (1)" in text and "the interval contains the tolerance" in text
    assert "No claim was contradicted so far." in failures.page([verdict(**NOT_RUN)], CONTENTS)


# -- the plane ---------------------------------------------------------------------------------


def test_a_place_is_read_from_records_by_hand():
    """Learned and lost of one method against means taken from the files themselves."""
    runs = plane.measured()["freezing"]
    here = runs.places["LoRA"]
    assert (here.rate, here.seeds) == (1e-3, 3)  # the rate with the most seeds that learned most

    def nats(path: dict, task: str) -> float:
        found = path["scores"][task]
        return -sum(found["items"]["log_likelihood"]) / sum(found["tokens"])

    every = [json.loads(p.read_bytes()) for p in (REPOSITORY / "results/freezing").glob("*.json")]
    files = [f for f in every if f["tier"] == runs.records[0].tier]
    (before,) = [f for f in files if f["labels"]["method"] == "untouched"]
    after = [
        f for f in files if f["labels"]["method"] == "LoRA" and f["labels"]["learning_rate"] == 1e-3
    ]
    gain = sum(nats(before, "zh_articles") - nats(f, "zh_articles") for f in after) / len(after)
    loss = sum(nats(f, "dolly") - nats(before, "dolly") for f in after) / len(after)
    assert here.learned.mean == pytest.approx(gain)
    assert here.lost["chat answers"].mean == pytest.approx(loss)


def test_the_comparison_at_matched_learning_is_the_claims_own():
    here = plane.measured()["freezing"].places["LoRA"]
    judged = next(v for v in claims.verdicts("freezing") if v.id == "trap-lora-matched")
    found = here.matched["chat answers"]
    assert found and (found.mean, found.low, found.high) == (judged.effect, judged.low, judged.high)


def test_gradients_and_two_moments_in_32_bits_take_twelve_bytes_a_weight():
    assert place("full", 2**20, 0.3).memory == 12


def drifting(method: str, rate: float, epochs: int, nats: float, drift: float) -> Record:
    """A record of the chapter on LoRA: four items of new answers, old text and old answers."""

    def scores(task: str, **items: float) -> Scores:
        of_items = {name: [value] * 4 for name, value in items.items()}
        return Scores(
            task=task, version=1, templates="", n=4, batch=1, items=of_items, tokens=[1] * 4
        )

    labels = {"method": method, "learning_rate": rate, "seed": 0}
    train = {"step": "train", "task": {"task": "openfunctions"}, "settings": {"epochs": epochs}}
    base = {"k": {"step": "foundation", "digest": "d"}}
    return Record(
        key=f"{method}{rate}{epochs}",
        chapter="lora",
        tier="laptop",
        labels=labels | ({"epochs": epochs} if epochs else {}),
        model={"name": "tiny", "digest": "d", "parameters": 1000},
        lineage=base | ({"t": train} if epochs else {}),
        trainable=10,
        losses=[],
        scores={
            "openfunctions:drift": scores("openfunctions:drift", log_likelihood=-nats),
            "wikitext2:drift": scores("wikitext2:drift", forward_kl=drift),
            "dolly:drift": scores("dolly:drift", forward_kl=2 * drift),
        },
        samples=[],
        environment={"device": "none"},
        timing={"date": "2026-01-02", "seconds": 1, "training_seconds": 1, "peak_memory_mib": 1},
    )


def test_of_runs_measured_after_several_epochs_the_last_make_the_place(monkeypatch):
    """Full training went from 5 to 4 to 2 nats and drifted 0, 0.1, 0.3: at 3 nats that is 0.2."""
    found = [
        drifting("untouched", 0.0, 0, 5.0, 0.0),
        drifting("full", 1e-4, 1, 4.5, 9.0),  # not the last epoch: it must not count
        drifting("full", 3e-5, 4, 4.0, 0.1),
        drifting("full", 1e-4, 4, 2.0, 0.3),
        drifting("LoRA r 4", 1e-3, 4, 3.0, 0.15),
        drifting("(IA)³", 1e-2, 4, 1.0, 0.5),  # learned more than full training ever did
    ]
    monkeypatch.setattr(
        claims, "best_stored", lambda chapter, *_: found if chapter == "lora" else []
    )
    (chapter, runs), *others = plane.measured().items()
    assert (chapter, others) == ("lora", [])
    lora = runs.places["LoRA r 4"]
    assert lora.learned.mean == pytest.approx(2.0)
    matched = lora.matched["drift on old text"]
    assert matched and matched.mean == pytest.approx(0.15 - 0.2)
    assert runs.places["(IA)³"].matched["drift on old text"] is None
    assert runs.places["full"].matched == {"drift on old text": None, "drift on old answers": None}


def test_a_chapters_minutes_are_those_of_its_words_and_of_one_seeds_runs():
    notebooks = [REPOSITORY / "notebooks" / f"{name}.ipynb" for name in ("01_freezing", "05_lamol")]
    first, second = (cells(line) for line in times.of_chapters(notebooks).splitlines()[2:])
    assert first[0] == "{doc}`Which part of the brain may we operate on? </notebooks/01_freezing>`"
    assert 3 <= int(first[1]) <= 15 and 10 <= int(first[2]) <= 60
    assert second[2] == markup.NOTHING or int(second[2]) > 0


def test_of_sequences_the_tiers_methods_in_the_first_order_are_counted(monkeypatch):
    """Ten minutes each: the base, LAMOL's three steps; not MAS, another order, another seed."""
    one = drifting("untouched", 0.0, 0, 5.0, 0.0)
    asked = [("untouched", "", 0)]
    asked += [("LAMOL", order, 0) for order in ("sst", "sst, srl", "sst, srl, woz")]
    asked += [("MAS", "sst, srl", 0), ("LAMOL", "srl", 0), ("LAMOL", "sst", 1)]
    found = [
        one.model_copy(
            update={
                "labels": {"method": method, "seed": seed} | ({"order": order} if order else {}),
                "timing": one.timing | {"seconds": 600},
                "environment": one.environment | {"threads": 2},
            }
        )
        for method, order, seed in asked
    ]
    monkeypatch.setattr(claims, "best_stored", lambda chapter, *_: found)
    row = times.of_chapters([REPOSITORY / "notebooks" / "05_lamol.ipynb"]).splitlines()[-1]
    assert cells(row)[2] == "40"


def test_the_conversation_is_word_for_word_what_the_records_hold():
    stored = claims.best_stored("operation")
    before = records.select(stored, method="untouched")[0]
    told = re.sub(r"\\(.)", r"\1", conversation.before_and_after())
    rows = [cells(line) for line in told.splitlines()[2:]]
    assert len(rows) == len(conversation.ASKED)
    answers = {" ".join(sample.answer.split())[:40] for sample in before.samples}
    assert {row[1][:40] for row in rows} <= answers


def test_without_records_there_is_no_conversation(monkeypatch):
    monkeypatch.setattr(claims, "best_stored", lambda *_: [])
    with pytest.raises(PageError, match="forgetting run operation"):
        conversation.before_and_after()


# -- choosing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "loss", "side"),
    [
        (-0.3, CHAT, "better"),
        (0.3, CHAT, "worse"),
        (0.05, CHAT, "level"),
        (-0.3, REFUSING, "worse"),
        (0.3, REFUSING, "better"),
    ],
)
def test_a_method_is_worse_only_where_its_whole_interval_is(mean, loss, side):
    assert choosing.side(effect(mean, 0.1), loss) == side


def test_the_choice_is_the_cheapest_method_that_learned_enough_and_lost_no_more():
    better, worse, level = effect(-0.3, 0.1), effect(0.3, 0.1), effect(0.0, 0.1)
    found = [
        place("full", 1_000_000, 0.30, chat=None, refusing=None),
        place("cheap, lost", 10_000, 0.30, chat=better, refusing=effect(-0.3, 0.1)),
        place("cheap, learned little", 20_000, 0.10, chat=better, refusing=level),
        place("fitting", 200_000, 0.28, chat=level, refusing=level),
        place("fitting, dearer", 300_000, 0.30, chat=better, refusing=level),
        place("lost", 50_000, 0.30, chat=worse, refusing=level),
        place("beyond", 40_000, 0.40, chat=None, refusing=None),
    ]
    text = choosing.choice(found, plane.Plane("zh.nats", "Chinese", (CHAT, REFUSING)))
    assert "at least 90% of what training everything did is **fitting**: 200 k weights move" in text
    assert "2.3 MiB instead of 11, and a run took 20 s instead of 100" in text
    assert "If less will do, cheap, learned little is cheaper still" in text
    assert "learned 0.1 nats a token, training everything 0.3." in text


def test_where_nothing_fits_the_page_says_so():
    found = [
        place("full", 1_000_000, 0.30, chat=None),
        place("lost", 50_000, 0.30, chat=effect(0.3, 0.1)),
    ]
    axes = plane.Plane("zh.nats", "Chinese", (CHAT,))
    assert "no method was worse in neither" in choosing.choice(found, axes)
    alone = choosing.comparison(found[:1], CHAT, axes.in_words)
    assert "can be compared at matched learning" in alone


def test_where_all_move_the_same_weights_none_is_the_cheapest():
    found = [place(name, 1_000_000, 0.30, chat=effect(0.0, 0.1)) for name in ("gold", "own")]
    axes = plane.Plane("zh.nats", "Chinese", (CHAT,), plain="gold")
    assert choosing.choice(found, axes) == ""


def test_the_page_on_choosing_says_what_the_records_say():
    text = choosing.page(plane.measured(), CONTENTS)
    row = next(cells(line) for line in text.splitlines() if line.startswith("| LoRA |"))
    here = plane.measured()["freezing"].places["LoRA"]
    assert row[3:5] == ["461 k (0.34%)", "5.3"]
    assert row[6] == plane.change(here.learned)
    assert "{doc}`records </records/freezing>`" in text
    assert "Nothing has been run yet." in choosing.page({}, CONTENTS)


# -- method cards ------------------------------------------------------------------------------


def test_every_row_of_the_chapters_has_a_card_and_every_card_has_rows():
    """A new row of `methods` needs a card, and a card speaks of nothing that does not exist."""
    chapters = (methods.lora_rows(), methods.own_words_rows(), methods.operation_rows())
    every = itertools.chain(methods.freezing_rows(30), *chapters)
    rows = {name.split(" ×")[0] for name in every} | {*sequences.METHODS, sequences.MULTITASK}
    on_cards = [row for card in method.cards() for row in card.rows]
    assert len(set(on_cards)) == len(on_cards), "a row stands on two cards"
    assert rows <= set(on_cards)
    assert set(on_cards) - rows <= {"only last"}


def test_a_symbol_is_found_without_importing_it():
    path, line = method.where("forgetting.tuning.LoRA")
    source = (REPOSITORY / "src" / "forgetting" / path).read_text().splitlines()
    assert source[line - 1] == "class LoRA(Tuning):"
    with pytest.raises(LookupError, match=r"forgetting\.tuning defines no LORA"):
        method.where("forgetting.tuning.LORA")


@pytest.mark.parametrize("card", method.cards(), ids=lambda card: card.name)
def test_a_card_names_code_that_exists_and_says_all_it_should(card):
    text = method_cards.page(card, plane.measured(), CONTENTS)
    for symbol in card.symbols:
        assert f"[`{symbol}`]({markup.REPOSITORY}/blob/main/src/forgetting/" in text
    assert card.idea in text and card.cost in text and card.use in text
    assert re.search(r"Records|records|No run of it is in the book yet", text)
    assert card.equation.count("{") == card.equation.count("}")


def test_the_small_plane_names_its_own_methods_and_keeps_all_marks_on_the_sheet():
    found = plane.measured()["lora"]
    loss = plane.PLANES["lora"].losses[0]
    drawn = small_plane.drawn(list(found.places.values()), {"LoRA r 4"}, "function calls", loss)
    svg = ElementTree.fromstring(drawn)
    named = [text.text for text in svg.iter("text")]
    assert "LoRA r 4" in named and "LoRA r 64" not in named
    assert [title.text for title in svg.iter("title")] == [
        m for m in found.places if m != "LoRA r 4"
    ]
    for mark in svg.iter("circle"):
        assert small_plane.LEFT <= float(mark.get("cx")) <= small_plane.WIDTH
        assert 0 <= float(mark.get("cy")) <= small_plane.HEIGHT - small_plane.BOTTOM
    assert "LoRA r 4 learned" in svg.get("aria-label") and "3 other methods" in svg.get(
        "aria-label"
    )


def test_a_card_shows_its_runs_with_interval_and_seeds():
    (lora,) = [card for card in method.cards() if card.name == "lora"]
    text = method_cards.page(lora, plane.measured(), CONTENTS)
    row = next(cells(line) for line in text.splitlines() if line.startswith("| LoRA |"))
    here = plane.measured()["freezing"].places["LoRA"]
    assert row == [
        "LoRA",
        "0.001",
        "3",
        "461 k",
        plane.change(here.learned),
        plane.change(here.lost["chat answers"]),
        plane.change(here.lost["lead of refusing"]),
    ]
    assert "No run of it" in method_cards.page(lora, {}, CONTENTS)


# -- records and status ------------------------------------------------------------------------


def test_every_published_record_stands_on_its_chapters_page_with_its_recipe():
    found = run_records.pages(CONTENTS)
    text = found[Path("records/freezing.md")]
    keys = {path.stem for path in (REPOSITORY / "results" / "freezing").glob("*.json")}
    assert set(re.findall(r'<a id="(\w+)"', text)) == keys
    assert "zh_articles, LoRA, 5120 tokens" in text
    recipe = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert recipe and "lineage" in json.loads(html.unescape(recipe[1]))
    assert "</records/freezing>" in found[Path("records/index.md")]


def test_the_status_page_adds_up_what_the_records_took():
    text = status.page(CONTENTS)
    stored = records.stored("freezing")
    row = next(cells(line) for line in text.splitlines() if "/records/freezing>" in line)
    assert row[3] == f"{{doc}}`{len(stored)} </records/freezing>`"
    assert row[5] == f"{sum(record.timing['seconds'] for record in stored) / 60:.0f}"
    assert "`taiwan_md_zh`" in text and "torch" in text


def test_data_sets_are_those_of_the_tasks_that_records_name():
    (untouched,) = records.select(records.stored("freezing"), method="untouched")
    found = status.data_sets([untouched])
    assert {"taiwan_md_zh", "wikitext2_valid_test"} <= found
    assert not any(":" in name for name in found)


# -- figures and tables lead to records --------------------------------------------------------


def shown(**data) -> list:
    return [new_output("display_data", data)]


def test_figures_and_tables_of_records_get_a_link_and_nothing_else_does():
    picture = {"image/png": "iVBORw0K"}
    drawn = new_output("display_data", picture, metadata={"image/png": {"alt": "a"}})
    signed = new_output("display_data", picture, metadata={"image/png": {"records": True}})
    page = [
        new_markdown_cell("# A"),
        new_code_cell("anatomy()", outputs=[drawn]),
        new_code_cell("plane()", outputs=[signed]),
        new_code_cell("table()", outputs=shown(**{"text/html": '<table class="dataframe">'})),
        new_code_cell("print()", outputs=[new_output("stream", name="stdout", text="x")]),
    ]
    found = book.with_records(page, "freezing")
    linked = [
        before.source
        for before, after in itertools.pairwise(found)
        if "</records/freezing>" in after.source
    ]
    assert linked == ["plane()", "table()"]
    assert [cell["id"] for cell in found] == [f"cell-{n:03d}" for n in range(7)]


# -- all of them -------------------------------------------------------------------------------


def test_generated_pages_name_no_page_that_is_not_there():
    made = pages(["01_freezing"])
    known = {str(path.with_suffix("")) for path in made}
    known |= {"notebooks/01_freezing", "how_to_read", "tasks/index"}
    for path, text in made.items():
        for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text):
            page = target[1:] if target.startswith("/") else str(path.parent / target)
            assert page in known, f"{path}: {target}"


def test_an_interrupted_promise_becomes_one_line_of_the_builder(tmp_path, monkeypatch):
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: welcome\n")
    monkeypatch.setattr(claims, "scoreboard", lambda: [verdict(why="")])
    with pytest.raises(book.BookError, match="claim 'toy': it is contradicted and has no `why`"):
        book.stage(tmp_path)


def test_addresses_of_the_repository_agree():
    config = yaml.safe_load((REPOSITORY / "_config.yml").read_text())
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert markup.REPOSITORY == config["repository"]["url"] == citation["repository-code"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    cited = (REPOSITORY / "book" / "bibliography.md").read_text()
    assert f"version = {{{project['version']}}}" in cited
    assert citation["version"] == project["version"] and citation["title"] in cited


# -- the script of sortable tables -------------------------------------------------------------

TABLE = """<!doctype html><meta charset="utf-8"><script>{script}</script>
<table class="sortable choose-verdict">
<thead><tr><th><p>effect</p></th><th>verdict</th><th>weights</th></tr></thead><tbody>
<tr><td>−0.5 [−1, 0]</td><td>holds</td><td>461 k (0.3%)</td></tr>
<tr><td>–</td><td>not run</td><td>26.5 M (20%)</td></tr>
<tr><td>10 [9, 11]</td><td>holds</td><td>58 k (0.1%)</td></tr>
<tr><td>9 [8, 10]</td><td>contradicted</td><td>1,134</td></tr>
</tbody></table>"""


def test_the_script_of_tables_asks_nobody_and_writes_no_html():
    script = (REPOSITORY / "book" / "_static" / "sortable.js").read_text()
    for word in ("fetch(", "XMLHttpRequest", "innerHTML", "http:", "https:", "eval(", "import "):
        assert word not in script


def in_browser(folder: Path, html: str, view: str) -> str:
    """The page as it stands after the script has run."""
    if not shutil.which("chromium"):
        pytest.skip("needs chromium")
    script = (REPOSITORY / "book" / "_static" / "sortable.js").read_text()
    page = folder / "page.html"
    page.write_text(html.replace("{script}", script))
    quiet = ("background-networking", "component-update", "sync", "gpu", "quic")
    command = ["chromium", "--headless", "--no-sandbox", "--no-first-run", "--dump-dom"]
    command += [f"--disable-{what}" for what in quiet]
    command += [f"--user-data-dir={folder / 'profile'}", f"{page.as_uri()}{view}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_click_and_a_choice_change_the_table_and_its_address(tmp_path):
    clicks = """<script>addEventListener("load", () => {
        document.querySelectorAll("th button")[0].click();
        document.querySelectorAll("th button")[0].click();
        const menu = document.querySelector("select");
        menu.value = "holds";
        menu.dispatchEvent(new Event("change"));
        document.title = location.hash;
    });</script>"""
    dom = in_browser(tmp_path, TABLE + clicks, "")
    assert "<title>#sort=effect&amp;down=1&amp;verdict=holds</title>" in dom
    assert re.findall(r"<tr><td>(\S+)", dom) == ["10", "−0.5"]


@pytest.mark.parametrize(
    ("view", "effects", "sorted_by"),
    [
        ("", ["−0.5", "–", "10", "9"], None),
        ("#sort=effect", ["−0.5", "9", "10", "–"], ("effect", "ascending")),
        ("#sort=effect&down=1", ["10", "9", "−0.5", "–"], ("effect", "descending")),
        ("#sort=weights", ["9", "10", "−0.5", "–"], ("weights", "ascending")),
        ("#verdict=holds&sort=effect&down=1", ["10", "−0.5"], ("effect", "descending")),
        ("#words=NOT+run", ["–"], None),
    ],
)
def test_an_address_brings_back_its_view_of_a_table(tmp_path, view, effects, sorted_by):
    dom = in_browser(tmp_path, TABLE, view)
    shown = re.findall(r"<tr><td>(\S+?)(?: .*?)?</td>", dom.partition("<tbody>")[2])
    assert shown == effects  # hidden rows are <tr hidden="">
    heads = re.findall(r'<th aria-sort="(\w+)"><button.*?>(?:<p>)?(\w+)', dom)
    assert [(name, order) for order, name in heads if order != "none"] == [
        pair for pair in [sorted_by] if pair
    ]
    assert re.search(r'<label for="(sortable-verdict-0)">verdict <select id="\1">', dom)
    assert f"{len(effects)} of 4 rows" in dom
