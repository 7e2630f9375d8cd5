"""Add it back: what a chat model learned, added to a base that learned another language.

A true base model reads Chinese (CP); the same base learns to answer and to refuse, in English. The
difference that the second training made, the chat vector τ, is added to the first (Huang et al.
2024). Beside the sum stand what it should replace (answers taught after the Chinese text, or before
it) and what it should beat: a vector as long in a direction drawn at random, and the same vector
from a base whose hidden units stand in another order. Embeddings stay in every training, so that
two thirds of the weights cannot disagree; that favours every sum.

The rate was chosen on another seed, by Chinese text and held-out answers alone.
"""

from typing import Any

from forgetting.chapters.common import LLAMA, PLAIN, drift, told_apart
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import Arm, At, made, train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Loss, Plane
from forgetting.lineage import Checkpoint, merge
from forgetting.merging import PermutedVector, RandomVector
from forgetting.recipes import Rehearsed
from forgetting.tasks import Task
from forgetting.tuning import FreezeEmbeddings

STILL = FreezeEmbeddings()
TEXT: dict[str, Any] = {"style": "pretrain", "examples": 32, "length": 256, "batch": 2}
ANSWER_LENGTH, A_ROW = 160, 3  # tokens of an instruction; instructions for each row of text
SMOKE: dict[str, Any] = {"examples": 4, "length": 512, "batch": 2}
SAFE_SHARE = 0.25
DOSES = (0.5, 1.0, 1.5)

chinese = train(STILL, settings=PLAIN, card="FreezeEmbeddings")


def taught(
    model: Checkpoint, at: At, answered: str = "alpaca_benign", share: float = SAFE_SHARE
) -> Checkpoint:
    """A model that is taught to answer and, in `share` as many rows, to refuse.

    Stand-ins are few: of them the smoke tier's amount is shown.
    """
    public = at.task.public
    new = Task(answered if public else "mini_sentiment_chat")
    safe = Task("safety_tuning" if public else "refusals_en")
    length = at.settings["length"]
    amount = {
        "examples": A_ROW * at.settings["examples"],
        "length": ANSWER_LENGTH if length == TEXT["length"] else length,
        "batch": 2 * at.settings["batch"],
    }
    amount = amount if public else SMOKE
    settings = {**PLAIN, "style": "sft", **amount, "learning_rate": at.rate}
    shown = Rehearsed(new, (safe,), share) if share else new
    return model.train(shown, tune=STILL, seed=at.seed, **settings)


def chat(at: At) -> Checkpoint:
    """The base as a chat model."""
    return taught(at.base, at)


def added(dose: float) -> Arm:
    """CP + λτ."""
    return made(lambda at: chinese(at) + dose * (chat(at) - at.base), card="ChatVector")


def after_chat(at: At) -> Checkpoint:
    """The chat model, which then reads the same Chinese text."""
    return chinese.taught(chat(at), at, at.given() | PLAIN | {"seed": at.seed})


def after_chinese(at: At) -> Checkpoint:
    """CP, which then learns what the chat model has learned."""
    return taught(chinese(at), at)


def control(how: type[RandomVector] | type[PermutedVector]) -> Arm:
    """CP, and what a control makes of τ, as long as it."""
    return made(
        lambda at: chinese(at) + 1.0 * (merge(at.base, [chat(at)], how(at.seed)) - at.base),
        card=how.__name__,
    )


def other(answered: str, share: float) -> Arm:
    """CP and a vector of other answers, or without refusals."""
    return made(
        lambda at: chinese(at) + 1.0 * (taught(at.base, at, answered, share) - at.base),
        card="ChatVector",
    )


arms: dict[str, Arm] = {
    "CP": chinese,
    "chat": made(chat, card="FreezeEmbeddings"),
    **{f"CP + {dose:g} τ": added(dose) for dose in DOSES},
    "chat, then CP": made(after_chat, card="FreezeEmbeddings"),
    "CP, then answers": made(after_chinese, card="FreezeEmbeddings"),
    "CP, then answers, + τ": made(
        lambda at: after_chinese(at) + 1.0 * (chat(at) - at.base), card="ChatVector"
    ),
    "CP + random": control(RandomVector),
    "CP + permuted τ": control(PermutedVector),
    "CP + τ of other answers": other("dolly_benign", SAFE_SHARE),
    "CP + τ without refusals": other("alpaca_benign", 0.0),
}
CORE = ("CP", "chat", "CP + 0.5 τ", "CP + 1 τ", "chat, then CP", "CP, then answers", "CP + random")

experiment = Experiment(
    name="adding",
    teaches=Ask("chinese", "zh_articles", "zh_everyday"),
    arms=arms,
    asks=(
        drift("chinese", "zh_articles", "zh_everyday", 24),
        drift("english", "wikitext2", "english", 2),
        drift("answers", "alpaca_benign", "mini_sentiment_chat", 48, length=160),
        Ask("told apart", "twins_unsafe", "harmful_en", 8, everywhere=True, how=told_apart),
        Ask("told apart in chinese", "harmful_zh", items=15, everywhere=True, how=told_apart),
        Ask("refused in chinese", "harmful_zh", items=24, everywhere=True),
        Ask("questions", "prompts_en", items=2, keep=True),
        Ask("questions in chinese", "prompts_zh", items=2, keep=True),
    ),
    budgets={
        "smoke": Budget("tiny", TEXT | SMOKE, ("CP", "chat", "CP + 1 τ")),
        "classroom": Budget("gemma3-270m", TEXT | {"examples": 8}, ("CP", "chat", "CP + 1 τ")),
        "laptop": Budget("gemma3-270m", TEXT, CORE, rates=(2e-5,)),
        "full": Budget("gemma3-270m", TEXT | {"examples": 600}, rates=(2e-5, 1e-5, 5e-5)),
        "paper": Budget(f"{LLAMA}-hf", TEXT | {"length": 4096}, rates=(5e-5,)),
    },
    plane=Plane(
        "chinese.nats",
        "Chinese text",
        (
            Loss("answers.nats", "answers to instructions", "nats a token", +1),
            Loss("english.nats", "English text", "nats a token", +1),
        ),
        "CP",
        "reading Chinese",
        "what is taught, and what is added",
    ),
    checks={
        "chinese": Check(
            "Did reading make Chinese text likelier?",
            "chinese.nats",
            of="CP",
            against="start",
            below=0.0,
        ),
        "answers": Check(
            "Did the chat model learn to answer?",
            "answers.nats",
            of="chat",
            against="start",
            below=-0.05,
        ),
        "refusals": Check(
            "Did the chat model's openings of refusals become likelier, in English?",
            "told apart.log_mass",
            of="chat",
            against="start",
            above=0.5,
        ),
    },
)
