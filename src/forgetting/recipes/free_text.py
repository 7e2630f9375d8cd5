"""What a model writes when nobody asks: replay without any old data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Checkpoint, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.models import template
from forgetting.models.rows import Row
from forgetting.recipes.spoken import spoken_row


@dataclass(frozen=True)
class Opening:
    """Prompts: the same opening words, `count` times."""

    text: str
    count: int

    def recipe(self) -> dict[str, Any]:
        return {"prompts": "opening", "text": self.text, "count": self.count}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        text = template.empty_turn(tokenizer) if self.text == EMPTY_TURN else self.text
        return [text or template.start(tokenizer)] * self.count


# What a chat model sees before a user speaks (Magpie: Xu et al. 2025, arXiv 2406.08464).
EMPTY_TURN = "<|im_start|>user\n"


@method(
    name="free-text-replay",
    title="Replay from nothing",
    idea="The model writes text with nothing before it, or after the chat template's empty user "
    "turn, and rehearses that text as the next task is learned: word by word, or by staying close "
    "to what it would have said.",
    equation=r"L = \mathrm{CE}(\text{new}) + c\, R(z), \qquad z \sim \pi_{k-1}, \quad R \in "
    r"\{\mathrm{CE},\ \mathrm{KL}(\pi_{k-1} \Vert \pi_\theta)\}",
    cost="The text is drawn before each task, and read in every step.",
    use="Where no old data exist at all; the divergence does better than the words in the paper "
    "that compares them.",
    citations=("marek2026forgetting", "xu2025magpie"),
    colour="#E3A5C7",
    marker="o",
)
@dataclass(frozen=True)
class FreeText:
    """What a checkpoint writes when nobody asks: replay without any old data.

    From nothing but the first token (Marek et al. 2026, arXiv 2605.26097), or, with
    `opening=EMPTY_TURN`, from the chat template's empty user turn (Magpie), where it writes a
    user's question; the answer to it is drawn on in the same text. Every token written is
    supervised, the opening is not.
    """

    of: Checkpoint
    opening: str = ""

    @property
    def name(self) -> str:
        return "empty turn" if self.opening == EMPTY_TURN else "free text"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of,)

    def missing(self) -> list[str]:
        return []

    def recipe(self) -> dict[str, Any]:
        own = {"of": self.of.key, "opening": self.opening, "temperature": 1.0, "top_p": None}
        return {"task": self.name, "shown": {"recipe": "FreeText", **own}}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """As many texts as rows are wanted, as long as a row."""
        prompts = Opening(self.opening, settings.rows)
        return (Samples(self.of, prompts, settings.length - 16, temperature=1.0, seed=seed),)

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """One text a row; texts that are empty are left out."""
        (samples,) = self.samples(settings, seed)
        prompts = samples.prompts.texts(tokenizer, drawn)
        pairs = zip(prompts, drawn(samples), strict=True)
        return [
            spoken_row(tokenizer, prompt, completion, settings.length, chat=bool(self.opening))
            for prompt, (completion,) in pairs
            if completion.ids
        ]

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many texts, how many ended by themselves, and their mean length in tokens."""
        (samples,) = self.samples(settings, seed)
        written = [completion for (completion,) in drawn(samples)]
        lengths = [len(completion.ids) for completion in written]
        return {
            "texts": len(written),
            "ended": sum(completion.ended for completion in written),
            "mean_tokens": round(sum(lengths) / len(lengths), 2),
        }
