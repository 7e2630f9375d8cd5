"""A method is one file: a class or a pure function with its card, its colour and its marker.

    @method(title="TIES", idea="…", equation="…", cost="…", use="…",
            citations=("yadav2023ties",), colour="#0072B2", marker="s")
    def ties(states, density): ...

Put into `merging/ties.py`, it is `forgetting.merging.ties`, and whatever lists methods lists it.
Files stand in the package of the question that they answer, or in a folder of one's own that is
laid out alike (`merging/ties.py`) and that `FORGETTING_METHODS` names. A card is written in
literals and read without running its file: torch need not be loaded to list methods.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from forgetting import home
from forgetting.wording import did_you_mean

VARIABLE = "FORGETTING_METHODS"
# The question that the methods of each package answer.
QUESTIONS = {
    "recipes": "What is it shown?",
    "tuning": "What may move?",
    "objectives": "What is it asked for?",
    "merging": "What is done to the weights after?",
    "adaptation": "May it change while it is asked?",
}
TEXTS = ("idea", "equation", "cost", "use", "citations")
HERE = Path(__file__).parent


class BadMethod(ValueError):
    """A method's file cannot be read or imported, or its card is not what a card should be."""


class UnknownMethod(LookupError):
    """No method has this name."""


class Card(BaseModel):
    """What a method says of itself, on its page, in tables and in figures.

    `equation` is LaTeX, `use` says when to use it, `citations` are keys of the bibliography,
    `beside` other methods whose code its page shows. With `see`, another method tells the rest and
    both share its page. `name` is the page's, by default the file's; `question` is by default the
    package's. Filled in by `cards`: `members`, the methods that the page is about, and `symbols`,
    the full names of the code that stands on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    colour: str = Field(pattern=r"^#[0-9A-F]{6}$")
    marker: str = Field(pattern=r"^[ov^<>8sp*hHDdPX]$")
    idea: str = ""
    equation: str = ""
    cost: str = ""
    use: str = ""
    citations: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    see: str = ""
    name: str = ""
    question: str = ""
    members: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in TEXTS if not getattr(self, name)]
        if missing and not self.see:
            raise ValueError(f"{missing[0]} is missing; give it, or name with see= whose it shares")
        if self.question and self.question not in QUESTIONS.values():
            raise ValueError(f"question={self.question!r}: one of {', '.join(QUESTIONS.values())}")
        return self


@dataclass(frozen=True)
class Method:
    """A method where it stands; `name` is that of its class or function, as recipes write it."""

    name: str
    package: str
    path: Path
    line: int
    card: Card

    @property
    def symbol(self) -> str:
        """The full name under which its package gives it."""
        return f"forgetting.{self.package}.{self.name}"

    def load(self) -> Any:
        """The class or function. Raises `BadMethod` where its file cannot be imported."""
        package = import_module(f"forgetting.{self.package}")
        package.__path__ = _path(self.package)
        invalidate_caches()  # the file may be younger than what Python knows of its folder
        try:
            return getattr(import_module(f"{package.__name__}.{self.path.stem}"), self.name)
        except Exception as error:
            raise BadMethod(f"{self.path}: {type(error).__name__}: {_line(error)}") from error


Thing = TypeVar("Thing", bound=Callable[..., Any])


def method(**card: Any) -> Callable[[Thing], Thing]:
    """Make a class or a pure function a method; `card` are fields of `Card`, as literals.

    The card is its attribute `card`. Raises `BadMethod` for one that is not complete.
    """

    def marked(thing: Thing) -> Thing:
        setattr(thing, "card", _card(card, thing.__qualname__))  # noqa: B010
        return thing

    return marked


def methods() -> list[Method]:
    """All methods, package by package, by file. Nothing is imported.

    Raises `BadMethod`, in one line, for a file that is no Python, a card that is not complete, a
    name or a file that stands twice, and two methods that share colour and marker.
    """
    return list(_by_name().values())


def named(name: str) -> Method:
    """The method called `name` ("LoRA"). Raises `UnknownMethod` with the nearest one's name."""
    known = _by_name()
    if name not in known:
        hint = did_you_mean(name, known, f"known: {', '.join(known)}")
        raise UnknownMethod(f"method={name!r}: there is none; {hint}")
    return known[name]


def cards() -> list[Card]:
    """The cards that have a page, by its name, each with all that it is about and shows."""
    known = _by_name()
    pages = []
    for main in known.values():
        if not main.card.see:
            members = [main, *(each for each in known.values() if each.card.see == main.name)]
            shown = [*members, *(known[name] for name in main.card.beside)]
            about = {"members": tuple(member.name for member in members)}
            about["symbols"] = tuple(member.symbol for member in shown)
            pages.append(main.card.model_copy(update=about))
    return sorted(pages, key=lambda card: card.name)


def where(symbol: str) -> tuple[str, int]:
    """File and line of a method by its full name ("forgetting.tuning.LoRA").

    The file is relative to this package's folder, or absolute where it stands elsewhere. Raises
    `LookupError` where there is no such method.
    """
    package, _, name = symbol.rpartition(".")
    entry = _by_name().get(name)
    if entry is None or entry.symbol != symbol:
        raise LookupError(f"symbol={symbol!r}: {package} defines no {name}")
    path = entry.path
    path = path.relative_to(HERE) if path.is_relative_to(HERE) else path
    return path.as_posix(), entry.line


class Package(ModuleType):
    """A package whose methods are its attributes; they load their files on first use."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Python sets a submodule when it is imported: it would hide a method of its name."""
        inner = getattr(value, name, None) if isinstance(value, ModuleType) else None
        super().__setattr__(name, inner if hasattr(inner, "card") else value)

    def __dir__(self) -> list[str]:
        own = (entry.name for entry in methods() if entry.symbol == f"{self.__name__}.{entry.name}")
        return [*super().__dir__(), *own]


def package(name: str) -> Callable[[str], Any]:
    """The `__getattr__` of the package called `name`, which becomes one of methods."""
    module = sys.modules[name]
    module.__class__ = Package
    module.__path__ = _path(name.rpartition(".")[2])

    def attribute(method: str) -> Any:
        entry = None if method.startswith("_") else _by_name().get(method)
        if entry is None or entry.symbol != f"{name}.{method}":
            raise AttributeError(f"module {name!r} has no attribute {method!r}")
        return entry.load()

    return attribute


def _path(package: str) -> list[str]:
    """A package's own folder, and that of `FORGETTING_METHODS` as it is now."""
    places = filter(None, (HERE, home.folder(VARIABLE)))
    return [str(place / package) for place in places if (place / package).is_dir()]


def _by_name() -> dict[str, Method]:
    """All methods, checked against each other; those that see another have its texts."""
    known: dict[str, Method] = {}
    looks: dict[tuple[str, str], Method] = {}
    for entry in _read_all():
        name, card = entry.name, entry.card
        if (other := known.setdefault(name, entry)) is not entry:
            raise BadMethod(f"{entry.path}: {name} stands in {other.path} too; rename one")
        if (other := looks.setdefault((card.colour, card.marker), entry)) is not entry:
            raise BadMethod(
                f"{entry.path}: {name} has colour {card.colour} and marker {card.marker!r}, "
                f"as {other.name} has; change one"
            )
    return {name: _with_texts(entry, known) for name, entry in known.items()}


def _with_texts(entry: Method, known: dict[str, Method]) -> Method:
    for name in filter(None, (entry.card.see, *entry.card.beside)):
        if name not in known or known[name].card.see:
            raise BadMethod(f"{entry.path}: {name!r} is no method with a card of its own")
    if not entry.card.see:
        return entry
    main = known[entry.card.see].card
    texts = {name: getattr(main, name) for name in (*TEXTS, "name", "question")}
    return replace(entry, card=entry.card.model_copy(update=texts))


def _read_all() -> Iterator[Method]:
    own = home.folder(VARIABLE)
    if own and not own.is_dir():
        raise BadMethod(f"{VARIABLE}={own}: no such folder; make it, with tuning/x.py within")
    for package in QUESTIONS:
        files: dict[str, Path] = {}
        for folder in map(Path, _path(package)):
            for path in sorted(folder.glob("[!_]*.py")):
                if (other := files.setdefault(path.stem, path)) is not path:
                    raise BadMethod(f"{path}: {package} has {other}; rename one")
                yield from _read(package, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _read(package: str, path: Path, changed: int) -> tuple[Method, ...]:
    """The methods of a file as it was `changed`: its marked classes and functions."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), path.name)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadMethod(f"{path}: {_line(error)}") from error
    return tuple(
        Method(node.name, package, path, node.lineno, _literal(call, node.name, package, path))
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for call in node.decorator_list
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "method"
    )


def _literal(call: ast.Call, name: str, package: str, path: Path) -> Card:
    usual = {"name": path.stem.replace("_", "-"), "question": QUESTIONS[package]}
    fields: dict[str, Any] = {}
    for keyword in call.keywords:
        try:
            fields[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError as error:
            raise BadMethod(
                f"{path}: {keyword.arg} of {name}'s card is read, not run; write a literal"
            ) from error
    return _card(usual | fields, f"{path}: {name}")


def _card(fields: dict[str, Any], of: str) -> Card:
    try:
        return Card(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BadMethod(f"{of}'s card: {field}{': ' * bool(field)}{first['msg']}") from error


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]
