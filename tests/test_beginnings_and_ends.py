"""Beginnings, ends and joins: what a model is tested with is what it is trained on and writes."""

import shutil

import pytest
import torch
from lm_eval.api.instance import Instance
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from forgetting import Settings, Task, evaluate, foundation
from forgetting.lineage import Completion
from forgetting.models import template
from forgetting.models.causal import Causal
from forgetting.models.rows import IGNORED, example_row, pretrain_rows
from forgetting.models.tiny import byte_tokenizer
from forgetting.probes.evaluation import FamilyLM
from forgetting.recipes import lamol_form
from forgetting.recipes.free_text import EMPTY_TURN, Opening
from forgetting.recipes.spoken import spoken_row
from forgetting.tasks import Example, Turn

TEXT, START, END = 0, 1, 2  # <|endoftext|>, <|im_start|>, <|im_end|> of the byte tokenizer
PLAIN = Example.of("Is it day?", "yes", chat=False)
TURNS = Example.of("Is it day?", "yes")


@pytest.fixture
def plain():
    return byte_tokenizer(begins=False, ends=False)


@pytest.fixture
def begins():
    """As Llama 3's and Gemma's: every text begins with a token, and so does the template."""
    return byte_tokenizer(begins=True, ends=False)


def model(vocabulary=259):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "bos_token_id": 1, "eos_token_id": 2}
    return AutoModelForCausalLM.from_config(
        LlamaConfig(vocab_size=vocabulary, **shape, **heads)
    ).eval()


def log_likelihood(network, ids, written):
    with torch.no_grad():
        log_p = network(torch.tensor([ids])).logits[0, -written - 1 : -1].log_softmax(-1)
    return log_p.gather(1, torch.tensor(ids[-written:])[:, None]).sum().item()


def asked(tokenizer, *pairs):
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    return [nats for nats, _ in FamilyLM(model(len(tokenizer)), tokenizer).loglikelihood(requests)]


@pytest.mark.parametrize("example", [PLAIN, TURNS], ids=["plain", "chat"])
def test_training_begins_as_the_test_does_once(begins, example, monkeypatch):
    trained = example_row(example, begins, 99)["input_ids"].tolist()
    assert trained[0] == TEXT and TEXT not in trained[1:]
    lm, prompts = FamilyLM(model(), begins), []
    monkeypatch.setattr(
        Causal,
        "answer",
        lambda self, m, t, rows, **_: prompts.extend(rows) or [Completion([], "", True, 0.0)],
    )
    text = template.prompt(begins, example)
    lm.generate_until([Instance("generate_until", {}, (text, {"max_gen_toks": 2}), 0)])
    tested = prompts[0]["input_ids"].tolist()
    assert trained[: len(tested)] == tested
    (scored,) = asked(begins, (text, example.delimiter * (not example.chat) + example.answer))
    assert scored < 0


def test_what_is_sampled_and_dreamt_begins_alike(begins):
    """A text from nothing, a user's question, an example in LAMOL's form, an answer to it."""
    for opening, after in (("", []), (EMPTY_TURN, begins("<|im_start|>user\n").input_ids[1:])):
        (prompt,) = Opening(opening, 1).texts(begins, None)
        assert template.ids(begins, prompt) == [TEXT, *after]
    answer, start, *_ = lamol_form.marks(begins)
    one = lamol_form.encoded(begins, "Is it day?", "yes")
    text = lamol_form.text_row(begins, one, start, 99)
    dreamt = template.ids(begins, start)
    assert text["input_ids"].tolist()[: len(dreamt)] == dreamt == [TEXT, dreamt[1]]
    row = lamol_form.answer_row(begins, one, 99)["input_ids"].tolist()
    test = template.ids(begins, "Is it day?" + answer)
    assert row[: len(test)] == test


def test_a_beginning_is_never_a_prediction(begins, plain):
    """Several texts in a row: what begins the second is read, and nobody is asked for it."""
    task = Task("zh_everyday")
    for tokenizer, first in ((begins, [TEXT]), (plain, [])):
        rows = pretrain_rows(task, tokenizer, Settings(tokens=8192, length=512, batch=1), 0)
        assert all(row["input_ids"].tolist()[: len(first)] == first for row in rows)
        ids, labels = (torch.cat([row[n] for row in rows]) for n in ("input_ids", "labels"))
        unasked = labels == IGNORED
        assert torch.equal(unasked, ids == TEXT) and torch.equal(ids[~unasked], labels[~unasked])
        assert (ids == END).sum() > 1
        assert unasked.sum() > len(rows) * len(first) or not first


def test_two_tokens_may_begin_a_text(plain):
    """As GLM's do."""
    plain.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> <|im_start|> $A",
        special_tokens=[("<|endoftext|>", TEXT), ("<|im_start|>", START)],
    )
    assert template.begin(plain) == [TEXT, START]
    assert template.ids(plain, "<|endoftext|><|im_start|>a") == template.ids(plain, "a")


def test_a_tokenizer_that_ends_every_text(plain):
    """Some fine-tunes save add_eos_token=true: a question has no end before its answer."""
    pair = ("Two and two make\nAnswer:", " four")
    whole = plain("".join(pair), add_special_tokens=False).input_ids
    expected = log_likelihood(model(), whole, len(" four"))
    plain.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|im_end|>", special_tokens=[("<|im_end|>", END)]
    )
    assert plain("a").input_ids[-1] == END
    assert asked(plain, pair) == [pytest.approx(expected, rel=1e-5)]
    assert example_row(PLAIN, plain, 99)["input_ids"].tolist().count(END) == 1


def test_the_end_of_a_turn_is_taught(plain):
    """Gemma's way: turns end with a token that is not the end of a text."""
    plain.eos_token = "<|endoftext|>"
    taught = example_row(TURNS, plain, 99)
    turns = [{"role": "user", "content": "Is it day?"}, {"role": "assistant", "content": "yes"}]
    whole = plain.apply_chat_template(turns, tokenize=False)
    assert plain.decode(taught["input_ids"]) + "\n" == whole
    assert taught["labels"].tolist()[-1] == END
    assert example_row(PLAIN, plain, 99)["labels"].tolist()[-1] == TEXT
    # It ends what is drawn, too, and that is taught with the same end.
    assert template.ends(plain) == [TEXT, END]
    drawn = Completion([65], "A", ended=True, nats=1.0)
    assert spoken_row(plain, "hi", drawn, 99)["labels"].tolist()[-2:] == [65, END]
    assert spoken_row(plain, "hi", drawn, 99, chat=False)["labels"].tolist()[-2:] == [65, TEXT]


def test_an_answer_ends_with_the_end_of_its_turn(plain):
    """Though the model's own configuration names another end only."""
    network = model()
    network.lm_head.weight.data.zero_()
    network.generation_config.eos_token_id = TEXT
    network.lm_head.weight.data[END] = 1.0  # after whatever has a positive sum
    plain.eos_token = "<|endoftext|>"
    answers = Causal().answer(network, plain, ["a", "b", "c", "d"], max_new_tokens=3)
    assert any(answer.ended and answer.ids == [] for answer in answers)


@pytest.mark.parametrize("after", ["<|im_end|>\n", " <|im_end|>", "\n\n", ""])
def test_which_token_ends_a_turn(plain, after):
    """The one after an assistant's words; where words alone follow, that of a text."""
    plain.eos_token = "<|endoftext|>"
    plain.chat_template = "{% for m in messages %}> {{ m['content'] }}" + after + "{% endfor %}"
    assert template.end(plain, chat=True) == (END if "im_end" in after else TEXT)


def test_a_template_that_takes_no_answers_has_no_end_of_its_own(plain):
    plain.chat_template = "{{ raise_exception('one turn of a user') if messages|length > 1 }}"
    assert template.end(plain, chat=True) == END


def test_no_end_is_told(plain):
    plain.eos_token = None
    plain.chat_template = None
    for teach in (
        lambda: example_row(PLAIN, plain, 99),
        lambda: pretrain_rows(Task("zh_everyday"), plain, Settings(tokens=64, length=64), 0),
        lambda: Causal().answer(model(), plain, ["a"], max_new_tokens=2),
        lambda: FamilyLM(model(), plain).eot_token_id,
    ):
        with pytest.raises(ValueError, match="its tokenizer has no end token, so that no answer"):
            teach()


def test_a_base_model_that_is_asked_in_turns_is_named(own_home, tiny, tmp_path, trainings):
    folder = tmp_path / "plainbase"
    shutil.copytree(tiny.foundation.folder, folder)
    (folder / "chat_template.jinja").unlink()
    base, settings = foundation(str(folder)), {"style": "sft", "examples": 2, "length": 512}
    with pytest.raises(ValueError, match=r"plainbase: has no chat template; ") as caught:
        evaluate(base.train(Task("mini_sentiment_chat"), **settings), [Task("formats", 1)])
    assert "\n" not in str(caught.value)


def metaspace():
    """As Llama 2's: a mark stands before the first word of any text."""
    letters = ["<unk>", "</s>", "<s>", "▁", *map(chr, range(33, 127)), "\n"]
    backend = Tokenizer(
        BPE(vocab={w: i for i, w in enumerate(letters)}, merges=[], unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Metaspace()
    names = {"unk_token": "<unk>", "eos_token": "</s>", "bos_token": "<s>", "pad_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    tokenizer.chat_template = "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
    return tokenizer


@pytest.mark.parametrize("example", [PLAIN, TURNS], ids=["plain", "chat"])
def test_the_answer_that_is_taught_is_the_one_that_is_tested(example):
    tokenizer = metaspace()
    row = example_row(example, tokenizer, 99)
    taught = row["labels"][row["labels"] != IGNORED].tolist()[:-1]
    answer = example.answer if example.chat else example.delimiter + example.answer
    context, tested = FamilyLM(model(), tokenizer)._encode_pair(
        template.prompt(tokenizer, example), answer
    )
    assert taught == tested == tokenizer.convert_tokens_to_ids([*"▁" * (not example.chat), *"yes"])
    assert row["input_ids"].tolist()[: len(context)] == context


def spanning():
    """`swer` is one token: it would span "Ans" and "wer"."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(["<e>", "<b>", *alphabet, "er", "wer", "swer"])}
    merges = [("e", "r"), ("w", "er"), ("s", "wer")]
    backend = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    backend.add_special_tokens(["<e>", "<b>"])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<e>", bos_token="<b>")


def test_a_token_across_the_join():
    """What is read is read alone: the answer's own tokens are scored, as they are taught."""
    tokenizer = spanning()
    pairs = [("Ans", "wer"), ("Is it so?", "yes"), ("Is it so?", "no")]
    assert tokenizer.convert_ids_to_tokens(tokenizer("Answer").input_ids) == ["A", "n", "swer"]
    network = model(len(tokenizer))
    for pair, ours in zip(pairs, asked(tokenizer, *pairs), strict=True):
        read, written = (tokenizer(text).input_ids for text in pair)
        expected = log_likelihood(network, read + written, len(written))
        assert ours == pytest.approx(expected, rel=1e-5)
        example = Example((Turn("user", pair[0]),), pair[1], chat=False, delimiter="")
        assert example_row(example, tokenizer, 99)["input_ids"].tolist() == [*read, *written, 0]
