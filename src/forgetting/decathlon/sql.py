"""`mini_sql`: questions about small tables and the SQL that answers them, after WikiSQL.

The model sees the columns, not the rows, as in decaNLP's WikiSQL. No table of a training document
has its columns in the same order as one of a test item. A test item brings several
tables with the same columns: the first is the table that was asked about, the others tell the gold
query from its neighbours (Zhong, Yu & Klein 2020, arXiv 2010.02840).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import permutations

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import TOWNS, label, person, plural, several
from forgetting.decathlon.execution import Row, Table, database, run, same_result

ROWS = 6
GROUPS = 3
SUITE_ATTEMPTS = 24


@dataclass(frozen=True)
class Domain:
    """What a table lists. `numbers`: column, what it is called, lowest and highest value."""

    one: str
    key: str
    keys: str
    group: str
    groups: str
    phrase: str
    numbers: tuple[tuple[str, str, int, int], ...]

    @property
    def table(self) -> str:
        """The table's name: what it lists, in the plural."""
        return plural(self.one)

    def called(self, column: str) -> str:
        """What the questions call a column."""
        return next((noun for name, noun, *_ in self.numbers if name == column), column)


# Each fifth is held out: novel test items ask about tables that no training document has.
DOMAINS = (
    Domain(
        *("player", "name", "person", "team", "town", "playing for {v}"),
        (
            ("age", "age", 17, 40),
            ("goals", "number of goals", 0, 60),
            ("height", "height", 150, 210),
        ),
    ),
    Domain(
        *("novel", "title", "label", "author", "person", "by {v}"),
        (
            ("pages", "number of pages", 80, 900),
            ("price", "price", 5, 60),
            ("copies", "number of copies", 50, 9000),
        ),
    ),
    Domain(
        *("cafe", "name", "label", "town", "town", "in {v}"),
        (
            ("seats", "number of seats", 8, 90),
            ("rent", "rent", 400, 3000),
            ("staff", "number of staff", 2, 40),
        ),
    ),
    Domain(
        *("ship", "name", "label", "port", "town", "sailing from {v}"),
        (
            ("length", "length", 12, 300),
            ("crew", "crew size", 3, 90),
            ("speed", "top speed", 8, 60),
        ),
    ),
    Domain(
        *("lake", "name", "label", "region", "town", "in {v}"),
        (("depth", "depth", 5, 400), ("area", "area", 10, 900), ("altitude", "altitude", 20, 2400)),
    ),
    Domain(
        *("film", "title", "label", "director", "person", "directed by {v}"),
        (
            ("minutes", "running time", 70, 200),
            ("budget", "budget", 10, 300),
            ("prizes", "number of prizes", 0, 40),
        ),
    ),
    Domain(
        *("hotel", "name", "label", "town", "town", "in {v}"),
        (
            ("rooms", "number of rooms", 8, 300),
            ("price", "price", 40, 400),
            ("floors", "number of floors", 2, 40),
        ),
    ),
    Domain(
        *("train", "name", "label", "destination", "town", "going to {v}"),
        (
            ("distance", "distance", 20, 900),
            ("coaches", "number of coaches", 2, 30),
            ("fare", "fare", 4, 120),
        ),
    ),
    Domain(
        *("painting", "title", "label", "artist", "person", "by {v}"),
        (("width", "width", 20, 300), ("height", "height", 20, 300), ("price", "price", 100, 9000)),
    ),
    Domain(
        *("dish", "name", "label", "chef", "person", "cooked by {v}"),
        (
            ("calories", "number of calories", 90, 990),
            ("price", "price", 4, 60),
            ("minutes", "cooking time", 5, 180),
        ),
    ),
    Domain(
        *("house", "name", "label", "owner", "person", "owned by {v}"),
        (
            ("rooms", "number of rooms", 2, 40),
            ("rent", "rent", 300, 4000),
            ("size", "floor area", 40, 600),
        ),
    ),
    Domain(
        *("museum", "name", "label", "town", "town", "in {v}"),
        (
            ("visitors", "number of visitors", 50, 5000),
            ("rooms", "number of rooms", 2, 60),
            ("fee", "entrance fee", 1, 40),
        ),
    ),
    Domain(
        *("horse", "name", "label", "owner", "person", "owned by {v}"),
        (("age", "age", 2, 30), ("weight", "weight", 350, 900), ("wins", "number of wins", 0, 50)),
    ),
    Domain(
        *("garden", "name", "label", "gardener", "person", "tended by {v}"),
        (("trees", "number of trees", 1, 90), ("area", "area", 20, 900), ("age", "age", 3, 200)),
    ),
    Domain(
        *("song", "title", "label", "singer", "person", "sung by {v}"),
        (
            ("seconds", "length", 90, 500),
            ("plays", "number of plays", 10, 9000),
            ("votes", "number of votes", 0, 400),
        ),
    ),
)

COMPARED = {
    ">": ("above", "greater than", "over", "larger than", "higher than"),
    "<": ("below", "smaller than", "under", "less than", "lower than"),
    ">=": ("at least", "no less than", "not below"),
    "<=": ("at most", "no more than", "not above"),
}
LARGEST = ("largest", "maximum", "greatest")
SMALLEST = ("smallest", "minimum", "least")
AGGREGATED = {
    "MAX": ("largest", "maximum", "greatest"),
    "MIN": ("smallest", "minimum", "least"),
    "AVG": ("average", "mean"),
}

# What is asked for, as often as it stands here.
KINDS = pool(
    "look up, list, list, list, count, count, aggregate, superlative, sort, per group, different",
    ", ",
)
LOOK_UP = (
    "What is the {noun} of {k}?",
    "Tell me the {noun} of {k}.",
    "Which {noun} is listed for {k}?",
    "Look up the {noun} of {k}.",
    "I would like to know the {noun} of {k}.",
)
LIST = (
    "List the {table} {which}.",
    "Which {table} {which} are there?",
    "Give the {key}s of the {table} {which}.",
    "Show all {table} {which}.",
    "What are the {key}s of {table} {which}?",
)
COUNT = (
    "How many {table} {which} are there?",
    "Count the {table} {which}.",
    "What is the number of {table} {which}?",
    "Tell me how many {table} there are {which}.",
)
AGGREGATE = (
    "What is the {extreme} {noun} of the {table} {which}?",
    "Find the {extreme} {noun} among the {table} {which}.",
    "Give the {extreme} {noun} of {table} {which}.",
    "Looking at {table} {which}, what is the {extreme} {noun}?",
)
SUPERLATIVE = (
    "Which {one} has the {extreme} {noun}?",
    "Name the {one} with the {extreme} {noun}.",
    "What is the {key} of the {one} with the {extreme} {noun}?",
    "Find the {one} whose {noun} is the {extreme}.",
)
SORT = (
    "List all {table} by {noun}, {extreme} first.",
    "Sort the {table} by {noun}, starting with the {extreme}.",
    "Show every {one}, ordered by {noun} from the {extreme} on.",
)
PER_GROUP = (
    "How many {table} are there for each {group}?",
    "Count the {table} per {group}.",
    "Show each {group} with its number of {table}.",
    "For every {group}, give the number of {table}.",
)
DIFFERENT = (
    "Which different {group}s occur?",
    "List every {group} once.",
    "What {group}s are there, without repetitions?",
    "Give the {group}s in the table, each a single time.",
)


@dataclass(frozen=True)
class Query:
    """The part of SQL that is asked for: SELECT what FROM table WHERE … GROUP … ORDER … LIMIT."""

    table: str
    select: tuple[str, ...]
    where: tuple[tuple[str, str, str | int], ...] = ()
    distinct: bool = False
    group: str = ""
    order: str = ""
    descending: bool = False
    limit: int = 0

    def sql(self) -> str:
        """The query as text."""
        words = ["SELECT", *["DISTINCT"] * self.distinct, ", ".join(self.select)]
        words += ["FROM", self.table]
        if self.where:
            words += ["WHERE", " AND ".join(f"{c} {op} {_literal(v)}" for c, op, v in self.where)]
        if self.group:
            words += ["GROUP BY", self.group]
        if self.order:
            words += ["ORDER BY", self.order, *["DESC"] * self.descending]
        if self.limit:
            words += ["LIMIT", str(self.limit)]
        return " ".join(words)

    def neighbours(self, columns: list[str], key: str) -> Iterator[Query]:
        """Queries that are wrong in one place, as models' queries are."""
        for i, (column, op, value) in enumerate(self.where):
            rest = self.where[:i] + self.where[i + 1 :]
            yield replace(self, where=rest)
            if isinstance(value, int):
                for other in (o for o in (*COMPARED, "=") if o != op):
                    yield replace(self, where=(*rest, (column, other, value)))
                for near in (value - 1, value + 1):
                    yield replace(self, where=(*rest, (column, op, near)))
                for other in columns:
                    if other != column:
                        yield replace(self, where=(*rest, (other, op, value)))
        for new in columns:
            old = next((c for c in columns if c in self.select[0]), "")
            if old and new != old:
                yield replace(self, select=(self.select[0].replace(old, new), *self.select[1:]))
        for old in AGGREGATED:
            for new in AGGREGATED:
                if self.select[0].startswith(old) and new != old:
                    yield replace(self, select=(self.select[0].replace(old, new),))
        if self.order:
            yield replace(self, descending=not self.descending)
            for other in columns:
                if other != self.order:
                    yield replace(self, order=other)
            yield replace(self, order=key)
            yield replace(self, order="", descending=False)
        if self.limit:
            yield replace(self, limit=0)
        if self.distinct:
            yield replace(self, distinct=False)
        if self.select == ("COUNT(*)",):
            yield replace(self, select=(f"COUNT(DISTINCT {columns[0]})",))
        if not self.where and not self.group and not self.order:
            yield replace(self, limit=1)


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` questions with their SQL; `tables` are the tables to run it on, as JSON."""
    return distinct(_write, "mini_sql", seed, n, split)


def _write(draw: Draw) -> Document:
    domain = draw.wording(DOMAINS)
    # Sorted, so that `order` below alone says how the columns stand.
    numbers = sorted(draw.some(domain.numbers, 2))
    keys = several(draw, _maker(domain.keys), ROWS)
    groups = several(draw, _maker(domain.groups), GROUPS, keys)
    columns = (
        *((domain.key, "text"), (domain.group, "text")),
        *((name, "integer") for name, *_ in numbers),
    )
    table = Table(domain.table, columns, _rows(draw, keys, groups, numbers))
    query, question = _ask(draw, domain, table)
    tables = [table]
    if draw.test:
        tables += _suite(draw, query, table, keys, groups, numbers)
    order = draw.entity(tuple(permutations(range(len(columns)))))
    shown = [_reordered(each, order) for each in tables]
    named = ", ".join(
        f"{name} ({'text' if kind == 'text' else 'number'})" for name, kind in shown[0].columns
    )
    return {
        "context": f"Table {table.name} has the columns {named}.",
        "question": question,
        "answer": query.sql(),
        "golds": [query.sql()],
        "tables": [each.to_json() for each in shown],
        "facts": json.dumps(
            {
                "select": query.select,
                "where": query.where,
                "group": query.group,
                "order": query.order,
                "descending": query.descending,
                "limit": query.limit,
                "distinct": query.distinct,
            }
        ),
    }


def _reordered(table: Table, order: tuple[int, ...]) -> Table:
    return replace(
        table,
        columns=tuple(table.columns[i] for i in order),
        rows=tuple(tuple(row[i] for i in order) for row in table.rows),
    )


def _ask(draw: Draw, domain: Domain, table: Table) -> tuple[Query, str]:
    """A query on `table` and a question in words that asks for it."""
    names = [name for name, _ in table.columns]
    number = draw.one(names[2:])
    words = {
        "one": domain.one,
        "table": domain.table,
        "key": domain.key,
        "group": domain.group,
        "noun": domain.called(number),
    }
    kind = draw.one(KINDS)
    base = Query(table.name, (domain.key,))
    if kind == "look up":
        row, column = draw.one(table.rows), draw.one(names[1:])
        query = replace(base, select=(column,), where=((domain.key, "=", str(row[0])),))
        words |= {"noun": domain.called(column), "k": str(row[0])}
        return query, draw.wording(LOOK_UP).format(**words)
    if kind in {"list", "count", "aggregate"}:
        where, words["which"] = _conditions(draw, domain, table)
        if kind == "list":
            return replace(base, where=where), draw.wording(LIST).format(**words)
        if kind == "count":
            query = replace(base, select=("COUNT(*)",), where=where)
            return query, draw.wording(COUNT).format(**words)
        # The largest age of those whose age is above 30 is no sensible thing to ask.
        number = next(name for name in names[2:] if name not in {column for column, *_ in where})
        words["noun"] = domain.called(number)
        function = draw.one(list(AGGREGATED))
        words["extreme"] = draw.wording(AGGREGATED[function])
        query = replace(base, select=(f"{function}({number})",), where=where)
        return query, draw.wording(AGGREGATE).format(**words)
    if kind in {"superlative", "sort"}:
        descending = draw.chance(0.5)
        words["extreme"] = draw.wording(LARGEST if descending else SMALLEST)
        query = replace(base, order=number, descending=descending)
        if kind == "sort":
            return query, draw.wording(SORT).format(**words)
        return replace(query, limit=1), draw.wording(SUPERLATIVE).format(**words)
    if kind == "per group":
        query = replace(base, select=(domain.group, "COUNT(*)"), group=domain.group)
        return query, draw.wording(PER_GROUP).format(**words)
    query = replace(base, select=(domain.group,), distinct=True)
    return query, draw.wording(DIFFERENT).format(**words)


def _conditions(
    draw: Draw, domain: Domain, table: Table
) -> tuple[tuple[tuple[str, str, str | int], ...], str]:
    """One or two conditions that some row, and not every row, meets; and their words."""
    row = draw.one(table.rows)
    by_group, by_number = draw.one(((True, False), (False, True), (True, True)))
    where: list[tuple[str, str, str | int]] = []
    said = []
    if by_group:
        where.append((domain.group, "=", str(row[1])))
        said.append(domain.phrase.format(v=row[1]))
    if by_number:
        at = draw.one(range(2, len(table.columns)))
        column, value = table.columns[at][0], row[at]
        assert isinstance(value, int)
        values = sorted(v for r in table.rows if isinstance(v := r[at], int))
        # The row drawn meets the condition; the one at the far end does not.
        options = ["<", "<="] if value < values[-1] else []
        options += [">", ">="] if value > values[0] else []
        op = draw.one(options)
        bound = {"<": value + 1, "<=": value, ">": value - 1, ">=": value}[op]
        where.append((column, op, bound))
        noun = domain.called(column)
        said.append(f"whose {noun} is {draw.wording(COMPARED[op])} {bound}")
    return tuple(where), " ".join(said)


def _suite(
    draw: Draw,
    query: Query,
    table: Table,
    keys: list[str],
    groups: list[str],
    numbers: list[tuple[str, str, int, int]],
) -> list[Table]:
    """Further tables that tell `query` from its neighbours; at least one."""
    columns = [name for name, kind in table.columns if kind == "integer"]
    alive = [n.sql() for n in query.neighbours(columns, table.columns[0][0])]
    alive = [n for n in alive if n != query.sql()]
    alive = _survivors(query, alive, table)
    bounds = {column: value for column, _, value in query.where if isinstance(value, int)}
    found: list[Table] = []
    for _ in range(SUITE_ATTEMPTS):
        rows = _rows(draw, draw.shuffled(keys), groups, numbers, bounds, ties=not query.order)
        other = replace(table, rows=rows)
        left = _survivors(query, alive, other)
        if len(left) < len(alive) or not found:
            found.append(other)
        alive = left
        if not alive:
            break
    return found


def _survivors(query: Query, others: list[str], table: Table) -> list[str]:
    """Those of `others` that the table does not tell from `query`."""
    kept = []
    with closing(database(table)) as connection:
        gold = run(query.sql(), connection)
        for other in others:
            if same_result(run(other, connection), gold, bool(query.order)):
                kept.append(other)
    return kept


def _rows(
    draw: Draw,
    keys: list[str],
    groups: list[str],
    numbers: list[tuple[str, str, int, int]],
    bounds: dict[str, int] | None = None,
    ties: bool = False,
) -> tuple[Row, ...]:
    """Rows in which every group occurs; without `ties` the numbers of a column differ.

    Numbers at and beside a bound, where there is one, are among them.
    """
    told = draw.shuffled([*groups, *(draw.one(groups) for _ in range(ROWS - GROUPS))])
    columns: list[list[int]] = []
    for name, _, low, high in numbers:
        values: list[int] = []
        if bounds and name in bounds:
            values += [bounds[name] - 1, bounds[name], bounds[name] + 1]
        while len(values) < ROWS:
            value = draw.number(low, high)
            if ties and values and draw.chance(0.4):
                values.append(draw.one(values))
            elif value not in values:
                values.append(value)
        columns.append(draw.shuffled(values))
    return tuple(zip(keys, told, *columns, strict=True))


def _maker(kind: str) -> Callable[[Draw], str]:
    makers: dict[str, Callable[[Draw], str]] = {
        "person": lambda d: person(d)[0],
        "label": label,
        "town": lambda d: d.entity(TOWNS),
    }
    return makers[kind]


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
