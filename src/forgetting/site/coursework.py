"""Coursework: the file in which a reader answers a chapter's exercises, and its grades.

A chapter's notebook is the one place where an exercise is written: its text names the test, as
`exercises.repetition(repetition)`, and its solution defines what the test is given. The file to
start from holds the solution's signatures, with bodies that raise `NotImplementedError`.
"""

import ast
import json
import multiprocessing
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from forgetting import chapters

EXERCISE = re.compile(
    r"\{exercise-start\} *(?P<title>[^\n]*)\n:label: *(?P<label>\S+)\n```\n(?P<text>.*?)"
    r"\n```\{exercise-end\}.*?"
    r"\{solution-start\} *(?P=label)\n.*?```python\n(?P<solution>.*?)```",
    re.DOTALL,
)
TEST = re.compile(r"`(exercises\.\w+\([^`]+\))`")
WIDTH = 92
SECONDS = 60  # for an answer to end
FORK = multiprocessing.get_context("fork")


class BadExercise(ValueError):
    """An exercise of a notebook, or a file of answers, that cannot be read."""


class Exercise(NamedTuple):
    """One exercise of a chapter: what it asks, the call that tests it, the printed solution."""

    title: str
    label: str
    text: str
    test: str
    solution: str

    @property
    def asked(self) -> list[str]:
        """The names that the test is given: what the reader is to define."""
        defined = {d.name for d in _definitions(self.solution)}
        call = ast.walk(ast.parse(self.test))
        return [node.id for node in call if isinstance(node, ast.Name) and node.id in defined]


class Grade(NamedTuple):
    """What the test says of one answer; `why` is a line where it did not pass."""

    exercise: Exercise
    outcome: Literal["passed", "failed", "not attempted"]
    why: str = ""


def exercises_of(notebook: Path) -> list[Exercise]:
    """The exercises of a chapter, in its order.

    Raises `BadExercise` for one whose text names no test or whose solution does not define what the
    test is given.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    exercises = []
    for match in EXERCISE.finditer(prose):
        where = f"{notebook.name}, exercise {match['label']}"
        test = TEST.search(match["text"])
        if test is None:
            raise BadExercise(f"{where}: its text names no test; write `exercises.name(answer)`")
        title, label, text, solution = match.groups()
        exercise = Exercise(title, label, text.strip(), test[1], solution)
        if not exercise.asked:
            raise BadExercise(f"{where}: its solution defines nothing that {test[1]} is given")
        exercises.append(exercise)
    if unsolved := prose.count("{exercise-start}") - len(exercises):
        raise BadExercise(f"{notebook.name}: {unsolved} exercises have no solution")
    return exercises


def stubs(chapter: str, exercises: Sequence[Exercise]) -> str:
    """The text of a file of answers in which nothing is answered yet."""
    head = f'"""Answers to the exercises of `{chapter}`; test them: forgetting grade {chapter}"""'
    imports: set[str] = set()
    bodies = []
    for exercise in exercises:
        for node in ast.parse(exercise.solution).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.add(ast.unparse(node))
        asked = [d for d in _definitions(exercise.solution) if d.name in exercise.asked]
        bodies += [_stub(definition, exercise) for definition in asked]
    parts = [head + "\n\n" + "\n".join(sorted(imports)) if imports else head, *bodies]
    return re.sub(r" +$", "", "\n\n\n".join(parts) + "\n", flags=re.MULTILINE)


def _definitions(code: str) -> list[ast.FunctionDef | ast.ClassDef]:
    body = ast.parse(code).body
    return [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def _stub(definition: ast.FunctionDef | ast.ClassDef, exercise: Exercise) -> str:
    plain = re.sub(r"\{[a-z:]+\}`", "`", exercise.text).replace("\\", "/")
    words = [f"{exercise.title}.", "", *textwrap.wrap(" ".join(plain.split()), WIDTH)]
    text = ast.Expr(ast.Constant("\n    ".join(words) + "\n    "))
    unanswered = ast.parse("raise NotImplementedError").body
    if isinstance(definition, ast.FunctionDef):
        definition.body = [text, *unanswered]
    else:
        methods = [node for node in definition.body if isinstance(node, ast.FunctionDef)]
        for method in methods:
            method.body = list(unanswered)
        definition.body = [text, *methods]
    return ast.unparse(ast.fix_missing_locations(definition))


def grade(
    chapter: str, exercises: Sequence[Exercise], code: str, name: str = "answers"
) -> list[Grade]:
    """Test each exercise of a chapter on what the Python text `code` defines.

    Each is tested in a process of its own, which has a minute: an answer that ends the program,
    or never ends, has failed. Raises `BadExercise` in one line where the text itself
    cannot be run, or the chapter has no tests.
    """
    if not (chapters.folders().get(chapter, Path()) / "exercises.py").is_file():
        raise BadExercise(f"chapter={chapter!r}: has no exercises.py; write it beside its design")
    tests = import_module(f"forgetting.chapters.{chapter}.exercises")
    grades = []
    for exercise in exercises:
        result = _alone(partial(_grade, exercise, tests, code, name))
        if isinstance(result, BadExercise):
            raise result
        grades.append(result if isinstance(result, Grade) else Grade(exercise, "failed", result))
    return grades


def _alone(work: Callable[[], Grade | BadExercise]) -> Grade | BadExercise | str:
    """What `work` gives in another process; in words where it ends without, or does not end."""
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_send, args=(work, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            return f"has not ended after {SECONDS} s"
        return ours.recv()
    except EOFError:
        return "ends the program instead of giving an answer"
    finally:
        child.kill()
        child.join()


def _send(work: Callable[[], Grade | BadExercise], place: Connection) -> None:
    with open(os.devnull) as nothing:
        sys.stdin = nothing  # who asks for input waits for nobody
        place.send(work())


def _grade(exercise: Exercise, tests: ModuleType, code: str, name: str) -> Grade | BadExercise:
    answers: dict[str, Any] = {"__name__": Path(name).stem}
    try:
        exec(compile(code, name, "exec"), answers)
    except (Exception, SystemExit) as error:
        return BadExercise(f"{name}: {_in_one_line(error, name)}")
    if absent := [name for name in exercise.asked if name not in answers]:
        return Grade(exercise, "not attempted", f"the file does not define {absent[0]}")
    try:
        eval(exercise.test, {"exercises": tests}, answers)
    except NotImplementedError:
        return Grade(exercise, "not attempted")
    except AssertionError as error:
        return Grade(exercise, "failed", str(error) or _in_one_line(error, name))
    except (Exception, SystemExit) as error:
        return Grade(exercise, "failed", _in_one_line(error, name))
    return Grade(exercise, "passed")


def _in_one_line(error: BaseException, name: str) -> str:
    """An error, with the line of the reader's file where it came up."""
    lines = [s.lineno for s in traceback.extract_tb(error.__traceback__) if s.filename == name]
    message = str(error)
    if isinstance(error, SyntaxError):
        lines, message = [error.lineno] if error.lineno else [], error.msg
    text = f"{type(error).__name__}: {message}".removesuffix(": ")
    return (f"line {lines[-1]}: " if lines else "") + " ".join(text.split())
