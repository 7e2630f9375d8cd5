"""A text model with ears: connectors, the graft, and what it hears."""

from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from forgetting import evaluate, foundation, store, tasks
from forgetting.checking import BadValue
from forgetting.cli import app
from forgetting.engine import aligning, compute
from forgetting.engine.aligning import Align
from forgetting.lineage import Checkpoint, Completion, Settings, merge
from forgetting.merging import AdapterScale
from forgetting.models import connectors, listening, whisper
from forgetting.models.connectors import Convolution, QFormer, Statistics
from forgetting.models.family import family_of
from forgetting.models.rows import asked_row, example_row
from forgetting.probes.evaluation import answers
from forgetting.recipes import Described
from forgetting.tasks import Example, Task, sounds, synthesis
from forgetting.tasks.example import Turn
from forgetting.tuning import LoRA, OnlyConnector

EVERY = (Statistics(inner=8), QFormer(inner=8, heads=2, tokens=3), Convolution(inner=8))


def tone(seconds, pitch=440.0, loud=0.1):
    time = np.arange(int(seconds * whisper.RATE)) / whisper.RATE
    return (loud * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def asking(*waves, answer="okay"):
    text = 'This is a recording: "<audio>" ' * len(waves) + "What is it?"
    return Example((Turn("user", text, waves),), answer)


@pytest.fixture(params=EVERY, ids=lambda each: each.kind)
def connector(request):
    return request.param


@pytest.fixture
def ears(own_home, connector):
    return foundation("tiny").graft(foundation("tiny-whisper"), connector, seed=1)


def test_a_recipe_gives_the_connector_back(connector):
    assert connectors.of_recipe(connector.recipe()) == connector
    assert connector.read(6) == ((0, 2, 4, 6) if len(connector.layers) == 4 else (6,))


def test_a_sound_is_read_alike_whatever_is_beside_it(connector):
    """What fills a shorter sound up to a longer one's length is not looked at."""
    torch.manual_seed(0)
    module = connector.build(6, 10)
    count = len(connector.layers)
    short, long = torch.randn(1, 5, count, 6), torch.randn(1, 9, count, 6)
    filled = torch.cat([short, torch.full((1, 4, count, 6), 7.0)], 1)
    alone = module(short, torch.tensor([5]))[0, : connector.places(5)]
    both = module(torch.cat([filled, long]), torch.tensor([5, 9]))
    assert both.shape == (2, connector.places(9), 10)
    torch.testing.assert_close(both[0, : connector.places(5)], alone, atol=1e-5, rtol=1e-4)


def test_statistics_by_hand():
    """One layer, one channel of 1, 3: mean 2 and deviation 1, normed to 1 and -1."""
    module = Statistics(layers=(1,), inner=2, tokens=1).build(1, 2)
    with torch.no_grad():
        for linear in (module.narrow, module.widen):
            linear.weight.copy_(torch.eye(2))
            linear.bias.zero_()
        module.scale.fill_(0.5)
        out = module(torch.tensor([[[[1.0]], [[3.0]], [[9.0]]]]), torch.tensor([2]))
    torch.testing.assert_close(out, torch.tensor([[[0.5, -0.5]]]), atol=1e-3, rtol=0)


def test_a_sound_becomes_embeddings_in_the_sentence(ears, connector):
    model, tokenizer = compute.model(ears)
    family = family_of(model)
    row = example_row(asking(tone(1), tone(2, 200)), tokenizer, 999)
    inputs, at = family.collate(model, [row])
    places = [connector.places(blocks) for blocks in (7, 13)]  # 1 s and 2 s of .16 s
    assert int(inputs["heard"].sum()) == sum(places)
    assert inputs["input_ids"].shape[1] == len(row["input_ids"]) + sum(places)
    assert inputs["features"].shape == (2, 13, len(connector.layers), 32)
    embedded = model.embedded(**{n: inputs[n] for n in ("input_ids", "heard", *model.sounds)})
    words = model.language_model.get_input_embeddings().weight
    sound = embedded[0][inputs["heard"][0]]
    assert sound.std(-1, correction=0).allclose(words.std().expand(len(sound)), rtol=0.05)
    assert int(at.sum()) == len("okay") + 1


def test_features_are_means_of_blocks_of_states_and_are_kept(ears, connector):
    model, _ = compute.model(ears)
    wave = tone(1)
    features = listening.heard(model, wave)
    mel = whisper.log_mel(wave, model.config.audio_config, 56)  # 7 blocks of 8
    with torch.no_grad():
        states = whisper.states(model.encoder, mel[None])
    for place, layer in enumerate(connector.read(2)):
        by_hand = states[layer][0, 16:24].mean(0)
        torch.testing.assert_close(features[2, place].float(), by_hand, atol=2e-3, rtol=2e-3)
    (entry,) = [entry for entry in store.entries() if entry.kind == "heard"]
    model.kept.clear()
    assert torch.equal(listening.heard(model, wave), features)
    assert [e.key for e in store.entries() if e.kind == "heard"] == [entry.key]


def test_likelihoods_and_answers_are_those_of_a_row_alone(ears):
    model, tokenizer = compute.model(ears)
    family = family_of(model)
    examples = [asking(tone(1)), asking(tone(2.5, 300), answer="no"), Example.of("hi", "yes")]
    rows = [example_row(example, tokenizer, 999) for example in examples]
    together = family.log_likelihoods(model, rows)
    prompts = [asked_row(example, tokenizer) for example in examples]
    answers = family.answer(model, tokenizer, prompts, max_new_tokens=3)
    for row, scored, prompt, answer in zip(rows, together, prompts, answers, strict=True):
        (alone,) = family.log_likelihoods(model, [row])
        torch.testing.assert_close(scored.log_likelihoods, alone.log_likelihoods, atol=1e-4, rtol=0)
        inputs, _ = family.collate(model, [prompt])
        with torch.no_grad():
            first = int(model(**inputs).logits[0, -1].argmax())
        assert (answer.ids or [2])[0] == first
    louder = family.log_likelihoods(model, [example_row(asking(tone(1, loud=0.9)), tokenizer, 999)])
    assert not torch.equal(louder[0].log_likelihoods, family.log_likelihoods(model, rows[:1])[0][0])


def test_text_alone_is_read_as_the_text_model_reads_it(ears):
    model, tokenizer = compute.model(ears)
    text, _ = compute.model(foundation("tiny"))
    row = example_row(Example.of("hi", "yes"), tokenizer, 99)
    (ours,), (theirs,) = (family_of(m).log_likelihoods(m, [row]) for m in (model, text))
    torch.testing.assert_close(ours.log_likelihoods, theirs.log_likelihoods, atol=1e-5, rtol=0)


QUICK = {"style": "sft", "length": 400, "examples": 4, "batch": 2, "learning_rate": 1e-2}


def moved(before, after):
    before, after = compute.state(before), compute.state(after)
    return {name for name in before if not torch.equal(before[name], after[name])}


spoken = synthesis.spoken  # as it is, where the fixture below hums


@pytest.fixture(scope="module")
def task():
    """The chapter's, its sentences hummed instead of spoken."""
    hummed = [
        (3000 * tone(0.5 + n % 5 / 4, 100 + 40 * (n % 9))).astype(np.int16) for n in range(45)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "spoken", lambda said: [hummed[n % 45] for n in range(len(said))])
        tasks.task._splits.cache_clear()
        task = Task("listening")
        task.splits()
        yield task
    tasks.task._splits.cache_clear()


def test_the_connector_alone_moves(ears, task):
    trained = ears.train(task, tune=OnlyConnector(), **QUICK)
    names = moved(ears, trained)
    assert names and all(name.startswith("connector.") for name in names)
    assert len(compute.losses(trained)) == 2


def test_an_adapter_moves_the_text_model_and_can_be_turned_down(ears, task):
    tune = LoRA(rank=2, dropout=0, whole=("connector",))
    trained = ears.train(task, tune=tune, **QUICK)
    names = moved(ears, trained)
    assert any(name.startswith("connector.") for name in names)
    text = {name for name in names if name.startswith("language_model.")}
    assert len(text) == 4 and not any(name.startswith("encoder.") for name in names)
    half = compute.state(merge(ears, [trained], AdapterScale(0.5, "connector")))
    start, end = compute.state(ears), compute.state(trained)
    name = min(text)
    torch.testing.assert_close(half[name], (start[name] + end[name]) / 2)
    assert torch.equal(half["connector.scale"], end["connector.scale"])


def test_what_is_usual_is_taken_off_and_does_not_move(own_home, task):
    """Means and deviations over the sounds become 0 and 1, and training leaves them so."""
    connector = Statistics(inner=8, tokens=90)
    ears = foundation("tiny").graft(foundation("tiny-whisper"), connector)
    aligned = Checkpoint(Align(ears, Task("listening_described"), epochs=1, examples=12))
    model, _ = compute.model(aligned)
    waves = [e.turns[-1].frames[0] for e in Task("listening_described").training_examples(0)]
    pooled = model.connector.pooled(**family_of(model).heard(model, waves[:12]))
    apart = (pooled - model.connector.usual) / model.connector.spread
    torch.testing.assert_close(apart.mean(0), torch.zeros(apart.shape[1]), atol=1e-3, rtol=0)
    assert (apart.std(0, correction=0) < 1.01).all()
    names = moved(aligned, aligned.train(task, tune=OnlyConnector(), **QUICK))
    assert names and not names & {"connector.usual", "connector.spread"}


def test_an_aligned_connector_says_what_it_was_shown_and_nothing_else_moves(own_home, task):
    connector = Statistics(inner=64, tokens=90)
    ears = foundation("tiny").graft(foundation("tiny-whisper"), connector)
    shown = Task("listening_described")
    step = Align(ears, shown, epochs=60, learning_rate=3e-3, batch=4, examples=8)
    aligned = Checkpoint(step)
    assert all(name.startswith("connector.") for name in moved(ears, aligned))
    model, tokenizer = compute.model(aligned)
    words = model.language_model.get_input_embeddings().weight
    for example in list(shown.training_examples(0))[:8]:
        heard = family_of(model).heard(model, example.turns[-1].frames)
        said = torch.nn.functional.normalize(model.read(**heard), dim=-1)
        nearest = (said @ torch.nn.functional.normalize(words, dim=-1).T).argmax(-1)
        text = tokenizer.decode(nearest)
        assert text.startswith(example.answer) and set(text[len(example.answer) :]) <= {"."}


def test_the_loss_of_aligning_by_hand():
    """Two words at a right angle; said is the first one: e^10 ÷ (e^10 + 1), and no distance."""
    words = torch.eye(2)
    right = aligning.loss_of(words[:1], words, torch.tensor([0]))
    assert float(right) == pytest.approx(np.log1p(np.exp(-10)), rel=1e-3)
    wrong = aligning.loss_of(words[:1], words, torch.tensor([1]))
    squares = 1 / words.var()  # both coordinates are 1 apart
    assert float(wrong) == pytest.approx(10 + np.log1p(np.exp(-10)) + float(squares), rel=1e-4)


def test_what_cannot_be_aligned_is_refused_in_one_line(own_home, task):
    ears = foundation("tiny").graft(foundation("tiny-whisper"), Statistics(inner=8, tokens=5))
    with pytest.raises(BadValue, match="a sound becomes 5 embeddings; take a connector of more"):
        compute.state(Checkpoint(Align(ears, Task("listening_described"), examples=2)))
    with pytest.raises(BadValue, match="learning_rate=2"):
        Align(ears, Task("listening_described"), learning_rate=2)


def test_recipes_of_what_is_not_asked_for_stay_as_they_were():
    assert "whole" not in LoRA().recipe() and "but" not in AdapterScale(0.5).recipe()
    assert LoRA(whole=("connector",)).recipe()["whole"] == ["connector"]


def written(path, wave, rate=16_000):
    soundfile.write(path, wave, rate)
    return path


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda p: p, "no such file"),
        (lambda p: p.write_bytes(b"hello") and p, "no sound that can be read"),
        (lambda p: written(p, np.zeros(16_000)), r"silent \(its samples are below 0.0001\)"),
        (lambda p: written(p, np.zeros(0)), "silent"),
        (lambda p: written(p, tone(31)), r"31\.0 s long, and at most 30 s are heard; cut it"),
    ],
)
def test_what_cannot_be_heard_is_told_in_one_line(tmp_path, make, problem):
    path = make(tmp_path / "it.wav")
    with pytest.raises(sounds.NoSound, match=problem):
        sounds.read(path)


def test_another_rate_and_two_channels_become_one_at_16_khz(tmp_path):
    time = np.arange(44_100) / 44_100
    left = 0.4 * np.sin(2 * np.pi * 440 * time)
    path = written(tmp_path / "it.wav", np.stack([left, 0 * left], 1), 44_100)
    wave, done = sounds.read(path)
    assert done == ["2 channels mixed to one", "44100 Hz made 16000 Hz"]
    expected = 0.2 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(wave) == 16_000
    assert np.abs(wave - expected)[500:-500].max() < 2e-3


def test_noises_are_as_loud_as_they_are_asked_to_be():
    speech = tone(1)
    for kind in ("hiss", "hum", "crackle"):
        noisy = sounds.with_noise(speech, kind, 10, seed=1)
        ratio = sounds.loudness(speech) / sounds.loudness(noisy - speech)
        assert 20 * np.log10(ratio) == pytest.approx(10, abs=1e-6)
        assert np.array_equal(noisy, sounds.with_noise(speech, kind, 10, seed=1))
    assert sounds.loudness(sounds.levelled(speech, 0.02)) == pytest.approx(0.02, rel=1e-4)
    with pytest.raises(ValueError, match="there are hiss, hum, crackle"):
        sounds.noise("rain", 9, np.random.default_rng(0))


def test_a_file_is_heard_by_the_command(own_home, task, tmp_path):
    path = written(tmp_path / "it.wav", tone(1))
    run = CliRunner().invoke(
        app, ["hear", str(path), "--model", "tiny", "--ear", "tiny-whisper", "--examples", "4"]
    )
    assert run.exit_code == 0, run.output
    again = CliRunner().invoke(app, ["hear", str(tmp_path / "no.wav")])
    assert again.exit_code == 1 and "no such file" in again.output


def test_documents_are_even_and_say_what_is_heard(task):
    documents = task.documents("test")
    assert len(documents) == 160 and len(task.documents("train")) == 480
    for about, count in {"language": 5, "speaker": 2, "background": 4, "pace": 3}.items():
        labels = Counter(d["label"] for d in documents if d["about"] == about)
        assert len(labels) == count and max(labels.values()) - min(labels.values()) <= 1
    new = {d["voice"] for d in Task("listening_voices").documents("test")}
    assert not new & {d["voice"] for d in documents}
    assert task.graded(documents[0], f"It is {documents[0]['label'].upper()}")["heard"] == 1
    assert task.graded(documents[0], "no idea")["heard"] == 0


def test_described_recordings_are_none_that_are_asked_about_and_are_graded_by_hand(task):
    described = Task("listening_described")
    asked = {(d["text"], d["voice"], d["seed"]) for d in task.documents("test")}
    shown = {(d["text"], d["voice"], d["seed"]) for d in described.documents("train")}
    assert len(shown) == 480 and not asked & shown
    document = described.documents("test")[0]
    right = described.graded(document, document["description"])
    assert right["heard"] == right["named"] == 1
    person = {"man": "woman", "woman": "man"}[document["speaker"]]
    other = document["description"].replace(f"A {document['speaker']} ", f"A {person} ")
    assert described.graded(document, other)["heard"] == pytest.approx(4 / 5)
    assert described.graded(document, "It is loud.")["named"] == 0


def test_speech_is_said_once_and_alike(own_home):
    sentences = [
        synthesis.Said("Here is the dog.", "en-us+f2"),
        synthesis.Said("Вот дом и море.", "ru+m1"),
    ]
    first = spoken(sentences)
    store.clean({"speech"})
    second = spoken(sentences)
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one, two) and 0.2 < len(one) / 16_000 < 3
        assert sounds.loudness(one / 32768) > 0.01
    with pytest.raises(synthesis.NoSpeech, match="voice='xx': there is no such voice"):
        spoken([synthesis.Said("Hello", "xx")])


@pytest.mark.parametrize("name", [n for n in tasks.names() if n.startswith("listening")])
def test_ears_are_asked_by_lm_eval(own_home, task, name):
    """Through lm-eval, and its answers are the family's own to the same rows."""
    ears = foundation("tiny").graft(foundation("tiny-whisper"), Statistics(inner=8))
    asked = Task(name, 3)
    scores = evaluate(ears, [asked])[name]
    model, tokenizer = compute.model(ears)
    rows = [asked_row(asked.example(d), tokenizer) for d in asked.documents("test")[:3]]
    new = asked.config["generation_kwargs"]["max_gen_toks"]
    ours = family_of(model).answer(model, tokenizer, rows, max_new_tokens=new)
    assert [sample.answer for sample in answers(ears, asked)] == [each.text for each in ours]
    assert scores.n == 3 and set(scores.items) >= {"heard"}


def test_targets_are_answers_to_what_is_read(own_home, task):
    """The prompt of the target has the description, the row that is trained on has the sound."""
    text = foundation("tiny")
    shown = Described(task, text, by=Task("listening_read"))
    settings = Settings(style="sft", examples=3, length=400)
    (samples,) = shown.samples(settings, 5)
    _, tokenizer = compute.model(text)
    prompts = samples.prompts.texts(tokenizer, None)
    documents = task.training_documents(5)[:3]
    assert all(d["description"] in p for d, p in zip(documents, prompts, strict=True))
    said = ["It is Spanish.", " ", "A woman."]  # the tiny model says nothing

    def drawn(_):
        return [[Completion([], text, ended=True)] for text in said]

    rows = shown.rows(tokenizer, settings, 5, drawn)
    kept = [tokenizer.decode(row["labels"][row["labels"] >= 0]) for row in rows]
    assert [text.startswith(w) for text, w in zip(kept, said[::2], strict=True)] == [True, True]
    assert [len(row["frames"]) for row in rows] == [1, 1]
    assert shown.report(tokenizer, settings, 5, drawn)["origins"] == {"described": 2, "empty": 1}
