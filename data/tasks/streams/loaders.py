"""Streams: questions that come one after another, with a bit after each answer."""

import random

from forgetting.tasks import Task
from forgetting.tasks.documents import bundled, in_order

WORDS = 24  # of an article: its title and the sentence that says what it is
ROUNDS = 60  # of all words, each in an order of its own


def codes(**_):
    """A private code book: twenty words, each with one of four letters that no rule gives.

    Words come back, sixty rounds of all of them. What is to be learned is the table itself.
    """
    table = list(bundled("codes.jsonl"))
    rounds = (random.Random(f"codes {n}").sample(table, len(table)) for n in range(ROUNDS))
    return in_order((row for each in rounds for row in map(_code, each)), map(_code, table))


def _code(row):
    return {"prompt": f"Word: {row['word']}\nCode:", "answer": row["code"]}


def kinds(of, **_):
    """Beginnings of another task's articles, asked for their kind without a list of kinds."""
    return in_order(*(map(_kind, Task(of).documents(split)) for split in ("test", "train")))


def _kind(row):
    begun = " ".join(row["context"].split()[:WORDS])
    return {"prompt": f"{begun}\nKind:", "answer": row["answer"]}
