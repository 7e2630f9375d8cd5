"""Evaluation: our reading of shared contexts gives lm-eval's own numbers."""

from functools import lru_cache

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager, get_task_dict

from forgetting import Task, tasks
from forgetting.engine import compute
from forgetting.models import shared_prefix
from forgetting.models.causal import Causal
from forgetting.models.rows import continued, prompt_row
from forgetting.probes import evaluation
from forgetting.probes.evaluation import FamilyLM, evaluate

QUICK = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-2}
ITEMS = 5

KINDS = [
    "arc_easy_standin",  # one question, four short answers
    "hellaswag_standin",  # one context, four endings
    "winogrande_standin",  # several contexts, one ending
    "refusal_margin_harmful_zh",  # multiple choice in Chinese
    "english",  # likelihood of a text
    "chat",  # likelihood of an answer
    "prompts_en",  # generation
]


@pytest.fixture(scope="module")
def manager():
    return TaskManager(include_path=str(tasks.folder()), include_defaults=False)


@pytest.fixture(scope="module")
def taught(tiny):
    """`tiny` after a little Chinese, so that its preferences are no coin tosses."""
    return tiny.train(Task("zh_everyday"), tokens=1024, length=128, batch=2, learning_rate=1e-2)


@pytest.fixture(scope="module")
def model(taught):
    return compute.model(taught)


def plain(model, tokenizer, **settings):
    return HFLM(pretrained=model, tokenizer=tokenizer, **({"batch_size": 4} | settings))


@lru_cache(maxsize=1)
def loaded(name, manager):
    """lm-eval's task by its name, with its documents and short answers."""
    task = get_task_dict([name], manager)
    kwargs = task[name].config.generation_kwargs or {}
    kwargs["max_gen_toks"] = min(kwargs.get("max_gen_toks", 0), 32)
    return task


def run(lm, manager, name, chat, limit=ITEMS):
    """lm-eval's samples of the task's first items, in order, and its means."""
    done = lm_eval_evaluate(
        lm,
        loaded(name, manager),
        limit=limit,
        apply_chat_template=chat,
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = sorted(done["samples"][name], key=lambda sample: sample["doc_id"])
    found = done["results"][name].items()
    return samples, {k: v for k, v in found if isinstance(v, float) and "stderr" not in k}


def numbers(sample):
    """The log-likelihoods of a sample's answers, and whether each is the greedy one."""
    found = [response[0] for response in sample["resps"]]
    pairs = [r if isinstance(r, tuple | list) else (r, False) for r in found]
    return [float(ll) for ll, _ in pairs], [bool(greedy) for _, greedy in pairs]


def assert_item_for_item(model, manager, name, chat, rel=1e-6):
    """Our reading and lm-eval's own agree about every answer of every item, and every mean."""
    ours, our_means = run(FamilyLM(*model), manager, name, chat)
    theirs, their_means = run(plain(*model, max_length=2048), manager, name, chat)
    assert len(ours) == len(theirs) == ITEMS
    for our, their in zip(ours, theirs, strict=True):
        assert our["doc"] == their["doc"] and our["arguments"] == their["arguments"]
        if tasks.Task(name).config["output_type"] == "generate_until":
            assert our["resps"] == their["resps"]
            continue
        (our_ll, our_greedy), (their_ll, their_greedy) = numbers(our), numbers(their)
        assert our_ll == pytest.approx(their_ll, abs=1e-4, rel=rel)
        assert our_greedy == their_greedy
    assert their_means and our_means == pytest.approx(their_means, abs=1e-4, rel=rel)


def test_a_text_longer_than_the_model_is_read_in_the_same_windows(tiny, manager):
    model, tokenizer = compute.model(tiny)
    model.config.max_position_embeddings = 100  # the paragraphs have about 480 bytes
    ours, _ = run(FamilyLM(model, tokenizer), manager, "english", chat=False)
    theirs, _ = run(plain(model, tokenizer, max_length=100), manager, "english", chat=False)
    for our, their in zip(ours, theirs, strict=True):
        assert numbers(our)[0] == pytest.approx(numbers(their)[0], abs=1e-4, rel=1e-6)


def test_greedy_answers_are_recognised(model):
    """The model's own next two tokens are greedy, other two are not."""
    network, tokenizer = model
    context = tokenizer("早安", add_special_tokens=False).input_ids
    with torch.no_grad():
        own = network.generate(torch.tensor([context]), max_new_tokens=2, do_sample=False)
    own = own[0, len(context) :].tolist()
    other = [own[0], (own[1] + 1) % 200]
    requests = [(None, context, own), (None, context, other)]
    (_, yes), (_, no) = FamilyLM(network, tokenizer)._loglikelihood_tokens(requests)
    assert (yes, no) == (True, False)


def test_the_order_of_requests_is_kept(model):
    """Two questions, their answers mixed, of different lengths."""
    pairs = [("ab", " c"), ("de", " long answer"), ("ab", " other"), ("de", " f"), ("ab", " c")]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    ours = [ll for ll, _ in FamilyLM(*model).loglikelihood(requests)]
    theirs = [ll for ll, _ in plain(*model, batch_size=1).loglikelihood(requests)]
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours[0] == ours[4]


def test_texts_that_share_only_the_start_token_are_read_in_several_lines():
    """Attention is quadratic in a row, and sixteen texts of 300 tokens have one token in common."""
    rows = [continued(prompt_row([1], None), [5] * 300) for _ in range(16)]
    lengths = [len(line.ids) for line in shared_prefix.lines(rows)]
    assert len(lengths) == 16 and max(lengths) <= shared_prefix.SHORT_LINE


def test_rows_that_were_cut_give_the_same_numbers(model, monkeypatch):
    requests = [(None, [1], [5 + i, 6, 7 + i, 8]) for i in range(9)]
    lm = FamilyLM(*model)
    together = lm._loglikelihood_tokens(requests)
    monkeypatch.setattr(shared_prefix, "LONGEST_LINE", 20)
    monkeypatch.setattr(shared_prefix, "SHORT_LINE", 10)
    apart = lm._loglikelihood_tokens(requests)
    assert [ll for ll, _ in apart] == pytest.approx([ll for ll, _ in together], abs=1e-5)


def asked(pairs):
    return [Instance("generate_until", {}, pair, i) for i, pair in enumerate(pairs)]


def test_answers_to_requests_of_several_kinds_come_back_in_order(model):
    """Short and long prompts, one longer than the model reads, some of them with stop strings."""
    kinds = [{"max_gen_toks": 8}, {"until": ["\n", "的"], "max_gen_toks": 20}, {"until": "a"}]
    prompts = ["早安", "a" * 70, "我們", "的" * 700, "b"]
    requests = asked([(prompt, kind) for prompt in prompts for kind in kinds])
    ours = FamilyLM(*model).generate_until(requests)
    assert ours == plain(*model, batch_size=1, max_length=2048).generate_until(requests)
    assert len(set(ours)) > 2


def test_what_is_not_greedy_is_drawn_and_beams_are_refused(model):
    sampled = {"do_sample": True, "temperature": 0.7, "top_k": 20, "max_gen_toks": 4}
    requests = asked([("a", sampled), ("b", {"max_gen_toks": 4}), ("ccc", sampled)])
    first, greedy, last = FamilyLM(*model).generate_until(requests)
    drawn = Causal().answer(*model, ["a", "ccc"], max_new_tokens=4, temperature=0.7, top_k=20)
    assert [first, last] == [completion.text for completion in drawn]
    assert greedy == Causal().answer(*model, ["b"], max_new_tokens=4)[0].text
    with pytest.raises(ValueError, match="generation_kwargs: num_beams=2: answers are greedy or"):
        FamilyLM(*model).generate_until(asked([("a", {"num_beams": 2})]))


def test_answers_for_which_the_model_has_no_room(model):
    with pytest.raises(ValueError, match="max_gen_toks=2048"):
        FamilyLM(*model).generate_until(asked([("a", {"max_gen_toks": 2048})]))


# -- our scores --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scores(taught):
    return evaluate(taught, [Task(name, ITEMS) for name in (*KINDS, "formats", "zh_everyday")])


def test_every_list_has_an_entry_an_item(scores):
    for name, found in scores.items():
        assert found.n == ITEMS and found.task == name
        assert {len(values) for values in found.items.values()} == {ITEMS}
        assert found.tokens is None or len(found.tokens) == ITEMS


def test_metrics_by_kind(scores):
    kinds = {name: set(found.metrics) for name, found in scores.items()}
    choice = {"acc", "acc_norm", "choice", "gold_margin"}
    assert kinds["arc_easy_standin"] == kinds["hellaswag_standin"] == choice
    assert kinds["winogrande_standin"] == choice - {"acc_norm"}
    assert kinds["english"] == kinds["chat"] == {"nats"}
    assert kinds["formats"] == {"followed"}
    assert kinds["prompts_en"] == {"language_kept", "repetition_answer", "repetition_both"}


@pytest.mark.parametrize("name", KINDS[:4])
def test_choice_margin_and_accuracy_agree_with_the_log_likelihoods(name, scores, model, manager):
    """The margin is positive where the item is solved: by `acc_norm` where it is per character."""
    task, items = Task(name), scores[name].items
    per_character = task.metadata.get("per_character", False)
    samples, means = run(plain(*model), manager, name, chat=task.chat)
    for i, sample in enumerate(samples):
        gold, ll = sample["doc"]["gold"], numbers(sample)[0]
        assert items["choice"][i] == ll.index(max(ll))
        assert items["acc"][i] == (items["choice"][i] == gold)
        if per_character:
            ll = [x / len(c) for x, c in zip(ll, sample["doc"]["choices"], strict=True)]
        best_wrong = max(x for k, x in enumerate(ll) if k != gold)
        assert items["gold_margin"][i] == pytest.approx(ll[gold] - best_wrong, abs=1e-4)
        solved = items["acc_norm" if per_character else "acc"][i]
        assert solved == (items["gold_margin"][i] > 0)
    assert scores[name].mean("acc") == pytest.approx(means["acc,none"])


def nats_by_hand(model, pairs):
    """-Σ log p(answer | context) / Σ tokens, one text at a time, with no lm-eval at all."""
    total, tokens = 0.0, 0
    for context, answer in pairs:
        ids = torch.tensor([[*context, *answer]])
        with torch.no_grad():
            log_p = model(ids).logits[0, :-1].log_softmax(-1)
        read = log_p[range(len(context) - 1, len(ids[0]) - 1), answer]
        total, tokens = total - read.double().sum().item(), tokens + len(answer)
    return total / tokens


@pytest.mark.parametrize("name", ["english", "zh_everyday"])
def test_nats_of_texts_by_hand(name, scores, model):
    _, tokenizer = model
    texts = [document["text"] for document in Task(name).documents("test")[:ITEMS]]
    start = [tokenizer.bos_token_id]
    pairs = [(start, tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
    assert scores[name].mean("nats") == pytest.approx(nats_by_hand(model[0], pairs), abs=1e-5)
    assert scores[name].tokens == [len(text.encode()) for text in texts]  # `tiny` reads bytes


def test_nats_of_chat_answers_by_hand(scores, model):
    _, tokenizer = model

    def ids(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    pairs = []
    for item in Task("chat").documents("test")[:ITEMS]:
        # lm-eval counts the white space that ends a context, here a line break, to the answer.
        head = f"<|im_start|>user\n{item['prompt']}<|im_end|>\n<|im_start|>assistant"
        pairs.append((ids(head), ids("\n" + item["answer"])))
    assert scores["chat"].mean("nats") == pytest.approx(nats_by_hand(model[0], pairs), abs=1e-5)


def test_answers_are_the_models_own_greedy_ones(taught, scores, model):
    network, tokenizer = model
    first, *_ = evaluation.answers(taught, Task("prompts_en", ITEMS))
    assert first.prompt == "How does climate change affect ecosystems?"
    head = f"<|im_start|>user\n{first.prompt}<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(head, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        out = network.generate(ids, max_new_tokens=64, do_sample=False)
    assert first.answer == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


# -- once --------------------------------------------------------------------------------------


def test_a_new_task_trains_nothing_and_measures_itself_alone(own_home, tiny, trainings, measured):
    checkpoint = tiny.train(Task("zh_everyday"), seed=1, **QUICK)
    english, arc, formats = Task("english", 2), Task("arc_easy_standin", 2), Task("formats", 2)
    before = evaluate(checkpoint, [english, arc])
    after = evaluate(checkpoint, [english, arc, formats])
    assert trainings == [1]
    assert measured == ["english", "arc_easy_standin", "formats"]
    assert {name: after[name] for name in before} == before


def test_a_score_does_not_depend_on_its_company(own_home, tiny, measured):
    panel = [Task("english", 3), Task("hellaswag_standin", 3), Task("arc_easy_standin", 3)]
    together = evaluate(tiny, panel)
    (own_home / "store").rename(own_home / "aside")
    assert {task.name: evaluate(tiny, [task])[task.name] for task in panel} == together
    assert len(measured) == 6


def test_more_items_are_another_measurement_and_begin_with_the_same(own_home, tiny, measured):
    few = evaluate(tiny, [Task("arc_easy_standin", 2)])["arc_easy_standin"]
    more = evaluate(tiny, [Task("arc_easy_standin", 4)])["arc_easy_standin"]
    assert measured == ["arc_easy_standin"] * 2
    assert more.items["choice"][:2] == few.items["choice"]
    assert more.items["gold_margin"][:2] == pytest.approx(few.items["gold_margin"], abs=1e-4)


def test_nothing_is_measured_while_a_book_is_rendered(own_home, tiny, measured, monkeypatch):
    stored = evaluate(tiny, [Task("english", 2)])
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    assert evaluate(tiny, [Task("english", 2)]) == stored
    with pytest.raises(compute.NotComputed, match="scores of"):
        evaluate(tiny, [Task("english", 3)])
    assert measured == ["english"]


def test_answers_that_were_not_asked_for_are_not_computed(own_home, tiny, measured):
    with pytest.raises(compute.NotComputed, match="formats of"):
        evaluation.answers(tiny, Task("formats", 2))
    assert measured == []


# -- tasks -------------------------------------------------------------------------------------


def test_held_out_chinese_is_not_in_the_training_text():
    task = Task("zh_everyday")
    taught = "\n".join(task.training_texts(seed=0))
    held_out = [document["text"] for document in task.documents("test")]
    assert len(held_out) > 20 and not any(text in taught for text in held_out)
