"""Running SQL that a model wrote, and comparing what it returns with what was asked for.

Nothing that a query says is trusted: it runs on a database in memory that holds one table, under
an authorizer that allows reading that table and nothing else, and within limits on its length,
its steps and its rows.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

Value = str | int | float | None
Row = tuple[Value, ...]

MAX_CHARACTERS = 1000
MAX_STEPS = 200_000  # of SQLite's virtual machine; the queries of the tasks need a few hundred
MAX_ROWS = 200
MAX_BYTES = 10_000  # of any one value
FUNCTIONS = frozenset(
    (
        *("abs", "avg", "coalesce", "count", "ifnull", "length", "like", "lower", "max", "min"),
        *("nullif", "round", "sum", "total", "trim", "upper"),
    )
)


class Refused(ValueError):
    """The query is not one that may run here, or has run too long, or is not SQL."""


@dataclass(frozen=True)
class Table:
    """A table: columns with their SQLite types (`text` or `integer`), and rows."""

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """The table as text that `from_json` reads."""
        return json.dumps([self.name, self.columns, self.rows])

    @classmethod
    def from_json(cls, text: str) -> Table:
        name, columns, rows = json.loads(text)
        return cls(name, tuple((c, t) for c, t in columns), tuple(tuple(row) for row in rows))


def execute(query: str, table: Table) -> list[Row]:
    """The rows that `query` returns on `table`.

    Raises `Refused` unless it is one SELECT statement within the limits.
    """
    with closing(database(table)) as connection:
        return run(query, connection)


def run(query: str, connection: sqlite3.Connection) -> list[Row]:
    """The rows that `query` returns on an open `database`, which it cannot change.

    Raises `Refused`, as `execute` does.
    """
    if len(query) > MAX_CHARACTERS:
        raise Refused(f"query: {len(query)} characters, at most {MAX_CHARACTERS} are run")
    if not re.match(r"\s*select\b", query, re.IGNORECASE):
        raise Refused("query: does not begin with SELECT, and nothing else is run")
    try:
        rows = connection.execute(query).fetchmany(MAX_ROWS + 1)
    # ValueError: null bytes and lone surrogates; Warning: two statements, before Python 3.12
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        raise Refused(f"query: {error}") from error
    if len(rows) > MAX_ROWS:
        raise Refused(f"query: returns more than {MAX_ROWS} rows")
    return rows


def same_result(predicted: Sequence[Row], gold: Sequence[Row], ordered: bool) -> bool:
    """Whether two results are the same multiset of rows, or the same list where order is asked.

    Column names do not matter, column order does; numbers agree to six decimals.
    """
    left, right = [_rounded(row) for row in predicted], [_rounded(row) for row in gold]
    return left == right if ordered else Counter(left) == Counter(right)


def executes_alike(query: str, gold: str, tables: Sequence[Table]) -> bool:
    """Whether `query` returns what `gold` returns, on every one of `tables`.

    On one table this is execution accuracy. On several with the same columns it is test-suite
    accuracy (Zhong, Yu & Klein 2020, arXiv 2010.02840): a query that is right by luck on one
    table is found out on another. A refused query is wrong; a refused gold is an error.
    """
    ordered = bool(re.search(r"\border\s+by\b", gold, re.IGNORECASE))
    wanted = [execute(gold, table) for table in tables]
    with suppress(Refused):
        return all(
            same_result(execute(query, table), rows, ordered)
            for table, rows in zip(tables, wanted, strict=True)
        )
    return False


_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|"(?P<quoted>[^"]*)"|`(?P<ticked>[^`]*)`
    |(?P<number>\d+(?:\.\d+)?)|(?P<word>\w+)|(?P<sign><=|>=|<>|!=|==|[-<>=*(),.;+/]))""",
    re.VERBOSE,
)


def logical_form(query: str) -> tuple[str, ...] | None:
    """The query's tokens in a form that spelling does not change, or None if they are unreadable.

    Case of keywords and names, spaces, a final semicolon, ASC, `==` and `<>` do not matter, nor
    does the order of conditions that AND joins (Zhong, Xiong & Socher 2017, arXiv 1709.00103,
    compare conditions as sets too). Texts keep their case.
    """
    tokens, at, query = [], 0, query.strip()
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            return None
        tokens.append(_token(found))
        at = found.end()
    while tokens and tokens[-1] == ";":
        tokens.pop()
    tokens = [token for token in tokens if token != "asc"]
    if "where" not in tokens:
        return tuple(tokens)
    start = tokens.index("where") + 1
    ends = [i for i in range(start, len(tokens)) if tokens[i] in {"group", "order", "limit"}]
    end = min(ends, default=len(tokens))
    conditions: list[tuple[str, ...]] = [()]
    for token in tokens[start:end]:
        if token == "and":
            conditions.append(())
        else:
            conditions[-1] += (token,)
    middle = [token for condition in sorted(conditions) for token in ("and", *condition)][1:]
    # A list with OR or brackets is no list of conditions, so its order is left alone.
    if {"or", "(", "between"} & set(tokens[start:end]):
        middle = tokens[start:end]
    return (*tokens[:start], *middle, *tokens[end:])


def _token(found: re.Match[str]) -> str:
    if found["text"] is not None:
        return found["text"]
    if found["number"]:
        return f"{float(found['number']):g}"
    sign = {"==": "=", "<>": "!="}
    # "x" names a column in SQL, but SQLite reads it as a text where there is no such column.
    quoted = found["quoted"]
    if quoted is not None:
        return quoted.lower() if re.fullmatch(r"[a-z_]+", quoted) else f"'{quoted}'"
    word = found["ticked"] if found["ticked"] is not None else found["word"]
    return word.lower() if word is not None else sign.get(found["sign"], found["sign"])


def database(table: Table) -> sqlite3.Connection:
    """A database in memory that holds `table`, ready for queries that nobody has checked."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    columns = ", ".join(f"{name} {kind}" for name, kind in table.columns)
    connection.execute(f"CREATE TABLE {table.name} ({columns})")
    marks = ", ".join("?" * len(table.columns))
    connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", table.rows)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100)
    connection.set_progress_handler(lambda: 1, MAX_STEPS)
    connection.set_authorizer(_reads_only(table.name))
    return connection


def _reads_only(table: str) -> Any:
    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        allowed = (
            action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_READ and (first or "").lower() == table)
            or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return allow


def _rounded(row: Row) -> Row:
    return tuple(round(value, 6) if isinstance(value, float) else value for value in row)
