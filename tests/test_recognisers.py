"""Recognisers: Whisper's transcripts from states kept, and characters by CTC."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from forgetting import foundation
from forgetting.checking import BadValue
from forgetting.engine import compute
from forgetting.lineage.steps import Graft
from forgetting.models import ctc, transcripts, whisper
from forgetting.models.ctc import Characters
from forgetting.models.family import family_of
from forgetting.models.parts import Part
from forgetting.tuning import OnlyLast

KINDS = ("weight", "bias")


def tone(seconds, pitch=440.0, loud=0.3):
    time = np.arange(int(seconds * whisper.RATE)) / whisper.RATE
    return (loud * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


@pytest.fixture
def tiny(session_home):
    return compute.model(foundation("tiny-whisper"))


def by_the_whole_model(model, features, embeddings, steps):
    """Greedy tokens, the sound encoded and everything read again for each."""
    table, config, written = model.get_input_embeddings().weight, model.generation_config, []
    for place in range(steps):
        read = torch.cat([embeddings, table[torch.tensor(written, dtype=torch.long)][None]], 1)
        with torch.no_grad():
            logits = model(input_features=features, decoder_inputs_embeds=read).logits[0, -1]
        logits[config.suppress_tokens or []] = -torch.inf
        if place == 0:
            logits[config.begin_suppress_tokens] = -torch.inf
        token = int(logits.argmax())
        if token == model.config.eos_token_id:
            break
        written.append(token)
    return written


@pytest.mark.parametrize("language", [None, "im_start", {"im_start": 0.25, "im_end": 0.75}])
def test_a_transcript_is_the_whole_models(tiny, language):
    """A weighted sum of languages stands where one language does."""
    model, tokenizer = tiny
    table = model.get_input_embeddings().weight
    parts = [table[1]]
    if language == "im_start":
        parts.append(table[1])
    elif language:
        parts.append(0.25 * table[1] + 0.75 * table[2])
    sound = transcripts.encoded(model, tone(2))
    assert len(sound) == 1 and sound[0].states.shape == (1, 500, 32) and sound[0].seconds == 2
    said = transcripts.transcribe(model, tokenizer, sound, language)
    features = whisper.log_mel(tone(2), model.config, 500)[None]
    cap = transcripts.SPARE + 2 * transcripts.A_SECOND
    assert said.ids == by_the_whole_model(model, features, torch.stack(parts)[None], cap)
    assert said.nats < 0


def test_a_long_sound_is_written_window_by_window(tiny):
    model, tokenizer = tiny
    wave = np.concatenate([tone(10), tone(3, 200)])
    sound = transcripts.encoded(model, wave)
    assert [window.seconds for window in sound] == [10, 3]
    parts = [transcripts.transcribe(model, tokenizer, [window]) for window in sound]
    whole = transcripts.transcribe(model, tokenizer, sound)
    assert whole.ids == parts[0].ids + parts[1].ids


def test_likelihoods_of_a_transcript(tiny):
    model, tokenizer = tiny
    (window,) = transcripts.encoded(model, tone(1))
    nats = transcripts.log_likelihoods(model, tokenizer, window, "hi")
    ids = [1, *tokenizer("hi", add_special_tokens=False).input_ids, 2]
    features = whisper.log_mel(tone(1), model.config, 500)[None]
    logits = model(input_features=features, decoder_input_ids=torch.tensor([ids])).logits[0]
    alone = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    torch.testing.assert_close(nats, alone, atol=1e-4, rtol=0)


def test_a_language_that_the_vocabulary_lacks_is_named(tiny):
    with pytest.raises(BadValue, match="language='it': its vocabulary has no such token"):
        transcripts.transcribe(*tiny, transcripts.encoded(tiny[0], tone(1)), "it")


@pytest.mark.parametrize(
    ("ids", "looped"),
    [
        ([], False),
        ([7, 7, 7], False),
        ([7, 7, 7, 7], True),
        ([1, 2, 3, 1, 2, 3, 1, 2, 3, 4], False),
        ([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], True),
        ([1, 2, 1, 2, 5, 1, 2, 1, 2], False),
        ([*range(25)] * 4, False),  # a phrase longer than is looked for
    ],
)
def test_a_loop_is_a_phrase_four_times_in_a_row(ids, looped):
    assert transcripts.loops(ids) == looped


# -- characters --------------------------------------------------------------------------------


@pytest.fixture
def recogniser(own_home):
    ear = foundation("tiny-whisper")
    return ear.graft(ear, Characters(), seed=3)


def test_blanks_part_letters_and_repeats_are_one():
    a, b, space = (ctc.LETTERS.index(c) + 1 for c in "ab ")
    path = torch.tensor([0, a, a, 0, a, b, b, space, 0, space, b, space])
    logits = torch.nn.functional.one_hot(path, 29).float()
    assert ctc.decoded(logits) == "aab b"
    assert ctc.decoded(torch.eye(29)[:1].repeat(5, 1)) == ""  # blanks only


def test_text_is_spelled_in_the_alphabet():
    assert ctc.decoded(torch.eye(29)[ctc.spelled("It’s  OK—now")]) == "it's ok now"


def test_ctc_by_every_alignment():
    """-log of the summed probabilities of all paths that read the same, a letter."""
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    shares = logits.softmax(-1)

    def read(path):
        first = [path[0], *(b for a, b in pairwise(path) if a != b)]
        return [c for c in first if c]

    for classes in ([1], [1, 2], [2, 2]):
        paths = [p for p in product(range(3), repeat=4) if read(p) == classes]
        total = sum(math.prod(float(shares[i, c]) for i, c in enumerate(p)) for p in paths)
        found = ctc.loss(logits, torch.tensor(classes))
        assert float(found) == pytest.approx(-math.log(total) / len(classes), abs=1e-5)
    assert ctc.loss(logits, torch.tensor([1, 1, 1])) == 0  # needs five


def test_the_head_is_grafted_onto_the_encoder_as_it_is(recogniser):
    assert isinstance(recogniser.step, Graft)
    model, tokenizer = compute.model(recogniser)
    ear, _ = compute.model(foundation("tiny-whisper"))
    features = whisper.log_mel(tone(1), ear.config, 500)[None]
    with torch.no_grad():
        states = ear.model.encoder(features).last_hidden_state
        torch.testing.assert_close(model(features), model.head(states), atol=1e-5, rtol=0)
        logits = model.hear(tone(1))
    assert logits.shape == (50, 29)
    row = {"frames": [tone(1)], "input_ids": torch.tensor([1])}
    (answer,) = family_of(model).answer(model, tokenizer, [row], max_new_tokens=1)
    assert answer.text == ctc.decoded(logits)
    with pytest.raises(whisper.TooLong):
        model.hear(tone(11))


def test_its_blocks_are_the_encoders(recogniser):
    model, _ = compute.model(recogniser)
    family = family_of(model)
    assert family.layers(model.config) == 2
    assert family.part("encoder.layers.1.fc1.weight") == Part("mlp", 1)
    OnlyLast(1).apply(model)
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    above = {name for name, _ in model.named_parameters() if name.startswith("encoder.layers.1.")}
    ends = {f"{module}.{kind}" for module in ("encoder.layer_norm", "head") for kind in KINDS}
    assert moving == above | ends
