"""A decathlon in miniature: seven kinds of tasks in the form of questions, written from seeds.

decaNLP (McCann et al. 2018, arXiv 1806.08730) and LAMOL (Sun, Ho & Lee 2020, arXiv 1909.03329) ask
everything as (context, question, answer). These tasks do so without any data set: each module's
`documents(seed, n, split)` writes them, and exact graders score them. Training and test documents
share no entity of the pools, and half of the test items share no wording either (`drawing`).
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from forgetting.decathlon import calls, maths, qa, roles, sentiment, sql, state
from forgetting.decathlon.drawing import Document, Split

Generator = Callable[[int, int, Split], list[Document]]

GENERATORS: dict[str, Generator] = {
    "mini_qa": qa.documents,
    "mini_sql": sql.documents,
    "mini_sentiment": sentiment.documents,
    "mini_state": state.documents,
    "mini_roles": roles.documents,
    "mini_calls": calls.documents,
    "mini_maths": maths.documents,
}


class SharedDocument(ValueError):
    """A test document is a training document too."""


def documents(task: str, seed: int, train: int, test: int) -> dict[Split, list[Document]]:
    """The training and test documents of `task`, which have no question in common.

    Raises `ValueError` for an unknown task, `TooFewDocuments` where the generator has not so many,
    `SharedDocument` where a test item is also taught.
    """
    if task not in GENERATORS:
        near = get_close_matches(task, GENERATORS, 1, 0)[0]
        raise ValueError(f"task={task!r}: the decathlon has no such task; nearest: {near!r}")
    taught = GENERATORS[task](seed, train, "train")
    asked = GENERATORS[task](seed, test, "test")
    prompts = {document["prompt"] for document in taught}
    for document in asked:
        if document["prompt"] in prompts:
            raise SharedDocument(f"seed={seed}: {task} teaches a test item; take another seed")
    return {"train": taught, "test": asked}
