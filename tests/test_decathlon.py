"""The decathlon in miniature: every answer follows from its document, and tests are no training."""

import json
import re
from calendar import day_name, month_name
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from operator import eq, ge, gt, le, lt
from statistics import fmean as mean

import pytest

from forgetting import Task
from forgetting.tasks.grading import sql
from forgetting.tasks.grading.answers import arguments

# What lineage keys hold: sha256 of the documents.
DIGESTS = {
    "mini_calls": "998592a7dad480ea3d31bcd13e16b4b76c4c89724f26c26fd0170f8ac923319a",
    "mini_maths": "c3890be68955a52ff16881b771d91cc3ba5a51a5a5ef567badc97f724dcb5013",
    "mini_qa": "91e5d01855636c88e80b4193e4ae75fb8ca388cc44f499ddc81c22fe6d577e59",
    "mini_roles": "4c4e71c737fd87a96bfd30a80b70aa8fb00b499ed6d1870722d0f17b5315538a",
    "mini_sentiment": "69fe3a2cfd64aea267dccd43d79647a22438e6a9905a2bd79278cc7c2113001a",
    "mini_sql": "01a696e5a39456aefdd1f78253ad2b02dd1ad24cf6b4358d30ae8a7d34517fe1",
    "mini_state": "556d2f68cd4bbc8b70f4cb1309ce0e39e1619f62e508bed4152db5a131331883",
    "mini_sentiment_asked": "553b78072784463f4e6567884baa348b217c307c32e63747962d5665f80d092a",
    "mini_sentiment_chat": "b2ce7d19edcb72d6b7fe6a7613294ba7bbabc31880e7abe766cf4913f99db8b2",
    "mini_sentiment_json": "6b354a15f195bcb21aaa9195b3b3dc1917e00fd8588e5760fb61bf87e0017362",
}
SPLITS = ("train", "test")
# Capitalised words that are no names of people, towns or places, and may stand in both splits.
SHARED = {*day_name, *month_name, "The", "False", "Fair", "Museum", "Czech", "Danish", "Finnish"}
SHARED |= {"French", "Greek", "Hindi", "Latin", "Polish", "Thai", "Welsh"}  # languages


@pytest.mark.parametrize("name", DIGESTS)
def test_documents_are_those_of_the_keys(name):
    assert Task(name).recipe()["data"] == [DIGESTS[name]]
    assert Task(name).public == [] == Task(name).missing()


@pytest.mark.parametrize("name", list(DIGESTS)[:7])
def test_what_is_asked_was_not_taught(name):
    """No prompt twice; names of test items are new; half of the items are worded in a new way."""
    train, test = map(Task(name).documents, SPLITS)
    assert (len(train), len(test)) == (2400, 400)
    assert len({d["prompt"] for d in train + test}) == 2800
    assert names(train) & names(test) <= SHARED
    assert sum(d["novel"] for d in test) == 200 and not any(d["novel"] for d in train)
    known = {skeleton(d["question"]) for d in train}
    assert not known & {skeleton(d["question"]) for d in test if d["novel"]}
    assert sum(skeleton(d["question"]) in known for d in test if not d["novel"]) > 80


def names(documents):
    """Capitalised words, but for those that begin a sentence or a line."""
    name = re.compile(r"(?<![.!?\n:\"] )(?<!^)(?<!\n)\b[A-Z][a-z]+")
    return {word for d in documents for word in name.findall(d["prompt"])}


def skeleton(question):
    """The wording without names, numbers and quotations."""
    return re.sub(r'"[^"]*"|\b[A-Z]\w*\b|[\d:.]+', "_", question)


def check_qa(document, told, asked, backwards):
    """The asked value stands in its entity's part of the passage, and nobody shares it."""
    context, (name, attribute) = document["context"], asked
    values = [value for _, attributes in told for value in attributes.values()]
    people = [person for person, _ in told]
    assert len({*people, *values}) == len(people + values)
    starts = [context.index(person) for person in people] + [None]
    for (_, attributes), (start, end) in zip(told, pairwise(starts), strict=True):
        assert all(value in context[start:end] for value in attributes.values())
    pair = (name, dict(told)[name][attribute])
    answer, subject = pair if backwards else reversed(pair)
    assert document["answer"] == answer and subject in document["question"]
    assert document["answer"] not in document["question"]
    kinds = {len(re.findall(r"\d+", attributes[attribute])) for _, attributes in told}
    assert len(told) == 3 and len(kinds) == 1  # two wrong answers of the right type


TESTS = {"=": eq, ">": gt, "<": lt, ">=": ge, "<=": le}


def check_sql(document, select, where, group, order, descending, limit, distinct):
    """The gold query gives what its facts ask for on every table; ties leave no doubt."""
    column, *rest = select
    for number, table in enumerate(map(sql.read_table, document["tables"])):
        rows = [dict(zip(dict(table.columns), row, strict=True)) for row in table.rows]
        rows = [r for r in rows if all(TESTS[op](r[c], value) for c, op, value in where)]
        if order:
            rows.sort(key=lambda row: row[order], reverse=descending)
            assert len({row[order] for row in rows}) == len(rows)
        if group:
            assert rest == ["COUNT(*)"]
            result = list(Counter(row[column] for row in rows).items())
        elif column == "COUNT(*)":
            result = [(len(rows),)]
        elif match := re.fullmatch(r"(MAX|MIN|AVG)\((\w+)\)", column):
            values = [row[match[2]] for row in rows]
            aggregate = {"MAX": max, "MIN": min, "AVG": mean}[match[1]]
            result = [(aggregate(values) if values else None,)]
        else:
            result = [(row[column],) for row in rows]
            result = list(dict.fromkeys(result)) if distinct else result
            result = result[:limit] if limit else result
        assert sql.same_result(sql.execute(document["answer"], table), result, bool(order))
        assert number or result not in ([], [(None,)], [(0,)])
    shown = ", ".join(f"{c} ({'number' if k == 'integer' else 'text'})" for c, k in table.columns)
    assert document["context"] == f"Table {table.name} has the columns {shown}."
    assert all(str(value) in document["question"] for _, _, value in where)
    assert sql.logical_form(document["answer"]) is not None


def check_state(document, turns):
    """Turns replayed in order; what a turn sets stands in it, or in the offer before it."""
    lines = document["context"].split("\n")
    users = [number for number, line in enumerate(lines) if line.startswith("User: ")]
    state = {}
    for number, changes in zip(users, turns, strict=True):
        heard = " ".join(lines[max(0, number - 1) : number + 1])
        for kind, slot, *value in changes:
            if kind == "drop":
                state.pop(slot)
            else:
                assert re.search(rf"(?<![\d:]){value[0]}(?![\d:])", heard)
                state[slot] = value[0]
    pairs = sorted(f"{slot} = {value}" for slot, value in state.items()) or ["none"]
    assert sorted(document["answer"].split("; ")) == pairs and lines[-1].startswith("User: ")


def check_roles(document, events, asked):
    """Every role stands in its event's sentence; the question's verb belongs to one event."""
    sentences = re.split(r"(?<=\.) ", document["context"])
    for event, sentence in zip(events, sentences, strict=True):
        assert all(event[r].lower() in sentence.lower() for r in event.keys() - {"verb"})
    verb, role = asked
    (span,) = [event[role] for event in events if event["verb"] == verb]
    less = {span.split(" ", 1)[-1], span.removeprefix("in front of ")}
    # "after dinner" without "after" would be another time.
    less = {span} if re.match("last|after|before", span) else less | {span}
    assert document["answer"] == span and set(document["golds"]) <= less
    assert not re.search(rf"\b{span.split()[-1]}\b", document["question"])


def check_calls(document, function, given):
    """Python itself calls a function of that signature and gets the arguments that were meant."""
    space = {}
    exec(f"def {document['signature']}: return dict(locals())", space)
    values = eval(document["answer"], {function: space[function]})
    assert {name: values[name] for name in given} == given
    assert document["signature"] in document["context"]
    assert values == arguments(document["answer"], document["signature"])
    lists = (value if isinstance(value, list) else [value] for value in given.values())
    texts = {f"{v:g}" if isinstance(v, float) else str(v) for items in lists for v in items}
    assert all(text in document["question"] for text in texts - {"True"})


def check_maths(document, numbers, steps):
    """Steps worked out anew in fractions; every number stands in the text."""
    results = []
    for step in steps:
        left, sign, right = step.split()
        past = {"_": results[-1:], "__": results[-2:-1], "2": [2]}  # twice, there and back
        x, y = (Fraction(*past.get(side) or [numbers[side]]) for side in (left, right))
        results.append({"+": x + y, "-": x - y, "*": x * y, "/": x / y}[sign])
        assert results[-1].denominator == 1 and results[-1] > 1
    equations = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)\.", document["answer"])
    assert document["answer"].endswith(f"#### {results[-1]}") and 1 <= len(steps) <= 3
    for (x, sign, y, n), result in zip(equations, results, strict=True):
        assert eval(f"{x} {sign} {y}") == int(n) == result
    assert set(map(str, numbers.values())) <= set(re.findall(r"\d+", document["prompt"]))


@pytest.mark.parametrize(
    "check", [check_qa, check_sql, check_state, check_roles, check_calls, check_maths]
)
def test_every_answer_follows_from_its_document(check):
    name = check.__name__.replace("check", "mini")
    train, test = map(Task(name).documents, SPLITS)
    for document in test + train[: 600 if name == "mini_sql" else None]:
        assert document["golds"][0] == document["answer"] and "\n" not in document["answer"]
        check(document, **json.loads(document["facts"]))


def test_reviews_are_balanced_and_adjectives_mean_one_thing():
    """One adjective decides, another one concedes; each may be turned about by the words around."""
    train, test = map(Task("mini_sentiment").documents, SPLITS)
    signs, polarities = {"positive": 1, "negative": -1}, {}
    for document in train + test:
        facts, sign = json.loads(document["facts"]), signs[document["answer"]]
        adjectives, (x, y) = facts["adjectives"], facts["turned"]
        assert all(adjective in document["context"] for adjective in adjectives)
        for adjective, polarity in zip(adjectives, (sign * x, -sign * y), strict=True):
            assert not adjective or polarities.setdefault(adjective, polarity) == polarity
    assert len(polarities) == 60 and sum(polarities.values()) == 0
    for half in (train, [d for d in test if d["novel"]], [d for d in test if not d["novel"]]):
        assert sum(signs[d["answer"]] for d in half) == 0
