"""A recogniser that writes a character or nothing every 20 ms: CTC over Whisper's encoder.

    ear = foundation("whisper-tiny-en")
    recogniser = ear.graft(ear, Characters(), seed=0)

Of every 20 ms there is a distribution over characters and the blank, class 0. Greedily, the
likeliest is taken, repeats are one, and blanks nothing (Graves et al. 2006). A sound is heard
alone, as long as it lasts: nothing is filled up, so what is written depends on no neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from forgetting.lineage.samples import Completion
from forgetting.models import whisper
from forgetting.models.family import Family, Grafting, Sizes, State
from forgetting.models.parts import Part, part_of
from forgetting.models.rows import Row

BLANK = 0
LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
BLOCK = re.compile(r"encoder\.layers\.(\d+)\.")
KINDS = {
    "head": re.compile(r"^head\."),
    "norm": re.compile("norm"),
    "attention": re.compile(r"_attn\."),
    "mlp": re.compile(r"\.fc[12]\."),
    "encoder": re.compile(r"\.conv[12]\."),
    "embedding": re.compile(r"\.embed_positions\."),
}


@dataclass(frozen=True)
class Characters:
    """A head over these characters, one matrix; it stands for a connector in a graft."""

    alphabet: str = LETTERS

    def recipe(self) -> dict[str, Any]:
        """What enters a key."""
        return {"kind": "characters", "alphabet": self.alphabet}


class CTCConfig(PreTrainedConfig):
    """`audio_config` is Whisper's; class n + 1 is the alphabet's n-th character."""

    model_type = "ctc"
    sub_configs = {"audio_config": AutoConfig}  # noqa: RUF012

    def __init__(self, audio_config: Any = None, alphabet: str = LETTERS, **fields: Any) -> None:
        self.audio_config = AutoConfig.for_model(**(audio_config or {"model_type": "whisper"}))
        self.alphabet = alphabet
        super().__init__(**fields)
        self.vocab_size = 1 + len(alphabet)


class CTCRecogniser(PreTrainedModel):
    """Logits of every 20 ms of a sound."""

    config_class = CTCConfig
    _supports_sdpa = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder = WhisperEncoder(config.audio_config)
        self.head = nn.Linear(config.audio_config.d_model, 1 + len(config.alphabet))
        self.post_init()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(sounds, n, classes) of log-mel features, (sounds, mels, 2n)."""
        return self.head(whisper.states(self.encoder, features)[-1])

    def features(self, wave: Any) -> torch.Tensor:
        """(1, mels, 2n) of a waveform, (samples,) at 16 kHz. Raises `whisper.TooLong`."""
        return whisper.log_mel(wave, self.config.audio_config)[None].to(self.device)

    def hear(self, wave: Any) -> torch.Tensor:
        """Logits, (n, classes), of a waveform: 50 a second. Raises `whisper.TooLong`."""
        return self(self.features(wave))[0]

    def below(self, wave: Any, count: int) -> torch.Tensor:
        """(1, n, width): what the first `count` blocks, not all, make of a waveform."""
        return whisper.states(self.encoder, self.features(wave))[count]

    def above(self, hidden: torch.Tensor, count: int) -> torch.Tensor:
        """Logits, (1, n, classes), of what the first `count` blocks made."""
        for layer in self.encoder.layers[count:]:
            hidden = layer(hidden, None)
        return self.head(self.encoder.layer_norm(hidden))

    def text(self, logits: torch.Tensor) -> str:
        """What is written greedily."""
        return decoded(logits, self.config.alphabet)


AutoConfig.register("ctc", CTCConfig)
AutoModel.register(CTCConfig, CTCRecogniser)


def decoded(logits: torch.Tensor, alphabet: str = LETTERS) -> str:
    """The likeliest classes of (n, classes) logits, repeats as one, blanks as nothing."""
    classes = torch.unique_consecutive(logits.argmax(-1)).tolist()
    written = "".join(alphabet[number - 1] for number in classes if number != BLANK)
    return " ".join(written.split())


def spelled(text: str, alphabet: str = LETTERS) -> torch.Tensor:
    """The classes of a text in small letters, (characters,); what the alphabet lacks is a space."""
    plain = "".join(c if c in alphabet else " " for c in text.lower().replace("’", "'"))
    return torch.tensor([alphabet.index(c) + 1 for c in " ".join(plain.split())], dtype=torch.long)


def loss(logits: torch.Tensor, classes: torch.Tensor, over: int = -1) -> torch.Tensor:
    """-log p(classes | sound), nats a character: over all ways to align them with n logits.

    0, without a gradient, where they are too many for n. `over` is the dimension that the softmax
    runs over: the classes, and 0, the frames, only to do as a published program does.
    """
    spread = logits.log_softmax(over)
    sizes = torch.tensor([len(logits)]), torch.tensor([len(classes)])
    total = functional.ctc_loss(
        spread, classes.to(spread.device), *sizes, BLANK, "sum", zero_infinity=True
    )
    return total / max(len(classes), 1)


class CTC(Family):
    """Its blocks are the encoder's, a head stands over them; convolutions are of kind `encoder`."""

    auto = AutoModel

    def knows(self, config: Any) -> bool:
        return config.model_type == "ctc"

    def part(self, name: str) -> Part:
        return part_of(name, KINDS, BLOCK, "ctc.py")

    def layers(self, config: Any) -> int:
        return config.audio_config.encoder_layers

    def saved(self, config: Any, moved: Sequence[str]) -> int:
        """As if every block moved whole; a token is 20 ms."""
        sizes = Sizes.of(config.audio_config)
        return self.layers(config) * (sizes.passing + sizes.inputs)

    def graft(self, parent: Any, other: Any, connector: Any) -> Grafting | None:
        kinds = {parent.model_type, other.model_type}
        if kinds != {"whisper"} or not isinstance(connector, Characters):
            return None
        config = CTCConfig(other.to_dict(), connector.alphabet)
        shape = 1 + len(connector.alphabet), other.d_model

        def weights(_: State, heard: State, seed: int) -> dict[str, torch.Tensor]:
            drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            ear = "model.encoder."
            return {
                **{n.removeprefix("model."): w for n, w in heard.items() if n.startswith(ear)},
                "head.weight": drawn / shape[1] ** 0.5,
                "head.bias": torch.zeros(shape[0]),
            }

        return Grafting(config, weights)

    def collate(self, model: Any, rows: Sequence[Row]) -> Any:
        raise ValueError("model=ctc: it writes no token after another; `engine.spelling` trains it")

    begin = collate

    @torch.no_grad()
    def answer(
        self, model: Any, tokenizer: Any, prompts: Sequence[Any], **_: Any
    ) -> list[Completion]:
        """What it hears in each row's one sound; whatever else a row asks."""
        found = []
        for row in prompts:
            (wave,) = row["frames"]
            logits = model.hear(wave)
            nats = -float(logits.log_softmax(-1).amax(-1).sum())
            found.append(Completion(logits.argmax(-1).tolist(), model.text(logits), True, nats))
        return found
