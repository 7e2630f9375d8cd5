"""Dictation: rooms, errors counted, a recogniser that learns to spell, streams, the command."""

import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from forgetting import foundation
from forgetting.adaptation import DSUTA, SUTA, ContinualSUTA, system
from forgetting.checking import BadValue
from forgetting.cli import app
from forgetting.engine import compute
from forgetting.engine.spelling import Spell
from forgetting.lineage import Checkpoint
from forgetting.models import ctc
from forgetting.models.ctc import Characters
from forgetting.probes import dictation
from forgetting.probes.dictation import Dictation, Written
from forgetting.tasks import Task, rooms, transcription
from forgetting.tasks.rooms import LEVEL, Room
from forgetting.tasks.sounds import RATE, loudness
from forgetting.tuning import OnlyLast

SPEECH = np.random.default_rng(1).normal(size=RATE) * np.sin(np.arange(RATE) / 900) * 0.1
OTHERS = [np.random.default_rng(n).normal(size=RATE // 2) for n in range(2, 7)]
EVERY = ("white 10", "pink 5", "music 0", "babble 10", "quiet", "reverberation 0.5")
EVERY += ("telephone 3400", "clipping 0.5")


@pytest.mark.parametrize("name", EVERY)
def test_a_room_is_the_same_for_a_seed_and_as_loud(name):
    room = Room.of(name)
    assert room.name == name
    one, again, other = (room.heard(SPEECH, seed, OTHERS) for seed in (3, 3, 4))
    assert one.dtype == np.float32 and len(one) == len(SPEECH) and np.array_equal(one, again)
    assert loudness(one) == pytest.approx(LEVEL, rel=0.02)
    drawn = room.kind in (*rooms.NOISES, "babble", "reverberation")
    assert np.array_equal(one, other) != drawn


@pytest.mark.parametrize("name", ["white 10", "pink 10", "babble 10", "music 10"])
def test_noise_is_so_much_softer(name):
    """What is added to louder speech is the same noise: the difference is speech alone."""
    soft, loud = (Room(name.split()[0], level).heard(SPEECH, 0, OTHERS) for level in (10, 120))
    speech = loud / loudness(loud)
    share = float(soft @ speech) / len(soft)  # of the speech within, by projection
    noise = soft - share * speech
    assert 20 * np.log10(share / loudness(noise)) == pytest.approx(10, abs=0.6)


def test_what_each_room_does():
    def high(wave):
        power = np.abs(np.fft.rfft(wave)) ** 2
        return power[len(power) // 2 :].sum() / power.sum()

    assert high(Room("telephone", 3400).heard(SPEECH, 0)) < 0.01 < high(SPEECH)
    clipped = np.abs(Room("clipping", 0.5).heard(SPEECH, 0))
    assert np.mean(clipped > clipped.max() * 0.999) == pytest.approx(0.5, abs=0.02)
    click = np.zeros(RATE)
    click[0] = 1
    echo = Room("reverberation", 0.4).heard(click, 0) ** 2
    early, late = echo[1 : RATE // 10].mean(), echo[RATE * 3 // 10 : RATE * 4 // 10].mean()
    assert 10 * np.log10(early / late) == pytest.approx(42, abs=6)  # .28 s later at 150 dB a second
    noise = rooms._pink(4 * RATE, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[4 * low : 8 * low].sum() for low in (200, 400, 800, 1600)]
    assert max(octaves) / min(octaves) < 1.3


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("hall 3", "room='hall': no such room"),
        ("white loud", "'loud' is no number"),
        ("clipping 3", "level=3: of clipping it is 0.01 to 0.95"),
        ("babble 5", r"others=\(\): babble is made of other utterances"),
    ],
)
def test_a_room_that_makes_no_sense(name, problem):
    with pytest.raises(BadValue, match=problem):
        Room.of(name).heard(SPEECH, 0)


def test_errors_by_hand():
    """Numbers in words are numbers in digits; capitals, points and contractions do not count."""
    assert transcription.words("It's twenty-one, Anna!", "it is 21 anna") == (0, 4)
    assert transcription.words("press one to stop", "press two stop now") == (3, 4)
    assert transcription.words("press one, then 21", "press 1 then twenty one") == (0, 4)
    assert transcription.words("a b", "") == (2, 2)
    assert transcription.characters("abc", "abd e") == (3, 3)
    assert transcription.plain("Où est-ce ?", "fr") == "où est ce"
    with pytest.raises(ValueError, match=r"said='…': has no words"):
        transcription.words("…", "yes")


@given(st.lists(st.sampled_from("abcd"), min_size=1), st.lists(st.sampled_from("abcd")))
def test_errors_are_the_distance_of_two_texts(said, written):
    row = list(range(len(written) + 1))
    for i, one in enumerate(said, 1):
        last, row = row, [i]
        for j, other in enumerate(written, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (one != other)))
    said, written = (["x" + each + "x" for each in texts] for texts in (said, written))
    assert transcription.words(" ".join(said), " ".join(written)) == (row[-1], len(said))


# -- with a recogniser -------------------------------------------------------------------------


def tones(count, classes="ab", seed=0):
    """Documents whose letters are tones: 0.2 s each, of a pitch of its own."""
    dice = np.random.default_rng(seed)
    for _ in range(count):
        text = "".join(dice.choice(list(classes), size=4))
        time = np.arange(RATE // 5) / RATE
        parts = [np.sin(2 * np.pi * (300 if c == "a" else 900) * time) for c in text]
        yield {"text": text, "sound": (0.3 * np.concatenate(parts)).astype(np.float32)}


class Toy(Task):
    """Dictation with tones in the place of speech."""

    def documents(self, split):
        return list(tones(24 if split == "train" else 6, seed=len(split)))


@pytest.fixture(scope="module")
def ear(session_home):
    whisper = foundation("tiny-whisper")
    return whisper.graft(whisper, Characters(), seed=3)


@pytest.fixture
def spoken(own_home, monkeypatch):
    monkeypatch.setattr(Task, "documents", Toy.documents)
    return Task("dictation", 6)


def mean_loss(model, task, split):
    found = []
    for document in task.documents(split):
        with torch.no_grad():
            logits = model.hear(document["sound"])
        found.append(float(ctc.loss(logits, ctc.spelled(document["text"]))))
    return sum(found) / len(found)


def test_it_learns_to_spell_and_what_lies_below_stays(spoken, ear):
    step = Spell(ear, spoken, OnlyLast(1), epochs=3, learning_rate=1e-2, batch=4)
    before, after = compute.state(ear), compute.state(Checkpoint(step))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    family = {
        n for n in before if n.startswith(("encoder.layers.1.", "head.", "encoder.layer_norm"))
    }
    assert moved and moved <= family
    model, _ = compute.model(Checkpoint(step))
    untaught, _ = compute.model(ear)
    assert mean_loss(model, spoken, "test") < 0.7 * mean_loss(untaught, spoken, "test")
    again = compute.weights(step)
    assert all(torch.equal(after[name], again[name]) for name in after)


def test_states_below_are_kept_to_no_effect(spoken, ear):
    model, _ = compute.model(ear)
    wave = spoken.documents("test")[0]["sound"]
    with torch.no_grad():
        for count in (0, 1):
            kept = model.above(model.below(wave, count), count)[0]
            torch.testing.assert_close(kept, model.hear(wave), atol=1e-5, rtol=0)


def test_a_stream_goes_through_rooms(spoken):
    probe = Dictation(spoken, ("white 20", "pink 10"), every=3, length=14)
    heard = probe.utterances()
    names = [each.room.name for each in heard]
    assert (
        names
        == ["white 20"] * 3
        + ["pink 10"] * 3
        + ["white 20"] * 3
        + ["pink 10"] * 3
        + ["white 20"] * 2
    )
    assert sorted(each.item for each in heard[:6]) == list(range(6))
    assert heard != Dictation(spoken, ("white 20", "pink 10"), 3, 14, order=1).utterances()
    waves = probe.waves()
    assert len(waves) == 14 and loudness(waves[0]) == pytest.approx(LEVEL, rel=0.02)


def test_the_mean_over_items_is_the_rate_of_all(spoken, monkeypatch):
    probe = Dictation(spoken)
    texts = ["red green blue", "grey", "old new", "up", "down", "left right"]
    documents = [{"text": t, "sound": np.zeros(9, np.float32)} for t in texts]
    monkeypatch.setattr(Task, "documents", lambda self, split: documents)
    order = [each.item for each in probe.utterances()]
    written = [Written("red green" if texts[n] == texts[0] else texts[n], n == 3) for n in order]
    scores, samples = probe._scored(written)
    assert scores.mean("wer") == pytest.approx(1 / 10, abs=1e-4)
    assert scores.mean("looped") == pytest.approx(1 / 6, abs=1e-4)
    assert samples[0].answer == "red green" and scores.blocks is None
    assert scores.items["place"] == [order.index(number) for number in range(6)]


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    "how",
    [
        SUTA(2, 1e-2),
        ContinualSUTA(SUTA(2, 1e-2)),
        DSUTA(SUTA(2, 1e-2), buffer=2, reset="dynamic", shaped=6),
        DSUTA(SUTA(2, 1e-2), buffer=2, reset="oracle"),
    ],
    ids=["suta", "continual", "dynamic", "oracle"],
)
@pytest.mark.parametrize("killed", [1, 4, 7])
def test_a_stream_killed_anywhere_goes_on_to_the_same_bytes(spoken, ear, tmp_path, how, killed):
    waves = [document["sound"] for document in spoken.documents("test")]
    waves = (waves * 2)[:8]
    spaces = ["one"] * 5 + ["two"] * 3

    def run(kept, die=None):
        listener = how.begin(*compute.model(ear))
        answer, count = listener.answer, iter(range(99))

        def until(wave):
            if next(count) == die:
                raise Stopped
            return answer(wave)

        listener.answer = until
        dictation.listen(listener, waves, spaces, kept, often=2)

    run(tmp_path / "whole.safetensors")
    with pytest.raises(Stopped):
        run(tmp_path / "cut.safetensors", die=killed)
    assert (tmp_path / "cut.safetensors").exists() == (killed >= 2)
    run(tmp_path / "cut.safetensors")
    assert (tmp_path / "cut.safetensors").read_bytes() == (
        tmp_path / "whole.safetensors"
    ).read_bytes()


def test_a_system_is_measured_once_and_leaves_weights(spoken, ear):
    probe = Dictation(spoken, ("white 20", "quiet"), every=3)
    how = ContinualSUTA(SUTA(1, 1e-3))
    scores, samples = probe.scores(system(ear, how), None, None)
    assert scores.blocks == [int(place >= 3) for place in scores.items["place"]]
    assert len(samples) == 6 and sorted(scores.items["place"]) == list(range(6))
    assert probe.scores(system(ear, how), None, None)[0] == scores  # out of the store
    left = compute.state(system(ear, how, probe))
    start = compute.state(ear)
    moved = {name for name in start if not torch.equal(start[name], left[name])}
    assert moved and all("norm" in name or "conv" in name for name in moved)
    same = compute.state(system(ear, SUTA(1, 1e-3), probe))
    assert all(torch.equal(same[name], start[name]) for name in start)
    model, tokenizer = compute.model(ear)
    plain, _ = probe.scores(ear, model, tokenizer)
    assert plain.items["place"] == scores.items["place"]
    other = replace(probe, order=5)
    own = system(ear, how, probe)
    assert other.watches(own) and other.scores(own, None, None)[0] == scores
    assert not Dictation(spoken).watches(own) and not probe.watches(ear)


def test_a_file_is_written_down_before_and_after(spoken, ear, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, spoken.documents("test")[0]["sound"], RATE)
    more = ["--ear", "tiny-whisper", "--examples", "2", "--steps", "1"]
    done = CliRunner().invoke(app, ["listen", str(path), "--adapt", "suta", *more])
    assert done.exit_code == 0, done.output
    first, second = done.stdout.rstrip("\n").split("\n")
    assert first.startswith("before: ") and second.startswith("suta: ")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["no.wav"], "no.wav: no such file"),
        (["text.wav"], "no sound that can be read"),
        (["silent.wav"], "silent"),
        (["silent.wav", "--adapt", "sutra"], "adapt='sutra': no such way; did you mean 'suta'?"),
    ],
)
def test_bad_sound_gets_one_clear_line(own_home, tmp_path, given, line):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    done = CliRunner().invoke(app, ["listen", str(tmp_path / given[0]), *given[1:]])
    assert done.exit_code == 1 and line in done.stderr and done.stderr.count("\n") == 1


def test_sentences_of_a_split_are_its_own():
    import importlib.util

    path = os.path.join(os.environ.get("FORGETTING_DATA", "data"), "tasks/dictation/loaders.py")
    spec = importlib.util.spec_from_file_location("dictation_loaders", path)
    loaders = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaders)
    texts = {
        split: [row["text"] for row in loaders.drawn(split, count)]
        for split, count in (("train", 780), ("dev", 120), ("test", 120))
    }
    assert {split: len(found) for split, found in texts.items()} == {
        "train": 780,
        "dev": 120,
        "test": 120,
    }
    every = [text for found in texts.values() for text in found]
    assert len(set(every)) == len(every)
    voices = {
        split: {row["voice"].split("+")[1] for row in loaders.drawn(split, 120)} for split in texts
    }
    assert not set.intersection(*voices.values()) and len(set.union(*voices.values())) == 12
