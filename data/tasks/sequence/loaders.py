"""Tasks to learn one after another, as LAMOL (Sun et al. 2020) and SSR (Huang et al. 2024) do.

A document has a context, a question, its answers, and `prompt`, what the model reads: the context,
the question and "Answer:", each on its own line. LAMOL puts a special token `__ans__` where this
says "Answer:", and nothing between context and question. LAMOL's own files are not in the
registry, so their form is that of decaNLP's code (McCann et al. 2018): its questions, contexts and
answers, in lower case, as its preprocessing makes them, for SST, QA-SRL, WOZ and WikiSQL. Questions
about classes are those that later users of LAMOL's files quote for AG News and DBpedia; those for
Amazon and Yelp are made alike.

Not here, because the registry does not have it: Yahoo Answers; the tasks DSG, Expl and POS of SSR;
the 115,000 training rows that LAMOL draws for each classification task (O-LoRA's are 5000 or fewer;
AG News' full training set is registered, but in no mirror).
"""

import bz2
import csv
import json
import random
import re
from collections import defaultdict
from html import unescape

from forgetting import registry
from forgetting.tasks.documents import in_order, jsonl, public, splits, without_overlap


def _line(text):
    return " ".join(text.split())


def _dense(text):
    return "".join(text.lower().split())


def _asked(context, question, answers, **more):
    """A document; its `answer` is the first of its right answers, the one to learn."""
    prompt = f"{context}\n{question}\nAnswer:"
    parts = {"context": context, "question": question, "answer": answers[0]}
    return {"prompt": prompt, **parts, "answers": list(answers), **more}


def _prompt(document):
    return document["prompt"]


def _split(test, train):
    """Training documents that are also asked in the test are left out."""
    test = list(test)
    return splits(test, without_overlap(train, test, key=_prompt))


# Questions about a text


def squad(train, **_):
    """SQuAD 1.1 (Rajpurkar et al. 2016): the dev set is the test, since the test is not public.

    The mirror has the dev set as web pages, an article each, and no training set; `train` names
    the public set that has it, and there is a train split only where that is available.
    """
    test = [d for page in registry.fetch("squad_v1.1_dev_html") for d in _explorer_page(page)]
    if not registry.available(train):
        return splits(test)
    articles = json.loads(public(train, "train-v1.1.json").read_text(encoding="utf-8"))["data"]
    return _split(test, (d for article in articles for d in _squad_article(article)))


def _explorer_page(path):
    """The questions of a page of the SQuAD explorer (machine-made HTML)."""
    for paragraph in path.read_text(encoding="utf-8").split('<div class="para-wrap">')[1:]:
        context = re.search(r"<pre>(.*?)</pre>", paragraph, re.S)[1]
        for qa in paragraph.split('<div class="qa-wrap"')[1:]:
            question = re.search(r'<strong class="question">(.*?)</strong>', qa, re.S)[1]
            answers = re.findall(r'<span class="answer">(.*?)</span>', qa, re.S)
            texts = (_line(unescape(text)) for text in (context, question, *answers))
            context_, question_, *answers_ = texts
            yield _asked(context_, question_, list(dict.fromkeys(answers_)))


def _squad_article(article):
    for paragraph in article["paragraphs"]:
        for qa in paragraph["qas"]:
            answers = dict.fromkeys(_line(answer["text"]) for answer in qa["answers"])
            yield _asked(_line(paragraph["context"]), _line(qa["question"]), list(answers))


def qa_srl(**_):
    """Semantic roles as questions about a sentence (He et al. 2015).

    LAMOL's files are QA-SRL 1.0, which is not in the registry. This is the gold standard of Roit
    et al. (2020), other sentences with the same kind of questions: its dev set is to be learned,
    its test set is the test, both of Wikinews and Wikipedia. Each span is a right answer.
    """
    return _split(_roles("test"), _roles("dev"))


def _roles(split):
    found = {}
    for source in ("wikinews", "wikipedia"):
        sentences = {r["qasrl_id"]: r for r in _table("qasrl_gs", f"{source}.{split}.full.csv")}
        for row in _table("qasrl_gs", f"{source}.{split}.gold.csv"):
            asked = (sentences[row["qasrl_id"]]["sentence"], row["question"])
            found.setdefault(asked, []).extend(row["answer"].split("~!~"))
    for (sentence, question), answers in found.items():
        texts = (_untokenised(text).lower() for text in (sentence, question, *answers))
        context_, question_, *answers_ = texts
        yield _asked(context_, question_, list(dict.fromkeys(answers_)))


def _untokenised(text):
    """Text without the spaces and signs of the Penn Treebank's tokens."""
    text = text.replace("``", '"').replace("''", '"').replace("-LRB-", "(").replace("-RRB-", ")")
    text = re.sub(r" (?=[.,;:!?%)]|'(?:s|re|ve|ll|d|m)\b|n't\b)", "", text, flags=re.I)
    return _line(re.sub(r"(?<=[($]) ", "", text))


def _table(name, ending):
    with open(public(name, ending), encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


# SQL


def wikisql(**_):
    """WikiSQL (Zhong et al. 2017) from the edition of Finegan-Dollak et al. (2018).

    That edition has no tables, so a table's columns are those that any of its questions uses,
    which is easier than to choose among all of them; no table is in two splits. Rows are in
    its order (by query), conditions too, and questions whose values it lost (2 %) are left out.
    """
    entries = json.loads(bz2.decompress(public("wikisql", ".bz2").read_bytes()))
    queries = [_query(entry["sql"][0]) for entry in entries]
    columns = defaultdict(set)
    for query, entry in zip(queries, entries, strict=True):
        for sentence in entry["sentences"]:
            columns[sentence["table-id"]] |= query["columns"]
    found = {"train": [], "test": [], "dev": []}
    for query, entry in zip(queries, entries, strict=True):
        for sentence in entry["sentences"]:
            if query["variables"] <= sentence["variables"].keys():
                # Sorted: the order of first use would tell which column is asked for.
                header = sorted(columns[sentence["table-id"]])
                found[sentence["question-split"]].append(_translated(query, sentence, header))
    return _split(found["test"], found["train"])


TO_SQL = "what is the translation from english to sql?"
SQL_WORDS = (
    "max, min, count, sum, avg, =, >, <, op, select, where, and, col, table, caption, page, "
    "section, op, cond, question, agg, aggops, condops"
)
_NAME = r"(?:TABLEalias0\.)?((?:(?!_FIELD ).)+)_FIELD"
_QUERY = re.compile(
    rf"SELECT (?:(MAX|MIN|COUNT|SUM|AVG) )?{_NAME} FROM (?:TABLE AS TABLEalias0|table)"
    r"(?: WHERE (.*))? ;",
    re.S,
)
_CONDITION = re.compile(rf"(?:^| AND ){_NAME} ([=<>]) (.*?)(?= AND {_NAME} [=<>] |$)", re.S)


def _query(sql):
    """A query by the names of its columns; values still hold variables such as `var0`."""
    aggregate, column, where = _QUERY.fullmatch(sql).groups()
    found = _CONDITION.findall(where or "")
    conds = [(_column(name), operator, value) for name, operator, value, _ in found]
    selected = _column(column)
    return {
        "select": _line(f"select {aggregate or ''} {selected} from table").lower(),
        "conds": conds,
        "columns": {selected, *(name for name, _, _ in conds)},
        "variables": {v for _, _, value in conds for v in re.findall(r"var\d+", value)},
    }


def _column(name):
    return _line(name.replace("_", " ").lower())


def _translated(query, sentence, header):
    def filled(value):
        named = re.sub(r'"?(var\d+)"?', lambda v: sentence["variables"][v[1]], value)
        return _line(named).lower()

    conds = [f"{name} {operator} {filled(value)}" for name, operator, value in query["conds"]]
    answer = f"{query['select']} where {' and '.join(conds)}" if conds else query["select"]
    asked = _line(sentence["original"]).lower()
    context = f"the table has columns {', '.join(header)} and key words {SQL_WORDS} -- {asked}"
    return _asked(context, TO_SQL, [answer], header=header)


# Dialogues


def woz(**_):
    """WOZ 2.0 (Wen et al. 2017, Mrkšić et al. 2017): what a user's turn changes in the state.

    Test turns are in the order of their dialogues, which the state needs; dialogues are shuffled
    once. Stock phrases such as "thank you, goodbye." are turns of both splits, and those of the
    test are left out of the training turns.
    """
    test, train = _dialogues("test"), _dialogues("train")
    random.Random(20240103).shuffle(test)
    turns = [turn for dialogue in test for turn in dialogue]
    learned = (turn for dialogue in train for turn in dialogue)
    return in_order(turns, without_overlap(learned, turns, key=_prompt))


def _dialogues(split):
    path = public("woz2.0", f"woz_{split}_en.json")
    return [list(_turns(d)) for d in json.loads(path.read_text(encoding="utf-8"))]


def _turns(dialogue):
    """decaNLP's reading: the system's acts and the user's words, and what is new in the state."""
    before = []
    for number, turn in enumerate(dialogue["dialogue"]):
        acts = [": ".join(a) if isinstance(a, list) else a for a in turn["system_acts"]]
        context = _line(" -- ".join(filter(None, [", ".join(acts), turn["transcript"]])))
        slots = {
            act: [
                slot
                for item in turn["belief_state"]
                if item["act"] == act
                for slot in item["slots"]
            ]
            for act in ("inform", "request")
        }
        new = ", ".join(
            f"{slot}: {value}" for slot, value in slots["inform"] if [slot, value] not in before
        )
        requested = ", ".join(slot for _, slot in slots["request"])
        before = slots["inform"]
        answer = f"{new}; {requested}".strip() if new or requested else "none"
        yield _asked(
            context.lower(),
            "what is the change in state?",
            [answer.lower()],
            dialogue=dialogue["dialogue_idx"],
            turn=number,
        )


# Classes of texts


def sst(**_):
    """SST-2 (Socher et al. 2013): whole sentences, positive or negative."""

    def rows(split):
        for row in _table("sst2_decanlp", f"{split}_binary_sent.csv"):
            label = ("negative", "positive")[int(row["label"])]
            context = _line(row["sentence"]).lower()
            yield _asked(context, "is this review negative or positive?", [label])

    return _split(rows("test"), rows("train"))


TOPICS = ("World", "Sports", "Business", "Sci/Tech")
STARS = ("very negative", "negative", "neutral", "positive", "very positive")
ARTICLES = (
    *("Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder"),
    *("MeanOfTransportation", "Building", "NaturalPlace", "Village", "Animal", "Plant", "Album"),
    *("Film", "WrittenWork"),
)


def classes(train, test, train_rows, labels, **_):
    """A text classification set of the O-LoRA benchmark (Wang et al. 2023), asked as in LAMOL.

    Where one file is both `train` and `test`, its first `train_rows` rows are to be learned.
    """
    names = globals()[labels]
    # O-LoRA's names of the classes differ from LAMOL's in spaces and in one word.
    written = {_dense(name): name for name in names} | {"scienceortechnology": "Sci/Tech"}
    asked = f"Is this sentence {', '.join(names[:-1])}, or {names[-1]}?"

    def rows(ending):
        content = public("olora_cl_benchmark", ending).read_text(encoding="utf-8")
        for row in json.loads(content):
            # The files end lines by `\n` or `\` written out, a remnant of their CSV form.
            text = re.sub(r"^(?:Title|Text):", "", row["sentence"], flags=re.M)
            yield _asked(
                _line(re.sub(r"\\n|\\", " ", text)), asked, [written[_dense(row["label"])]]
            )

    if train == test:
        every = list(rows(test))
        return _split(every[train_rows:], every[:train_rows])
    return _split(rows(test), rows(train))


# Instructions


def super_ni(name, train, **_):
    """A task of Super-NaturalInstructions (Wang et al. 2022) as SSR drew it: 2000 and 500 rows.

    Of two tasks the registry has only the 200 training rows that SSR replays.
    """

    def rows(ending):
        for row in jsonl(public("ssr_superni_cl", f"/{name}.{ending}.json")):
            parts = {"context": row["input"], "answer": row["output"], "answers": [row["output"]]}
            question = row["full_prompt"].removesuffix(row["input"]).strip()
            yield {"prompt": row["full_prompt"], "question": question, **parts}

    return _split(rows("eval"), rows(train))
