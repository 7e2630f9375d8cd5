"""Log-likelihoods of many answers, of which those to one prompt share one reading of it.

A line is [prompt | answer 1 | answer 2 …]; an attention mask lets every answer see the prompt and
itself only, and positions restart after the prompt. The numbers are those of separate rows up to
rounding, for models whose tokens meet in attention alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from forgetting.models.rows import Row, read_tokens, supervised

# Attention is quadratic in a line: what exceeds the first is cut into lines of the second.
LONGEST_LINE, SHORT_LINE = 4096, 512


@dataclass
class Line:
    """A prompt with some of its answers: token ids, their positions, and where answers are read.

    `reads` are the places whose hidden states predict the supervised tokens `targets`; `members`
    the rows, by number, with how many of these are theirs.
    """

    ids: list[int]
    positions: list[int]
    spans: list[tuple[int, int]] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    members: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, prompt: Sequence[int], members: Sequence[tuple[int, Row]]) -> Line:
        size = len(prompt)
        line = cls(list(prompt), list(range(size)))
        for number, row in members:
            answer = row["input_ids"][size:].tolist()
            start = len(line.ids)
            line.ids += answer[:-1]
            line.positions += range(size, size + len(answer) - 1)
            line.spans.append((start, len(line.ids)))
            places = [size - 1, *range(start, len(line.ids))][: len(answer)]
            kept = supervised(row)[size - 1 :].tolist()
            line.reads += [place for place, keep in zip(places, kept, strict=True) if keep]
            line.targets += [token for token, keep in zip(answer, kept, strict=True) if keep]
            line.members.append((number, sum(kept)))
        return line

    def __len__(self) -> int:
        return len(self.ids)

    def mask(self) -> torch.Tensor:
        """(size, size) booleans: True where the line's token may look."""
        size = len(self)
        allowed = torch.zeros(size, size, dtype=torch.bool)
        allowed[:, : self.spans[0][0]] = True
        for start, end in self.spans:
            allowed[start:end, start:end] = True
        return torch.ones(size, size, dtype=torch.bool).tril() & allowed


def lines(rows: Sequence[Row]) -> list[Line]:
    """The rows, those with one prompt together where they fit a line."""
    groups: dict[tuple[int, ...], list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows):
        prompt = tuple(row["input_ids"][: read_tokens(row)].tolist())
        groups.setdefault(prompt, []).append((number, row))
    return [
        Line.of(prompt, part)
        for prompt, members in groups.items()
        for part in _parts(len(prompt), members)
    ]


def states(model: torch.nn.Module, lines: Sequence[Line]) -> torch.Tensor:
    """(tokens, width): a model's last hidden states where lines are read, one after another."""
    longest = max(map(len, lines))
    ids = torch.zeros(len(lines), longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    mask = torch.eye(longest, dtype=torch.bool).repeat(len(lines), 1, 1)
    for number, line in enumerate(lines):
        size = len(line)
        ids[number, :size] = torch.tensor(line.ids)
        positions[number, :size] = torch.tensor(line.positions)
        mask[number, :size, :size] = line.mask()
    device = next(model.parameters()).device
    hidden = model(
        input_ids=ids.to(device),
        position_ids=positions.to(device),
        attention_mask=mask[:, None].to(device),
        use_cache=False,
    ).last_hidden_state
    at = torch.tensor([(n, place) for n, line in enumerate(lines) for place in line.reads])
    return hidden[at[:, 0], at[:, 1]]


def _parts(prompt: int, members: list[tuple[int, Row]]) -> list[list[tuple[int, Row]]]:
    """The answers to a prompt of so many tokens, together where they fit a line."""
    sizes = {number: len(row["input_ids"]) - prompt for number, row in members}
    if prompt + sum(sizes.values()) <= LONGEST_LINE:
        return [members]
    parts: list[list[tuple[int, Row]]] = []
    room = 0
    for member in sorted(members, key=lambda member: sizes[member[0]]):
        if not parts or room < sizes[member[0]]:
            parts.append([])
            room = SHORT_LINE - prompt
        parts[-1].append(member)
        room -= sizes[member[0]]
    return parts
