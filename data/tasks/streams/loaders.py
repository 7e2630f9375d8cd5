"""Streams: questions that come one after another, and of which some come back.

The code book is private: twenty words, each with one of four letters, drawn once by a seed. Nobody
can know it who was not told, and it has no rule: only the stream can teach it.
"""

import random

from forgetting.tasks.documents import bundled, in_order

ROUNDS = 60  # of all words, each in an order of its own


def codes(**_):
    """Twenty words, each with one of four letters that no rule gives: sixty rounds of all words.

    What is to be learned is the table itself.
    """
    table = list(bundled("codes.jsonl"))
    rounds = (random.Random(f"codes {n}").sample(table, len(table)) for n in range(ROUNDS))
    return in_order((row for each in rounds for row in map(_asked, each)), map(_asked, table))


def _asked(row):
    return {"prompt": f"Word: {row['word']}\nCode:", "answer": row["code"]}
