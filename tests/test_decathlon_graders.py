"""Graders of the decathlon in miniature see through answers that look right, or wrong."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import Task, tasks
from forgetting.tasks.grading.answers import marked_number, same_arguments, same_number
from forgetting.tasks.grading.sequence import state
from forgetting.tasks.grading.sql import (
    Refused,
    Table,
    execute,
    executes_alike,
    logical_form,
    read_table,
)


def grader(name):
    function = Task(name).config["process_results"].removeprefix("graders.")
    return getattr(tasks.task._code(tasks.folder() / "decathlon" / "graders.py"), function)


def cases(text):
    """The cases of a text: its lines, and what stands between bars within a line."""
    return [case.strip() for line in text.strip().split("\n") for case in line.split("|")]


@pytest.mark.parametrize("name", [n for n in tasks.names() if Task(n).family == "decathlon"])
def test_the_right_answer_gets_full_marks_and_no_other(name):
    test, grade = Task(name).documents("test"), grader(name)
    for document in test:
        assert set(grade(document, [" " + document["answer"]]).values()) == {1.0}
    first = Task(name).config["metric_list"][0]["metric"]
    shifted = zip(test, test[1:] + test[:1], strict=True)
    share = sum(grade(d, [other["answer"]])[first] for d, other in shifted) / len(test)
    assert share == pytest.approx(0.5, abs=0.1) if name == "mini_sentiment" else share < 0.1
    for nothing in ("", "\n", "I do not know.", "\ud800", "\0", "()" * 3000):
        assert set(grade(test[0], [nothing]).values()) == {0.0}


def test_articles_and_prepositions_do_not_matter_but_roles_do():
    span = grader("mini_roles")
    document = {"golds": ["on Monday", "Monday"]}
    assert span(document, ["On Monday."]) == span(document, ["monday"]) == {"em": 1.0, "nf1": 1.0}
    assert span(document, ["on Tuesday"]) == {"em": 0.0, "nf1": 0.5}
    document = {"golds": ["the old piano"]}
    assert span(document, ["an old piano"])["em"] == 1.0
    # "new piano": one of two words right, one of two given, so 2·1/(2+2).
    assert span(document, ["the new piano"]) == {"em": 0.0, "nf1": 0.5}
    # A whole sentence holds the answer and six words more: 2·2/(2+8).
    answer = "On Monday Olga sold the old piano to Hugo Holm"
    assert span(document, [answer])["nf1"] == pytest.approx(4 / 11)


# -- states, calls, numbers --------------------------------------------------------------------

RIGHT_STATES = """
area = north; food = Thai | Food=thai ;AREA =  north;  | food = Thai; area = north.
food = Thai; area = north; food = thai
"""  # the last one says it twice, and the same
WRONG_STATES = """
food = Thai | food = Thai; area = north; price = cheap | food = Thai; food = Greek; area = north
food = Greek; food = Thai; area = north | food = north; area = Thai | Thai = food; north = area
food = Thai; area = | food = Thai; area | food = Thai, area = north
food = Thai; area = north; none | none |
"""


def test_joint_states():
    gold = {"food": "thai", "area": "north"}
    assert [s for s in cases(RIGHT_STATES) if state(f" {s} ") != gold] == []
    assert [s for s in cases(WRONG_STATES) if state(s) == gold] == []
    assert state("none") == state(" None. ") == {}
    assert state("") is None and state("food = none") == {"food": "none"}


MOVE = "transfer(source: str, target: str, amount: float, day: str = 'today', safe: bool = False)"
GOLD_CALL = "transfer(source='rent', target='gift', amount=12.5)"
RIGHT_CALLS = """
transfer("rent", "gift", 12.5) | transfer(amount=12.50, target='gift', source='rent')
transfer('rent', 'gift', amount=1.25e1, day='today') | transfer('re' 'nt', 'gift', 12.5)
"""
WRONG_ARGUMENTS = """
'gift', 'rent', 12.5 | source='gift', target='rent', amount=12.5 | 'rent', 'gift', '12.5'
'rent', 'gift', 12.5, 'Monday' | 'rent', 'gift', 12.5, safe=True | 'rent', 'gift', 12.5, safe=0
'rent', 'gift' | 'rent', 'gift', 12.5, 'today', False, 1 | 'rent', 'gift', 12.5, speed=1
'rent', 'gift', 12.5, amount=12.5 | source='rent', source='rent', target='gift', amount=12.5
'Rent', 'gift', 12.5 | *['rent', 'gift', 12.5] | 'rent', 'gift', float('12.5')
**{'source': 'rent', 'target': 'gift', 'amount': 12.5} | 'rent', 'gift', 25 / 2
source=rent, target=gift, amount=12.5
"""
NO_CALLS = """
transfers('rent', 'gift', 12.5) | bank.transfer('rent', 'gift', 12.5) | [transfer('rent', 'gift', 12.5)]
x = transfer('rent', 'gift', 12.5) | transfer('rent', 'gift', 12.5); transfer('gift', 'rent', 12.5)
transfer('rent', 'gift', 12.5) or 1 | transfer | __import__('os').system('true') |
"""  # noqa: E501
DEEP = ["'rent', 'gift', " + "(" * 500 + "1" + ")" * 500, "'rent', 'gift', " + "-" * 900 + "1"]


def test_calls():
    calls = [*cases(RIGHT_CALLS), "  transfer ( 'rent','gift',\n 12.5, safe = False ) "]
    assert all(same_arguments(call, GOLD_CALL, MOVE) for call in calls)
    calls = [f"transfer({given})" for given in [*cases(WRONG_ARGUMENTS), *DEEP]]
    assert [c for c in [*calls, *cases(NO_CALLS)] if same_arguments(c, GOLD_CALL, MOVE)] == []
    with pytest.raises(ValueError, match=r"gold='transfer\(1\)': is no call of transfer\(source"):
        same_arguments(GOLD_CALL, "transfer(1)", MOVE)


def test_a_flag_is_no_number_and_lists_are_ordered():
    signature = "order(toppings: list[str], number: int = 1)"
    gold = "order(toppings=['ham', 'corn'])"
    assert same_arguments("order(['ham', 'corn'], 1.0)", gold, signature)
    wrong = ("['ham', 'corn'], True", "['corn', 'ham']", "('ham', 'corn')", "'ham, corn'")
    assert not any(same_arguments(f"order({given})", gold, signature) for given in wrong)
    assert not same_arguments("order(['ham', 1])", "order(['ham', True])", signature)


@pytest.mark.parametrize(
    ("number", "answers"),
    [
        (12, ["3 * 4 = 12. #### 12", "####12", "#### $12.00", "#### 12.", "#### 12 apples"]),
        (12, ["#### 12 #### 12"]),
        (1200, ["#### 1,200"]),
        (-3, ["#### -3"]),
        (None, ["12", "", "####", "#### twelve", "#### 12/5", "#### 1/2", "### 12", "#### ١٢"]),
        (None, ["#### 12 #### 13", "#### 12 #### "]),  # hedged
    ],
)
def test_marked_numbers(number, answers):
    assert [marked_number(answer) for answer in answers] == [number] * len(answers)


def test_wrong_work_with_the_right_end_is_right_and_the_reverse_is_not():
    gold = "3 * 4 = 12. 12 - 5 = 7. #### 7"
    assert same_number("5 + 2 = 7. #### 7", gold, marked_number)
    for wrong in ("3 * 4 = 12. 12 - 5 = 7. #### 12", "3 * 4 = 12. 12 - 5 = 7.", "#### 7.5"):
        assert not same_number(wrong, gold, marked_number)


# -- SQL ---------------------------------------------------------------------------------------

PLAYERS = Table(
    "players",
    (("name", "text"), ("team", "text"), ("age", "integer"), ("goals", "integer")),
    (("Ann", "Lorne", 30, 5), ("Bo", "Lorne", 25, 9), ("Cy", "Dalby", 31, 9)),
)
# The same columns, other players: Zhong, Yu & Klein (2020).
OTHER_ROWS = (("Ann", "Dalby", 30, 7), ("Dee", "Lorne", 29, 7), ("Ed", "Lorne", 33, 2))
OTHERS = PLAYERS._replace(rows=(*OTHER_ROWS, ("Bo", "Lorne", 1, 1)))

# A query that was asked for, and one that an answer gives; `…` is "FROM players".
LOOK_WRONG_AND_ARE_RIGHT = """
SELECT name … WHERE age > 29 | select NAME From Players where 29 < age;
SELECT name … WHERE team = 'Lorne' AND age > 26 | SELECT p.name … AS p WHERE p.age > 26 AND p.team = 'Lorne'
SELECT name … ORDER BY age DESC LIMIT 1 | SELECT name … WHERE age = (SELECT MAX(age) …)
SELECT DISTINCT team … | SELECT team … GROUP BY team
SELECT AVG(age) … | SELECT SUM(age) * 1.0 / COUNT(*) … -- mean
SELECT team, COUNT(*) … GROUP BY team | SELECT team, COUNT(name) AS n … GROUP BY team ORDER BY n DESC
SELECT COUNT(*) … WHERE team = 'Lorne' | SELECT COUNT(*) FROM (SELECT * … WHERE team = 'Lorne')
"""  # noqa: E501
RIGHT_BY_LUCK_ON_ONE_TABLE = """
SELECT name … WHERE age > 29 | SELECT name … WHERE age >= 30 - 1
SELECT name … WHERE age > 29 | SELECT name … WHERE name != 'Bo'
SELECT COUNT(*) … WHERE team = 'Lorne' | SELECT 2
SELECT MAX(age) … | SELECT age … WHERE name = 'Cy'
SELECT name … | SELECT DISTINCT name … LIMIT 3
SELECT name … ORDER BY age DESC LIMIT 1 | SELECT name … ORDER BY team LIMIT 1
SELECT name … ORDER BY goals | SELECT name …
"""
LOOK_RIGHT_AND_ARE_WRONG = """
SELECT name … ORDER BY age | SELECT name … ORDER BY age DESC
SELECT name … | SELECT name, team …
SELECT team … | SELECT DISTINCT team …
SELECT age … | SELECT CAST(age AS TEXT) …
SELECT name … | SELECT UPPER(name) …
SELECT team, age … | SELECT age, team …
SELECT name … | The answer is SELECT name …
"""


@pytest.mark.parametrize(
    ("text", "on_one", "on_both"),
    [
        (LOOK_WRONG_AND_ARE_RIGHT, True, True),
        (RIGHT_BY_LUCK_ON_ONE_TABLE, True, False),
        (LOOK_RIGHT_AND_ARE_WRONG, False, False),
    ],
)
def test_queries(text, on_one, on_both):
    queries = cases(text.replace("…", "FROM players"))
    for gold, query in zip(queries[::2], queries[1::2], strict=True):
        assert executes_alike(query, gold, [PLAYERS]) == on_one, query
        assert executes_alike(query, gold, [PLAYERS, OTHERS]) == on_both, query


REFUSED = """
| ; | DROP TABLE players | SELECT name …; DROP TABLE players | SELECT name …; SELECT name …
DELETE … | INSERT INTO players VALUES ('x', 'y', 1, 2) | REPLACE INTO players SELECT * …
UPDATE players SET age = 1 RETURNING name | CREATE TABLE t AS SELECT * … | SELECT name INTO t …
ATTACH DATABASE '/tmp/stolen.db' AS s | VACUUM INTO '/tmp/stolen.db' | PRAGMA table_info(players)
PRAGMA writable_schema = 1 | EXPLAIN SELECT name … | /* SELECT */ DROP TABLE players
SELECT * FROM pragma_table_info('players') | SELECT * FROM sqlite_master | SELECT sql FROM sqlite_schema
SELECT * FROM json_each('[1, 2]') | SELECT load_extension('x') | SELECT readfile('/etc/hostname')
SELECT writefile('/tmp/x', 'y') | SELECT randomblob(1000000000) | SELECT zeroblob(1000000000)
SELECT printf('%1000000000d', 1) | SELECT replace(hex(zeroblob(100000)), '0', 'aaaaaaaaaa')
SELECT sqlite_version() | SELECT no_such_column … | SELECT name … WHERE | select_name … | SELECT ?
SELECT CAST(x'ff' AS TEXT) | WITH ∞ SELECT x FROM c | SELECT * FROM (WITH ∞ SELECT x FROM c)
SELECT (  WITH ∞ SELECT COUNT(*) FROM c)
"""  # noqa: E501
FOR_EVER = "RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
TOO_MUCH = [
    "SELECT COUNT(*) FROM " + ", ".join(f"players AS p{i}" for i in range(20)),
    "SELECT 1 FROM " + ", ".join(f"players AS p{i}" for i in range(6)),  # 729 rows
    "SELECT " + "(" * 400 + "1" + ")" * 400,
    "SELECT name FROM players WHERE name = 'x' " + "OR 1 = 1 " * 200,
    "SELECT name FROM players WHERE name LIKE '" + "%a" * 80 + "'",
    *("SELECT '\0'", "SELECT '\ud800'"),
]


@pytest.mark.parametrize(
    "query", cases(REFUSED.replace("…", "FROM players").replace("∞", FOR_EVER)) + TOO_MUCH
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
    table = PLAYERS._replace(rows=((value, "Lorne", 1, 2), *PLAYERS.rows))
    text = value.replace("'", "''")
    assert execute(f"SELECT age FROM players WHERE name = '{text}'", table) == [(1,)]


SAME_FORM = """
select  Name from PLAYERS where TEAM='Lorne' and age>=3.0 order by age asc ;
SELECT name FROM players WHERE age >= 3 AND "team" == "Lorne" ORDER BY age
SELECT `name` FROM players WHERE age >= 3   AND team = 'Lorne' ORDER BY age
"""
OTHER_FORMS = """
SELECT name FROM players WHERE team = 'lorne' AND age >= 3 ORDER BY age
SELECT name FROM players WHERE team = 'Lorne' OR age >= 3 ORDER BY age
SELECT name FROM players WHERE team = 'Lorne' AND age >= 3 ORDER BY age DESC
SELECT name FROM players WHERE team = 'Lorne' AND age > 3 ORDER BY age
SELECT team FROM players WHERE name = 'Lorne' AND age >= 3 ORDER BY age
SELECT name FROM players WHERE team = 'Lorne' AND age >= 3 | SELECT name § players |
"""


def test_forms_of_one_query():
    gold = logical_form("SELECT name FROM players WHERE team = 'Lorne' AND age >= 3 ORDER BY age")
    assert {logical_form(query.replace("   ", "\n")) for query in cases(SAME_FORM)} == {gold}
    assert gold not in {logical_form(query) for query in cases(OTHER_FORMS)}
    # Brackets and OR: the order of what stands between AND is left alone.
    assert logical_form("SELECT a FROM t WHERE (b = 1 OR c = 2) AND d = 3") is not None


def test_the_suite_tells_each_bound_from_its_neighbours():
    """> from >=, and a bound from the next number: on one table these are often the same."""
    lucky = caught = 0
    for document in Task("mini_sql").documents("test"):
        tables, gold = [read_table(text) for text in document["tables"]], document["answer"]
        assert len(tables) >= 2
        bound = re.search(r"(>=|<=|>|<) (\d+)", gold)
        # An aggregate or a count within a group may hide a bound on every table of six rows.
        if not bound or "AND" in gold or not gold.startswith(("SELECT name", "SELECT title")):
            continue
        others = [(">=", 0), ("<=", 0), (">", 0), ("<", 0), (bound[1], 1), (bound[1], -1)]
        for operator, step in others:
            wrong = gold.replace(bound[0], f"{operator} {int(bound[2]) + step}")
            if wrong != gold:
                lucky += executes_alike(wrong, gold, tables[:1])
                assert not executes_alike(wrong, gold, tables)
                caught += 1
    assert caught > 100 and lucky > 20


@settings(max_examples=25)
@given(st.text() | st.text("SELECT name FROM players;'\"()=*,#-0123456789transfer", max_size=80))
def test_no_answer_stops_a_grader(answer):
    assert not same_number(answer, "#### 1234567", marked_number)
    assert not same_arguments(answer, GOLD_CALL, MOVE)
    state(answer)
    assert executes_alike(answer, "SELECT goals FROM players", [PLAYERS, OTHERS]) in {True, False}
    logical_form(answer)
