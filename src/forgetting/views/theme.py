"""The house style: one colour and marker a method, white ground, every figure signed.

A method's file carries its colour and marker. Arms of one experiment that are variants of one
method share its hue; no two arms of an experiment share both colour and marker.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from forgetting import method
from forgetting.evidence import claims
from forgetting.evidence.records import Run
from forgetting.experiments.arms import Arm, AtOnce, InTurn, Made, Merged, Training
from forgetting.experiments.experiment import Experiment
from forgetting.tuning import Full
from forgetting.views.figure_data import as_csv

# Okabe & Ito's colours, safe for colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A00")
GREY, INK = "#555555", "#000000"
MARKERS = "osD^vd<>phPXH8"
TINTS = (0.0, 0.35, -0.3, 0.55, -0.5, 0.7)  # of one hue: towards white, below 0 towards black
PAGE_WIDTH = 7.6  # inches
OF_RECORDS = "of records"  # marks a figure that was made from records


class Look(NamedTuple):
    """How an arm is drawn."""

    colour: str
    marker: str


UNKNOWN = Look(GREY, "o")
ORIGIN = Look(INK, "*")  # the model that arms start from


class Looks(dict[str, Look]):
    """The look of each arm by the name of its curve; of what is no arm, its method's own."""

    def __missing__(self, name: str) -> Look:
        own = own_look(name)
        candidates = (Look(own.colour, marker) for marker in (own.marker, *MARKERS))
        return next((look for look in candidates if look not in self.values()), UNKNOWN)


def curves(experiment: Experiment) -> list[tuple[str, str]]:
    """Of each arm the name of its curve and its method, in the experiment's order."""
    arms = experiment.arms_of(experiment.base(next(iter(experiment.budgets))))
    return [(getattr(arm, "curve", "") or name, method_of(arm)) for name, arm in arms.items()]


def looks(experiment: Experiment) -> Looks:
    """The look of each arm by the name of its curve, in the experiment's order."""
    return distinct(dict(curves(experiment)))


def arm_looks(experiment: Experiment) -> Looks:
    """The looks of curves, and a lighter one of each arm that continues another's."""
    found = looks(experiment)
    arms = experiment.arms_of(experiment.base(next(iter(experiment.budgets))))
    for name, (curve, _) in zip(arms, curves(experiment), strict=True):
        if name not in found:
            found[name] = Look(tint(found[curve].colour, 0.4), found[curve].marker)
    return found


def own_look(name: str) -> Look:
    """The look that a method's file carries; grey for what is no method."""
    try:
        card = method.named(name).card
    except method.UnknownMethod:
        return UNKNOWN
    return Look(card.colour, card.marker)


def distinct(methods: Mapping[str, str]) -> Looks:
    """A look for each name, given its method; no two are the same.

    The first arm of a method has the method's own look, its variants the hue and other markers.
    """
    chosen = Looks()
    for name, of in methods.items():
        own = own_look(of)
        variants = sum(methods[other] == of for other in chosen)
        colour = tint(own.colour, TINTS[variants % len(TINTS)])
        used = {look.marker for look in chosen.values()}
        unused = [marker for marker in MARKERS if marker not in used]
        markers = (*(unused if variants else ()), own.marker, *unused, *MARKERS)
        candidates = (Look(colour, marker) for marker in markers)
        chosen[name] = next(look for look in candidates if look not in chosen.values())
    return chosen


def method_of(arm: Arm) -> str:
    """The method that an arm is about: what it is asked for, else shown, else what may move."""
    if isinstance(arm, Training):
        return arm.card or type(arm.objective or arm.tune or Full()).__name__
    return arm.card if isinstance(arm, InTurn | AtOnce | Made | Merged) else ""


def tint(colour: str, share: float) -> str:
    """A colour moved towards white by a share of the way; below 0, towards black."""
    target = 1.0 if share > 0 else 0.0
    red, green, blue = (c + abs(share) * (target - c) for c in to_rgb(colour))
    return to_hex((red, green, blue)).upper()


def style() -> None:
    """Set the house style for every figure after it."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.85)
    plt.rcParams |= {
        "figure.dpi": 110,
        "savefig.dpi": 150,
        "figure.facecolor": "white",
        "axes.edgecolor": "#888888",
        "grid.color": "#E5E5E5",
        "svg.hashsalt": "forgetting",
        "axes.titlesize": "medium",
        "axes.titleweight": "bold",
    }


def show(figure: Figure, alt: str) -> None:
    """Display a figure in a notebook with its alternative text and its data, and close it.

    The picture is made here, so that it does not depend on which backend the kernel has set up.
    """
    from IPython.display import display

    picture = BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
    data = {"image/png": b64encode(picture.getvalue()).decode(), "text/plain": alt}
    about: dict[str, object] = {"alt": alt, "csv": as_csv(figure)}
    about |= {"records": True} if figure.get_gid() == OF_RECORDS else {}
    display(data, raw=True, metadata={"image/png": about})
    plt.close(figure)


def sign(figure: Figure, runs: Sequence[Run]) -> None:
    """Say above a figure which runs it was made from; its page will link to them."""
    figure.suptitle(provenance(runs), fontsize=8, color=GREY, x=0.01, ha="left")
    figure.set_gid(OF_RECORDS)


def provenance(runs: Sequence[Run]) -> str:
    """What every figure says of its runs: tier, model, seeds, last date."""
    about = claims.summary(runs)
    seeds = f"{about['seeds']} seed{'s' * (about['seeds'] != 1)} at the central rate"
    return f"{about['tier']} tier · {about['model']} · {seeds} · {about['last']}"


def arms_of(runs: Iterable[Run], looks: Looks) -> list[str]:
    """The arms that were run, in the experiment's order."""
    present = {run.labels["method"] for run in runs if not run.start}
    return [name for name in looks if name in present] + sorted(present - looks.keys())
