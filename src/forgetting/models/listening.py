"""A text model with ears: Whisper's encoder, a connector, and a causal language model.

    ears = text.graft(foundation("whisper-base"), Statistics(), seed=0)

The encoder stays as it is: what it makes of a sound is computed once, for whichever model, and kept
in the store. Its states are averaged over blocks of .16 s. A sound is a waveform, (samples,) at 16
kHz; it becomes embeddings where the text has its mark, so a sentence should stand around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from forgetting import store
from forgetting.models import whisper
from forgetting.models.causal import Causal
from forgetting.models.connectors import Connector, of_recipe
from forgetting.models.family import Grafting, State
from forgetting.models.frames import Frames, FramesConfig, FramesLM

BLOCK = 8  # of the encoder's states: .16 s
VERSION = 1  # of `heard`: raised when the same sound would give other features


class ListeningConfig(FramesConfig):
    """`audio_config` is Whisper's, `connector` a connector's recipe."""

    model_type = "listening"
    sub_configs = {"text_config": AutoConfig, "audio_config": AutoConfig}  # noqa: RUF012

    def __init__(self, audio_config: Any = None, connector: Any = None, **fields: Any) -> None:
        self.audio_config = AutoConfig.for_model(**(audio_config or {"model_type": "whisper"}))
        self.connector = connector or {"kind": "statistics"}
        super().__init__(**fields)


class ListeningLM(FramesLM):
    """Logits at every place of texts among which sounds are heard."""

    config_class: Any = ListeningConfig
    sounds = ("features", "blocks")

    def make_ears(self, config: Any) -> None:
        audio = config.audio_config
        self.encoder = WhisperEncoder(audio)
        self.connector = of_recipe(config.connector).build(
            audio.d_model, config.text_config.hidden_size
        )
        self.kept: dict[str, torch.Tensor] = {}

    def read(self, features: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """(places, width): the embeddings of all sounds, one after another."""
        connector = of_recipe(self.config.connector)
        embeddings = self.connector(features, blocks)
        counts = [connector.places(count) for count in blocks.tolist()]
        return torch.cat([each[:n] for each, n in zip(embeddings, counts, strict=True)])


AutoConfig.register("listening", ListeningConfig)
AutoModel.register(ListeningConfig, ListeningLM)


class Listening(Frames):
    """Its language model's parts are a causal one's; its encoder hears as it did."""

    still = r"encoder\..*"

    def knows(self, config: Any) -> bool:
        return config.model_type == "listening"

    def graft(self, parent: Any, other: Any, connector: Any) -> Grafting | None:
        fits = Causal().knows(parent) and other.model_type == "whisper"
        if not (fits and isinstance(connector, Connector)):
            return None
        config = ListeningConfig(other.to_dict(), connector.recipe(), text_config=parent.to_dict())

        def weights(text: State, heard: State, seed: int) -> dict[str, torch.Tensor]:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                drawn = connector.build(other.d_model, config.text_config.hidden_size)
            embedded = next(
                w for name, w in text.items() if Causal().part(name).kind == "embedding"
            )
            drawn.scale.data = embedded.float().std()
            ear = "model.encoder."
            return {
                **{n.removeprefix("model."): w for n, w in heard.items() if n.startswith(ear)},
                **{f"connector.{name}": p.detach() for name, p in drawn.named_parameters()},
                **{f"language_model.{name}": tensor for name, tensor in text.items()},
            }

        return Grafting(config, weights)

    def places(self, model: Any, wave: Any) -> int:
        return of_recipe(model.config.connector).places(_blocks(wave))

    def heard(self, model: Any, waves: Sequence[Any]) -> dict[str, torch.Tensor]:
        found = [heard(model, wave) for wave in waves]
        if not found:
            return {"features": torch.zeros(0, 1, 1, 1), "blocks": torch.zeros(0)}
        return {
            "features": nn.utils.rnn.pad_sequence(found, batch_first=True).float(),
            "blocks": torch.tensor([len(each) for each in found]),
        }


def heard(model: Any, wave: Any) -> torch.Tensor:
    """(blocks, layers, width) float16: the states that the connector reads; computed once.

    Raises `whisper.TooLong`.
    """
    samples = np.ascontiguousarray(wave, dtype=np.float32).reshape(-1)
    sound = hashlib.sha256(samples.tobytes()).hexdigest()
    if sound not in model.kept:
        audio = model.config.audio_config
        layers = of_recipe(model.config.connector).read(audio.encoder_layers)
        recipe = {"heard": VERSION, "sound": sound, "layers": list(layers)}
        key = store.hash_key(recipe | {"encoder": _digest(model)})
        folder = store.get("heard", key)
        if folder is None:
            features = _features(model.encoder, audio, samples, layers)

            def write(folder: Path) -> None:
                save_file({"features": features}, folder / "features.safetensors")

            folder = store.put("heard", key, write)
        model.kept[sound] = load_file(folder / "features.safetensors")["features"]
    return model.kept[sound]


@torch.no_grad()
def _features(encoder: Any, audio: Any, samples: Any, layers: Sequence[int]) -> torch.Tensor:
    size = _blocks(samples) * BLOCK
    mel = whisper.log_mel(samples, audio, min(size, audio.max_source_positions))
    found = whisper.states(encoder, mel[None].to(encoder.conv1.weight))
    blocks = [found[layer][0].split(BLOCK) for layer in layers]
    means = [torch.stack([block.mean(0) for block in each]) for each in blocks]
    return torch.stack(means, 1).half().cpu().contiguous()


def _blocks(wave: Any) -> int:
    """The blocks of .16 s that a sound lasts, the last one begun."""
    return max(1, -(-int(np.shape(wave)[0]) // (BLOCK * whisper.SAMPLES)))


def _digest(model: Any) -> str:
    """A hash over the encoder's weights; computed once a model."""
    if "encoder" not in model.__dict__.setdefault("digests", {}):
        hashed = hashlib.sha256()
        for name, weight in sorted(model.encoder.named_parameters()):
            hashed.update(name.encode() + weight.detach().float().cpu().numpy().tobytes())
        model.digests["encoder"] = hashed.hexdigest()
    return model.digests["encoder"]
