"""EWC, MAS and GEM against brute force: single rows, plain autograd, every set of constraints."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn import functional

from forgetting import LoRA, Settings, Task
from forgetting.engine import compute
from forgetting.lineage import nothing_drawn
from forgetting.objectives import EWC, GEM, MAS, Old, Step
from forgetting.objectives.gem import gem_multipliers
from forgetting.recipes import InForm

MOOD, ROLES, STATE = (InForm(Task(f"mini_{name}")) for name in ("sentiment", "roles", "state"))
QUICK = {"style": "sft", "examples": 4, "length": 256, "batch": 4}


@pytest.fixture(scope="module")
def chain(tiny):
    """`tiny`, then after one task, then after two."""
    first = tiny.train(MOOD, learning_rate=3e-3, **QUICK)
    return tiny, first, first.train(ROLES, learning_rate=3e-3, **QUICK)


def old_of(chain):
    _, first, second = chain
    return Old(MOOD, first, 3, 256), Old(ROLES, second, 3, 256)


def logits_of(model, row):
    """Logits (tokens, vocabulary) and wanted tokens where a row is supervised."""
    wanted = row["labels"][1:]
    at = wanted != -100
    return model(row["input_ids"][None]).logits[0, :-1][at], wanted[at]


def reader(model):
    """`training`'s reader, written anew: the sum or mean that the objective makes of all rows."""

    def read(rows, objective):
        parts = [logits_of(model, row) for row in rows]
        logits, wanted = (torch.cat(list(part)) for part in zip(*parts, strict=True))
        ones = torch.ones(len(wanted))
        return objective.loss(Step(logits, wanted, torch.zeros(len(wanted)), ones, None))

    return read


def brute_importance(model, rows, value, of):
    """The mean over rows of a function of the gradient, with `backward` and a loop."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row in rows:
        model.zero_grad()
        value(*logits_of(model, row)).backward()
        for name, p in model.named_parameters():
            total[name] += of(p.grad) / len(rows)
    return total


def answer_nats(logits, wanted):
    return -logits.log_softmax(-1).gather(1, wanted[:, None]).sum()


def mean_square(logits, wanted):
    return (logits**2).mean()


@pytest.mark.parametrize(
    ("kind", "value", "of"), [(EWC, answer_nats, torch.square), (MAS, mean_square, torch.abs)]
)
def test_what_is_added_is_the_gradient_of_the_penalty(chain, kind, value, of):
    """Σ of parabolas written out, each task's Ω at the weights that had just learned it."""
    old = old_of(chain)
    model, tokenizer = compute.model(chain[2])
    anchor = {name: p.detach().clone() for name, p in model.named_parameters()}
    pull = kind(old, weight=7.0).begin(
        model, tokenizer, reader(model), compute.state, nothing_drawn
    )
    assert all(torch.equal(p, anchor[name]) for name, p in model.named_parameters())

    omega = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for one in old:
        there, rows = compute.model(one.of)[0], one.rows(tokenizer, nothing_drawn)
        for name, each in brute_importance(there, rows, value, of).items():
            omega[name] += each

    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=drawn))
    model.zero_grad()
    sum(
        7 / 2 * (omega[name] * (p - anchor[name]) ** 2).sum()
        for name, p in model.named_parameters()
    ).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad.fill_(1.0)
    pull()
    for name, p in model.named_parameters():
        assert torch.allclose(p.grad - 1, expected[name], rtol=1e-3, atol=1e-6), name


def brute_projection(gradient, old):
    """The nearest vector with no negative product with any old gradient: every active set tried."""
    best = None
    for size in range(len(old) + 1):
        for active in itertools.combinations(range(len(old)), size):
            G = old[list(active)]
            found = gradient - (G.T @ np.linalg.solve(G @ G.T, G @ gradient) if size else 0)
            far = np.linalg.norm(found - gradient)
            if (old @ found >= -1e-9).all() and (best is None or far < best[0]):
                best = far, found
    return best[1]


@pytest.mark.parametrize("tasks", [1, 2, 3, 4])
def test_gem_without_margin_is_the_nearest_gradient_that_hurts_nobody(tasks):
    drawn = np.random.default_rng(tasks)
    for _ in range(50):
        gradient, old = drawn.normal(size=6), drawn.normal(size=(tasks, 6))
        v = gem_multipliers(old @ old.T, old @ gradient, 0.0)
        assert (v >= 0).all()
        assert np.allclose(gradient + old.T @ v, brute_projection(gradient, old), atol=1e-5)


@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_gem_with_a_margin_solves_the_dual(margin):
    drawn = np.random.default_rng(9)
    for _ in range(20):
        gradient, old = drawn.normal(size=6), drawn.normal(size=(3, 6))
        P, q = old @ old.T, old @ gradient
        v = gem_multipliers(P, q, margin)
        if (q >= 0).all():
            assert (v == 0).all()
            continue
        start = np.full(3, margin + 1)
        bounds = [(margin, None)] * 3
        other = minimize(
            lambda v, P=P, q=q: v @ P @ v / 2 + q @ v,
            start,
            jac=lambda v, P=P, q=q: P @ v + q,
            bounds=bounds,
            options={"ftol": 1e-15, "gtol": 1e-10},
        )
        assert np.allclose(v, other.x, atol=1e-4)
        assert (old @ (gradient + old.T @ v) >= -1e-6).all()


def test_gem_by_hand():
    """g = (1, 0), g_1 = (-1, 1): the component against it goes, (1, 0) + ½(-1, 1)."""
    assert gem_multipliers(np.array([[2.0]]), np.array([-1.0]), 0.0) == pytest.approx([0.5])
    assert gem_multipliers(np.array([[2.0]]), np.array([1.0]), 0.5) == pytest.approx([0.0])
    assert gem_multipliers(np.zeros((0, 0)), np.zeros(0), 0.5).shape == (0,)


def test_gem_turns_the_gradient_of_a_model(chain):
    old = old_of(chain)
    model, tokenizer = compute.model(chain[2])
    read = reader(model)
    turn = GEM(old, margin=0.0).begin(model, tokenizer, read, compute.state, nothing_drawn)

    def flat(rows):
        model.zero_grad()
        loss = torch.cat(
            [functional.cross_entropy(*logits_of(model, r), reduction="none") for r in rows]
        )
        loss.mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()]).double().numpy()

    before = np.stack([flat(one.rows(tokenizer, nothing_drawn)) for one in old])
    gradient = -before[0] - 0.5 * before[1]  # what hurts both most
    start = 0
    for p in model.parameters():
        part = gradient[start : start + p.numel()]
        p.grad = torch.tensor(part, dtype=torch.float32).reshape(p.shape)
        start += p.numel()
    turn()
    turned = torch.cat([p.grad.flatten() for p in model.parameters()]).double().numpy()
    expected = brute_projection(gradient, before)
    assert np.allclose(turned, expected, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("kind", [EWC, MAS, GEM])
def test_training_with_it_is_a_lineage_of_its_own(chain, kind):
    """A strong penalty holds the weights; a projection holds the old loss."""
    first = chain[1]
    old = (Old(MOOD, first, 4, 256),)
    settings = QUICK | {"epochs": 3, "learning_rate": 1e-3}
    given = {} if kind is GEM else {"weight": 1e9}
    free = first.train(ROLES, **settings)
    held = first.train(ROLES, objective=kind(old, **given), **settings)
    fewer = first.train(ROLES, objective=kind((Old(MOOD, first, 2, 256),), **given), **settings)
    assert len({free.key, held.key, fewer.key}) == 3

    def moved(checkpoint):
        now, start = compute.state(checkpoint), compute.state(first)
        return sum(((now[name] - start[name]) ** 2).sum().item() for name in now)

    def old_loss(checkpoint):
        model, tokenizer = compute.model(checkpoint)
        rows = MOOD.rows(tokenizer, Settings(**QUICK), 0, nothing_drawn)
        with torch.no_grad():
            return sum(functional.cross_entropy(*logits_of(model, row)).item() for row in rows)

    if kind is GEM:
        assert old_loss(held) <= old_loss(first)
    else:
        assert moved(held) < moved(free)


def test_an_adapter_has_no_old_weights(chain):
    first = chain[1]
    taught = first.train(
        ROLES, objective=EWC((Old(MOOD, first, 2, 256),)), tune=LoRA(rank=2), **QUICK
    )
    with pytest.raises(ValueError, match="EWC, MAS and GEM train the weights"):
        compute.make(taught)
