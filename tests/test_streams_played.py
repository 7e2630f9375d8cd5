"""Streams put to a model: blocks, labels, resuming, what they leave, and a prompt read once."""

import itertools
import json
import random

import pytest
import torch

from forgetting import home, store
from forgetting.adaptation import MemPrompt, StreamICL, StreamReinforce, StreamTuning, system
from forgetting.adaptation.gradient import log_likelihoods
from forgetting.engine import compute
from forgetting.experiments.study import Cell, measure
from forgetting.models.family import family_of
from forgetting.models.growing_prompt import GrowingPrompt
from forgetting.models.rows import continued, prompt_row
from forgetting.models.sampling import Sampler
from forgetting.probes import playing
from forgetting.probes.evaluation import evaluate
from forgetting.probes.playing import Writer
from forgetting.probes.streams import Stream
from forgetting.tasks import Task
from forgetting.tuning import LoRA

pytestmark = pytest.mark.usefixtures("own_home")
TASK = Task("codes", 6)
CLOSED = Stream(TASK, order=1, block=2, closed=True)
ADAPTER = LoRA(rank=2, alpha=4, dropout=0)


# -- orders and answers ------------------------------------------------------------------------


def test_blocks_stay_together_in_every_order():
    order = playing.in_blocks(10, 4, order=3)
    assert sorted(order) == list(range(10))
    blocks = [number // 4 for number in order]
    assert len([1 for a, b in itertools.pairwise(blocks) if a != b]) == 2
    assert playing.in_blocks(10, 4, order=4) != order
    plain = list(range(10))
    random.Random("stream 3").shuffle(plain)
    assert playing.in_blocks(10, 0, order=3) == plain


def test_a_draw_falls_where_the_shares_say():
    nats = [torch.tensor(share).log().item() for share in (0.2, 0.5, 0.3)]
    assert [playing._chosen(nats, u) for u in (0.0, 0.19, 0.21, 0.69, 0.71, 0.999)] == [
        *(0, 0, 1, 1, 2, 2)
    ]
    assert playing._chosen(nats, None) == 1


def test_a_closed_stream_answers_with_the_likeliest_label(tiny):
    model, tokenizer = compute.model(tiny)
    scores, samples = CLOSED.scores(tiny, model, tokenizer)
    assert CLOSED.labels() == ("K", "M", "R", "T")
    asked = prompt_row(samples[0].prompt, tokenizer)
    size, nats = len(asked["input_ids"]), []
    for label in CLOSED.labels():
        ids = continued(asked, tokenizer(f" {label}").input_ids)["input_ids"]
        with torch.no_grad():
            said = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        nats.append(said[size - 1 : -1].gather(1, ids[size:, None]).sum())
    nats = torch.stack(nats)
    assert samples[0].answer == CLOSED.labels()[int(nats.argmax())]
    first, second = nats.topk(2).values
    assert scores.items["margin"][0] == pytest.approx(float(first - second), abs=1e-4)
    assert scores.items["sure"][0] == pytest.approx(float(nats.softmax(0).max()), abs=1e-4)
    assert scores.blocks == [0, 0, 1, 1, 2, 2]
    wrong = [1 - value for value in scores.items["em"]]
    assert scores.items["wrong"] == wrong


# -- a prompt that grows -----------------------------------------------------------------------


def test_a_growing_prompt_is_read_once_and_says_the_same(tiny):
    model, tokenizer = compute.model(tiny)
    reader = GrowingPrompt(model)
    begun, new = list(range(5, 45)), 0
    for size in (20, 28, 40, 12):  # it grows twice, then another one
        prompt = begun[:size] if size != 12 else list(range(60, 72))
        rows = [continued(prompt_row(prompt, tokenizer), [7, 9]) for _ in range(1)]
        rows.append(continued(prompt_row(prompt, tokenizer), [3]))
        ours = reader.log_likelihoods(rows)
        theirs = family_of(model).log_likelihoods(model, rows)
        for one, other in zip(ours, theirs, strict=True):
            assert torch.allclose(one.log_likelihoods, other.log_likelihoods, atol=1e-4)
        new += {20: 20, 28: 8, 40: 12, 12: 12}[size] + 1  # and the answers' tokens but their last
        assert reader.read == new


def test_an_answer_after_a_growing_prompt_is_the_one_written_alone(tiny):
    model, tokenizer = compute.model(tiny)
    reader = GrowingPrompt(model)
    sampler = Sampler(model, tokenizer, 5, (), 0.0, None, None)
    for size in (10, 16, 30):
        ids = list(range(3, 3 + size))
        alone = family_of(model).answer(model, tokenizer, [ids], max_new_tokens=5)[0]
        assert reader.answer(sampler, ids).ids == alone.ids


def test_gradients_come_through_rows_that_share_their_prompt(tiny):
    model, tokenizer = compute.model(tiny)
    rows = [continued(prompt_row([5, 6, 7, 8], tokenizer), written) for written in ([9, 4], [2])]
    shared = log_likelihoods(model, rows)
    alone = family_of(model).log_likelihoods(model, rows)
    for one, other in zip(shared, alone, strict=True):
        assert torch.allclose(one.detach(), other.log_likelihoods, atol=1e-4)
    assert shared[0].requires_grad


# -- systems -----------------------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "how",
    [
        MemPrompt(2),
        StreamICL(2, "hidden", "all"),
        StreamTuning(ADAPTER, 1e-2, replayed=1),
        StreamReinforce(ADAPTER, 1e-2),
    ],
    ids=lambda how: how.kind,
)
def test_a_stream_that_was_killed_goes_on_to_the_same_bytes(tiny, how, monkeypatch):
    left = system(tiny, how, CLOSED)
    key, journal = left.key, home.home() / "begun" / f"{left.key}.jsonl"
    labels, places = CLOSED.labels(), CLOSED.places()
    playing.heard(left.step, TASK, labels, places)
    folder = store.get(playing.KIND, key)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    store.clean({playing.KIND})

    right, asked = Task.is_right, []

    def killed(task, document, answer):
        asked.append(answer)
        if len(asked) == 4:
            raise Killed
        return right(task, document, answer)

    monkeypatch.setattr(Task, "is_right", killed)
    with pytest.raises(Killed):
        playing.heard(left.step, TASK, labels, places)
    kept = journal.read_text()
    assert kept.count("\n") == 3
    journal.write_text(kept + '[5, "K')  # a line that was being written
    told = playing.heard(left.step, TASK, labels, places)
    assert len(asked) == 4 + 3 and len(told) == 6  # what was answered is not asked again
    again = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert again == whole and not journal.exists()


def test_steps_leave_other_weights_and_memories_the_parents(tiny):
    moving, remembering = (
        system(tiny, how, CLOSED)
        for how in (StreamReinforce(ADAPTER, 1e-2), StreamICL(2, "tfidf", "all"))
    )
    assert remembering.still == tiny and moving.still == moving
    before, after = compute.state(tiny), compute.state(moving)
    assert all(torch.equal(before[n], t) for n, t in compute.state(remembering).items())
    moved = {name for name, tensor in after.items() if not torch.equal(before[name], tensor)}
    assert moved and all("q_proj" in name or "v_proj" in name for name in moved)
    assert (store.get(playing.KIND, moving.key) / playing.MOVED).exists()


def test_a_stream_is_told_in_the_tasks_order_whatever_its_own(tiny):
    left = system(tiny, StreamICL(2, "last", "all"), CLOSED)
    asked = Stream(TASK, block=2, closed=True)
    assert asked.watches(left) and not Stream(TASK, block=3, closed=True).watches(left)
    scores = evaluate(left, [asked])[asked.name]
    places = [int(place) for place in scores.items["place"]]
    assert places == [CLOSED.places().index(number) for number in range(6)]
    assert [scores.items["shots"][number] for number in CLOSED.places()] == [0, 1, 2, 2, 2, 2]


def test_what_only_remembers_is_measured_once(tiny, monkeypatch):
    """The panel of a memory is its parent's: nothing is asked twice."""
    english, asked = Task("english", 2), Stream(TASK, block=2, closed=True)
    other = Stream(Task("mini_sentiment", 4), closed=True)
    cells = [
        Cell(tiny, {"method": "untouched", "learning_rate": 0.0, "seed": 0}, start=True),
        Cell(system(tiny, MemPrompt(2), CLOSED), {"method": "m", "learning_rate": 0.0, "seed": 0}),
    ]
    runs = measure("trial", cells, {"s": asked, "e": english, "o": other}, "smoke", say=lambda _: 0)
    assert runs[0].scores["e"] == runs[1].scores["e"] and runs[0].scores["o"] == runs[1].scores["o"]
    assert runs[0].scores["s"].items["shots"] == [0.0] * 6
    assert len(list((store.root() / "scores").iterdir())) == 4  # s twice, e and o once


def test_reinforce_makes_a_right_answer_likelier_and_a_wrong_one_less(tiny):
    for right in (True, False):
        model, tokenizer = compute.model(tiny)
        write = Writer(ADAPTER.apply(model).eval(), tokenizer, TASK, CLOSED.labels())
        write.example = TASK.example(TASK.documents("test")[0])
        question = write.example.question
        listener = StreamReinforce(ADAPTER, 1e-2).begin(write.model, tokenizer, write)

        def share(write=write, question=question):
            write(question)
            return torch.tensor(write.nats).softmax(0)[1]

        before = share()
        listener.learn(question, "M", right)
        write.prompts.forget()
        assert (share() > before) == right


def test_a_step_is_taken_on_right_answers_alone(tiny):
    model, tokenizer = compute.model(tiny)
    tuned = ADAPTER.apply(model).eval()
    write = Writer(tuned, tokenizer, TASK, CLOSED.labels())
    write.example = TASK.example(TASK.documents("test")[0])
    listener = StreamTuning(ADAPTER, 1e-2, replayed=1).begin(tuned, tokenizer, write)
    weights = {n: p.clone() for n, p in tuned.named_parameters() if p.requires_grad}
    listener.learn("Word: river\nCode:", "M", False)
    assert all(torch.equal(weights[n], p) for n, p in tuned.named_parameters() if n in weights)
    listener.learn("Word: river\nCode:", "M", True)
    assert not all(torch.equal(weights[n], p) for n, p in tuned.named_parameters() if n in weights)
    assert len(listener.rows) == 1


def test_a_journal_holds_what_was_told():
    told = playing.Told(3, "東", True, 2, (-0.5, -1.25))
    assert playing._read(playing._line(told)) == [told]
    assert json.loads(playing._line(told))[1] == "東"
