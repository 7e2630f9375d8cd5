"""Adapting while listening: what an utterance teaches, what a stream adds up to, what is lost.

A recogniser learns to spell from quiet synthetic speech, and is then heard in noise (Lin et al.
2022), or led through five rooms (Lin et al. 2024). Nobody tells it what was said. A seed is a
recogniser of its own; sounds, rooms and their order are the same for all. What is never reset is
asked for quiet speech again after its stream, of the weights that the stream left.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from forgetting.adaptation import DSUTA, SDPL, SUTA, ContinualSUTA, system
from forgetting.adaptation.base import Adaptation
from forgetting.engine.spelling import Spell
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import At, Made, made
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment
from forgetting.lineage import Checkpoint
from forgetting.models.ctc import Characters
from forgetting.probes.dictation import Dictation
from forgetting.tasks import Task
from forgetting.tuning import OnlyNorms

TASK, ITEMS, LONG = "dictation", 40, 100
LONGEST = 120  # as many sentences as there are
ROOMS = ("white 20", "babble 10", "reverberation 0.5", "pink 10", "music 5")
HEARD = {"quiet": "quiet", "babble": "babble 10", "white": "white 20"}


def in_room(room: str) -> Callable[[Task], Dictation]:
    """A task's sounds in one room."""
    return lambda task: Dictation(task, (room,))


def through_rooms(task: Task) -> Dictation:
    """A task's sounds, a fifth of them in each room."""
    count = min(task.items or LONGEST, LONGEST)
    return Dictation(Task(task.name, count), ROOMS, every=max(1, count // len(ROOMS)))


def recogniser(at: At) -> Checkpoint:
    """A head over Whisper's encoder, and its top two layers, that learned to spell."""
    untaught = at.base.graft(at.base, Characters(), seed=at.seed)
    return Checkpoint(Spell(untaught, at.task, examples=at.settings["examples"], seed=at.seed))


def listens(how: Callable[[At], Adaptation], card: str, **more: Any) -> Made:
    """What forgets after each utterance: all is asked of the System."""
    return made(lambda at: system(recogniser(at), how(at)), card=card, **more)


def on_stream(how: Callable[[At], Adaptation], card: str) -> Made:
    """What remembers: the stream is asked of the System, and the rest of what the stream left."""

    def left(at: At) -> Checkpoint:
        return system(recogniser(at), how(at), through_rooms(Task(TASK, stream_items(at))))

    return made(left, card=card)


def stream_items(at: At) -> int:
    """How many sounds the stream of a place has, which its settings say."""
    return at.settings["batch"]


def suta(steps: int = 10, **options: Any) -> Callable[[At], SUTA]:
    """SUTA at the place's rate."""
    return lambda at: SUTA(steps, at.rate, **options)


def sdpl(over: Any) -> Callable[[At], SDPL]:
    """Pseudo-labels, as many steps at the same rate."""
    return lambda at: SDPL(10, at.rate, over)


def fast_and_slow(reset: Any) -> Callable[[At], DSUTA]:
    """DSUTA with the paper's numbers; a room is described by as many sounds as it lasts here."""
    return lambda at: DSUTA(SUTA(5, at.rate), reset=reset, shaped=max(6, stream_items(at) // 5))


def kept(steps: int, every: int = 0) -> Callable[[At], ContinualSUTA]:
    """SUTA that is not taken back, or every so many sounds."""
    return lambda at: ContinualSUTA(SUTA(steps, at.rate), every)


arms = {
    "recogniser": made(recogniser),
    "SUTA": listens(suta(), "SUTA"),
    "SUTA, 5 steps": listens(suta(5), "SUTA"),
    "SUTA, 1 step": listens(suta(1), "SUTA"),
    "entropy alone": listens(suta(share=1.0), "SUTA"),
    "confusion alone": listens(suta(share=0.0), "SUTA"),
    "temperature 1": listens(suta(temperature=1.0), "SUTA"),
    "norms alone": listens(suta(tune=OnlyNorms(convolutions=False)), "SUTA"),
    "SDPL": listens(sdpl("classes"), "SDPL"),
    "SDPL, over time": listens(sdpl("time"), "SDPL"),
    "kept, 1 step": on_stream(kept(1), "ContinualSUTA"),
    "kept, 5 steps": on_stream(kept(5), "ContinualSUTA"),
    "kept, reset every 20": on_stream(kept(5, 20), "ContinualSUTA"),
    "DSUTA": on_stream(fast_and_slow("never"), "DSUTA"),
    "DSUTA, dynamic reset": on_stream(fast_and_slow("dynamic"), "DSUTA"),
    "DSUTA, told of rooms": on_stream(fast_and_slow("oracle"), "DSUTA"),
}
lesson = ("recogniser", "SUTA, 5 steps", "SDPL", "kept, 5 steps", "DSUTA")


def spends(model: str, examples: int, stream: int, names: tuple[str, ...] = ()) -> Budget:
    """`examples` to learn to spell from, and how long the stream is, which stands as `batch`."""
    return Budget(model, {"style": "sft", "examples": examples, "batch": stream}, names, (1e-4,))


def asked_of_all(role: str, room: str) -> Ask:
    """A room that everything is heard in."""
    return Ask(role, TASK, items=ITEMS, everywhere=True, keep=True, how=in_room(room))


experiment = Experiment(
    name="recognisers",
    teaches=Ask("quiet", TASK),
    arms=arms,
    asks=(
        *(asked_of_all(role, room) for role, room in HEARD.items()),
        replace(asked_of_all("stream", "quiet"), items=LONG, how=through_rooms),
    ),
    budgets={
        "smoke": spends("tiny-whisper", 8, 2, lesson),
        "classroom": spends("whisper-tiny-en", 390, 70, lesson),
        "laptop": spends("whisper-tiny-en", 780, LONG),
        "full": spends("whisper-tiny-en", 780, LONGEST),
    },
    checks={
        "spells": Check(
            "Does the recogniser write quiet speech?", "quiet.wer", of="recogniser", below=0.6
        ),
        "room to gain": Check(
            "Does noise cost words?",
            "babble.wer",
            of="recogniser",
            above=0.25,
        ),
        "not lost": Check("Is anything left to adapt?", "babble.wer", of="recogniser", below=0.95),
        "stream to gain": Check(
            "Do the rooms cost words?", "stream.wer", of="recogniser", above=0.25
        ),
    },
)
