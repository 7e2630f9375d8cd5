"""One conversation before and after an innocent fine-tune, as the records have it."""

from __future__ import annotations

from forgetting.evidence import claims, records
from forgetting.evidence.records import Record
from forgetting.experiments import panels
from forgetting.site.markup import PageError, heads, row
from forgetting.views.tables import clean

CHAPTER, METHOD = "operation", "SFT style"
ASKED = ("label", "json", "questions", "questions in chinese")  # roles, an item of each


def before_and_after() -> str:
    """What a model answered before it learned to label reviews, and what it answers since.

    Raises `PageError` where no record holds the answers.
    """
    stored = claims.best_stored(CHAPTER)
    try:
        before = records.select(stored, method="untouched")[0]
        after = max(records.select(stored, method=METHOD), key=lambda r: len(r.scores))
        rows = [_row(role, before, after) for role in ASKED]
    except (IndexError, KeyError, ValueError, StopIteration) as error:
        raise PageError(
            f"conversation: no records of {METHOD!r} with answers; forgetting run {CHAPTER}"
        ) from error
    return "\n".join([heads("you ask", "before", "after"), *rows])


def _row(role: str, before: Record, after: Record) -> str:
    task, _, _ = panels.measure_name(CHAPTER, f"{role}.", after.scores).rpartition(".")
    first = next(sample for sample in after.samples if sample.task == task)
    same = next(s for s in before.samples if (s.task, s.prompt) == (task, first.prompt))
    return row(_verbatim(first.prompt, 600), _verbatim(same.answer), _verbatim(first.answer))


def _verbatim(text: str, longest: int = 260) -> str:
    """Words of a model as text of a cell: no mark of theirs is read as markup."""
    line = clean(text, longest)
    return "".join("\\" + c if c in "\\`*_{}[]()#+-.!<>$~" else c for c in line) or "(nothing)"
