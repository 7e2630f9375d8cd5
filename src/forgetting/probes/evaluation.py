"""Evaluation: lm-eval in process, on local task files, every item's score kept.

lm-eval makes the requests and grades the answers; the model's family reads and writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from lm_eval.tasks import TaskManager, get_task_dict
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting import store, tasks
from forgetting.checking import BadValue
from forgetting.engine import compute
from forgetting.lineage import Checkpoint
from forgetting.models import template
from forgetting.models.family import family_of
from forgetting.models.rows import TOKENS_A_BATCH, Row, continued, prompt_row, shortened
from forgetting.probes.scores import Sample, Scores, rounded
from forgetting.store import hash_key
from forgetting.tasks import HEARD, Task, Turn, metrics
from forgetting.tasks.example import Role

# Raised when the same model and task would no longer give the same scores.
EVALUATION_VERSION = 1
LONGEST = 2048  # tokens of a request, where the model reads as many
GENERATION_BATCH = 48


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
        """Measure `model`, which is `checkpoint` loaded; samples are what it says of items.

        A measure with a method `watches` that is true of a checkpoint is given it as it is, others
        what has its weights (`Checkpoint.still`).
        """


Asked = Task | Measure


class FamilyLM(TemplateLM):
    """A model as lm-eval asks it, in the words of its family.

    What lm-eval's own `HFLM` reads, with one exception: a text is read after one token of its
    beginning, also where the tokenizer writes that itself.
    """

    MULTIMODAL = True  # for lm-eval: recordings are handed to the family

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.family = family_of(model)
        self.backend = "seq2seq" if model.config.is_encoder_decoder else "causal"
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", LONGEST)
        self.max_length = min(LONGEST, positions)

    @property
    def eot_token_id(self) -> int:
        return template.end(self.tokenizer)

    @property
    def prefix_token_id(self) -> int:
        """What a text is read after."""
        return cast(int, self.tokenizer.convert_tokens_to_ids(template.start(self.tokenizer)))

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        if add_special_tokens is False:
            return self.tokenizer(string, add_special_tokens=False).input_ids
        return template.ids(self.tokenizer, string)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        turns = [Turn(cast(Role, m["role"]), m["content"]) for m in chat_history]
        return template.chat(self.tokenizer, turns)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        if not any(map(_recordings, requests)):
            return super().loglikelihood(requests, disable_tqdm=True)
        rows = []
        for request in requests:
            prompt, answer = request.args[:2]
            row = prompt_row(prompt, self.tokenizer, _recordings(request))
            before = prompt.rpartition(HEARD)[2]
            rows.append(_answered(row, template.answer_ids(self.tokenizer, before, answer)))
        return self._score(rows)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """As lm-eval cuts it, also where a token would span both: see `template.answer_ids`."""
        read = context.rstrip()
        answer = context[len(read) :] + continuation
        return self.tok_encode(read), template.answer_ids(self.tokenizer, read, answer)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        windows, counts = [], []
        for request in requests:
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            pairs = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1)
            of_text = [(None, *make_disjoint_window(pair)) for pair in pairs]
            windows += of_text
            counts.append(len(of_text))
        scored = iter(self._loglikelihood_tokens(windows))
        return [sum(next(scored)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(index)
        answers: dict[int, str] = {}
        for members in groups.values():
            texts = self._answers([requests[index] for index in members])
            answers |= dict(zip(members, texts, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _answers(self, requests: Any) -> list[str]:
        """Answers to requests that agree about how they are to be generated."""
        settings = dict(normalize_gen_kwargs(requests[0].args[1], 256))
        end = self.tokenizer.decode(self.eot_token_id)
        until = handle_stop_sequences(settings.pop("until"), end)
        new = settings.pop("max_gen_toks")
        temperature = settings.pop("temperature", 1.0) * settings.pop("do_sample")
        kept = {name: settings.pop(name, None) for name in ("top_k", "top_p")}
        if settings:
            name, value = next(iter(settings.items()))
            raise ValueError(f"generation_kwargs: {name}={value!r}: answers are greedy or drawn")
        if new >= self.max_length:
            raise ValueError(f"max_gen_toks={new}: the model reads {self.max_length} tokens in all")
        rows = [prompt_row(r.args[0], self.tokenizer, _recordings(r)) for r in requests]
        completions = self.family.answer(
            self.model,
            self.tokenizer,
            [shortened(row, self.max_length - new) for row in rows],
            max_new_tokens=new,
            until=until,
            temperature=temperature,
            batch=GENERATION_BATCH,
            **kept,
        )
        return [completion.text for completion in completions]

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding gives it) of each request."""
        rows = []
        for _, context, continuation in requests:
            room = max(1, self.max_length + 1 - len(continuation))
            rows.append(_answered(prompt_row(context[-room:], self.tokenizer), continuation))
        return self._score(rows)

    def _score(self, rows: list[Row]) -> list[tuple[float, bool]]:
        scored = self.family.log_likelihoods(self.model, rows)
        return [(float(s.log_likelihoods.double().sum()), bool(s.likeliest.all())) for s in scored]


def _answered(prompt: Row, answer: list[int]) -> Row:
    row = continued(prompt, answer)
    assert row is not None, "an answer has tokens"
    return row


def _recordings(request: Any) -> tuple[Any, ...]:
    """The recordings of a request, lm-eval's third argument of tasks with `doc_to_audio`."""
    recordings: Any = request.args[2]["audio"] if len(request.args) > 2 else ()
    alone = len(recordings) and np.ndim(recordings[0]) < 2  # its first frame, or sample
    return (recordings,) if alone else tuple(recordings)


def evaluate(checkpoint: Checkpoint, asked: Sequence[Asked]) -> dict[str, Scores]:
    """The checkpoint's scores on each task or measure, by name; only missing ones are computed.

    Adding a task measures that task alone and trains nothing. Raises `compute.Diverged`.
    """
    names = [task.name for task in asked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadValue(f"asked={twice[0]!r}: asked twice, and scores go by name; ask once more")
    subjects: dict[Checkpoint, list[Asked]] = {}
    for task in asked:
        if store.get("scores", _key(checkpoint, task)) is None:
            subjects.setdefault(_subject(checkpoint, task), []).append(task)
    for subject, missing in subjects.items():
        compute.refuse_while_rendering(f"scores of {subject.key}")
        model, tokenizer = compute.model(subject)
        compute.require_finite(subject, model)
        for chat in (False, True):
            group = [task for task in missing if isinstance(task, Task) and task.chat == chat]
            while group:  # lm-eval knows tasks by name: one with two numbers of items comes twice
                once = {task.name: task for task in group}
                _measure(subject, model, tokenizer, list(once.values()), chat)
                group = [task for task in group if task != once[task.name]]
        for measure in missing:
            if not isinstance(measure, Task):
                _keep(subject, measure, *measure.scores(subject, model, tokenizer))
    return {task.name: _stored(checkpoint, task)[0] for task in asked}


def answers(checkpoint: Checkpoint, task: Asked) -> list[Sample]:
    """What the checkpoint answered on a generation task, or a measure says of its items."""
    return _stored(checkpoint, task)[1]


def _subject(checkpoint: Checkpoint, task: Asked) -> Checkpoint:
    """Whom a probe measures: what only remembers is, for most of them, the model that it was."""
    watches = getattr(task, "watches", None)
    return checkpoint if watches and watches(checkpoint) else checkpoint.still


def _key(checkpoint: Checkpoint, task: Asked) -> str:
    of = _subject(checkpoint, task).key
    return hash_key({"scores": EVALUATION_VERSION, "of": of, "on": task.test_recipe()})


def _stored(checkpoint: Checkpoint, task: Asked) -> tuple[Scores, list[Sample]]:
    folder = store.get("scores", _key(checkpoint, task))
    if folder is None:
        raise compute.NotComputed(f"{task.name} of {checkpoint.key} was not measured")
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return Scores(**content["scores"]), [Sample(**sample) for sample in content["samples"]]


def _keep(checkpoint: Checkpoint, task: Asked, scores: Scores, samples: list[Sample]) -> None:
    content = {
        "scores": scores.model_dump(mode="json"),
        "samples": [sample.model_dump() for sample in samples],
    }
    text = json.dumps(content, ensure_ascii=False) + "\n"

    def write(folder: Path) -> None:
        (folder / "scores.json").write_text(text, encoding="utf-8")

    store.put("scores", _key(checkpoint, task), write)


@cache
def _lm_eval_task(folder: Path, name: str) -> Any:
    """lm-eval's own task object, with its documents loaded, once in a process."""
    return get_task_dict([name], _task_manager(folder))[name]


@cache
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
    lm = FamilyLM(model, tokenizer)
    loaded = {task.name: _lm_eval_task(tasks.folder(), task.name) for task in group}
    sizes = {name: len(task.eval_docs) for name, task in loaded.items()}
    result = lm_eval_evaluate(
        lm,
        loaded,
        samples={t.name: list(range(sizes[t.name]))[: t.items] for t in group},
        apply_chat_template=chat,
        bootstrap_iters=0,
        log_samples=True,
    )
    for task in group:
        logged = sorted(result["samples"][task.name], key=lambda sample: sample["doc_id"])
        _keep(checkpoint, task, *_read(task, logged, lm))


def _read(task: Task, logged: list[dict[str, Any]], lm: FamilyLM) -> tuple[Scores, list[Sample]]:
    """Our scores from lm-eval's logged samples of one task."""
    names = [entry["metric"] for entry in task.config["metric_list"]]
    items = {name: [rounded(sample[name]) for sample in logged] for name in names}
    tokens: list[int] | None = None
    samples: list[Sample] = []
    kind = task.config["output_type"]
    if kind == "multiple_choice":
        choices = [[float(r[0][0]) for r in sample["resps"]] for sample in logged]
        pairs = zip(logged, choices, strict=True)
        items["choice"] = [float(max(range(len(c)), key=c.__getitem__)) for c in choices]
        items["gold_margin"] = [_margin(task, sample["doc"], c) for sample, c in pairs]
    elif kind.startswith("loglikelihood"):
        tokens = [_target_tokens(kind, sample, lm) for sample in logged]
    else:
        samples = [
            Sample(task=task.name, prompt=s["doc"]["prompt"], answer=s["filtered_resps"][0])
            for s in logged
        ]
        if task.metadata.get("repetition"):
            items |= _repetition(samples, lm)
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


def _target_tokens(kind: str, sample: dict[str, Any], lm: FamilyLM) -> int:
    arguments = sample["arguments"]
    first = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    parts = list(first.values()) if isinstance(first, dict) else list(first)
    if kind == "loglikelihood_rolling":
        return len(lm.tok_encode(parts[0], add_special_tokens=False))
    return len(lm._encode_pair(parts[0], parts[1])[1])


def _repetition(samples: list[Sample], lm: FamilyLM) -> dict[str, list[float]]:
    """The paper's n-gram score, over the answer's tokens and over prompt and answer together."""

    def ids(text: str) -> list[int]:
        return lm.tok_encode(text, add_special_tokens=False)

    answers = [ids(s.answer) for s in samples]
    both = [ids(s.prompt) + answer for s, answer in zip(samples, answers, strict=True)]
    return {
        "repetition_answer": [rounded(metrics.mean_repetition(tokens)) for tokens in answers],
        "repetition_both": [rounded(metrics.mean_repetition(tokens)) for tokens in both],
    }


def _margin(task: Task, document: dict[str, Any], log_likelihoods: list[float]) -> float:
    """Log-likelihood of the right choice minus that of the best wrong one, nats.

    Positive where the item is solved; moves long before the accuracy does. Tasks whose `metadata`
    says `per_character` (choices of unequal length, as in HellaSwag) compare nats a character.
    """
    gold = int(task.gold(document))
    if task.metadata.get("per_character"):
        lengths = [len(choice) for choice in document[task.config["doc_to_choice"]]]
        log_likelihoods = [ll / n for ll, n in zip(log_likelihoods, lengths, strict=True)]
    wrong = max(ll for i, ll in enumerate(log_likelihoods) if i != gold)
    return rounded(log_likelihoods[gold] - wrong)
