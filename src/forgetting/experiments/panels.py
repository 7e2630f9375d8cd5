"""Panels: what a chapter asks of every checkpoint."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from forgetting.evidence.records import Tier
from forgetting.experiments import budgets
from forgetting.probes.measures import Answered, Drift, Spectrum, ToldApart
from forgetting.tasks import Task

if TYPE_CHECKING:
    from forgetting.probes.evaluation import Asked

Source = Literal["auto", "public", "bundled"]


DRAWN_FROM = 20  # LAMOL's top-k at test time


class Row(NamedTuple):
    """A panel's row: what it stands for, its public task, its stand-in, items at `laptop`.

    A task without a public form is written for the book and stands in both columns. `sweep` rows
    are all that is asked beside the central runs: likelihoods, choices, little that generates.
    `drift` rows ask how far the model's words lie from the foundation's on the task's documents,
    cut at `length` tokens, rather than the task.
    """

    role: str
    public: str
    bundled: str
    items: int
    sweep: bool = False
    drift: bool = False
    length: int = 256
    form: Literal["", "greedy", "drawn", "told apart"] = ""

    def asked(self, source: Literal["public", "bundled"], items: int | None = None) -> Asked:
        """What the row asks of a model, with so many items (None: all)."""
        name = self.public if source == "public" else self.bundled
        if name == Spectrum().name:
            return Spectrum()
        task = Task(name, items)
        if self.form:
            return _in_form(task, self.form)
        return Drift(task, self.length) if self.drift else task


def _in_form(task: Task, form: str) -> Asked:
    """A task of a sequence, asked in LAMOL's form."""
    if form == "told apart":
        return ToldApart(task)
    return Answered(task, DRAWN_FROM if form == "drawn" else None)


class Panel(NamedTuple):
    """What a chapter teaches, what it asks of every checkpoint, whose answers its records keep."""

    taught: Row
    rows: tuple[Row, ...]
    shown: tuple[str, ...]


CHINESE = Row("chinese", "zh_articles", "zh_everyday", 16, sweep=True)
REFUSAL = Row("margin harmful", "refusal_margin_advbench", "refusal_margin_harmful_en", 12, True)
CALLS = Row("calls", "openfunctions", "mini_calls", 32)
QUESTIONS = ("prompts_en", "prompts_zh")
# What is asked of a model that was taught to write function calls.
AFTER_CALLS = (
    CALLS,
    Row("new answers", "openfunctions", "mini_calls", 24, sweep=True, drift=True),
    Row("old text", "wikitext2", "english", 8, sweep=True, drift=True),
    Row("old answers", "dolly", "chat", 12, sweep=True, drift=True),
    Row("hellaswag", "hellaswag_pinned", "hellaswag_standin", 24, sweep=True),
    Row("arc challenge", "arc_challenge_pinned", "arc_easy_standin", 48, sweep=True),
    Row("winogrande", "winogrande_pinned", "winogrande_standin", 48, sweep=True),
    Row("formats", "formats", "formats", 24),
    Row("harmful", "advbench", "harmful_en", 8),
    Row("harmless", "xstest_safe", "harmless_en", 8),
    REFUSAL,
    Row("margin harmless", "refusal_margin_xstest", "refusal_margin_harmless_en", 12, sweep=True),
)
# What LAMOL learns one after another, and the stand-ins: the tasks of its experiments A and B.
SEQUENCE = {
    "sst": ("sst", "mini_sentiment"),
    "srl": ("qa_srl", "mini_roles"),
    "woz": ("woz", "mini_state"),
    "squad": ("squad", "mini_qa"),
    "sql": ("wikisql", "mini_sql"),
}

LABEL = Row("label", "sst_chat", "mini_sentiment_chat", 48)
# What is asked of a model that was taught to judge reviews.
AFTER_LABELS = (
    Row("formats", "formats", "formats", 48),
    Row("old text", "wikitext2", "english", 8, sweep=True, drift=True),
    Row("old answers", "dolly", "chat", 12, sweep=True, drift=True),
    Row("hellaswag", "hellaswag_pinned", "hellaswag_standin", 24),
    Row("arc", "arc_easy_pinned", "arc_easy_standin", 48, sweep=True),
    REFUSAL,
    Row("questions", "prompts_en", "prompts_en", 6),
    Row("questions in chinese", "prompts_zh", "prompts_zh", 6),
)
ASKED = Row("label", "sst_asked", "mini_sentiment_asked", 96, sweep=True)

PANELS = {
    "operation": Panel(
        taught=LABEL,
        rows=(
            LABEL,
            Row("new answers", "sst_chat", "mini_sentiment_chat", 48, sweep=True, drift=True),
            Row("json", "sst_json", "mini_sentiment_json", 24),
            Row(
                "json answers", "sst_json", "mini_sentiment_json", 24, True, drift=True, length=384
            ),
            *AFTER_LABELS,
        ),
        shown=(*QUESTIONS, "sst_chat", "mini_sentiment_chat", "sst_json", "mini_sentiment_json"),
    ),
    "freezing": Panel(
        taught=CHINESE,
        rows=(
            CHINESE,
            Row("english", "wikitext2", "english", 12, sweep=True),
            Row("chat", "dolly", "chat", 24, sweep=True),
            Row("hellaswag", "hellaswag_pinned", "hellaswag_standin", 24),
            Row("arc", "arc_easy_pinned", "arc_easy_standin", 48, sweep=True),
            Row("winogrande", "winogrande_pinned", "winogrande_standin", 48, sweep=True),
            Row("formats", "formats", "formats", 48),
            Row("harmful", "advbench", "harmful_en", 8),
            Row("harmless", "xstest_safe", "harmless_en", 8),
            Row("harmful in chinese", "harmful_zh", "harmful_zh", 8),
            REFUSAL,
            Row("margin harmless", "refusal_margin_xstest", "refusal_margin_harmless_en", 12),
            Row("margin in chinese", "refusal_margin_harmful_zh", "refusal_margin_harmful_zh", 12),
            Row("questions", "prompts_en", "prompts_en", 6),
            Row("questions in chinese", "prompts_zh", "prompts_zh", 6),
        ),
        shown=QUESTIONS,
    ),
    "lora": Panel(
        taught=CALLS,
        rows=(*AFTER_CALLS, Row("spectrum", "spectrum", "spectrum", 1)),
        shown=("openfunctions", "mini_calls"),
    ),
    "own_words": Panel(
        taught=CALLS,
        rows=(
            *AFTER_CALLS,
            Row("truthful", "truthfulqa_mc1_pinned", "arc_easy_standin", 24, sweep=True),
            Row(
                "margin obedient",
                "refusal_margin_advbench_obedient",
                "refusal_margin_harmful_zh",
                12,
                sweep=True,
            ),
        ),
        shown=("openfunctions", "mini_calls"),
    ),
    # The same skill as the first chapter's, in whatever words.
    "own_answers": Panel(
        taught=ASKED,
        rows=(
            ASKED,
            Row("new answers", "sst_asked", "mini_sentiment_asked", 48, sweep=True, drift=True),
            Row("json", "sst_json", "mini_sentiment_json", 24),
            Row("harmful", "advbench", "harmful_en", 8),
            *AFTER_LABELS,
        ),
        shown=(*QUESTIONS, "sst_asked", "mini_sentiment_asked"),
    ),
    "lamol": Panel(
        taught=Row("sst", *SEQUENCE["sst"], 32, form="greedy"),
        rows=(
            *(Row(name, *pair, 32, True, form="greedy") for name, pair in SEQUENCE.items()),
            *(
                Row(f"{name}, told apart", *pair, 32, form="told apart")
                for name, pair in SEQUENCE.items()
            ),
            *(Row(f"{name}, drawn", *pair, 32, form="drawn") for name, pair in SEQUENCE.items()),
        ),
        shown=(),
    ),
}
# Everything that may be lost: all the knowledge, commonsense, reading, form and manners that a book
# without a target of its own can ask for. No answer is longer than 64 tokens; IFEval's are.
RETENTION: dict[Literal["public", "bundled"], dict[str, int]] = {
    "public": {
        "hellaswag_pinned": 100,
        "arc_easy_pinned": 160,
        "arc_challenge_pinned": 160,
        "openbookqa_pinned": 160,
        "piqa_pinned": 120,
        "winogrande_pinned": 160,
        "boolq_pinned": 40,
        "truthfulqa_mc1_pinned": 40,
        "knowledge_zh": 68,
        "lambada_pinned": 100,
        "wikitext2": 32,
        "dolly": 48,
        "formats": 48,
        "formats_zh": 40,
        "advbench": 30,
        "xstest_safe": 30,
        "harmful_zh": 30,
        "harmless_zh": 30,
        "refusal_margin_advbench": 48,
        "refusal_margin_xstest": 48,
        "refusal_margin_harmful_zh": 30,
        "prompts_en": 16,
        "prompts_zh": 16,
    },
    "bundled": {
        "hellaswag_standin": 80,
        "arc_easy_standin": 80,
        "winogrande_standin": 80,
        "facts_en": 432,
        "facts_zh": 432,
        "knowledge_zh": 68,
        "english": 44,
        "chat": 60,
        "formats": 48,
        "formats_zh": 40,
        "harmful_en": 30,
        "harmless_en": 30,
        "harmful_zh": 30,
        "harmless_zh": 30,
        "refusal_margin_harmful_en": 30,
        "refusal_margin_harmless_en": 30,
        "refusal_margin_harmful_zh": 30,
        "prompts_en": 16,
        "prompts_zh": 16,
    },
}

# The smoke tier asks a few items of everything; `full` asks several times the laptop's.
SCALE: dict[Tier, float] = {"smoke": 0, "classroom": 0.7, "laptop": 1, "full": 8, "paper": 40}


def from_file(path: Path) -> Panel:
    """A chapter's panel from its TOML file. Raises `budgets.BadChapter`.

    `[taught]` and every `[[rows]]` have the fields of `Row`.
    """
    told = budgets.read(path)
    try:
        rows = tuple(Row(**row) for row in told["rows"])
        return Panel(Row(**told["taught"]), rows, tuple(told.get("shown", ())))
    except (TypeError, KeyError, AttributeError) as error:
        raise budgets.BadChapter(f"{path.name}: {type(error).__name__}: {error}") from error


PANELS |= {path.stem: from_file(path) for path in budgets.files()}


def taught(chapter: str, source: Source) -> Task:
    """The task that a chapter teaches, without a limit on its items."""
    row = PANELS[chapter].taught
    return Task(row.public if resolve(chapter, source) == "public" else row.bundled)


def panel(chapter: str, tier: Tier, source: Source, *, sweep: bool = False) -> list[Asked]:
    """What a chapter asks of a checkpoint, with the tier's number of items.

    `sweep` leaves out most of what generates: for the runs beside the central ones.
    """
    found = resolve(chapter, source)
    rows = [row for row in PANELS[chapter].rows if row.sweep or not sweep]
    if tier == "smoke":  # its model has a token for nearly every letter
        rows = [row._replace(length=4 * row.length) for row in rows]
    return [row.asked(found, _items(row.items, tier)) for row in rows]


def sequence(
    chapter: str, source: Source, tier: Tier, names: Iterable[str] = ()
) -> dict[str, Task]:
    """Tasks to learn one after another: roles of the chapter's panel, or names of tasks.

    Without names three of them, two in a lesson.
    """
    found = resolve(chapter, source)
    rows = {row.role: row for row in PANELS[chapter].rows}
    first = tuple(rows)[: 2 if tier == "classroom" else 3]
    return {
        name: Task(getattr(rows[name], found) if name in rows else name)
        for name in tuple(names) or first
    }


def asked_of(
    chapter: str, learned: Mapping[str, Task], tier: Tier, *, sweep: bool = False
) -> list[Asked]:
    """What a chapter asks about the tasks of a sequence; `sweep` leaves out what is drawn."""
    like = {row.form: row.items for row in PANELS[chapter].rows if row.sweep or not sweep}
    return [
        _in_form(Task(task.name, _items(items, tier)), form)
        for form, items in like.items()
        for task in learned.values()
    ]


def retention_panel(source: Source) -> list[Task]:
    """Everything that may be lost, at least 1,500 items: choices, likelihoods, short answers.

    It is read within six minutes by two cores, so what has long passages stands in it with fewer
    items (BoolQ, TruthfulQA) or not at all (DRCD, IFEval).

    `auto` is public data where all that this panel reads is at hand. The Chinese text that other
    panels teach is not in it.
    """
    found = _resolve(source, map(Task, RETENTION["public"]))
    return [Task(name, items) for name, items in RETENTION[found].items()]


def by_role(chapter: str, source: Source) -> dict[str, str]:
    """Names of a chapter's tasks and measures by what they stand for: "chat", "formats", …"""
    found = resolve(chapter, source)
    return {row.role: row.asked(found).name for row in PANELS[chapter].rows}


def measure_name(chapter: str, measure: str, measured: Collection[str]) -> str:
    """ "chat.nats" as "dolly.nats" or "chat.nats": the role's task among the `measured` ones.

    Raises `KeyError` where neither the public task nor its stand-in was measured.
    """
    role, _, metric = measure.rpartition(".")
    rows = {row.role: row for row in PANELS[chapter].rows}
    if role not in rows:
        raise KeyError(f"role={role!r}: not in the panel; known: {', '.join(rows)}")
    public, bundled = (rows[role].asked(source).name for source in ("public", "bundled"))
    name = next((name for name in (public, bundled) if name in measured), None)
    if name is None:
        raise KeyError(f"{role}: measured neither with {public} nor with {bundled}")
    return f"{name}.{metric}"


def resolve(chapter: str, source: Source) -> Literal["public", "bundled"]:
    """`auto` is public data where all that the chapter reads is at hand (mirror or cache).

    While a book is rendered it is public: published records are.
    """
    rows = (PANELS[chapter].taught, *PANELS[chapter].rows)
    return _resolve(source, (row.asked("public") for row in rows))


def _resolve(source: Source, read: Iterable[Asked]) -> Literal["public", "bundled"]:
    if source != "auto":
        return source
    if os.environ.get("FORGETTING_RENDER"):
        return "public"
    return "bundled" if any(asked.missing() for asked in read) else "public"


def _items(laptop: int, tier: Tier) -> int:
    return max(2, round(laptop * SCALE[tier]))
