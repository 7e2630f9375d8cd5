"""What a record holds beside the scores of tasks: drift from the original, and where weights moved.

A measure stands in a panel beside tasks and gives the same kind of scores, item by item. To name
one, torch need not be loaded.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from forgetting.probes.scores import Sample, Scores
from forgetting.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from forgetting.lineage import Checkpoint, Recipe, Settings
    from forgetting.models.foundations import Foundation
    from forgetting.models.rows import Row
    from forgetting.probes.divergence import Reading


@dataclass(frozen=True)
class Drift:
    """How far a model's next tokens lie from those of its foundation, on a task's test documents.

    Items are documents cut at `length` tokens: a plain text whole, of a question with an answer the
    answer's tokens. Each has the means over its tokens of `divergence.Divergence`, and the
    `log_likelihood` of the text or answer itself, so that `nats` can be asked for.
    """

    task: Task
    length: int = 256

    @property
    def name(self) -> str:
        return f"{self.task.name}:drift"

    def missing(self) -> list[str]:
        return self.task.missing()

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "length": self.length, "drift": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Raises `ValueError` where no document leaves room for its answer."""
        from forgetting.probes import divergence

        rows = self.rows(tokenizer)
        original = _original(checkpoint.foundation, self)
        found = divergence.divergence(original, model, rows)
        pairs = zip(found.nats, found.tokens, strict=True)
        items = {
            "log_likelihood": [-nats * tokens for nats, tokens in pairs],
            "forward_kl": found.forward,
            "reverse_kl": found.reverse,
            "agreement": found.agreement,
            "greedy_nats": found.greedy,
        }
        return Scores(
            task=self.name,
            version=self.task.metadata["version"],
            templates=self.task.recipe()["templates"],
            n=len(rows),
            batch=1,
            items={name: [_short(value) for value in values] for name, values in items.items()},
            tokens=found.tokens,
        ), []

    def rows(self, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
        """Token rows of the first `task.items` test documents, (length,) each or shorter."""
        from forgetting.models import template
        from forgetting.models.rows import example_row, whole_row

        documents = self.task.documents("test")[: self.task.items]
        if self.task.config["output_type"] == "loglikelihood_rolling":
            every = (template.ids(tokenizer, document["text"]) for document in documents)
            return [whole_row(ids, self.length) for ids in every if len(ids) > 1]
        examples = map(self.task.example, documents)
        cut = [example_row(example, tokenizer, self.length) for example in examples]
        kept = [row for row in cut if row is not None]
        if not kept:
            raise ValueError(
                f"length={self.length}: no document of {self.task.name} leaves room for its answer"
            )
        return kept


@lru_cache(maxsize=8)
def _original(foundation: Foundation, drift: Drift) -> Reading:
    """The foundation's reading of the rows: once in a process, for all that were made from it."""
    from forgetting.engine import compute
    from forgetting.lineage import Checkpoint
    from forgetting.probes import divergence

    model, tokenizer = compute.model(Checkpoint(foundation))
    return divergence.read(model, drift.rows(tokenizer), "original")


@dataclass(frozen=True)
class Answered:
    """A task asked as LAMOL asks it: context, question and answer token, then the model answers.

    Graded by the task's own metrics, item by item. Greedy, or with `top_k` drawn from so many of
    the likeliest tokens at temperature 1, as the authors' code does at test time (20). Answers end
    with the end token, or after as many tokens as the task allows.
    """

    task: Task
    top_k: int | None = None

    @property
    def name(self) -> str:
        return f"{self.task.name}:{f'top {self.top_k}' if self.top_k else 'answered'}"

    def missing(self) -> list[str]:
        return self.task.missing()

    def test_recipe(self) -> dict[str, Any]:
        asked = {"task": self.name, "top_k": self.top_k, "answered": 1}
        return self.task.test_recipe() | asked

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Raises `ValueError` for a task whose answers nobody grades."""
        documents = self.task.documents("test")[: self.task.items]
        answers = self.answers(model, tokenizer, documents)
        graded = [self.task.graded(*pair) for pair in zip(documents, answers, strict=True)]
        found = [one for one in graded if one is not None]
        if not found:
            raise ValueError(f"task={self.task.name!r}: its answers are not graded")
        asked = [self.task.example(document).question for document in documents]
        told = zip(asked, answers, strict=True)
        return Scores(
            task=self.name,
            version=self.task.metadata["version"],
            templates=self.task.recipe()["templates"],
            n=len(found),
            batch=1,
            items={name: [_short(one[name]) for one in found] for name in found[0]},
            blocks=self.task.blocks(documents),
        ), [Sample(task=self.name, prompt=prompt, answer=answer) for prompt, answer in told]

    def answers(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        documents: list[dict[str, Any]],
    ) -> list[str]:
        """What the model answers to documents, in their order."""
        from forgetting.models.family import family_of
        from forgetting.recipes import lamol_form

        written = family_of(model).answer(
            model,
            tokenizer,
            [lamol_form.prompt(tokenizer, self.task, document) for document in documents],
            max_new_tokens=self.task.config["generation_kwargs"]["max_gen_toks"],
            temperature=1.0 if self.top_k else 0.0,
            top_k=self.top_k,
        )
        return [one.text.strip() for one in written]


@dataclass(frozen=True)
class ToldApart:
    """Whether a model finds a question's answer likelier than another question's, in LAMOL's form.

    The other answer is the next in the test split that differs. `told_apart` is 1 where the right
    one has the higher log-likelihood a token, its end included; a guess is right half the time. A
    model that answers in another task's form may tell the answers apart all the same: it does not
    say what it knows.
    """

    task: Task

    @property
    def name(self) -> str:
        return f"{self.task.name}:told apart"

    def missing(self) -> list[str]:
        return self.task.missing()

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "told_apart": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Raises `ValueError` where all answers are the same."""
        from forgetting.models.family import family_of

        pairs = self.pairs(tokenizer)
        rows = [row for pair in pairs for row in pair]
        scored = family_of(model).log_likelihoods(model, rows)
        means = [each.log_likelihoods.mean().item() for each in scored]
        right, other = means[::2], means[1::2]
        return Scores(
            task=self.name,
            version=self.task.metadata["version"],
            templates=self.task.recipe()["templates"],
            n=len(pairs),
            batch=1,
            items={"told_apart": [float(a > b) for a, b in zip(right, other, strict=True)]},
        ), []

    def pairs(self, tokenizer: PreTrainedTokenizerBase) -> list[tuple[Row, Row]]:
        """Of each item two rows: its question with its own answer, and with another one."""
        from forgetting.recipes import lamol_form

        documents = self.task.documents("test")
        pairs = []
        for place, document in enumerate(documents[: self.task.items]):
            answer = self.task.example(document).answer
            later = itertools.chain(documents[place:], documents[:place])
            other = next((one for one in later if self.task.example(one).answer != answer), None)
            if other is None:
                raise ValueError(f"task={self.task.name!r}: all its answers are the same")
            right, wrong = (lamol_form.example(tokenizer, self.task, d) for d in (document, other))
            asked = (right, right._replace(answer=wrong.answer))
            own, others = (lamol_form.answer_row(tokenizer, one, LONGEST_ROW) for one in asked)
            if own is not None and others is not None:
                pairs.append((own, others))
        return pairs


LONGEST_ROW = 1024  # tokens of a question with its answer


@dataclass(frozen=True)
class Spectrum:
    """In how many directions the weights moved since the last training began.

    Items are the transformer blocks, in their order. `rank_90 q_proj` says how many singular values
    of that matrix's ΔW hold 90 % of its energy (`weight_change.weight_change`); `rank_90` is the
    mean over the block's matrices. So are `rank`, of the singular values above rounding, and
    `relative`, ‖ΔW‖ ÷ ‖W‖.
    """

    @property
    def name(self) -> str:
        return "spectrum"

    def missing(self) -> list[str]:
        return []

    def test_recipe(self) -> dict[str, Any]:
        return {"task": self.name, "version": 1}

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        from forgetting.engine import compute
        from forgetting.models.family import family_of
        from forgetting.probes import weight_change

        part = family_of(model).part
        start = checkpoint.parents[0] if checkpoint.parents else checkpoint
        matrices = {name: p for name, p in compute.state(start).items() if p.ndim == 2}
        before = {name: p for name, p in matrices.items() if part(name).block is not None}
        after = {name: p.detach().cpu() for name, p in model.named_parameters() if name in before}
        blocks: dict[int, list[dict[str, Any]]] = {}
        for row in weight_change.weight_change(before, after):
            block = part(row["module"]).block
            assert block is not None
            blocks.setdefault(block, []).append(row)
        items = {
            metric: [
                _short(sum(row[metric] for row in rows) / len(rows)) for rows in blocks.values()
            ]
            for metric in ("rank_90", "rank", "relative")
        }
        for number in range(len(blocks[0])):
            module = blocks[0][number]["module"].split(".")[-2]
            items[f"rank_90 {module}"] = [
                float(rows[number]["rank_90"]) for rows in blocks.values()
            ]
        return Scores(
            task=self.name,
            version=1,
            templates="",
            n=len(blocks),
            batch=1,
            items=items,
        ), []


BETWEEN_TOKENS = "\u241f"  # the symbol for a unit separator: no tokenizer's text has it
TOLD = 3  # rows whose tokens a record keeps


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
        from forgetting.engine import compute
        from forgetting.models.family import family_of
        from forgetting.models.rows import rows_of, supervised

        rows = rows_of(self.shown, tokenizer, self.settings, self.seed, compute.samples)
        nats: list[float] = []
        samples: list[Sample] = []
        for row, scored in zip(rows, family_of(model).log_likelihoods(model, rows), strict=True):
            ids = row["input_ids"]
            nats += [float(f"{-value:.4g}") for value in scored.log_likelihoods.tolist()]
            if len(samples) < TOLD:
                begun = len(ids) - int(supervised(row).sum())
                pieces = [str(tokenizer.decode([token])) for token in ids[begun:].tolist()]
                asked = str(tokenizer.decode(ids[:begun].tolist()))
                told = BETWEEN_TOKENS.join(pieces)
                samples.append(Sample(task=self.name, prompt=asked, answer=told))
        return Scores(
            task=self.name, version=1, templates="", n=len(nats), batch=1, items={"surprise": nats}
        ), samples


def _short(value: float) -> float:
    """Seven significant digits: far below any standard error, and short in a record."""
    return float(f"{float(value):.7g}")
