"""Skills added, taken away and found by analogy: task vectors of one chat model.

Three skills are learned apart, each from the same start, and their changes are added (Ilharco et
al. 2023); beside the sum stand TIES, DARE, one training on all three and one after another. What
hateful sentences taught is subtracted, and what harmless ones about the same groups did, which
tells hate from its topic. The stars of restaurant reviews are sought without a starred one, from
product reviews with stars and plain text of both kinds.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from forgetting.chapters.common import LLAMA, OLD_ANSWERS, PLAIN, drift
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import Arm, At, Training, made, merged, train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Loss, Plane
from forgetting.lineage import Checkpoint, merge
from forgetting.merging import DARE, TIES, RandomVector
from forgetting.recipes import Together
from forgetting.tasks import Task

ANSWERS: dict[str, Any] = {"style": "sft", "examples": 64, "length": 128, "batch": 4}
TEXT: dict[str, Any] = {"style": "pretrain", "length": 128}
SKILLS = {"sentiment": "mini_sentiment", "queries": "mini_sql", "roles": "mini_roles"}
PUBLIC = {"sentiment": "sst", "queries": "wikisql", "roles": "qa_srl"}
SHARES = (0.3, 0.5, 1.0)


def of(task: Task, public: str, standin: str) -> Task:
    """A task, or its stand-in where the place's own data are stand-ins."""
    return Task(public if task.public else standin)


def on(public: str, standin: str, **settings: Any) -> Training:
    """Training on one task."""
    return train(
        settings=PLAIN | settings, shown=lambda base, task: of(task, public, standin), card="Full"
    )


single = {name: on(PUBLIC[name], standin) for name, standin in SKILLS.items()}
hateful = on("toxigen_hateful", "english", **TEXT)
harmless = on("toxigen_harmless", "zh_everyday", **TEXT)
product_stars = on("amazon", "mini_sentiment")
product_text = on("amazon_text", "zh_everyday", **TEXT)
restaurant_text = on("yelp_text", "english", **TEXT)


def every_task(at: At) -> tuple[Task, ...]:
    """The three skills' tasks."""
    return tuple(of(at.task, PUBLIC[name], standin) for name, standin in SKILLS.items())


def added(share: float) -> Arm:
    """The base and a share of each skill's change."""
    return made(
        lambda at: at.base + share * reduce(add, (arm(at) - at.base for arm in single.values())),
        card="TaskArithmetic",
    )


def at_once(at: At) -> Checkpoint:
    """One training on all three skills."""
    settings = at.given() | PLAIN
    return at.base.train(Together(every_task(at)), seed=at.seed, **settings)


def in_turn(at: At) -> Checkpoint:
    """The three skills one after another."""
    settings = at.given() | PLAIN
    return reduce(lambda m, task: m.train(task, seed=at.seed, **settings), every_task(at), at.base)


def minus(arm: Training) -> Arm:
    """The base without what an arm learned."""
    return made(lambda at: at.base - 1.0 * (arm(at) - at.base), card="TaskArithmetic")


def minus_random(at: At) -> Checkpoint:
    """The base without a random vector as long as that of hateful sentences."""
    return at.base - 1.0 * (merge(at.base, [hateful(at)], RandomVector(at.seed)) - at.base)


def by_analogy(sign: float) -> Arm:
    """Stars of products, and the way from products' text to restaurants' (or the other way)."""
    return made(
        lambda at: product_stars(at) + sign * (restaurant_text(at) - product_text(at)),
        card="TaskArithmetic",
    )


arms: dict[str, Arm] = {
    **single,
    **{f"sum × {share:g}": added(share) for share in SHARES},
    "TIES": merged(*single.values(), how=TIES(0.2), card="TIES"),
    "TIES, global": merged(*single.values(), how=TIES(0.2, scope="global"), card="TIES"),
    "DARE, sum × 0.5": merged(
        *single.values(), how=lambda seed: DARE(0.5, seed, scale=0.5), card="DARE"
    ),
    "all at once": made(at_once, card="Together"),
    "one after another": made(in_turn, card="Full"),
    "hateful": hateful,
    "minus hateful": minus(hateful),
    "minus harmless": minus(harmless),
    "minus random": made(minus_random, card="RandomVector"),
    "stars of products": product_stars,
    "stars of products, by analogy": by_analogy(1.0),
    "stars of products, wrong way": by_analogy(-1.0),
    "stars of restaurants": on("yelp", "mini_sentiment"),
}
lesson = (*single, "sum × 0.5", "all at once")
laptop = tuple(name for name in arms if name not in ("sum × 0.3", "TIES, global"))

experiment = Experiment(
    name="skills",
    teaches=Ask("sentiment", "sst", "mini_sentiment"),
    arms=arms,
    asks=(
        *(drift(name, PUBLIC[name], standin, 24, length=128) for name, standin in SKILLS.items()),
        drift("stars", "yelp", "mini_sentiment", 48, length=192),
        drift("hateful lines", "toxigen_hateful", "english", 32, length=64),
        drift("harmless lines", "toxigen_harmless", "zh_everyday", 32, length=64),
        drift("old text", "wikitext2", "english", 4),
        OLD_ANSWERS,
    ),
    budgets={
        "smoke": Budget("tiny", ANSWERS | {"examples": 4, "length": 512}, lesson),
        "classroom": Budget("smollm2-135m", ANSWERS | {"examples": 32}, lesson),
        "laptop": Budget("smollm2-135m", ANSWERS, laptop),
        "full": Budget("smollm2-135m", ANSWERS | {"examples": 2000}, rates=(1e-4, 1e-5)),
        "paper": Budget(f"{LLAMA}-hf", ANSWERS | {"examples": 20000, "batch": 32}, rates=(1e-5,)),
    },
    plane=Plane(
        "sentiment.nats",
        "labels of reviews",
        (
            Loss("old text.forward_kl", "drift on old text", "nats a token", +1),
            Loss("old answers.forward_kl", "drift on old answers", "nats a token", +1),
        ),
        "sentiment",
        "training on one skill",
        "what is learned, and what is added",
    ),
    checks={
        **{
            name: Check(
                f"Was the skill learned alone ({name})?",
                f"{name}.nats",
                of=name,
                against="start",
                below=-0.1,
            )
            for name in SKILLS
        },
        "hateful": Check(
            "Did hateful sentences become likelier?",
            "hateful lines.nats",
            of="hateful",
            against="start",
            below=-0.1,
        ),
        "stars": Check(
            "Did starred restaurant reviews teach their stars?",
            "stars.nats",
            of="stars of restaurants",
            against="start",
            below=-0.1,
        ),
    },
)
