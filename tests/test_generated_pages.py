"""Generated pages: what they say of records and claims, and what breaks them."""

import html
import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import browser
import pytest
import yaml
from pybtex.database import parse_string
from studies import NOT_RUN, drifting, run, scores, verdict

from forgetting import chapters, method, tasks, wording
from forgetting.chapters import published
from forgetting.evidence import papers, records
from forgetting.evidence.claims import Verdict
from forgetting.evidence.intervals import Effect
from forgetting.site import coursework, markup, plane, times
from forgetting.site.markup import BookError, Contents
from forgetting.site.pages import (
    board,
    cards,
    choosing,
    citing,
    drift,
    method_cards,
    pages,
    run_records,
)
from forgetting.site.plane import Measured, Place
from forgetting.tasks import Task
from forgetting.views import theme

REPOSITORY = Path(__file__).parents[1]
FREEZING = REPOSITORY / "notebooks" / "01_freezing.ipynb"
CONTENTS = Contents(("01_freezing",))
AXES = chapters.experiment("freezing").plane
CHAT, REFUSING = AXES.losses
METHODS = method.cards()


def effect(mean: float, half: float) -> Effect:
    return Effect(mean=mean, low=mean - half, high=mean + half, items=10, seeds=3)


BETTER, WORSE = effect(-0.3, 0.1), effect(0.3, 0.1)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def row_of(text: str, beginning: str) -> list[str]:
    return next(cells(line) for line in text.splitlines() if line.startswith(beginning))


@pytest.fixture(scope="module")
def runs() -> dict[str, Measured]:
    return plane.measured()


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return published.scoreboard()


@pytest.fixture(scope="module")
def made(runs, verdicts) -> dict[str, str]:
    """Every page of a book whose one chapter is that on freezing."""
    with pytest.MonkeyPatch.context() as patch:  # each is made once
        patch.setattr(plane, "measured", lambda: runs)
        patch.setattr(published, "scoreboard", lambda: verdicts)
        made = pages([FREEZING]) | cards.pages()
    return {str(path): text for path, text in made.items()}


def test_pages_have_a_title_and_whole_tables_and_name_only_pages_that_are_there(made):
    known = {path.removesuffix(".md") for path in made} | {"notebooks/01_freezing"}
    known |= {path.stem for path in (REPOSITORY / "book").glob("*.md")}
    rules = {":---", "---:", "---"}
    for path, text in made.items():
        prose = re.sub(r"^(`{3,}).*?^\1", "block", text, flags=re.MULTILINE | re.DOTALL)
        assert len(re.findall(r"^# \S", prose, re.MULTILINE)) == 1, path
        assert not re.search(r"\n{4}|\{%|%\}|\| None \|", prose), path
        for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
            widths = {len(cells(line)) for line in table.splitlines()}
            assert len(widths) == 1 and set(cells(table.splitlines()[1])) <= rules, (path, table)
        for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text):
            page = target[1:] if target.startswith("/") else str(Path(path).parent / target)
            assert page in known, f"{path}: {target}"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (lambda: board.scoreboard([], CONTENTS), "No claim has been judged yet."),
        (lambda: board.failures([verdict(**NOT_RUN)], CONTENTS), "No claim failed so far"),
        (lambda: choosing.page({}, CONTENTS), "Nothing has been run yet."),
        (lambda: run_records.index({}, CONTENTS), "There are none yet."),
        (lambda: method_cards.page(METHODS[0], {}, CONTENTS), "No run of it is in"),
    ],
)
def test_a_page_without_anything_to_show_says_so(page, words):
    assert words in page()


def test_addresses_of_the_repository_agree():
    config = yaml.safe_load((REPOSITORY / "_config.yml").read_text())
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert markup.REPOSITORY == config["repository"]["url"] == citation["repository-code"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (wording.plus_minus(0.25313, 0.0512), "+0.253\u00a0±\u00a00.051"),
        (wording.plus_minus(-0.00959, 0.0069), "−0.0096\u00a0±\u00a00.0069"),
        (wording.plus_minus(-2.08, 1.7), "−2.1\u00a0±\u00a01.7"),
        (wording.plus_minus(120.4, 33.0), "+120\u00a0±\u00a033"),
        (wording.plus_minus(0.5, 0.0), "+0.500\u00a0±\u00a00.000"),
        (wording.rate(1e-4), "1e-4"),
        (wording.rate(0.01), "0.01"),
        (wording.rate(2.5e-4), "2.5e-4"),
        (wording.listed(["a"]), "a"),
        (wording.listed(["a", "b", "c"]), "a, b and c"),
        (wording.count(1, "run"), "1 run"),
        (wording.count(1200, "run"), "1,200 runs"),
        (wording.did_you_mean("LoRa", ["DoRA", "LoRA"]), "did you mean 'LoRA'?"),
        (wording.did_you_mean("xyz", iter(["a", "b"]), "there are a, b"), "there are a, b"),
        (CONTENTS.link("chat_vector"), "chat vector"),  # it is not in the book: no link
        (CONTENTS.link("freezing"), "{doc}`freezing </notebooks/01_freezing>`"),
    ],
)
def test_numbers_lists_and_chapters_read_as_people_write_them(words, shown):
    assert words == shown


def test_the_scoreboard_counts_verdicts_and_links_chapters():
    later = verdict(id="later", reason="not run", **NOT_RUN)
    mine = verdict(id="mine", exploratory=True)
    text = board.scoreboard([later, verdict(q=0.01234, first="2026-11-20"), mine], CONTENTS)
    assert row_of(text, "| [reversed]") == ["[reversed]{.verdict .reversed}", "1", "1"]
    assert row_of(text, "| [undecided]") == ["[undecided]{.verdict .undecided}", "0", "0"]
    first, _, second = (cells(line) for line in text.splitlines() if line.startswith("| [Freezing"))
    assert " | ".join(first) == (  # what was run stands before what was not
        r"[Freezing \| keeps all]{#claim-toy} | [reversed]{.verdict .reversed} | "
        "−0.123 [−0.200,\u00a0−0.050] nats | above 0.02 | {cite:t}`li2024examining` | C1 | "
        "{doc}`freezing </notebooks/01_freezing>` | 0.012 | laptop | 3 seeds | – | "
        "2026-11-20 to 2026-11-21"
    )
    untested = ["[not tested]{.verdict .not-tested}", "not run", "above 0.02"]
    assert second[1:4] == untested and second[7:] == ["–", "–", "–", "–", "–"]
    assert "*(exploratory)*" in row_of(text, '| <a href="scoreboard.html#claim-mine')[0]


def test_the_scoreboard_opens_with_a_square_a_claim_paper_by_paper():
    """Of two papers one was tested: it stands first, and its squares in the order of verdicts."""
    fine = verdict(id="fine", verdict="holds", statement="A < B")
    later = verdict(id="later", paper="Abe (2020)", **NOT_RUN)
    text = board.scoreboard([later, verdict(), fine], CONTENTS)
    picture = text.partition("```{raw} html\n")[2].partition("```")[0]
    figure = ElementTree.fromstring(picture)
    assert figure.get("aria-label") == "3 claims by paper: 1 holds, 1 not tested, 1 reversed"
    rows = [[link.get("href") for link in row.iter("a")] for row in figure.iter("li")]
    assert rows == [["#claim-fine", "#claim-toy"], ["#claim-later"]]
    labels = [svg.get("aria-label") for svg in figure.iter("svg") if svg.get("role") == "group"]
    assert labels == ["Li & Lee (2024): 1 holds, 1 reversed", "Abe (2020): 1 not tested"]
    assert all(f"{{{link.get('href')}}}" in text for link in figure.iter("a"))


def test_every_statement_is_judged_by_claims_that_exist_or_stands_as_not_run(verdicts):
    designed = {claim.id for paper in papers.papers() for claim in paper.claims}
    stated = [statement for paper in papers.papers() for statement in paper.stated]
    ids = [statement.id for statement in stated]
    assert len(set(ids) | designed) == len(ids) + len(designed), "an id stands twice"
    assert {name for statement in stated for name in statement.judged_by} <= designed
    unjudged = {statement.id for statement in stated if not statement.judged_by}
    assert {verdict.id for verdict in verdicts} == designed | unjudged


def test_papers_are_in_the_bibliography_and_named_apart_and_none_was_recalled_instead_of_read():
    keys = set(re.findall(r"@\w+\{(\w+),", (REPOSITORY / "book/references.bib").read_text()))
    known = papers.papers()
    assert {paper.citation for paper in known} <= keys
    assert {key for card in METHODS for key in card.citations} <= keys
    assert len({p.short for p in known}) == len({p.citation for p in known}) == len(known)
    for path in (REPOSITORY / "data" / "papers").glob("*.toml"):
        text = path.read_text(encoding="utf-8").lower()
        assert not re.search(r"\[memory\]|(from|by) memory|recalled", text), path.name


def test_a_papers_statement_shows_the_verdict_of_each_claim_that_judges_it(made, verdicts):
    known = {v.id: v.verdict for v in verdicts}
    row = next(line for line in made["papers.md"].splitlines() if "Repetition is the most" in line)
    assert f"[{known['li2024-repetition']}]" in row
    assert 'href="scoreboard.html#claim-li2024-repetition"' in row


def test_what_did_not_reproduce_stands_with_effect_and_reason_or_with_what_keeps_it_open():
    board_of = [verdict(), verdict(id="fine", verdict="holds")]
    board_of.append(verdict(id="open", verdict="undecided", needed="6 more seeds", detectable=0.4))
    board_of.append(verdict(id="none", verdict="not tested", reason="Was it above chance? No."))
    text = board.failures(board_of, CONTENTS)
    assert "## Too small, or reversed (1)" in text and "#claim-fine" not in text
    assert "Claimed: above 0.02. Measured: −0.123 [−0.200,\u00a0−0.050] nats" in text
    assert "*Why:* It was small." in text and "*Scaled down:*" in text
    assert "## Undecided (1)" in text and "| above 0.02 | 0.4 | 6 more seeds |" in text
    assert "## Not tested (1)" in text and "Was it above chance? No." in text


def test_drift_is_held_against_every_loss_that_was_measured(monkeypatch):
    """Six trainings whose formats fall as they drift, and whose accuracy does not care."""
    stored = [
        run("full", 1e-4, seed, {
            "old text": {"forward_kl": [seed / 10], "tokens": [1]},
            "formats": {"followed": [1 - seed / 10]},
            "arc": {"acc": [seed % 2]},
            "margin harmful": {"acc": [0], "gold_margin": [0.5]},
        })
        for seed in range(6)
    ]  # fmt: skip
    monkeypatch.setattr(published, "runs", lambda name, *_: stored if name == "lora" else [])
    text = drift.page(CONTENTS)
    assert row_of(text, "| lora | old text | formats kept")[3:] == [
        "-1.00 [-1.00, -1.00]",
        "6",
        "a loss",
    ]
    assert row_of(text, "| lora | old text | accuracy: arc")[4:] == ["6", "–"]
    assert "accuracy: margin harmful" not in text and "In 1 of 3 rows" in text


def test_old_verdicts_stand_beside_the_new():
    text = board.changes([verdict(id="li2024-chat"), verdict(id="new")])
    row = row_of(text, "| <a href")
    assert row[1:4] == [
        "contradicted",
        "−0.0582 [−0.0756, −0.0409]",
        "[reversed]{.verdict .reversed}",
    ]
    assert "1 of\n1 verdicts changed" in text


def test_what_a_page_cannot_say_is_refused(verdicts):
    reason = r"claim 'toy': it is reversed and has no `why`; write.*freezing/cl"
    with pytest.raises(BookError, match=reason):
        board.failures([verdict(why="")], CONTENTS)
    with pytest.raises(BookError, match=r"judged_by='li2024-repetition': no claims\.toml of"):
        board.papers([v for v in verdicts if v.id != "li2024-repetition"])


def test_a_place_is_read_from_records_by_hand(runs):
    """Learned and lost of one arm against means taken from the files themselves."""
    here = runs["freezing"].places["LoRA"]
    mark = here.central
    assert (mark.rate, mark.seeds) == (1e-3, 3)  # the rate with the most seeds that learned most
    index = json.loads((REPOSITORY / "results" / "freezing.json").read_bytes())

    def nats(entry: dict, role: str) -> float:
        record = json.loads((REPOSITORY / f"results/records/{entry['system']}.json").read_bytes())
        session, probe = record["sessions"][entry["sessions"][0]], index["panels"][entry["panel"]]
        scores = session["scores"][probe[role]]
        return -sum(scores["items"]["log_likelihood"]) / sum(scores["tokens"])

    (before,) = [entry for entry in index["runs"] if entry.get("start")]
    central = {"method": "LoRA", "learning_rate": mark.rate}
    after = [entry for entry in index["runs"] if central.items() <= entry["labels"].items()]
    gain = sum(nats(before, "chinese") - nats(entry, "chinese") for entry in after) / len(after)
    loss = sum(nats(entry, "chat") - nats(before, "chat") for entry in after) / len(after)
    assert mark.learned.mean == pytest.approx(gain)
    assert mark.lost["chat answers"].mean == pytest.approx(loss)
    # At matched learning it is compared as the claim does.
    judged = next(v for v in published.verdicts("lora") if v.id == "lora-matched-r4")
    matched = runs["lora"].places["LoRA r 4"].matched["drift on old text"]
    assert matched is not None and matched.mean == judged.effect
    assert (matched.low, matched.high) == (judged.low, judged.high)
    # A gradient and two moments in 32 bits take twelve bytes a weight.
    assert Place("full", 2**20, 1.0, {}, ()).memory == 12


def test_every_chapter_with_a_plane_and_runs_is_on_it_and_draws_its_arms(runs):
    designs = {name: chapters.experiment(name) for name in chapters.names()}
    assert set(runs) == {name for name, design in designs.items() if design.plane}
    for name, of_chapter in runs.items():
        assert of_chapter.places and of_chapter.places.keys() <= of_chapter.looks.keys(), name


def test_of_runs_measured_after_several_epochs_the_last_make_the_place(monkeypatch):
    """Full training went from 5 to 4 to 2 nats and drifted 0, 0.1, 0.3.

    A divergence is read through its root: halfway, at 3 nats, that is ((√0.1 + √0.3) / 2)².
    """
    stored = [
        *drifting("untouched", 0.0, 0, 5.0, 0.0)[:1],
        *drifting("full", 1e-4, 1, 4.5, 9.0),  # beaten by the next: it must not count
        *drifting("full", 3e-5, 4, 4.0, 0.1),
        *drifting("full", 1e-4, 4, 2.0, 0.3),
        *drifting("LoRA r 4", 1e-3, 4, 3.0, 0.15),
        *drifting("(IA)³", 1e-2, 4, 1.0, 0.5),  # learned more than full training ever did
        *drifting("LoRA r 1", 1e-3, 4, 3.0, 0.15)[:2],  # two seeds
    ]
    monkeypatch.setattr(published, "runs", lambda name, *_: stored if name == "lora" else [])
    (chapter, runs), *others = plane.measured().items()
    assert (chapter, others) == ("lora", [])
    lora = runs.places["LoRA r 4"]
    assert lora.central.learned.mean == pytest.approx(2.0)
    matched = lora.matched["drift on old text"]
    assert matched and matched.mean == pytest.approx(0.15 - (0.1**0.5 + 0.3**0.5) ** 2 / 4)
    assert runs.places["(IA)³"].matched["drift on old text"] is None
    assert runs.places["LoRA r 1"].matched["drift on old text"] is None
    assert runs.places["full"].matched == {"drift on old text": None, "drift on old answers": None}


def test_a_chapters_minutes_are_those_of_its_words_and_of_one_seeds_runs():
    row = times.of_chapters([REPOSITORY / "notebooks" / "01_freezing.ipynb"]).splitlines()[2]
    chapter, reading, running = cells(row)
    assert chapter == "{doc}`Which part of the brain may we operate on? </notebooks/01_freezing>`"
    assert 3 <= int(reading) <= 15 and 10 <= int(running) <= 60


def test_of_sequences_the_tiers_methods_in_the_first_order_are_counted(monkeypatch):
    """Ten minutes each: the base, LAMOL's three steps; not MAS, another order, another seed."""
    asked = [("untouched", {}, 0)]
    asked += [("LAMOL", {"order": o}, 0) for o in ("sst", "sst, srl", "sst, srl, woz", "srl")]
    asked += [("MAS", {"order": "sst, srl"}, 0), ("LAMOL", {"order": "sst"}, 1)]
    took = {"timing": {"seconds": 600}, "environment": {"threads": "2"}, "experiment": "lamol"}
    stored = [run(arm, seed=seed, labels=order, **took) for arm, order, seed in asked]
    monkeypatch.setattr(published, "runs", lambda chapter, *_: stored)
    row = times.of_chapters([REPOSITORY / "notebooks" / "05_lamol.ipynb"]).splitlines()[-1]
    assert cells(row)[2] == "40"


def test_a_method_is_worse_only_where_its_whole_interval_is():
    assert [choosing.side(change, CHAT) for change in (BETTER, WORSE)] == ["better", "worse"]
    assert [choosing.side(change, REFUSING) for change in (BETTER, WORSE)] == ["worse", "better"]
    assert choosing.side(effect(0.05, 0.1), CHAT) == "level"


def test_choosing_cards_and_status_say_what_the_records_say(made, runs):
    here = runs["freezing"].places["LoRA"].central
    learned, *lost = map(markup.change, (here.learned, *here.lost.values()))
    text = made["choosing.md"]
    rate = f'data-row="LoRA {here.rate:g}"'
    row = re.search(rf'<tr data-share="[^"]*" {rate}.*?</tr>', text, re.DOTALL)
    assert row and "461 k (0.34\u00a0%)" in row[0] and f"<td>{learned}</td>" in row[0]
    assert "{doc}`records </records/freezing>`" in made["choosing.md"]
    row = row_of(made["methods/lora.md"], "| LoRA |")
    assert row == ["LoRA", f"{here.rate:g}", "3", "461 k", learned, *lost]
    stored = records.stored("freezing")
    row = row_of(made["status.md"], "| {doc}`freezing <")
    assert row[3] == f"{{doc}}`{len(stored)} </records/freezing>`"
    assert row[5] == f"{sum(run.timing['seconds'] for run in stored) / 60:.0f}"
    assert "`taiwan_md_zh`" in made["status.md"] and "torch" in made["status.md"]
    names = run_records.data_sets([records.start_of(stored)])  # those of its tasks
    assert {"taiwan_md_zh", "wikitext2_valid_test"} <= names
    drift = run(asked={"old text": scores("wikitext2:drift", forward_kl=[0.0])})
    assert run_records.data_sets([drift]) == {"wikitext2_valid_test"}


def test_every_arm_is_about_a_method_that_has_a_page():
    members = {name for card in METHODS for name in card.members}
    for chapter in chapters.names():
        about = dict(theme.curves(chapters.experiment(chapter)))
        assert set(about.values()) <= members, chapter


@pytest.mark.parametrize("card", METHODS, ids=lambda card: card.name)
def test_a_card_names_code_that_exists_and_says_all_it_should(card, made):
    text = made[f"methods/{card.name}.md"]
    for symbol in card.symbols:
        assert f"[`{symbol}`]({markup.REPOSITORY}/blob/main/src/forgetting/" in text
    assert card.idea in text and card.cost in text and card.use in text
    assert re.search(r"Records|records|No run of it is in the book yet", text)
    assert card.equation.count("{") == card.equation.count("}")


def test_a_card_opens_with_the_verdicts_of_claims_about_its_method(made, verdicts):
    """ "Loses less than full" is about LoRA, not about full training."""
    text = made["methods/lora.md"].partition("## The idea")[0]
    known = {v.id: v for v in verdicts}
    assert markup.badge(known["lora-matched-r4"].verdict) in text
    assert '<a href="../scoreboard.html#claim-lora-matched-r4">' in text
    (full,) = [card for card in METHODS if "Full" in card.members]
    about_full = {v.id for v in method_cards.about(full, verdicts)}
    assert "lora-matched-r4" not in about_full and about_full
    shown = {v.id for card in METHODS for v in method_cards.about(card, verdicts)}
    of_all = {c.id for p in papers.papers() for c in p.claims if "method" not in c.left}
    tested = {v.id for v in verdicts if v.verdict != "not tested"}
    assert tested - shown <= of_all, "a claim on no card"


def test_the_citation_is_made_from_one_file(tmp_path):
    (tmp_path / "CITATION.cff").write_text(
        "title: A book\nversion: 2.0\ndate-released: 2026-11-21\nlicense: MIT\n"
        "repository-code: https://example.org/a\n"
        "authors: [{name: The authors}, {family-names: Abe, given-names: K.}]\n"
    )
    text = citing.page(tmp_path)
    assert "  author  = {{The authors} and Abe, K.}," in text and "  year    = {2026}," in text
    entry = re.search(r"@software\{.*?^\}", text, re.DOTALL | re.MULTILINE)
    read = parse_string(entry[0], "bibtex").entries["forgetting"]
    assert read.fields["title"] == "A book" and read.fields["url"] == "https://example.org/a"
    assert [str(person) for person in read.persons["author"]] == ["{The authors}", "Abe, K."]


def test_a_lesson_has_its_minutes_its_bets_and_its_exercises(made, verdicts):
    text = made["teach.md"]
    row = row_of(text, "| {doc}`Which part of the brain")
    assert row[1:3] == cells(times.of_chapters([FREEZING]).splitlines()[2])[1:]
    assert "forgetting run freezing --tier classroom" in text
    exercises = coursework.exercises_of(FREEZING)
    assert row[3] == str(len(exercises)) and all(f"* {e.title}\n" in text for e in exercises)
    bets = re.findall(r"scoreboard\.html#claim-([\w-]+)", text)
    known = {v.id: v for v in verdicts}
    assert len(bets) == 3 and all(known[bet].verdict != "not tested" for bet in bets)


def test_how_to_add_ones_own_is_the_text_that_contributors_read():
    page = (REPOSITORY / "book" / "add_your_own.md").read_text()
    after = re.search(r":start-after: (.*)", page)[1]
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert text.count(after) == 1
    shown = text.partition(after)[2]
    assert re.findall(r"^## (.*)", shown, re.MULTILINE) == [
        f"Add a {kind}" for kind in ("method", "task", "claim", "chapter")
    ]


def test_where_a_methods_runs_lie_each_arm_stands_once(made):
    text = made["methods/lora.md"].partition("## Where its runs lie")[2]
    rows = [cells(line)[0] for line in text.splitlines() if line.startswith("| LoRA")]
    assert rows == ["LoRA", "LoRA r 4", "LoRA r 64"]
    text = made["methods/lamol.md"]
    assert "3 tasks in turn (sst, srl, woz)" in text and "| LAMOL task tokens | 3 |" in text


def test_every_task_has_a_card_and_none_repeats_a_request_of_the_alignment_family(made):
    together = "\n".join(made.values())
    for task in map(Task, tasks.names()):
        assert f"# {task.name}\n" in made[f"tasks/{task.name}.md"]
        assert f"[{task.name}]({task.name}.md)" in made["tasks/index.md"]
        if task.family == "alignment" and not task.missing():
            for document in task.documents("test"):
                assert document["prompt"] not in together, f"{task.name} shows one of its requests"


def test_every_published_run_stands_on_its_chapters_page_with_its_recipe(made):
    text = made["records/freezing.md"]
    index = json.loads((REPOSITORY / "results" / "freezing.json").read_bytes())
    keys = [entry["system"] for entry in index["runs"]]
    assert sorted(re.findall(r'<a id="(\w+)"', text)) == sorted(keys)
    assert all(f"/results/records/{key}.json" in text for key in keys)
    assert "zh_articles, LoRA, 5120 tokens" in text and "as it was" in text
    recipe = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert recipe and "lineage" in json.loads(html.unescape(recipe[1]))
    assert "</records/freezing>" in made["records/index.md"]


def test_a_merge_has_its_recipe_and_a_system_with_two_runs_one_anchor():
    lineage = {"e" * 20: {"step": "merge", "how": {"kind": "ties"}}}
    merged = run("half way", key="e" * 20, lineage=lineage)
    twice = [run("untouched", key="b" * 20, design=design) for design in ("a", "b")]
    text = run_records.chapter_page("freezing", [merged, *twice], CONTENTS)
    assert "<summary>merge, ties</summary>" in text and "<td>0.0001</td>" in text
    assert re.findall(r'<a id="(\w+)"', text) == ["e" * 20, "b" * 20]
    assert text.count("<tr>\n<td>") == 3


STATIC = REPOSITORY / "book" / "_static"
TABLE = f"""<!doctype html><meta charset="utf-8">
<script>{(STATIC / "sortable.js").read_text()}</script>
<table class="sortable choose-verdict">
<thead><tr><th><p>effect</p></th><th>verdict</th><th>weights</th></tr></thead><tbody>
<tr><td>−0.5 [−1, 0]</td><td>holds</td><td>461 k (0.3%)</td></tr>
<tr><td>–</td><td>not tested</td><td>26.5 M (20%)</td></tr>
<tr><td>10 [9, 11]</td><td>holds</td><td>58 k (0.1%)</td></tr>
<tr><td>9 [8, 10]</td><td>reversed</td><td>1,134</td></tr>
</tbody></table>"""


@pytest.mark.parametrize("script", sorted(STATIC.glob("*.js")), ids=lambda path: path.stem)
def test_a_script_asks_nobody_and_writes_no_html(script):
    for word in ("fetch(", "XMLHttpRequest", "innerHTML", "http:", "https:", "eval(", "import "):
        assert word not in script.read_text()


def test_a_click_and_a_choice_change_the_table_and_its_address(tmp_path):
    clicks = """<script>addEventListener("load", () => {
        document.querySelectorAll("th button")[0].click();
        document.querySelectorAll("th button")[0].click();
        const menu = document.querySelector("select");
        menu.value = "holds";
        menu.dispatchEvent(new Event("change"));
        document.title = location.hash;
    });</script>"""
    dom = browser.seen(tmp_path, TABLE + clicks)
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
        ("#words=NOT+tested", ["–"], None),
    ],
)
def test_an_address_brings_back_its_view_of_a_table(tmp_path, view, effects, sorted_by):
    dom = browser.seen(tmp_path, TABLE, view)
    shown = re.findall(r"<tr><td>(\S+?)(?: .*?)?</td>", dom.partition("<tbody>")[2])
    assert shown == effects  # hidden rows are <tr hidden="">
    heads = re.findall(r'<th aria-sort="(\w+)"><button.*?>(?:<p>)?(\w+)', dom)
    assert [(name, order) for order, name in heads if order != "none"] == [
        pair for pair in [sorted_by] if pair
    ]
    assert re.search(r'<label for="(sortable-verdict-0)">verdict <select id="\1">', dom)
    assert f"{len(effects)} of 4 rows" in dom
