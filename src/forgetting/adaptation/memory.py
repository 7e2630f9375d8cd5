"""A memory in the prompt: what was asked and answered so far, and what of it is shown again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from forgetting.adaptation.base import Write
from forgetting.models import template
from forgetting.models.family import unwrapped

Retrieval = Literal["last", "tfidf", "hidden"]
Keep = Literal["right", "wrong", "all"]
# How near each remembered question is to one that is asked: (questions,) numbers, more is nearer.
Nearness = Callable[[Sequence[str], str], np.ndarray]


class Remembered(NamedTuple):
    """A question, what was answered, and whether that was right."""

    question: str
    answer: str
    right: bool


def plainly(shot: Remembered) -> str:
    """A question with its answer."""
    return f"{shot.question} {shot.answer}"


def with_feedback(shot: Remembered) -> str:
    """The same, and in words whether it was right."""
    return f"{plainly(shot)}\nThis answer was {'right' if shot.right else 'wrong'}."


@dataclass
class Memory:
    """Of what it was told it keeps what is asked for, and shows `k` of it before each question.

    Those are the last ones or, with `nearness`, the nearest ones, the nearest of all next to the
    question. `before` gives what stands first in a prompt, given how much was told so far.
    """

    write: Write
    k: int
    keep: Keep = "right"
    nearness: Nearness | None = None
    tell: Callable[[Remembered], str] = plainly
    before: Callable[[int], str] = lambda told: ""
    kept: list[Remembered] = field(default_factory=list)
    told: int = 0
    used: int = 0

    def answer(self, prompt: str) -> str:
        shots = self.recalled(prompt)
        self.used = len(shots)
        return self.write("\n\n".join([*map(self.tell, shots), self.before(self.told) + prompt]))

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        self.told += 1
        if self.keep == "all" or right == (self.keep == "right"):
            self.kept.append(Remembered(prompt, answer, right))

    def recalled(self, prompt: str) -> list[Remembered]:
        """What is shown before a question."""
        if self.nearness is None or not self.kept:
            return self.kept[-self.k :]
        near = self.nearness([shot.question for shot in self.kept], prompt)
        return [self.kept[place] for place in np.argsort(near, kind="stable")[-self.k :]]


def checked(name: str, k: int, retrieval: str = "last", keep: str = "all") -> None:
    """Raise `ValueError` for a memory of nothing, and for words that are none of its own."""
    if k < 1:
        raise ValueError(f"k={k}: {name} remembers at least 1 answer")
    for field_name, value, known in (("retrieval", retrieval, Retrieval), ("keep", keep, Keep)):
        if value not in get_args(known):
            options = ", ".join(get_args(known))
            raise ValueError(f"{field_name}={value!r}: {name} knows {options}")


def nearness(retrieval: Retrieval, model: Any, tokenizer: Any) -> Nearness | None:
    """How near questions are: None where the last ones are shown."""
    if retrieval == "last":
        return None
    return by_words if retrieval == "tfidf" else HiddenStates(model, tokenizer)


def by_words(questions: Sequence[str], prompt: str) -> np.ndarray:
    """Cosines of TF-IDF vectors over the words of all that is remembered."""
    vectors = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]").fit_transform([*questions, prompt])
    return (vectors[:-1] @ vectors[-1].T).toarray()[:, 0]


@dataclass
class HiddenStates:
    """Cosines of the model's last hidden states, a text's mean over its tokens, less the mean."""

    model: Any
    tokenizer: Any
    known: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, questions: Sequence[str], prompt: str) -> np.ndarray:
        vectors = np.array([self._vector(text) for text in (*questions, prompt)])
        vectors -= vectors.mean(axis=0)  # what all texts share says nothing of any
        lengths = np.linalg.norm(vectors, axis=1).clip(1e-12)
        return (vectors[:-1] @ vectors[-1]) / lengths[:-1] / lengths[-1]

    @torch.no_grad()
    def _vector(self, text: str) -> np.ndarray:
        if text not in self.known:
            base = unwrapped(self.model).base_model
            ids = torch.tensor([template.ids(self.tokenizer, text)], device=base.device)
            states = base(input_ids=ids, use_cache=False).last_hidden_state[0]
            self.known[text] = states.mean(dim=0).float().cpu().numpy()
        return self.known[text]
