"""Tasks: what is taught and what is asked, once, for training and testing alike.

A task is an lm-eval YAML file in a family's folder of `data/tasks/`. Its `custom_dataset` loader
gives the test items and, where the task can be learned, a `train` split; its templates serve both.
Its identity in lineage keys is its name, its version, a hash of its templates and the hashes of its
data: `data` names a public set, a bundled file (`bundled:`), a bundled file whose documents are
hashed in place of its bytes (`documents:`), or a package that speaks them (`spoken:`), by version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from forgetting import checking, registry
from forgetting.home import data_dir
from forgetting.tasks.example import Example, Turn
from forgetting.wording import did_you_mean

TEMPLATE_FIELDS = (
    "output_type",
    "doc_to_text",
    "doc_to_target",
    "doc_to_choice",
    "target_delimiter",
    "generation_kwargs",
    "process_results",
)
LATER_FIELDS = ("description", "doc_to_audio")  # in a key where a task has them: older keys stay


class UnknownTask(ValueError):
    """No task of that name in `data/tasks/`."""


class BadTask(ValueError):
    """A task's YAML file, or the code that it names, is not what it should be."""


@dataclass(frozen=True)
class Task:
    """One lm-eval task: its name and how many of its test items to use (None: all of them)."""

    name: str
    items: int | None = None

    def __post_init__(self) -> None:
        if self.name not in names():
            families = sorted({path.parent.name for path in _paths().values()})
            hint = did_you_mean(self.name, names(), f"families: {', '.join(families)}")
            raise UnknownTask(f"task={self.name!r}: no such task; {hint}")
        if self.items is not None:
            checking.whole("items", self.items, 1)

    @property
    def config(self) -> dict[str, Any]:
        """The YAML as a dictionary; functions appear as their dotted names."""
        return _config(self.name)

    @property
    def metadata(self) -> dict[str, Any]:
        """The YAML's `metadata`: version, data, title, and what the evaluation needs to know."""
        return self.config["metadata"]

    @property
    def chat(self) -> bool:
        """Whether the task speaks through the model's chat template."""
        return bool(self.metadata.get("chat_template"))

    @property
    def family(self) -> str:
        """The folder of `data/tasks/` in which the task stands."""
        return _paths()[self.name].parent.name

    @property
    def about(self) -> str:
        """The first paragraph of what its loader says of the documents."""
        return " ".join((_loader(self.name).__doc__ or "").partition("\n\n")[0].split())

    @property
    def public(self) -> list[str]:
        """Names of the public data sets it reads; empty for tasks whose data are bundled."""
        return [data for data in self.metadata["data"] if ":" not in data]

    def missing(self) -> list[str]:
        """Public data sets that are neither mirrored nor cached."""
        return [name for name in self.public if not registry.available(name)]

    def recipe(self) -> dict[str, Any]:
        """What enters a lineage key."""
        templates = {field: self.config.get(field) for field in TEMPLATE_FIELDS}
        templates |= {field: self.config[field] for field in LATER_FIELDS if field in self.config}
        return {
            "task": self.name,
            "version": self.metadata["version"],
            "templates": _sha256(json.dumps(templates, sort_keys=True).encode())[:16],
            "data": [_data_digest(self.name, data) for data in self.metadata["data"]],
        }

    def test_recipe(self) -> dict[str, Any]:
        """`recipe()` and the number of items: what a score depends on, beside the model."""
        return self.recipe() | {"items": self.items}

    def documents(self, split: str) -> list[dict[str, Any]]:
        """The items of `split` ("train" or "test"), as the YAML's loader gives them.

        Raises `ValueError` where the task has no such split.
        """
        splits = self.splits()
        if split not in splits:
            raise ValueError(f"task={self.name!r}: has no {split} split, only {', '.join(splits)}")
        return list(splits[split])

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        """All documents by split; loaded once in a process."""
        return _splits(self.name)

    def example(self, document: dict[str, Any]) -> Example:
        """What is asked about `document`, and its right answer, as the templates write them.

        The YAML's `description`, which lm-eval makes the system turn, is one here too; what
        `doc_to_audio` names is heard. Choices stand below the question, one a line.
        """
        question, target, choices = map(
            partial(self._field, document), ("doc_to_text", "doc_to_target", "doc_to_choice")
        )
        if isinstance(choices, list):
            # lm-eval's multiple-input tasks (WinoGrande) give the right index as the text.
            gold, listed = target, "\n".join(f"{chr(65 + i)}. {c}" for i, c in enumerate(choices))
            if isinstance(question, int):
                gold, question = question, f"{listed}\n… {target}"
            else:
                question = f"{question}\n{listed}"
            target = choices[int(gold)]
        system = self.config.get("description")
        turns = [Turn("system", self._field(document, "description"))] if system else []
        heard = self.config.get("doc_to_audio", [])
        frames = tuple(document[name] for name in ([heard] if isinstance(heard, str) else heard))
        return Example(
            (*turns, Turn("user", str(question), frames)),
            str(target),
            chat=self.chat,
            delimiter=self.config.get("target_delimiter", " "),
        )

    def gold(self, document: dict[str, Any]) -> int | str:
        """The right answer to `document`: of a multiple choice its place among the choices."""
        if self.config["output_type"] != "multiple_choice":
            return self.example(document).answer
        # lm-eval's multiple-input tasks (WinoGrande) give the right index as the text.
        fields = (self.config["doc_to_target"], self.config["doc_to_text"])
        return next(document[f] for f in fields if isinstance(document.get(f), int))

    def _field(self, document: dict[str, Any], field: str) -> Any:
        """What a field of the YAML says of a document: the document's own, or a filled template."""
        from lm_eval.utils import apply_template

        template = self.config.get(field, "")
        if not template or not isinstance(template, str):
            return template
        return document[template] if template in document else apply_template(template, document)

    def training_texts(self, seed: int) -> Iterator[str]:
        """The training documents' plain text in an order drawn from `seed`."""
        return (document["text"] for document in self.training_documents(seed))

    def training_examples(self, seed: int) -> Iterator[Example]:
        """The training documents as examples, in an order drawn from `seed`."""
        return map(self.example, self.training_documents(seed))

    def training_documents(self, seed: int) -> list[dict[str, Any]]:
        """The training documents in an order drawn from `seed`."""
        documents = self.documents("train")
        random.Random(seed).shuffle(documents)
        return documents

    def blocks(self, documents: Sequence[dict[str, Any]]) -> list[int] | None:
        """The number of each document's group, where some belong together; else None.

        The YAML's `metadata` names the field that they share (`block: dialogue`).
        """
        field = self.metadata.get("block")
        if field is None:
            return None
        groups = list(dict.fromkeys(document[field] for document in documents))
        return [groups.index(document[field]) for document in documents]

    def is_right(self, document: dict[str, Any], answer: str) -> bool | None:
        """Whether the task's grader gives an answer its first metric in full.

        None where answers are not graded: the task measures likelihoods.
        """
        graded = self.graded(document, answer)
        return None if graded is None else graded[self.config["metric_list"][0]["metric"]] >= 1

    def graded(self, document: dict[str, Any], answer: str) -> dict[str, float] | None:
        """Every metric of an answer to a document; None where answers are not graded.

        A grader that needs the order of the test (a dialogue's) raises `ValueError` out of it.
        """
        if self.config["output_type"] != "generate_until" or "process_results" not in self.config:
            return None
        return _function(self.name, "process_results")(document, [answer])


def names() -> list[str]:
    """All tasks, by file name."""
    return sorted(_paths())


def named(entries: Sequence[str]) -> list[str]:
    """Tasks by name or by family, in order. Raises `UnknownTask` for what is neither."""
    families: dict[str, list[str]] = {}
    for name in names():
        families.setdefault(Task(name).family, []).append(name)
    members = [families.get(entry) or [Task(entry).name] for entry in entries]
    return list(dict.fromkeys(name for family in members for name in family))


def folder() -> Path:
    """Where the YAML files are: what to give `lm_eval --include_path`."""
    return data_dir() / "tasks"


def _paths() -> dict[str, Path]:
    return _listed(folder())


@lru_cache
def _listed(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.glob("*/*.yaml")}


@lru_cache
def _code(path: Path) -> ModuleType:
    """A module that YAML files refer to, from beside them."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@lru_cache
def _splits(name: str) -> dict[str, list[dict[str, Any]]]:
    splits = _loader(name)(**_config(name)["metadata"])
    if "doc_to_audio" in _config(name):  # arrays stay arrays
        return {split: list(documents) for split, documents in splits.items()}
    return {split: documents.to_list() for split, documents in splits.items()}


def _loader(name: str) -> Any:
    return _function(name, "custom_dataset")


def _function(name: str, field: str) -> Any:
    """The function that a field of the YAML names."""
    path, text = _paths()[name], _config(name).get(field)
    module, _, function = str(text).rpartition(".")
    try:
        return getattr(_code(path.with_name(f"{module}.py")), function)
    except Exception as error:  # of the code in that file
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadTask(f"{path}: {field}={text!r}: no such function beside it ({why})") from error


class _Yaml(yaml.SafeLoader):
    """Reads `!function module.name` as the plain string `module.name`."""

    def function(self, node: yaml.ScalarNode) -> Any:
        return self.construct_scalar(node)


_Yaml.add_constructor("!function", _Yaml.function)


@lru_cache
def _config(name: str) -> dict[str, Any]:
    """The YAML of a task. Raises `BadTask` for a file that is none; the others can be used."""
    path = _paths()[name]
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), _Yaml)
    except (yaml.YAMLError, ValueError) as error:
        raise BadTask(f"{path}: not YAML: {' '.join(str(error).split())}; mend it") from error
    metadata = config.get("metadata") if isinstance(config, dict) else None
    if not isinstance(metadata, dict):
        raise BadTask(f"{path}: metadata={metadata!r}: give version and data")
    version, data = metadata.get("version"), metadata.get("data")
    if not isinstance(version, int | float) or isinstance(version, bool):
        raise BadTask(f"{path}: metadata.version={version!r}: a number is needed")
    if not isinstance(data, list) or not data or not all(isinstance(d, str) for d in data):
        raise BadTask(f"{path}: metadata.data={data!r}: a list of data sets is needed")
    if config.get("task") != name:
        raise BadTask(f"{path}: task={config.get('task')!r}: it must be the file's name, {name}")
    return config


@lru_cache
def _data_digest(name: str, data: str) -> str:
    """sha256 of what an entry of the task's `data` stands for.

    That is a bundled file or folder, the task's documents as JSON, or a public set, whose digest
    the registry knows.
    """
    kind, _, path = data.rpartition(":")
    if kind == "spoken":
        return _sha256(f"{path} {metadata.version(path)}".encode())
    if kind == "documents":
        return _sha256(json.dumps(_splits(name), sort_keys=True, ensure_ascii=False).encode())
    if kind != "bundled":
        return registry.digest(data)
    place = folder() / path
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return _sha256(b"".join(_sha256(f.read_bytes()).encode() for f in files))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
