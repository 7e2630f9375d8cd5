"""What a record holds beside the scores of tasks: drift from the original, and where weights moved.

A measure stands in a panel beside tasks and gives the same kind of scores, item by item.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting.engine import compute
from forgetting.lineage import Checkpoint, Recipe, Settings
from forgetting.models import template
from forgetting.models.family import family_of
from forgetting.models.foundations import Foundation
from forgetting.models.rows import Row, example_row, rows_of, supervised, whole_row
from forgetting.probes import divergence
from forgetting.probes.divergence import Reading
from forgetting.probes.scores import Sample, Scores, rounded
from forgetting.probes.weight_change import weight_change
from forgetting.recipes import lamol_form
from forgetting.tasks import Task

BETWEEN_TOKENS = "\u241f"  # the symbol for a unit separator: no tokenizer's text has it
SHOWN = 3  # rows whose tokens a record keeps
LONGEST_ROW = 1024  # tokens of a question with its answer


def scores_of(name: str, items: Mapping[str, list[float]], **more: Any) -> Scores:
    """Scores of a measure that reads no lm-eval task."""
    about = {"version": 1, "templates": "", "n": len(next(iter(items.values()))), "batch": 1}
    return Scores(**about | {"task": name, "items": items} | more)


@dataclass(frozen=True)
class OfTask:
    """A measure of a task's test documents."""

    task: Task

    def missing(self) -> list[str]:
        return self.task.missing()

    def documents(self) -> list[dict[str, Any]]:
        """The first `task.items` of them."""
        return self.task.documents("test")[: self.task.items]

    def scores_of(self, name: str, items: Mapping[str, list[float]], **more: Any) -> Scores:
        """Scores, with the version and the templates of the task."""
        version, templates = self.task.metadata["version"], self.task.recipe()["templates"]
        return scores_of(name, items, version=version, templates=templates, **more)


@dataclass(frozen=True)
class Drift(OfTask):
    """How far a model's next tokens lie from those of its foundation, on a task's test documents.

    Items are documents cut at `length` tokens: a plain text whole, of a question with an answer the
    answer's tokens. Each has the means over its tokens of `divergence.Divergence`, and the
    `log_likelihood` of the text or answer itself, so that `nats` can be asked for.
    """

    length: int = 256

    @property
    def name(self) -> str:
        return f"{self.task.name}:drift"

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "length": self.length, "drift": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Raises `ValueError` where no document leaves room for its answer."""
        rows = self.rows(tokenizer)
        original = _original(checkpoint.foundation, self)
        drift = divergence.divergence(original, divergence.read(model, rows), rows)
        pairs = zip(drift.nats, drift.tokens, strict=True)
        items = {
            "log_likelihood": [-nats * tokens for nats, tokens in pairs],
            "forward_kl": drift.forward,
            "reverse_kl": drift.reverse,
            "agreement": drift.agreement,
            "greedy_nats": drift.greedy,
        }
        items = {name: list(map(rounded, values)) for name, values in items.items()}
        return self.scores_of(self.name, items, tokens=drift.tokens), []

    def rows(self, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
        """Token rows of the documents, (length,) each or shorter."""
        documents = self.documents()
        if self.task.config["output_type"] == "loglikelihood_rolling":
            texts = (template.ids(tokenizer, document["text"]) for document in documents)
            return [whole_row(ids, self.length) for ids in texts if len(ids) > 1]
        examples = map(self.task.example, documents)
        rows = [example_row(example, tokenizer, self.length) for example in examples]
        kept = [row for row in rows if row is not None]
        if not kept:
            raise ValueError(
                f"length={self.length}: no document of {self.task.name} leaves room for its answer"
            )
        return kept


@lru_cache(maxsize=8)
def _original(foundation: Foundation, drift: Drift) -> Reading:
    """The foundation's reading of the rows: once in a process, for all that were made from it."""
    model, tokenizer = compute.model(Checkpoint(foundation))
    return divergence.read(model, drift.rows(tokenizer))


@dataclass(frozen=True)
class Answered(OfTask):
    """A task asked as LAMOL asks it: context, question and answer token, then the model answers.

    Graded by the task's own metrics, item by item. Greedy, or with `top_k` drawn from so many of
    the likeliest tokens at temperature 1, as the authors' code does at test time (20). Answers end
    with the end token, or after as many tokens as the task allows.
    """

    top_k: int | None = None

    @property
    def name(self) -> str:
        return f"{self.task.name}:{f'top {self.top_k}' if self.top_k else 'answered'}"

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "top_k": self.top_k, "answered": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Raises `ValueError` for a task whose answers nobody grades."""
        documents = self.documents()
        pairs = list(zip(documents, self.answers(model, tokenizer, documents), strict=True))
        graded = [values for pair in pairs if (values := self.task.graded(*pair)) is not None]
        if not graded:
            raise ValueError(f"task={self.task.name!r}: its answers are not graded")
        items = {name: [rounded(values[name]) for values in graded] for name in graded[0]}
        samples = [
            Sample(task=self.name, prompt=self.task.example(document).question, answer=answer)
            for document, answer in pairs
        ]
        return self.scores_of(self.name, items, blocks=self.task.blocks(documents)), samples

    def answers(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        documents: Sequence[dict[str, Any]],
    ) -> list[str]:
        """What the model answers to documents, in their order."""
        completions = family_of(model).answer(
            model,
            tokenizer,
            [lamol_form.prompt(tokenizer, self.task, document) for document in documents],
            max_new_tokens=self.task.config["generation_kwargs"]["max_gen_toks"],
            temperature=1.0 if self.top_k else 0.0,
            top_k=self.top_k,
        )
        return [completion.text.strip() for completion in completions]


@dataclass(frozen=True)
class ToldApart(OfTask):
    """Whether a model finds a question's answer likelier than another question's, in LAMOL's form.

    The other answer is the next in the test split that differs. `told_apart` is 1 where the right
    one has the higher log-likelihood a token, its end included; a guess is right half the time. A
    model that answers in another task's form may tell the answers apart all the same: it does not
    say what it knows.
    """

    @property
    def name(self) -> str:
        return f"{self.task.name}:told apart"

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "told_apart": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Raises `ValueError` where all answers are the same."""
        rows = [row for pair in self.pairs(tokenizer) for row in pair]
        scored = family_of(model).log_likelihoods(model, rows)
        means = [row.log_likelihoods.mean().item() for row in scored]
        apart = [float(own > other) for own, other in zip(means[::2], means[1::2], strict=True)]
        return self.scores_of(self.name, {"told_apart": apart}), []

    def pairs(self, tokenizer: PreTrainedTokenizerBase) -> list[tuple[Row, Row]]:
        """Of each item two rows: its question with its own answer, and with another one."""
        documents = self.task.documents("test")
        pairs = []
        for place, document in enumerate(self.documents()):
            answer = self.task.example(document).answer
            later = itertools.chain(documents[place:], documents[:place])
            other = next((d for d in later if self.task.example(d).answer != answer), None)
            if other is None:
                raise ValueError(f"task={self.task.name!r}: all its answers are the same")
            right, wrong = (lamol_form.example(tokenizer, self.task, d) for d in (document, other))
            examples = (right, right._replace(answer=wrong.answer))
            own, others = (lamol_form.answer_row(tokenizer, e, LONGEST_ROW) for e in examples)
            if own is not None and others is not None:
                pairs.append((own, others))
        return pairs


@dataclass(frozen=True)
class Spectrum:
    """In how many directions the weights moved since the last training began.

    Items are the transformer blocks, in their order. `rank_90 q_proj` says how many singular values
    of that matrix's ΔW hold 90 % of its energy (`weight_change.Change`); `rank_90` is the mean over
    the block's matrices. So are `rank`, of the singular values above rounding, and `relative`,
    ‖ΔW‖ ÷ ‖W‖.
    """

    name = "spectrum"

    def missing(self) -> list[str]:
        return []

    def test_recipe(self) -> dict[str, Any]:
        return {"task": self.name, "version": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        part = family_of(model).part
        start = checkpoint.parents[0] if checkpoint.parents else checkpoint
        matrices = {name: p for name, p in compute.state(start).items() if p.ndim == 2}
        before = {name: p for name, p in matrices.items() if part(name).block is not None}
        after = {name: p.detach().cpu() for name, p in model.named_parameters() if name in before}
        changes = weight_change(before, after)
        blocks = [
            [name for name in changes if part(name).block == block]
            for block in dict.fromkeys(part(name).block for name in changes)
        ]
        items = {
            metric: [rounded(fmean(getattr(changes[n], metric) for n in names)) for names in blocks]
            for metric in ("rank_90", "rank", "relative")
        }
        for names in zip(*blocks, strict=True):
            module = names[0].split(".")[-2]
            items[f"rank_90 {module}"] = [float(changes[name].rank_90) for name in names]
        return scores_of(self.name, items), []


@dataclass(frozen=True)
class Surprise:
    """How much the answers of a recipe surprise a model: nats of every supervised token.

    Items (`surprise`) are tokens, the rows' one after another, in the order in which they are
    trained on. The samples are the first rows' tokens as text, joined by `BETWEEN_TOKENS`.
    """

    kind: str
    shown: Task | Recipe
    settings: Settings
    seed: int = 0

    @property
    def name(self) -> str:
        return f"surprise:{self.kind}"

    def missing(self) -> list[str]:
        return self.shown.missing()

    def test_recipe(self) -> dict[str, Any]:
        amount = {"examples": self.settings.rows, "length": self.settings.length}
        return {"task": self.name, "shown": self.shown.recipe(), **amount, "seed": self.seed}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        rows = rows_of(self.shown, tokenizer, self.settings, self.seed, compute.samples)
        scored = family_of(model).log_likelihoods(model, rows)
        nats = [float(f"{-x:.4g}") for row in scored for x in row.log_likelihoods.tolist()]
        samples = []
        for row in rows[:SHOWN]:
            ids = row["input_ids"].tolist()
            begun = len(ids) - int(supervised(row).sum())
            tokens = BETWEEN_TOKENS.join(str(tokenizer.decode([token])) for token in ids[begun:])
            prompt = str(tokenizer.decode(ids[:begun]))
            samples.append(Sample(task=self.name, prompt=prompt, answer=tokens))
        return scores_of(self.name, {"surprise": nats}), samples
