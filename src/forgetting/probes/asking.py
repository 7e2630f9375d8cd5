"""When to ask for help: performance against burden, of margins and of what was right.

A model may ask where its margin is small, and an answer that it asked for is right. The burden is
the share of questions asked. Wu et al. 2024 (arXiv 2407.14767) draw performance over burden and
take the area; asking at random is the line from what is right without help up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata


def asked_shares(margins: Sequence[float]) -> np.ndarray:
    """(items,): at which share of the burdens 0, 1/n, …, 1 each is asked, smallest margin first.

    Items of one margin share their places.
    """
    n = len(margins)
    return (n + 1 - rankdata(margins)) / (n + 1)


def helped(margins: Sequence[float], right: Sequence[float]) -> np.ndarray:
    """(items,): what each adds to the area under performance over burden, its mean."""
    return np.where(np.asarray(right) >= 1, 1.0, asked_shares(margins))


def lead(margins: Sequence[float], right: Sequence[float]) -> np.ndarray:
    """(items,): the same less what asking at random adds: 0 where margins say nothing."""
    return np.where(np.asarray(right) >= 1, 0.0, asked_shares(margins) - 0.5)


def curve(margins: Sequence[float], right: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Burdens 0, 1/n, …, 1 and the performance at each, smallest margins asked first."""
    order = np.argsort(margins, kind="stable")
    gained = np.cumsum(1 - np.asarray(right, float)[order]) / len(order)
    performance = float(np.mean(right)) + np.concatenate([[0.0], gained])
    return np.linspace(0, 1, len(order) + 1), performance


def worth(margins: Sequence[float], right: Sequence[float], cost: float) -> float:
    """The best of performance less `cost` times burden, over all burdens."""
    burdens, performance = curve(margins, right)
    return float((performance - cost * burdens).max())


def asks_below(margins: Sequence[float], threshold: float) -> float:
    """The share of questions whose margin lies below a threshold, nats."""
    return float(np.mean(np.asarray(margins) < threshold))
