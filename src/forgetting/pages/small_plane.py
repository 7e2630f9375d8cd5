"""A chapter's plane in small, for a card: every method a dot, one of them named and coloured."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence

from forgetting.evidence.claims import Effect
from forgetting.pages.plane import Loss, Place
from forgetting.views import figures
from forgetting.wording import number

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 260, 62, 44, 16  # pixels
GREY = "#9A9A9A"


def drawn(places: Sequence[Place], mine: Collection[str], skill: str, loss: Loss) -> str:
    """The plane as an SVG element: learned to the right, `loss` upwards, central rates.

    `mine` are the methods that get their colour, their name and their intervals.
    """
    lost = [place.lost[loss.words] for place in places]
    across = _Scale([0.0, *_ends(p.learned for p in places)], LEFT, WIDTH - 12)
    up = _Scale([0.0, *_ends(lost)], HEIGHT - BOTTOM, TOP)
    named = [place for place in places if place.method in mine]
    others = [place for place in places if place.method not in mine]
    told = "; ".join(
        f"{p.method} learned {number(p.learned.mean)}, {number(p.lost[loss.words].mean)}"
        for p in named
    )
    alt = f"{loss.words} against {skill} learned: {told}; {len(others)} other methods in grey"
    lines = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" style="max-width: 100%" '
        f'aria-label="{html.escape(alt)}" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _rule(across(0), TOP, across(0), HEIGHT - BOTTOM),
        _rule(LEFT, up(0), WIDTH - 12, up(0)),
        *(_text(across(v), HEIGHT - BOTTOM + 16, number(v, 2), "middle") for v in across.marks),
        *(_text(LEFT - 6, up(v) + 4, number(v, 2), "end") for v in up.marks),
        _text((LEFT + WIDTH) / 2, HEIGHT - 8, f"learned: {skill}, nats a token", "middle"),
        f'<text transform="translate(14 {HEIGHT / 2 - 14}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(loss.words)}, {html.escape(loss.unit)}</text>",
    ]
    for place in others:
        x, y = across(place.learned.mean), up(place.lost[loss.words].mean)
        about = f"<title>{html.escape(place.method)}</title>"
        lines.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{GREY}">{about}</circle>')
    for place in named:
        lines += _mark(place, place.lost[loss.words], across, up)
    return "\n".join([*lines, "</svg>"])


class _Scale:
    """Values to pixels, with 5 % of room at either end; `marks` are its two ends and zero."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.low, self.high = min(values), max(values)
        room = 0.05 * (self.high - self.low) or 1.0
        self.base, self.start = self.low - room, start
        self.step = (end - start) / (self.high - self.low + 2 * room)
        self.marks = dict.fromkeys((self.low, 0.0, self.high))

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.base) * self.step, 1)


def _ends(effects: Iterable[Effect]) -> list[float]:
    return [end for effect in effects for end in (effect.low, effect.high)]


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str = "#bbb") -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#222") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{html.escape(words)}</text>'
    )


def _mark(place: Place, lost: Effect, across: _Scale, up: _Scale) -> list[str]:
    x, y = across(place.learned.mean), up(lost.mean)
    colour = figures.COLOURS.get(place.method, "#0072B2")
    right = x > (LEFT + WIDTH) / 2
    return [
        _rule(across(place.learned.low), y, across(place.learned.high), y, colour),
        _rule(x, up(lost.low), x, up(lost.high), colour),
        f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>',
        _text(x - 8 if right else x + 8, y - 8, place.method, "end" if right else "start"),
    ]
