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
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

Row = tuple[str | int | float | None, ...]

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


class Table(NamedTuple):
    """A table: columns with their SQLite types (`text` or `integer`), and rows."""

    name: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Row]


def read_table(text: str) -> Table:
    """The table that a JSON text `[name, columns, rows]` describes."""
    return Table(*json.loads(text))


def execute(query: str, table: Table) -> list[Row]:
    """The rows that `query` returns on `table`.

    Raises `Refused` unless it is one SELECT statement within the limits.
    """
    if len(query) > MAX_CHARACTERS:
        raise Refused(f"query: {len(query)} characters, at most {MAX_CHARACTERS} are run")
    if not re.match(r"\s*select\b", query, re.IGNORECASE):
        raise Refused("query: does not begin with SELECT, and nothing else is run")
    with closing(_database(table)) as connection:
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
    table is caught on another. A refused query is wrong; a refused gold is an error.
    """
    ordered = bool(re.search(r"\border\s+by\b", gold, re.IGNORECASE))
    results = [execute(gold, table) for table in tables]
    try:
        return all(
            same_result(execute(query, table), rows, ordered)
            for table, rows in zip(tables, results, strict=True)
        )
    except Refused:
        return False


_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|"(?P<quoted>[^"]*)"|`(?P<ticked>[^`]*)`
    |(?P<number>\d+(?:\.\d+)?)|(?P<word>\w+)|(?P<sign><=|>=|<>|!=|==|[-<>=*(),.;+/]))""",
    re.VERBOSE,
)
_SIGNS = {"==": "=", "<>": "!="}


def logical_form(query: str) -> tuple[str, ...] | None:
    """The query's tokens in a form that spelling does not change, or None if they are unreadable.

    Case of keywords and names, spaces, a final semicolon, ASC, `==` and `<>` do not matter, nor
    does the order of conditions that AND joins (Zhong, Xiong & Socher 2017, arXiv 1709.00103,
    compare conditions as sets too). Texts keep their case.
    """
    query = query.strip().rstrip("; \n")
    matches = list(_TOKEN.finditer(query))
    if "".join(match[0] for match in matches) != query:
        return None
    tokens = [token for token in map(_token, matches) if token != "asc"]
    start = tokens.index("where") + 1 if "where" in tokens else len(tokens)
    clauses = (i for i in range(start, len(tokens)) if tokens[i] in {"group", "order", "limit"})
    end = next(clauses, len(tokens))
    where = tokens[start:end]
    # A list with OR or brackets is no list of conditions, so its order is left alone.
    if not {"or", "(", "between"} & set(where):
        ands = [i for i, token in enumerate(where) if token == "and"]
        conditions = [where[i + 1 : j] for i, j in pairwise([-1, *ands, len(where)])]
        where = [token for condition in sorted(conditions) for token in ("and", *condition)][1:]
    return (*tokens[:start], *where, *tokens[end:])


def _token(match: re.Match[str]) -> str:
    token = match[str(match.lastgroup)]
    match match.lastgroup:
        case "number":
            return f"{float(token):g}"
        case "sign":
            return _SIGNS.get(token, token)
        # "x" names a column in SQL, but SQLite reads it as a text where there is no such column.
        case "quoted" if not re.fullmatch(r"[a-z_]+", token):
            return f"'{token}'"
        case "text":
            return token
    return token.lower()


def _database(table: Table) -> sqlite3.Connection:
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

    def reads_only(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        allowed = (
            action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_READ and (first or "").lower() == table.name)
            or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(reads_only)
    return connection


def _rounded(row: Row) -> Row:
    return tuple(round(value, 6) if isinstance(value, float) else value for value in row)
