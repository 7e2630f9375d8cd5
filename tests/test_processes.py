"""One training in two processes is the training in one: the same losses, the same weights."""

import pytest
import torch

from forgetting import Full, LoRA, Task
from forgetting.engine import compute, processes, training
from forgetting.engine.processes import BadProcesses
from forgetting.experiments.resources import check_resources
from forgetting.models.rows import IGNORED
from forgetting.objectives import KeepClose

CALLS = Task("mini_calls")
# Three rows a step: one process has two, the other one; the last step has one row for both.
UNEVEN = {"style": "sft", "examples": 7, "epochs": 2, "length": 1024, "batch": 3}


def row(supervised):
    return {"labels": torch.tensor([IGNORED, *[1] * supervised])}


def test_each_process_has_a_device_of_its_own(monkeypatch):
    assert processes.device() == ("cuda:0" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("RANK", "1")
    assert processes.device() == "cuda:1"


def test_parts_of_a_step_by_hand():
    """Tokens 4, 2, 6: the first process has 10 of 12, and 2·10/12 of the mean; then 2·2/12."""
    rows = [row(4), row(2), row(6)]
    mine, share = training.part_of(rows, 0, 2)
    assert [len(r["labels"]) - 1 for r in mine] == [4, 6] and share == pytest.approx(20 / 12)
    mine, share = training.part_of(rows, 1, 2)
    assert [len(r["labels"]) - 1 for r in mine] == [2] and share == pytest.approx(4 / 12)
    assert training.part_of(rows, 0, 1) == (rows, 1.0)
    mine, share = training.part_of(rows[:1], 1, 2)
    assert mine == rows[:1] and share == 0.0


@pytest.mark.parametrize(
    "tune",
    [
        pytest.param(Full(), id="full"),
        pytest.param(LoRA(rank=2, dropout=0), id="lora", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_as_one(tiny, own_home, tune, monkeypatch):
    """Sharded by accelerate (FSDP), with gradients, moments and clipping over both."""
    taught = tiny.train(CALLS, tune=tune, learning_rate=1e-2, **UNEVEN)
    compute.make(taught)
    one, weights = compute.losses(taught), compute.state(taught)
    monkeypatch.setenv("FORGETTING_HOME", str(own_home / "two"))
    monkeypatch.setenv(processes.VARIABLE, "2")
    compute.train_through([taught, taught.after(1)])
    two = compute.losses(taught)
    assert len(two) == 6 and two[:3] == compute.losses(taught.after(1))
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-5
    moved = compute.state(taught)
    for name, tensor in weights.items():
        # Adam divides by |g| + 1e-5: where a gradient is that small, its rounding shows.
        torch.testing.assert_close(moved[name], tensor, atol=2e-4, rtol=1e-4, msg=name)
    assert any(not torch.equal(weights[name], compute.state(tiny)[name]) for name in weights)


def test_what_is_no_mean_over_tokens_is_refused_at_once(tiny, own_home, monkeypatch):
    monkeypatch.setenv(processes.VARIABLE, "2")
    taught = tiny.train(CALLS, objective=KeepClose(), **UNEVEN)
    for ask in (lambda: compute.make(taught), lambda: check_resources([taught], [])):
        with pytest.raises(BadProcesses, match=r"KeepClose\(.*train it in one process"):
            ask()


@pytest.mark.parametrize("told", ["0", "-1", "two", "65", "1.5"])
def test_a_number_that_makes_no_sense_is_named(told, monkeypatch):
    monkeypatch.setenv(processes.VARIABLE, told)
    with pytest.raises(BadProcesses, match=f"processes='{told}'"):
        processes.asked()


def fail():
    raise RuntimeError("no luck")


@pytest.mark.slow
def test_what_a_process_says_when_it_fails_is_one_line(monkeypatch):
    with pytest.raises(BadProcesses, match=r"processes=2: one failed: .*no luck"):
        processes.run(2, fail)
