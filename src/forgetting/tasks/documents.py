"""What the loaders of `data/tasks/` share: reading pinned and bundled files, fixed splits.

A family of tasks is a folder of `data/tasks/`: its YAML files, the `loaders.py` that gives their
documents, and the `graders.py` that scores generated answers.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from forgetting import registry
from forgetting.home import data_dir

Document = dict[str, Any]


def splits(test: Iterable[Document], train: Iterable[Document] | None = None) -> DatasetDict:
    """Test items shuffled once with a fixed seed, so that the first n are a fair sample.

    Training documents keep their order: a training step draws its own.
    """
    items = list(test)
    random.Random(20240103).shuffle(items)
    return in_order(items, train)


def in_order(test: Iterable[Document], train: Iterable[Document] | None = None) -> DatasetDict:
    """Test items in the order of their file."""
    documents = {"test": test} if train is None else {"test": test, "train": train}
    return DatasetDict({name: Dataset.from_list([*rows]) for name, rows in documents.items()})


def without_overlap(
    train: Iterable[Document], *tests: Iterable[Document], key: Callable[[Document], str]
) -> list[Document]:
    """Training documents, in their order, whose `key` is that of no test document.

    Keys are compared without case and white space at their ends or in excess.
    """

    def same(document: Document) -> str:
        return " ".join(key(document).casefold().split())

    held_out = {same(document) for test in tests for document in test}
    return [document for document in train if same(document) not in held_out]


def jsonl(path: Path) -> list[Document]:
    """The objects of a file with one JSON object a line, compressed if its name ends in `.gz`."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def public(name: str, ending: str) -> Path:
    """The one file of the public data set `name` whose path ends with `ending`, fetched."""
    paths = [file.path for file in registry.dataset(name).files if file.path.endswith(ending)]
    if len(paths) != 1:
        raise ValueError(f"{ending!r}: {name} has {len(paths)} such files, one is wanted")
    return registry.fetch(name, *paths)[0]


def bundled(name: str) -> list[Document]:
    """The documents of `data/tasks/bundled/<name>`, a JSON-lines file written for this book."""
    return jsonl(data_dir() / "tasks" / "bundled" / name)
