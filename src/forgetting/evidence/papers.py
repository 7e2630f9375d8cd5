"""The papers' published numbers (`data/papers/`), and the claims to judge (of each chapter)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forgetting import checking
from forgetting.checking import BadFile
from forgetting.home import data_dir, folder


class Table(BaseModel):
    """A published table: where it was read, its columns, and one list of numbers a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    columns: list[str]
    unit: str
    rows: dict[str, list[float]]

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        for name, row in self.rows.items():
            if len(row) != len(self.columns):
                counts = f"{len(row)} numbers, {len(self.columns)} columns"
                raise ValueError(f"row {name!r} has {counts}")
        return self


class Claim(BaseModel):
    """A statement that records can decide: effect = mean of `measures`, left minus right.

    `direction` says what is claimed of the effect: "less" (below -tolerance), "greater" (above
    +tolerance) or "equal" (within ±tolerance). With `matched_on`, the right side is not one rate
    but the method's whole curve over rates and epochs, read at the value of that measure which the
    left side reached.

    `than` is what the effect is compared with instead of 0: a value that was named beforehand.
    Without `right`, the left side alone is compared with it. `same` asks for the share of items
    that have one value on both sides instead of their difference. With `line_on`, the effect is the
    R² of the straight line of the measure on that one, over all trained runs that `left` selects.

    `needs` names manipulation checks of the chapter's experiment: where one fails, the claim is not
    tested. `exploratory` claims were written after some of their runs had been seen; `written` has
    the day and the commit since which what is judged stands as it does (`tools/date_claims.py`).

    `withdrawn` is the reason why a claim is not judged any more: no run that we can afford decides
    it. `why` is our reason where one does not hold: the book is not built without.
    Claims stand in the folder of their `chapter` (`claims.toml`) and name their `paper`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    paper: str
    chapter: str
    source: str
    statement: str
    measures: list[str] = Field(min_length=1)
    left: dict[str, Any]
    right: dict[str, Any] | None = None
    than: float = 0.0
    same: bool = False
    matched_on: str | None = None
    line_on: str | None = None
    direction: Literal["less", "greater", "equal"]
    tolerance: float = Field(ge=0)
    unit: str
    needs: list[str] = []
    exploratory: bool = False
    written: str = ""
    withdrawn: str = ""
    why: str = ""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """What the effect must lie beyond; for "equal" between."""
        ends = {"less": (-1,), "greater": (1,), "equal": (-1, 1)}[self.direction]
        return tuple(self.than + end * self.tolerance for end in ends)


class Stated(BaseModel):
    """A statement of a paper, in our words, and which claims judge it; none, if no run can yet.

    `source` says where the paper states it, `chapter` where the book takes it up, `read` which
    published numbers stand behind it and how they were read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    chapter: str
    source: str
    statement: str
    read: str = ""
    judged_by: list[str] = []


class Paper(BaseModel):
    """One paper: how to cite it, what it published, what it states and what is judged.

    `scaled_down` says what this book had to make smaller than the paper did, `note` what readers of
    its tables should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    citation: str
    title: str
    short: str
    scaled_down: str = ""
    note: str = ""
    tables: dict[str, Table] = {}
    stated: list[Stated] = []
    claims: list[Claim] = []


def papers() -> list[Paper]:
    """All papers, by arXiv id. Raises `BadFile` for a malformed one."""
    by_paper: dict[str, list[Claim]] = {}
    for path in claim_files():
        for claim in claims_in(path):
            by_paper.setdefault(claim.paper, []).append(claim)
    known = [_read(path) for path in sorted((data_dir() / "papers").glob("*.toml"))]
    if unknown := by_paper.keys() - {paper.id for paper in known}:
        claim = by_paper[min(unknown)][0]
        raise BadFile(f"claim {claim.id!r}: paper={claim.paper!r} is not in data/papers")
    return [paper.model_copy(update={"claims": by_paper.get(paper.id, [])}) for paper in known]


def claim_files() -> list[Path]:
    """The `claims.toml` of every chapter: of the package, and of the book in `FORGETTING_ROOT`."""
    folders = [Path(__file__).parents[1] / "chapters"]
    if root := folder("FORGETTING_ROOT"):
        folders.append(root / "src" / "forgetting" / "chapters")
    found = {path.parent.name: path for each in folders for path in each.glob("*/claims.toml")}
    return [found[name] for name in sorted(found)]


def paper(arxiv_id: str) -> Paper:
    """The paper of that arXiv id. Raises `KeyError` naming the ids that exist."""
    known = {p.id: p for p in papers()}
    if arxiv_id not in known:
        raise KeyError(f"paper={arxiv_id!r}: not in data/papers; known: {', '.join(known)}")
    return known[arxiv_id]


def claims_in(path: Path) -> list[Claim]:
    """A chapter's claims in the order of their file, which is read anew where it has changed."""
    return _claims_at(path, path.stat().st_mtime_ns)


@lru_cache
def _claims_at(path: Path, _: int) -> list[Claim]:
    tables = checking.toml(path).get("claims", [])
    if not isinstance(tables, list):
        raise BadFile(f"{path}: claims={tables!r}: write each below [[claims]]")
    return [checking.read(Claim, path, table, chapter=path.parent.name) for table in tables]


@lru_cache
def _read(path: Path) -> Paper:
    return checking.read(Paper, path, checking.toml(path))
