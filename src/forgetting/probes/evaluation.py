"""Evaluation: lm-eval in process, on local task files, every item's score kept.

The model is lm-eval's own `HFLM` with two methods replaced. Answers to the same question share one
reading of the question, in rows that are batched by tokens, with logits only where they are read;
and answers are generated in a batch that stays full.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from lm_eval.tasks import TaskManager, get_task_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting import store, tasks
from forgetting.engine import compute
from forgetting.engine.generation import generate
from forgetting.lineage import Checkpoint
from forgetting.probes.scores import Sample, Scores
from forgetting.store import hash_key
from forgetting.tasks import Task, metrics

# Raised when the same model and task would no longer give the same scores.
EVALUATION_VERSION = 1
TOKENS_A_BATCH = 2048
# Attention is quadratic in a row: what exceeds the first is cut into rows of the second.
LONGEST_ROW, SHORT_ROW = 4096, 512
GENERATION_BATCH = 48

log = logging.getLogger(__name__)
Loader = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]


class Measure(Protocol):
    """What can be asked of a checkpoint beside lm-eval's tasks: see `measures`."""

    @property
    def name(self) -> str:
        """The key of its scores in a record."""

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""

    def test_recipe(self) -> dict[str, Any]:
        """What its scores depend on, beside the model."""

    def scores(
        self, checkpoint: Checkpoint, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Scores, list[Sample]]:
        """Measure `model`, which is `checkpoint` loaded; samples are what it says of items."""


Asked = Task | Measure


class SharedPrefixLM(HFLM):
    """`HFLM` that reads each context once for all its continuations, and generates as we do.

    A row is [context | continuation 1 | continuation 2 …]; an attention mask lets every
    continuation see the context and itself only, and positions restart after the context. The
    log-likelihoods are those of separate rows up to rounding.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of a model that is loaded
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=GENERATION_BATCH,
            max_length=min(2048, model.config.max_position_embeddings),
        )

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
        """Greedy answers from a batch that stays full; what else may be asked for is lm-eval's."""
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(index)
        answers: dict[int, str] = {}
        for members in groups.values():
            found = self._answers([requests[index] for index in members])
            answers |= dict(zip(members, found, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _answers(self, requests: Any) -> list[str]:
        """Answers to requests that agree about how they are to be generated."""
        settings = dict(normalize_gen_kwargs(requests[0].args[1], self.max_gen_toks))
        until = handle_stop_sequences(
            settings.pop("until"), self.tok_decode(self.eot_token_id, False)
        )
        new = settings.pop("max_gen_toks")
        if settings.pop("do_sample") or settings.pop("temperature", 0.0) or settings:
            return super().generate_until(requests, disable_tqdm=True)
        if new >= self.max_length:
            raise ValueError(f"max_gen_toks={new}: the model reads {self.max_length} tokens in all")
        read = partial(self.tok_batch_encode, left_truncate_len=self.max_length - new)
        prompts = [read([request.args[0]])[0][0].tolist() for request in requests]
        written = generate(
            self.model,
            self.tokenizer,
            prompts,
            max_new_tokens=new,
            until=until,
            batch=GENERATION_BATCH,
        )
        return [completion.text for completion in written]

    @torch.no_grad()
    def _loglikelihood_tokens(
        self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding gives it) of each request."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, (_, context, _) in enumerate(requests):
            groups.setdefault(tuple(context), []).append(index)
        rows = [
            _Row.packed(context, part, self.max_length)
            for context, members in groups.items()
            for part in _parts(context, [(i, requests[i][2]) for i in members])
        ]
        answers: dict[int, tuple[float, bool]] = {}
        for batch in _by_tokens(rows, TOKENS_A_BATCH):
            answers |= self._score(batch)
        return [answers[index] for index in range(len(requests))]

    def _read_logits(
        self, hidden: torch.Tensor, wanted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability of each wanted token, and whether it is the likeliest."""
        logits = self.model.get_output_embeddings()(hidden).float().cpu()
        picked = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(dim=1)
        return picked, logits.argmax(dim=1) == wanted

    def _score(self, rows: list[_Row]) -> dict[int, tuple[float, bool]]:
        longest = max(len(row.ids) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        positions = torch.zeros_like(ids)
        mask = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)
        for number, row in enumerate(rows):
            size = len(row.ids)
            ids[number, :size] = torch.tensor(row.ids)
            positions[number, :size] = torch.tensor(row.positions)
            mask[number, :size, :size] = row.mask()
        device = self.device
        hidden = self.model.base_model(
            input_ids=ids.to(device),
            position_ids=positions.to(device),
            attention_mask=mask[:, None].to(device),
            use_cache=False,
        ).last_hidden_state
        where = [(n, p) for n, row in enumerate(rows) for p in row.reads]
        wanted = torch.tensor([t for row in rows for t in row.wanted])
        at = torch.tensor(where)
        read = hidden[at[:, 0], at[:, 1]]
        scored = [
            self._read_logits(*part)
            for part in zip(read.split(256), wanted.split(256), strict=True)
        ]
        picked, greedy = (torch.cat(parts) for parts in zip(*scored, strict=True))
        answers, start = {}, 0
        for row in rows:
            for index, length in row.members:
                part = slice(start, start + length)
                answers[index] = (float(picked[part].double().sum()), bool(greedy[part].all()))
                start += length
        return answers


class _Row:
    """One context with its continuations: token ids, positions, and where answers are read."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.spans: list[tuple[int, int]] = []
        self.reads: list[int] = []
        self.wanted: list[int] = []
        self.members: list[tuple[int, int]] = []
        self.context = 0

    @classmethod
    def packed(
        cls, context: Sequence[int], members: list[tuple[int, Sequence[int]]], max_length: int
    ) -> _Row:
        row = cls()
        longest = max(len(continuation) for _, continuation in members)
        kept = list(context)[-max(1, max_length + 1 - longest) :]
        row.context = len(kept)
        row.ids = list(kept)
        row.positions = list(range(len(kept)))
        for index, continuation in members:
            start = len(row.ids)
            row.ids += continuation[:-1]
            row.positions += range(len(kept), len(kept) + len(continuation) - 1)
            row.spans.append((start, len(row.ids)))
            row.reads += [len(kept) - 1, *range(start, len(row.ids))]
            row.wanted += continuation
            row.members.append((index, len(continuation)))
        return row

    def mask(self) -> torch.Tensor:
        """(size, size) booleans: True where the row's token may look."""
        size = len(self.ids)
        causal = torch.ones(size, size, dtype=torch.bool).tril()
        allowed = torch.zeros(size, size, dtype=torch.bool)
        allowed[:, : self.context] = True
        for start, end in self.spans:
            allowed[start:end, start:end] = True
        return causal & allowed


def _parts(
    context: Sequence[int], members: list[tuple[int, Sequence[int]]]
) -> list[list[tuple[int, Sequence[int]]]]:
    """The continuations of a context, together where they fit a row."""
    if len(context) + sum(len(continuation) for _, continuation in members) <= LONGEST_ROW:
        return [members]
    parts: list[list[tuple[int, Sequence[int]]]] = []
    room = 0
    for member in sorted(members, key=lambda m: len(m[1])):
        if not parts or room < len(member[1]):
            parts.append([])
            room = SHORT_ROW - len(context)
        parts[-1].append(member)
        room -= len(member[1])
    return parts


def _by_tokens(rows: list[_Row], budget: int) -> list[list[_Row]]:
    """Rows in batches of similar length whose padded size stays within `budget` tokens."""
    batches: list[list[_Row]] = []
    for row in sorted(rows, key=lambda r: len(r.ids)):
        if batches and (len(batches[-1]) + 1) * len(row.ids) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def evaluate(
    checkpoint: Checkpoint, wanted: Sequence[Asked], load: Loader | None = None
) -> dict[str, Scores]:
    """The checkpoint's scores on each task or measure, by name; only missing ones are computed.

    `load` gives the model where the caller holds it already. Adding a task measures that task
    alone and trains nothing.
    """
    missing = [task for task in wanted if store.get("scores", _key(checkpoint, task)) is None]
    if missing:
        compute.refuse_while_rendering(f"scores of {checkpoint.key}")
        model, tokenizer = (load or (lambda: compute.model(checkpoint)))()
        for chat in (False, True):
            group = [task for task in missing if isinstance(task, Task) and task.chat == chat]
            while group:  # lm-eval knows tasks by name: one with two numbers of items comes twice
                once = {task.name: task for task in group}
                _measure(checkpoint, model, tokenizer, list(once.values()), chat)
                group = [task for task in group if task != once[task.name]]
        for measure in missing:
            if not isinstance(measure, Task):
                _keep(checkpoint, measure, *measure.scores(checkpoint, model, tokenizer))
    return {task.name: _stored(checkpoint, task)[0] for task in wanted}


def answers(checkpoint: Checkpoint, task: Asked) -> list[Sample]:
    """What the checkpoint answered on a generation task, or a measure says of its items."""
    return _stored(checkpoint, task)[1]


def _key(checkpoint: Checkpoint, task: Asked) -> str:
    return hash_key({"scores": EVALUATION_VERSION, "of": checkpoint.key, "on": task.test_recipe()})


def _stored(checkpoint: Checkpoint, task: Asked) -> tuple[Scores, list[Sample]]:
    folder = store.get("scores", _key(checkpoint, task))
    if folder is None:
        raise compute.NotComputed(f"{task.name} of {checkpoint.key} was not measured")
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    samples = [Sample(**sample) for sample in content["samples"]]
    return Scores(**content["scores"]), samples


@cache
def _lm_eval_task(folder: Path, name: str) -> Any:
    """lm-eval's own task object, with its documents loaded, once in a process."""
    return get_task_dict([name], _task_manager(folder))[name]


@lru_cache
def _task_manager(folder: Path) -> TaskManager:
    return TaskManager(include_path=str(folder), include_defaults=False)


def _measure(
    checkpoint: Checkpoint,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    group: list[Task],
    chat: bool,
) -> None:
    """Run lm-eval on tasks that agree about the chat template; store each task's scores."""
    lm = SharedPrefixLM(model, tokenizer)
    loaded = [_lm_eval_task(tasks.folder(), task.name) for task in group]
    sizes = {task.name: len(them.eval_docs) for task, them in zip(group, loaded, strict=True)}
    indices = {t.name: list(range(min(t.items or sizes[t.name], sizes[t.name]))) for t in group}
    result = lm_eval_evaluate(
        lm,
        {task.name: them for task, them in zip(group, loaded, strict=True)},
        samples=indices,
        apply_chat_template=chat,
        bootstrap_iters=0,
        log_samples=True,
    )
    for task in group:
        logged = sorted(result["samples"][task.name], key=lambda sample: sample["doc_id"])
        _keep(checkpoint, task, *_read(task, logged, tokenizer, lm))


def _keep(checkpoint: Checkpoint, task: Asked, scores: Scores, samples: list[Sample]) -> None:
    content = {
        "scores": scores.model_dump(mode="json"),
        "samples": [sample.model_dump() for sample in samples],
    }
    text = json.dumps(content, ensure_ascii=False) + "\n"
    store.put("scores", _key(checkpoint, task), partial(_write, text=text))


def _write(folder: Path, text: str) -> None:
    (folder / "scores.json").write_text(text, encoding="utf-8")


def _read(
    task: Task, logged: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, lm: HFLM
) -> tuple[Scores, list[Sample]]:
    """Our scores from lm-eval's logged samples of one task."""
    names = [entry["metric"] for entry in task.config["metric_list"]]
    items = {name: [_round(sample[name]) for sample in logged] for name in names}
    tokens: list[int] | None = None
    samples: list[Sample] = []
    kind = task.config["output_type"]
    if kind == "multiple_choice":
        chosen = [[float(r[0][0]) for r in sample["resps"]] for sample in logged]
        items["choice"] = [float(max(range(len(c)), key=c.__getitem__)) for c in chosen]
        items["gold_margin"] = [
            _margin(task, sample["doc"], c) for sample, c in zip(logged, chosen, strict=True)
        ]
    elif kind.startswith("loglikelihood"):
        tokens = [_target_tokens(kind, sample, lm) for sample in logged]
    else:
        for sample in logged:
            question, answer = sample["doc"]["prompt"], sample["filtered_resps"][0]
            samples.append(Sample(task=task.name, prompt=question, answer=answer))
        if task.metadata.get("repetition"):
            items |= _repetition(samples, tokenizer)
    scores = Scores(
        task=task.name,
        version=task.metadata["version"],
        templates=task.recipe()["templates"],
        n=len(logged),
        batch=GENERATION_BATCH if samples else TOKENS_A_BATCH,
        items=items,
        tokens=tokens,
        blocks=task.blocks([sample["doc"] for sample in logged]),
    )
    return scores, samples


def _target_tokens(kind: str, sample: dict[str, Any], lm: HFLM) -> int:
    arguments = sample["arguments"]
    first = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    parts = list(first.values()) if isinstance(first, dict) else list(first)
    if kind == "loglikelihood_rolling":
        return len(lm.tok_encode(parts[0]))
    return len(lm._encode_pair(parts[0], parts[1])[1])


def _repetition(
    samples: list[Sample], tokenizer: PreTrainedTokenizerBase
) -> dict[str, list[float]]:
    """The paper's n-gram score, over the answer's tokens and over prompt and answer together."""
    answer = [tokenizer(s.answer, add_special_tokens=False).input_ids for s in samples]
    prompt = [tokenizer(s.prompt, add_special_tokens=False).input_ids for s in samples]
    both = [p + a for p, a in zip(prompt, answer, strict=True)]
    return {
        "repetition_answer": [_round(metrics.mean_repetition(ids)) for ids in answer],
        "repetition_both": [_round(metrics.mean_repetition(ids)) for ids in both],
    }


def _margin(task: Task, document: dict[str, Any], log_likelihoods: list[float]) -> float:
    """Log-likelihood of the right choice minus that of the best wrong one, nats.

    Positive where the item is solved; moves long before the accuracy does. Tasks whose `metadata`
    says `per_character` (choices of unequal length, as in HellaSwag) compare nats a character.
    """
    # lm-eval's multiple-input tasks (WinoGrande) give the right index as the text.
    fields = (task.config["doc_to_target"], task.config["doc_to_text"])
    gold = next(document[f] for f in fields if isinstance(document.get(f), int))
    if task.metadata.get("per_character"):
        lengths = [len(choice) for choice in document[task.config["doc_to_choice"]]]
        log_likelihoods = [ll / n for ll, n in zip(log_likelihoods, lengths, strict=True)]
    wrong = max(ll for i, ll in enumerate(log_likelihoods) if i != gold)
    return _round(log_likelihoods[gold] - wrong)


def _round(value: Any) -> float:
    """Seven significant digits: far below any standard error, and short in a record."""
    return float(f"{float(value):.7g}")
