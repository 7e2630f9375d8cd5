"""A toy that hears: frames of numbers, encoded, stand among a text's embeddings.

The smallest model of that kind, for tests: an encoder of some frames at a time, a connector into
the width of a causal language model, and that model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from forgetting.models.causal import Causal, padded
from forgetting.models.family import Family, Grafting, State, on_device
from forgetting.models.parts import Part
from forgetting.models.rows import IGNORED, Row, supervised


@dataclass(frozen=True)
class Projection:
    """A connector of one matrix, drawn from a normal distribution of this `deviation`."""

    deviation: float = 0.02

    def recipe(self) -> dict[str, Any]:
        """What enters a key."""
        return {"kind": "projection", "deviation": self.deviation}


class FramesConfig(PreTrainedConfig):
    """`stride` frames of `channels` numbers become one embedding, by way of `width` features."""

    model_type = "frames"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        text_config: Any = None,
        channels: int = 4,
        stride: int = 2,
        width: int = 16,
        **fields: Any,
    ) -> None:
        self.text_config = AutoConfig.for_model(**(text_config or {"model_type": "llama"}))
        self.channels, self.stride, self.width = channels, stride, width
        super().__init__(**fields)


class FramesLM(PreTrainedModel, GenerationMixin):
    """Logits at every place of texts among which frames are heard."""

    config_class: Any = FramesConfig
    _supports_sdpa = True
    sounds: ClassVar[tuple[str, ...]] = ("frames",)  # what `read` takes

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.make_ears(config)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def make_ears(self, config: Any) -> None:
        """Set `encoder` and `connector`."""
        self.encoder: nn.Module = nn.Sequential(
            nn.Linear(config.stride * config.channels, config.width), nn.GELU()
        )
        self.connector: nn.Module = nn.Linear(config.width, config.text_config.hidden_size)

    def read(self, frames: torch.Tensor) -> torch.Tensor:
        """(places, width) of (places, stride x channels), the rows' one after another."""
        return self.connector(self.encoder(frames))

    def embedded(
        self, input_ids: torch.Tensor, heard: torch.Tensor, **sounds: torch.Tensor
    ) -> torch.Tensor:
        """(rows, length, width): embeddings of ids, where `heard` of `sounds` instead."""
        embeddings = self.language_model.get_input_embeddings()(input_ids)
        if not len(sounds[self.sounds[0]]):
            return embeddings
        read = self.read(**sounds).to(embeddings.dtype)  # bfloat16 within autocast
        return embeddings.masked_scatter(heard[..., None], read)

    def forward(
        self,
        input_ids: torch.Tensor,
        heard: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool = False,
        **given: Any,  # sounds; peft gives what a causal model may be given
    ) -> CausalLMOutputWithPast:
        sounds = {name: given[name] for name in self.sounds}
        return self.language_model(
            inputs_embeds=self.embedded(input_ids, heard, **sounds),
            attention_mask=attention_mask,
            use_cache=use_cache,
        )


AutoConfig.register("frames", FramesConfig)
AutoModel.register(FramesConfig, FramesLM)


class Frames(Family):
    """Its language model's parts are a causal one's; frames are heard where a row says."""

    auto = AutoModel

    def knows(self, config: Any) -> bool:
        return config.model_type == "frames"

    def part(self, name: str) -> Part:
        kind, _, inner = name.partition(".")
        return Causal().part(inner) if kind == "language_model" else Part(kind, None)

    def graft(self, parent: Any, other: Any, connector: Any) -> Grafting | None:
        if not (Causal().knows(parent) and self.knows(other) and isinstance(connector, Projection)):
            return None
        config = FramesConfig(parent.to_dict(), other.channels, other.stride, other.width)
        shape = config.text_config.hidden_size, config.width

        def weights(text: State, heard: State, seed: int) -> dict[str, torch.Tensor]:
            drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            return {
                **{name: tensor for name, tensor in heard.items() if name.startswith("encoder.")},
                "connector.weight": connector.deviation * drawn,
                "connector.bias": torch.zeros(shape[0]),
                **{f"language_model.{name}": tensor for name, tensor in text.items()},
            }

        return Grafting(config, weights)

    def places(self, model: Any, sound: torch.Tensor) -> int:
        """How many embeddings a sound becomes."""
        return -(-len(sound) // model.config.stride)

    def heard(self, model: Any, sounds: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the model's `read` takes, of sounds one after another."""
        config = model.config
        grouped = [_grouped(each, config.stride) for each in sounds]
        return {"frames": torch.cat([*grouped, torch.zeros(0, config.stride * config.channels)])}

    def collate(self, model: Any, rows: Sequence[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        opened = [self._opened(model, row) for row in rows]
        at = [functional.pad(supervised(row), (0, 1), value=False) for row in opened]
        return self._inputs(model, opened), pad_sequence(at, batch_first=True)

    def begin(self, model: Any, rows: Sequence[Row]) -> tuple[PreTrainedModel, dict[str, Any]]:
        inputs = self._inputs(model, [self._opened(model, row) for row in rows], side="left")
        inputs = on_device(inputs, model)
        mask = inputs.pop("attention_mask")
        embeddings = model.embedded(**inputs)
        return model.language_model, {"inputs_embeds": embeddings, "attention_mask": mask}

    def _opened(self, model: Any, row: Row) -> Row:
        """The row with places of their own, id 0, for every sound, and which these are."""
        sounds, places = row.get("frames", []), row.get("places", [])
        counts = [0, *(self.places(model, sound) for sound in sounds)]
        ids, labels, heard = [], [], []
        bounds = pairwise([0, *places, len(row["input_ids"])])
        for count, (start, end) in zip(counts, bounds, strict=True):
            empty = torch.zeros(count, dtype=torch.long)
            ids += [empty, row["input_ids"][start:end]]
            labels += [torch.full_like(empty, IGNORED), row["labels"][start:end]]
            heard += [torch.ones_like(empty), torch.zeros(end - start, dtype=torch.long)]
        return {
            "input_ids": torch.cat(ids),
            "labels": torch.cat(labels),
            "heard": torch.cat(heard).bool(),
            "frames": sounds,
        }

    def _inputs(
        self, model: Any, opened: Sequence[Row], side: str = "right"
    ) -> dict[str, torch.Tensor]:
        heard = [row["heard"] for row in opened]
        return {
            **padded([row["input_ids"] for row in opened], side),
            "heard": pad_sequence(heard, batch_first=True, padding_side=side),
            **self.heard(model, [sound for row in opened for sound in row["frames"]]),
        }


def _grouped(frames: torch.Tensor, stride: int) -> torch.Tensor:
    """(groups, stride x channels) of (frames, channels), the last filled up with zeros."""
    filled = functional.pad(frames, (0, 0, 0, -len(frames) % stride))
    return filled.reshape(-1, stride * frames.shape[1])
