"""The decathlon: generated items are right, and graders see through answers that look right."""

import importlib.util
import json
import re
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import Task, tasks
from forgetting.decathlon import (
    GENERATORS,
    calls,
    documents,
    drawing,
    english,
    execution,
    maths,
    roles,
    sentiment,
    sql,
    state,
)
from forgetting.decathlon.execution import Refused, Table, execute, executes_alike, logical_form

NAMES = list(GENERATORS)
every_task = pytest.mark.parametrize("name", NAMES)

# What every Python version must write from the seeds in the YAML files.
DIGESTS = {
    "mini_qa": "91e5d01855636c88e80b4193e4ae75fb8ca388cc44f499ddc81c22fe6d577e59",
    "mini_sql": "01a696e5a39456aefdd1f78253ad2b02dd1ad24cf6b4358d30ae8a7d34517fe1",
    "mini_sentiment": "69fe3a2cfd64aea267dccd43d79647a22438e6a9905a2bd79278cc7c2113001a",
    "mini_state": "556d2f68cd4bbc8b70f4cb1309ce0e39e1619f62e508bed4152db5a131331883",
    "mini_roles": "4c4e71c737fd87a96bfd30a80b70aa8fb00b499ed6d1870722d0f17b5315538a",
    "mini_calls": "998592a7dad480ea3d31bcd13e16b4b76c4c89724f26c26fd0170f8ac923319a",
    "mini_maths": "c3890be68955a52ff16881b771d91cc3ba5a51a5a5ef567badc97f724dcb5013",
}


def both(name):
    return Task(name).documents("train"), Task(name).documents("test")


def everything(name):
    train, test = both(name)
    return train + test


def facts(document):
    return json.loads(document["facts"])


@pytest.fixture(scope="module")
def graders():
    path = tasks.folder() / "decathlon" / "graders.py"
    spec = importlib.util.spec_from_file_location("decathlon_graders", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grader(graders, name):
    return getattr(graders, Task(name).config["process_results"].removeprefix("graders."))


# -- all seven ---------------------------------------------------------------------------------


@every_task
def test_documents_are_the_same_everywhere(name):
    """Strings are hashed with another salt in every process, so this run is another one too."""
    assert Task(name).recipe()["data"] == [DIGESTS[name]]


@every_task
def test_sizes_and_fields(name):
    train, test = both(name)
    assert len(train) >= 2000 and len(test) >= 300
    for document in train + test:
        assert document["prompt"] == f"{document['context']}\n{document['question']}"
        assert document["golds"][0] == document["answer"] and "\n" not in document["answer"]


@every_task
def test_nothing_is_asked_that_was_taught(name):
    train, test = both(name)
    assert len({d["prompt"] for d in train + test}) == len(train) + len(test)


@every_task
def test_names_and_towns_of_test_items_are_in_no_training_document(name):
    train, test = both(name)
    first = tuple(n for n, _ in english.FIRST_NAMES)
    pools = [drawing.part(p, True) for p in (first, english.SURNAMES, english.TOWNS)]
    held_out = {entry for entries in pools for entry in entries}
    assert not held_out & words_of(train)
    seen = {*first, *english.SURNAMES, *english.TOWNS} - held_out
    assert not seen & words_of(test)


def words_of(items):
    return {word for d in items for word in re.findall(r"\w+", d["prompt"])}


@every_task
def test_half_of_the_test_items_are_worded_as_no_training_document_is(name):
    train, test = both(name)
    assert sum(d["novel"] for d in test) == drawing.NOVEL_SHARE * len(test)
    assert not any(d["novel"] for d in train)
    known = {skeleton(d["question"]) for d in train}
    assert not known & {skeleton(d["question"]) for d in test if d["novel"]}
    # The other half is worded alike, or the two halves would measure the same.
    old = [skeleton(d["question"]) in known for d in test if not d["novel"]]
    assert sum(old) > 0.4 * len(old)


def skeleton(question):
    """The wording without names, numbers and quotations."""
    return re.sub(r'"[^"]*"|\b[A-Z]\w*\b|[\d:.]+', "_", question)


@every_task
def test_english(name):
    """Articles, spaces and capitals; no template is left unfilled."""
    for document in everything(name):
        text = document["prompt"].replace("  # ", " # ")
        assert not re.search(r"\b[Aa] [aeiou](?!n?i[tv])", text), text
        assert not re.search(r"\b[Aa]n [^aeiouAEIOUh]", text), text
        assert not re.search(r"  | [,.?]|\{|\}|\b(\w{2,}) \1\b|\b1 \w+s\b|\bThe the\b", text), text
        assert re.match(r"[A-Z0-9\"]", document["question"]), text
        assert document["question"][-1] in ".?", text
        for sentence in re.split(r"(?<=[a-z][.?!]) ", document["context"].replace("\n", " ")):
            # Not the comments behind signatures.
            assert name == "mini_calls" or re.match(r"[A-Z0-9]", sentence), text


@pytest.mark.parametrize(
    ("noun", "with_article", "many"),
    [
        ("apple", "an apple", "apples"),
        ("hour", "an hour", "hours"),
        ("university", "a university", "universities"),
        ("box", "a box", "boxes"),
        ("peach", "a peach", "peaches"),
        ("cherry", "a cherry", "cherries"),
        ("tray", "a tray", "trays"),
        ("potato", "a potato", "potatoes"),
        ("child", "a child", "children"),
        ("umbrella", "an umbrella", "umbrellas"),
    ],
)
def test_articles_and_plurals(noun, with_article, many):
    assert english.a(noun) == with_article and english.plural(noun) == many
    assert english.count(1, noun) == f"1 {noun}" and english.count(2, noun) == f"2 {many}"


def test_lists():
    assert [english.listing("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


@every_task
@given(seed=st.integers(-(2**63), 2**63))
@settings(max_examples=4)
def test_any_seed_gives_valid_items(name, seed):
    made = documents(name, seed, 6, 6)
    assert made == documents(name, seed, 6, 6)
    assert made != documents(name, seed + 1, 6, 6)
    for document in made["train"] + made["test"]:
        CHECKS[name](document)


@every_task
def test_more_documents_do_not_change_the_first(name):
    few, many = documents(name, 3, 20, 20), documents(name, 3, 40, 40)
    assert few == {split: found[:20] for split, found in many.items()}


@given(st.lists(st.integers(), min_size=2, max_size=40, unique=True))
def test_the_parts_of_a_pool_are_apart_and_complete(entries):
    kept, held_out = drawing.part(entries, False), drawing.part(entries, True)
    assert kept and held_out and sorted(kept + held_out) == sorted(entries)
    assert len(held_out) == max(1, len(entries) // drawing.HELD_OUT)
    for novel, wanted in ((False, kept), (True, held_out)):
        draw = drawing.Draw("any", "test", int(novel))
        assert {draw.wording(entries) for _ in range(20 * len(entries))} <= set(wanted)
    for split, wanted in (("train", kept), ("test", held_out)):
        draw = drawing.Draw("any", split, 0)
        assert {draw.entity(entries) for _ in range(400)} == set(wanted)


def test_wishes_that_cannot_be_met_are_named():
    with pytest.raises(ValueError, match=r"task='mini_sq': .* nearest: 'mini_sql'"):
        documents("mini_sq", 0, 1, 1)
    # Eight different documents from a writer that knows one.
    one = {"context": "c", "question": "q"}
    with pytest.raises(drawing.TooFewDocuments, match="n=8: t made only 1 different train"):
        drawing.distinct(lambda _: one, "t", 0, 8, "train")


@every_task
def test_the_right_answer_gets_full_marks(name, graders):
    for document in Task(name).documents("test"):
        assert set(grader(graders, name)(document, [" " + document["answer"]]).values()) == {1.0}


@every_task
def test_answers_to_other_questions_do_not(name, graders):
    test, grade = Task(name).documents("test"), grader(graders, name)
    first = Task(name).config["metric_list"][0]["metric"]
    shifted = zip(test, test[1:] + test[:1], strict=True)
    share = sum(grade(d, [other["answer"]])[first] for d, other in shifted) / len(test)
    assert share == pytest.approx(0.5, abs=0.1) if name == "mini_sentiment" else share < 0.1
    for nothing in ("", "\n", "I do not know.", "\ud800", "\0", "()" * 3000):
        assert set(grade(test[0], [nothing]).values()) == {0.0}


def test_the_evaluation_runs_them(tiny, own_home):
    from forgetting.probes.evaluation import answers, evaluate

    panel = [Task(name, 2) for name in ("mini_sentiment", "mini_qa")]
    scores = evaluate(tiny, panel)
    assert scores["mini_qa"].n == 2 and set(scores["mini_qa"].metrics) == {"em", "nf1"}
    asked = [sample.prompt for sample in answers(tiny, panel[1])]
    assert asked == [d["prompt"] for d in Task("mini_qa").documents("test")[:2]]


def test_generated_tasks_need_no_data_and_others_keep_their_digests():
    task = Task("mini_maths")
    assert task.public == [] == task.missing() and not task.chat
    # The digest of a bundled file, as before there were generated tasks.
    (digest,) = Task("chat").recipe()["data"]
    content = (tasks.folder() / "bundled" / "chat.jsonl").read_bytes()
    assert digest == tasks.task._sha256(tasks.task._sha256(content).encode())


# -- questions about passages ------------------------------------------------------------------


def check_qa(document):
    """The asked value stands in its entity's part of the passage, and nobody shares it."""
    told, (name, attribute) = facts(document)["told"], facts(document)["asked"]
    names = [n for n, _ in told]
    values = [v for _, attributes in told for v in attributes.values()]
    assert len({*names, *values}) == len(names) + len(values)
    starts = [document["context"].index(n) for n in names] + [None]
    blocks = [document["context"][a:b] for a, b in pairwise(starts)]
    for (_, attributes), block in zip(told, blocks, strict=True):
        assert all(value in block for value in attributes.values())
    value = dict(told)[name][attribute]
    back = facts(document)["backwards"]
    assert document["answer"] == (name if back else value)
    assert (value if back else name) in document["question"]
    assert document["answer"] in document["context"]
    assert document["answer"] not in document["question"]
    kinds = {type_of(attributes[attribute]) for _, attributes in told}
    assert len(told) == 3 and len(kinds) == 1  # two wrong answers of the right type


def type_of(value):
    return re.sub(r"[A-Z][a-z]+", "X", re.sub(r"\d+", "0", value)).count("0")


# -- SQL ---------------------------------------------------------------------------------------


def by_hand(wanted, table):
    """The rows that a query's facts ask for, without SQL."""
    rows = [dict(zip((c for c, _ in table.columns), row, strict=True)) for row in table.rows]
    tests = {
        "=": lambda x, y: x == y,
        ">": lambda x, y: x > y,
        "<": lambda x, y: x < y,
        ">=": lambda x, y: x >= y,
        "<=": lambda x, y: x <= y,
    }
    rows = [r for r in rows if all(tests[op](r[c], value) for c, op, value in wanted["where"])]
    if wanted["order"]:
        rows.sort(key=lambda r: r[wanted["order"]], reverse=wanted["descending"])
    first, *rest = wanted["select"]
    if wanted["group"]:
        assert rest == ["COUNT(*)"]
        return list(Counter(r[first] for r in rows).items())
    if first == "COUNT(*)":
        return [(len(rows),)]
    if found := re.fullmatch(r"(MAX|MIN|AVG)\((\w+)\)", first):
        values = [r[found[2]] for r in rows]
        if not values:
            return [(None,)]
        mean = sum(values) / len(values)
        return [({"MAX": max(values), "MIN": min(values), "AVG": mean}[found[1]],)]
    result = [(r[first],) for r in rows]
    result = list(dict.fromkeys(result)) if wanted["distinct"] else result
    return result[: wanted["limit"]] if wanted["limit"] else result


def check_sql(document):
    """The gold query gives what its facts ask for on every table; ties leave no doubt."""
    tables = [Table.from_json(text) for text in document["tables"]]
    wanted = facts(document)
    for table in tables:
        rows = by_hand(wanted, table)
        found = execute(document["answer"], table)
        assert execution.same_result(found, rows, bool(wanted["order"]))
        for i, (_, kind) in enumerate(table.columns):
            if kind == "integer" and wanted["order"]:
                assert len({row[i] for row in table.rows}) == len(table.rows)
    first = execute(document["answer"], tables[0])
    assert first and first != [(None,)] and first != [(0,)]
    for _, _, value in wanted["where"]:
        assert str(value) in document["question"]
    shown = ", ".join(
        f"{c} ({'number' if k == 'integer' else 'text'})" for c, k in tables[0].columns
    )
    assert document["context"] == f"Table {tables[0].name} has the columns {shown}."
    assert logical_form(document["answer"]) is not None


def test_a_test_item_brings_tables_enough():
    train, test = both("mini_sql")
    assert {len(d["tables"]) for d in train} == {1}
    assert min(len(d["tables"]) for d in test) >= 2


def test_the_suite_tells_each_bound_from_its_neighbours():
    """> from >=, and a bound from the next number: on one table these are often the same."""
    lucky = caught = 0
    for document in Task("mini_sql").documents("test"):
        tables = [Table.from_json(text) for text in document["tables"]]
        gold = document["answer"]
        found = re.search(r"(>=|<=|>|<) (\d+)", gold)
        # An aggregate or a count within a group may hide a bound on every table of six rows.
        if not found or "AND" in gold or not gold.startswith(("SELECT name", "SELECT title")):
            continue
        for op, step in [(">=", 0), ("<=", 0), (">", 0), ("<", 0), (found[1], 1), (found[1], -1)]:
            wrong = gold.replace(found[0], f"{op} {int(found[2]) + step}")
            if wrong != gold:
                lucky += executes_alike(wrong, gold, tables[:1])
                assert not executes_alike(wrong, gold, tables)
                caught += 1
    assert caught > 100 and lucky > 20


def test_one_table_is_no_test():
    """Of queries that are wrong in one place a quarter is right on one table, few on all."""
    wrong = lucky = survived = 0
    for document in Task("mini_sql").documents("test"):
        tables = [Table.from_json(text) for text in document["tables"]]
        told = facts(document)
        where = tuple((c, op, value) for c, op, value in told.pop("where"))
        query = sql.Query(tables[0].name, tuple(told.pop("select")), where, **told)
        assert query.sql() == document["answer"]
        numbers = [name for name, kind in tables[0].columns if kind == "integer"]
        key = next(name for name, _ in tables[0].columns if name in {"name", "title"})
        for other in {n.sql() for n in query.neighbours(numbers, key)} - {query.sql()}:
            wrong += 1
            if executes_alike(other, query.sql(), tables[:1]):
                lucky += 1
                survived += executes_alike(other, query.sql(), tables)
    assert 0.2 < lucky / wrong < 0.3 and survived / wrong < 0.02


PLAYERS = Table(
    "players",
    (("name", "text"), ("team", "text"), ("age", "integer"), ("goals", "integer")),
    (("Ann", "Lorne", 30, 5), ("Bo", "Lorne", 25, 9), ("Cy", "Dalby", 31, 9)),
)
# The same columns, other players: Zhong, Yu & Klein (2020).
OTHERS = Table(
    "players",
    PLAYERS.columns,
    (
        ("Ann", "Dalby", 30, 7),
        ("Dee", "Lorne", 29, 7),
        ("Ed", "Lorne", 33, 2),
        ("Bo", "Lorne", 1, 1),
    ),
)


@pytest.mark.parametrize(
    ("gold", "same"),
    [
        ("SELECT name FROM players WHERE age > 29", "select NAME from Players where 29 < age;"),
        (
            "SELECT name FROM players WHERE team = 'Lorne' AND age > 26",
            "SELECT p.name FROM players AS p WHERE p.age > 26 AND p.team = 'Lorne'",
        ),
        (
            "SELECT name FROM players ORDER BY age DESC LIMIT 1",
            "SELECT name FROM players WHERE age = (SELECT MAX(age) FROM players)",
        ),
        ("SELECT DISTINCT team FROM players", "SELECT team FROM players GROUP BY team"),
        ("SELECT AVG(age) FROM players", "SELECT SUM(age) * 1.0 / COUNT(*) FROM players -- mean"),
        (
            "SELECT team, COUNT(*) FROM players GROUP BY team",
            "SELECT team, COUNT(name) AS n FROM players GROUP BY team ORDER BY n DESC",
        ),
        (
            "SELECT COUNT(*) FROM players WHERE team = 'Lorne'",
            "SELECT COUNT(*) FROM (SELECT * FROM players WHERE team = 'Lorne')",
        ),
    ],
)
def test_queries_that_look_wrong_and_are_right(gold, same):
    assert executes_alike(same, gold, [PLAYERS, OTHERS])


@pytest.mark.parametrize(
    ("gold", "lucky"),
    [
        ("SELECT name FROM players WHERE age > 29", "SELECT name FROM players WHERE age >= 30 - 1"),
        ("SELECT name FROM players WHERE age > 29", "SELECT name FROM players WHERE name != 'Bo'"),
        ("SELECT COUNT(*) FROM players WHERE team = 'Lorne'", "SELECT 2"),
        ("SELECT MAX(age) FROM players", "SELECT age FROM players WHERE name = 'Cy'"),
        ("SELECT name FROM players", "SELECT DISTINCT name FROM players LIMIT 3"),
        (
            "SELECT name FROM players ORDER BY age DESC LIMIT 1",
            "SELECT name FROM players ORDER BY team LIMIT 1",
        ),
        ("SELECT name FROM players ORDER BY goals", "SELECT name FROM players"),
    ],
)
def test_queries_that_are_right_by_luck_on_one_table(gold, lucky):
    assert executes_alike(lucky, gold, [PLAYERS])
    assert not executes_alike(lucky, gold, [PLAYERS, OTHERS])


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [
        ("SELECT name FROM players ORDER BY age", "SELECT name FROM players ORDER BY age DESC"),
        ("SELECT name FROM players", "SELECT name, team FROM players"),
        ("SELECT team FROM players", "SELECT DISTINCT team FROM players"),  # Lorne stands twice
        ("SELECT age FROM players", "SELECT CAST(age AS TEXT) FROM players"),
        ("SELECT name FROM players", "SELECT UPPER(name) FROM players"),
        ("SELECT team, age FROM players", "SELECT age, team FROM players"),
        ("SELECT name FROM players", "The answer is SELECT name FROM players"),
    ],
)
def test_queries_that_look_right_and_are_wrong(gold, wrong):
    assert not executes_alike(wrong, gold, [PLAYERS])


COUNTS_FOR_EVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.mark.parametrize(
    "query",
    [
        "",
        ";",
        "DROP TABLE players",
        "SELECT name FROM players; DROP TABLE players",
        "SELECT name FROM players; SELECT name FROM players",
        "DELETE FROM players",
        "INSERT INTO players VALUES ('x', 'y', 1, 2)",
        "UPDATE players SET age = 1 RETURNING name",
        "REPLACE INTO players SELECT * FROM players",
        "CREATE TABLE t AS SELECT * FROM players",
        "SELECT name INTO t FROM players",
        "ATTACH DATABASE '/tmp/stolen.db' AS s",
        "VACUUM INTO '/tmp/stolen.db'",
        "PRAGMA table_info(players)",
        "PRAGMA writable_schema = 1",
        "EXPLAIN SELECT name FROM players",
        "/* SELECT */ DROP TABLE players",
        "SELECT * FROM pragma_table_info('players')",
        "SELECT * FROM sqlite_master",
        "SELECT sql FROM sqlite_schema",
        "SELECT * FROM json_each('[1, 2]')",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/hostname')",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT randomblob(1000000000)",
        "SELECT zeroblob(1000000000)",
        "SELECT printf('%1000000000d', 1)",
        "SELECT replace(hex(zeroblob(100000)), '0', 'aaaaaaaaaa')",
        "SELECT sqlite_version()",
        f"{COUNTS_FOR_EVER} SELECT x FROM c",
        f"SELECT * FROM ({COUNTS_FOR_EVER} SELECT x FROM c)",
        f"SELECT (  {COUNTS_FOR_EVER} SELECT COUNT(*) FROM c)",
        "SELECT COUNT(*) FROM " + ", ".join(f"players AS p{i}" for i in range(20)),
        "SELECT 1 FROM " + ", ".join(f"players AS p{i}" for i in range(6)),  # 729 rows
        "SELECT " + "(" * 400 + "1" + ")" * 400,
        "SELECT name FROM players WHERE name = 'x' " + "OR 1 = 1 " * 200,
        "SELECT name FROM players WHERE name LIKE '" + "%a" * 80 + "'",
        "SELECT no_such_column FROM players",
        "SELECT name FROM players WHERE",
        "SELECT '\0'",
        "SELECT '\ud800'",
        "SELECT CAST(x'ff' AS TEXT)",
        "SELECT ?",
        "select_name FROM players",
    ],
)
def test_nothing_but_one_short_query_is_run(query):
    with pytest.raises(Refused):
        execute(query, PLAYERS)
    assert not executes_alike(query, "SELECT name FROM players", [PLAYERS])
    assert len(execute("SELECT * FROM players", PLAYERS)) == 3


@pytest.mark.parametrize(
    "value", ["O'Hara", "x'; DROP TABLE players; --", 'a "quoted" word', "台北", ""]
)
def test_values_of_a_table_are_values(value):
    table = Table("players", PLAYERS.columns, ((value, "Lorne", 1, 2), *PLAYERS.rows))
    query = sql.Query("players", ("age",), (("name", "=", value),)).sql()
    assert execute(query, table) == [(1,)]
    assert Table.from_json(table.to_json()) == table


def test_forms_of_one_query():
    gold = logical_form("SELECT name FROM players WHERE team = 'Lorne' AND age >= 3 ORDER BY age")
    for same in (
        "select  Name from PLAYERS where TEAM='Lorne' and age>=3.0 order by age asc ;",
        'SELECT name FROM players WHERE age >= 3 AND "team" == "Lorne" ORDER BY age',
        "SELECT `name` FROM players WHERE age >= 3\nAND team = 'Lorne' ORDER BY age",
    ):
        assert logical_form(same) == gold
    for other in (
        "SELECT name FROM players WHERE team = 'lorne' AND age >= 3 ORDER BY age",
        "SELECT name FROM players WHERE team = 'Lorne' OR age >= 3 ORDER BY age",
        "SELECT name FROM players WHERE team = 'Lorne' AND age >= 3 ORDER BY age DESC",
        "SELECT name FROM players WHERE team = 'Lorne' AND age > 3 ORDER BY age",
        "SELECT team FROM players WHERE name = 'Lorne' AND age >= 3 ORDER BY age",
        "SELECT name FROM players WHERE team = 'Lorne' AND age >= 3",
        "SELECT name § players",
        "",
    ):
        assert logical_form(other) != gold
    # Brackets and OR: the order of what stands between AND is left alone.
    assert logical_form("SELECT a FROM t WHERE (b = 1 OR c = 2) AND d = 3") is not None


# -- sentiment ---------------------------------------------------------------------------------

POLARITY = {
    word: sign
    for table in (sentiment.MILD, sentiment.STRONG)
    for sign, adjectives in table.items()
    for word in adjectives
}
VERDICTS = [
    (sign, verdict.split("{k}"))
    for sign, verdicts in sentiment.VERDICTS.items()
    for verdict in verdicts
]


def read_sentiment(text):
    """A verdict decides; else the last adjective, turned about once or twice."""
    for sign, pieces in VERDICTS:
        if all(piece.lower() in text.lower() for piece in pieces):
            return sign
    last = re.findall("|".join(POLARITY), text)[-1]
    twice = re.search(r"Nobody can say that|wrong to claim that|no moment when", text)
    once = re.search(r"\bnot\b|far from|anything but", text)
    return POLARITY[last] * (1 if twice else -1 if once else 1)


def check_sentiment(document):
    assert {1: "positive", -1: "negative"}[read_sentiment(document["context"])] == (
        document["answer"]
    )
    assert len(POLARITY) == 60


def test_labels_are_balanced_in_both_halves():
    train, test = both("mini_sentiment")
    for items in (train, [d for d in test if d["novel"]], [d for d in test if not d["novel"]]):
        assert Counter(d["answer"] for d in items)["positive"] == len(items) / 2


def test_counting_kind_and_unkind_words_does_not_solve_it():
    """A sum over adjectives is right for plain sentences only; it had 0.5 by guessing."""
    test = Task("mini_sentiment").documents("test")
    right = 0.0
    for document in test:
        found = re.findall("|".join(POLARITY), document["context"])
        total = sum(POLARITY[word] for word in found)
        sign = {"positive": 1, "negative": -1}[document["answer"]]
        right += 0.5 if total == 0 else float(total * sign > 0)
    assert right / len(test) < 0.6


# -- dialogue states ---------------------------------------------------------------------------


def check_state(document):
    """Turns replayed in order; what a turn sets stands in it, or in the offer before it."""
    lines = document["context"].split("\n")
    users = [i for i, line in enumerate(lines) if line.startswith("User: ")]
    now = {}
    for i, changes in zip(users, facts(document)["turns"], strict=True):
        heard = " ".join(lines[max(0, i - 1) : i + 1])
        for kind, slot, *value in changes:
            if kind == "drop":
                now.pop(slot)
            else:
                assert re.search(rf"(?<![\d:]){value[0]}(?![\d:])", heard)
                now[slot] = value[0]
    pairs = document["answer"].split("; ") if now else []
    assert dict(pair.split(" = ") for pair in pairs) == now
    assert now or document["answer"] == "none"
    assert lines[-1].startswith("User: ")


def test_states_are_set_changed_and_taken_back():
    test = Task("mini_state").documents("test")
    dropped = changed = 0
    for document in test:
        changes = [change for turn in facts(document)["turns"] for change in turn]
        dropped += any(change[0] == "drop" for change in changes)
        slots = [change[1] for change in changes if change[0] == "set"]
        changed += len(set(slots)) < len(slots)
    assert dropped > 0.25 * len(test) and changed > 0.25 * len(test)
    assert 0 < sum(d["answer"] == "none" for d in test) < 0.1 * len(test)


GOLD_STATE = "food = Thai; area = north"


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("area = north; food = Thai", True),
        (" Food=thai ;AREA =  north; ", True),
        ("food = Thai; area = north.", True),
        ("food = Thai; area = north; food = thai", True),  # said twice, and the same
        ("food = Thai", False),
        ("food = Thai; area = north; price = cheap", False),  # taken back
        ("food = Thai; food = Greek; area = north", False),  # hedged
        ("food = Greek; food = Thai; area = north", False),
        ("food = north; area = Thai", False),
        ("Thai = food; north = area", False),
        ("food = Thai; area = ", False),
        ("food = Thai; area", False),
        ("food = Thai, area = north", False),
        ("food = Thai; area = north; none", False),
        ("none", False),
        ("", False),
    ],
)
def test_joint_states(answer, right):
    assert state.same_state(answer, GOLD_STATE) == right


def test_an_empty_state():
    assert state.read("none") == state.read(" None. ") == {} and state.written({}) == "none"
    assert state.same_state("none", "none") and not state.same_state("", "none")
    assert not state.same_state("food = none", "none")


_words = st.text("abcdefgh 0123456789:", min_size=1).map(str.strip).filter(bool)


@given(st.dictionaries(_words, _words), st.randoms())
def test_states_are_read_as_they_are_written(values, random):
    clean = {" ".join(k.split()): " ".join(v.split()) for k, v in values.items()}
    pairs = list(clean.items())
    random.shuffle(pairs)
    assert state.read(state.written(dict(pairs))) == clean


# -- roles -------------------------------------------------------------------------------------


def check_roles(document):
    """Every role stands in its event's sentence; the question's verb belongs to one event."""
    events, (verb, role) = facts(document)["events"], facts(document)["asked"]
    sentences = re.split(r"(?<=\.) ", document["context"])
    for event, sentence in zip(events, sentences, strict=True):
        forms = next(v for v in roles.VERBS if v.base == event["verb"])
        assert re.search(rf"\b({forms.past}|{forms.participle})\b", sentence)
        assert forms.to == ("recipient" in event)
        for part in ("agent", "patient", "place", "time", "recipient"):
            assert event.get(part, "").lower() in sentence.lower()
    (event,) = [e for e in events if e["verb"] == verb]
    assert document["answer"] == event[role]
    assert set(document["golds"]) <= {
        event[role],
        event[role].split(" ", 1)[-1],
        without(event[role]),
    }
    forms = next(v for v in roles.VERBS if v.base == verb)
    assert re.search(rf"\b({forms.base}|{forms.past}|{forms.participle})\b", document["question"])
    # The question does not give the answer away.
    thing = event[role].split()[-1]
    assert not re.search(rf"\b{thing}\b", document["question"])


def without(span):
    return span.removeprefix("in front of ")


def test_spans_of_place_and_time():
    assert roles.spans("time", "on Monday") == ["on Monday", "Monday"]
    assert roles.spans("place", "in front of the bank") == ["in front of the bank", "the bank"]
    assert roles.spans("time", "last week") == ["last week"]
    # "after dinner" without "after" would be another time.
    for relative in ("after dinner", "before lunch", "after the storm", "before the wedding"):
        assert roles.spans("time", relative) == [relative]
    assert roles.spans("agent", "the baker") == ["the baker"]


def test_articles_and_prepositions_do_not_matter_but_roles_do(graders):
    document = {"golds": ["on Monday", "Monday"]}
    assert graders.span(document, ["On Monday."]) == {"em": 1.0, "nf1": 1.0}
    assert graders.span(document, ["monday"]) == {"em": 1.0, "nf1": 1.0}
    assert graders.span(document, ["on Tuesday"]) == {"em": 0.0, "nf1": 0.5}
    document = {"golds": ["the old piano"]}
    assert graders.span(document, ["an old piano"])["em"] == 1.0
    # "new piano": one of two words right, one of two found, so 2·1/(2+2).
    assert graders.span(document, ["the new piano"]) == {"em": 0.0, "nf1": 0.5}
    # A whole sentence holds the answer and six words more: 2·2/(2+8).
    answer = "On Monday Olga sold the old piano to Hugo Holm"
    assert graders.span(document, [answer])["nf1"] == pytest.approx(4 / 11)


# -- function calls ----------------------------------------------------------------------------


def check_calls(document):
    """Python itself calls a function of that signature and gets the arguments that were meant."""
    meant = facts(document)
    spaces = {}
    exec(f"def {document['signature']}: return dict(locals())", spaces)
    got = eval(document["answer"], {meant["function"]: spaces[meant["function"]]})
    assert {name: got[name] for name in meant["given"]} == meant["given"]
    assert document["signature"] in document["context"]
    assert got == calls.arguments(document["answer"], document["signature"])
    for value in meant["given"].values():
        for one in value if isinstance(value, list) else [value]:
            said = f"{one:g}" if isinstance(one, float) else str(one)
            assert one is True or said in document["question"]


MOVE = "transfer(source: str, target: str, amount: float, day: str = 'today', safe: bool = False)"
GOLD_CALL = "transfer(source='rent', target='gift', amount=12.5)"


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ('transfer("rent", "gift", 12.5)', True),
        ("transfer(amount=12.50, target='gift', source='rent')", True),
        ("transfer('rent', 'gift', amount=1.25e1, day='today')", True),
        ("  transfer ( 'rent','gift',\n 12.5, safe = False ) ", True),
        ("transfer('re' 'nt', 'gift', 12.5)", True),
        ("transfer('gift', 'rent', 12.5)", False),  # swapped
        ("transfer(source='gift', target='rent', amount=12.5)", False),
        ("transfer('rent', 'gift', '12.5')", False),
        ("transfer('rent', 'gift', 12.5, 'Monday')", False),
        ("transfer('rent', 'gift', 12.5, safe=True)", False),
        ("transfer('rent', 'gift', 12.5, safe=0)", False),
        ("transfer('rent', 'gift')", False),
        ("transfer('rent', 'gift', 12.5, 'today', False, 1)", False),
        ("transfer('rent', 'gift', 12.5, speed=1)", False),
        ("transfer('rent', 'gift', 12.5, amount=12.5)", False),
        ("transfer(source='rent', source='rent', target='gift', amount=12.5)", False),
        ("transfer('Rent', 'gift', 12.5)", False),
        ("transfers('rent', 'gift', 12.5)", False),
        ("bank.transfer('rent', 'gift', 12.5)", False),
        ("transfer(*['rent', 'gift', 12.5])", False),
        ("transfer(**{'source': 'rent', 'target': 'gift', 'amount': 12.5})", False),
        ("transfer('rent', 'gift', 25 / 2)", False),
        ("transfer('rent', 'gift', float('12.5'))", False),
        ("transfer(source=rent, target=gift, amount=12.5)", False),
        ("x = transfer('rent', 'gift', 12.5)", False),
        ("transfer('rent', 'gift', 12.5); transfer('gift', 'rent', 12.5)", False),
        ("[transfer('rent', 'gift', 12.5)]", False),
        ("transfer('rent', 'gift', 12.5) or 1", False),
        ("transfer", False),
        ("", False),
        ("transfer('rent', 'gift', " + "(" * 500 + "1" + ")" * 500 + ")", False),
        ("transfer('rent', 'gift', " + "-" * 900 + "1)", False),
        ("__import__('os').system('true')", False),
    ],
)
def test_calls(call, right):
    assert calls.same_call(call, GOLD_CALL, MOVE) == right


def test_a_flag_is_no_number_and_lists_are_ordered():
    signature = "order(toppings: list[str], number: int = 1)"
    gold = "order(toppings=['ham', 'corn'])"
    assert calls.same_call("order(['ham', 'corn'], 1.0)", gold, signature)
    assert not calls.same_call("order(['ham', 'corn'], True)", gold, signature)
    assert not calls.same_call("order(['corn', 'ham'])", gold, signature)
    assert not calls.same_call("order(('ham', 'corn'))", gold, signature)
    assert not calls.same_call("order('ham, corn')", gold, signature)
    assert not calls.same_call("order(['ham', 1])", "order(['ham', True])", signature)


# -- word problems -----------------------------------------------------------------------------


def check_maths(document):
    """Steps worked out anew in fractions; every number stands in the text."""
    numbers, steps = facts(document)["numbers"], facts(document)["steps"]
    results = []
    for step in steps:
        left, sign, right = step.split()
        x, y = (value_of(side, numbers, results) for side in (left, right))
        results.append({"+": x + y, "-": x - y, "*": x * y, "/": Fraction(x, y)}[sign])
        assert results[-1].denominator == 1 and results[-1] > 1
    assert document["answer"].endswith(f"#### {results[-1]}") and 1 <= len(steps) <= 3
    equations = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)\.", document["answer"])
    assert len(equations) == len(steps)
    for (x, sign, y, n), result in zip(equations, results, strict=True):
        assert eval(f"{x} {sign} {y}") == int(n) == result
    told = re.findall(r"\d+", document["prompt"])
    assert set(map(str, numbers.values())) <= set(told)


def value_of(side, numbers, results):
    if side.isdigit():
        assert side == "2"  # "twice", "there and back"
        return Fraction(2)
    return results[-len(side)] if set(side) == {"_"} else Fraction(numbers[side])


def test_every_story_reads_its_numbers():
    for story in maths.STORIES:
        used = set(re.findall(r"[a-d]", " ".join(story.steps)))
        assert used == set(story.ranges)
        shown = set(re.findall(r"\{([a-d])(?:_[oh])?\}", story.text + story.question))
        assert shown == used


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("3 * 4 = 12. #### 12", 12),
        ("####12", 12),
        ("#### 1,200", 1200),
        ("#### $12.00", 12),
        ("#### -3", -3),
        ("#### 12.", 12),
        ("#### 12 apples", 12),
        ("#### 12 #### 12", 12),
        ("12", None),
        ("", None),
        ("####", None),
        ("#### twelve", None),
        ("#### 12.5", None),
        ("#### 1/2", None),
        ("#### 12 #### 13", None),  # hedged
        ("#### 12 #### ", None),
        ("### 12", None),
        ("#### ١٢", None),
        ("#### " + "9" * 5000, None),
    ],
)
def test_final_numbers(answer, number):
    assert maths.final_number(answer) == number


def test_wrong_work_with_the_right_end_is_right_and_the_reverse_is_not():
    gold = "3 * 4 = 12. 12 - 5 = 7. #### 7"
    assert maths.same_number("5 + 2 = 7. #### 7", gold)
    assert not maths.same_number("3 * 4 = 12. 12 - 5 = 7. #### 12", gold)
    assert not maths.same_number("3 * 4 = 12. 12 - 5 = 7.", gold)


# -- all answers -------------------------------------------------------------------------------

CHECKS = {
    "mini_qa": check_qa,
    "mini_sql": check_sql,
    "mini_sentiment": check_sentiment,
    "mini_state": check_state,
    "mini_roles": check_roles,
    "mini_calls": check_calls,
    "mini_maths": check_maths,
}


@every_task
def test_every_item_is_right(name):
    train, test = both(name)
    for document in test + train[: 600 if name == "mini_sql" else None]:
        CHECKS[name](document)


@given(st.text() | st.text("SELECT name FROM players;'\"()=*,#-0123456789transfer", max_size=80))
def test_no_answer_stops_a_grader(answer):
    assert not maths.same_number(answer, "#### 1234567")
    assert not calls.same_call(answer, GOLD_CALL, MOVE)
    assert state.same_state(answer, GOLD_STATE) in {True, False}
    assert executes_alike(answer, "SELECT goals FROM players", [PLAYERS, OTHERS]) in {True, False}
    logical_form(answer)
