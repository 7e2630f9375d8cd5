"""What fine-tuning aims at: arithmetic, function calls, and instructions in general.

Training documents that stand in a test set of the family are left out; `key` below says by what.
"""

import json
import re

from forgetting.tasks.documents import jsonl, public, splits, without_overlap


def _prompt(document):
    return document["prompt"]


# Arithmetic in words


def _gsm8k(split):
    rows = jsonl(public("gsm8k", f"data/{split}.jsonl"))
    # Cobbe et al. wrote calculator annotations, <<48/2=24>>, into the worked answers.
    return [
        {"prompt": row["question"], "answer": re.sub(r"<<[^>]*>>", "", row["answer"])}
        for row in rows
    ]


def _multiarith():
    rows = json.loads(public("sdft_data", "multiarith_test.json").read_text(encoding="utf-8"))
    return [{"prompt": row["instruction"], "answer": row["output"]} for row in rows]


def _svamp():
    rows = jsonl(public("llmfoundry_evals", "svamp.jsonl"))
    return [{"prompt": row["context"], "answer": row["answer"]} for row in rows]


def gsm8k(**_):
    test = _gsm8k("test")
    others = (_multiarith(), _svamp())
    return splits(test, without_overlap(_gsm8k("train"), test, *others, key=_prompt))


def multiarith(**_):
    """The 180 problems that SDFT tests (Yang et al. 2024); Roy & Roth (2015) made the set."""
    return splits(_multiarith())


def svamp(**_):
    """The 300 problems of llm-foundry's file (Patel et al. 2021)."""
    return splits(_svamp())


# Function calls


def _openfunctions(split):
    """SDFT's edition of Gorilla OpenFunctions: 2211 and 112 requests with one call each."""
    path = public("sdft_data", f"openfunction_{split}.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [
        {
            "prompt": row["instruction"],
            "question": _asked(row["instruction"]),
            "answer": row["output"].strip(),
        }
        for row in rows
    ]


def _asked(instruction):
    """The user's own words within SDFT's instruction."""
    return re.search(r"Question: (.*?)\n+Function to be used:", instruction, re.S).group(1)


def _bfcl():
    questions = jsonl(public("openfunctions_bfcl", "data/BFCL_v4_simple_python.json"))
    answers = jsonl(public("openfunctions_bfcl", "possible_answer/BFCL_v4_simple_python.json"))
    right = {row["id"]: row["ground_truth"] for row in answers}
    for row in questions:
        ((turn,),), (function,), (possible,) = row["question"], row["function"], right[row["id"]]
        yield {
            "prompt": _call_wanted(turn["content"], function),
            "question": turn["content"],
            "function": json.dumps(function, ensure_ascii=False),
            "possible": json.dumps(possible, ensure_ascii=False),
        }


def _call_wanted(question, function):
    """A question of BFCL in the form that OpenFunctions teaches."""
    schema = function["parameters"]
    parameters = [
        f"{number}. {name} (type: {field['type']}) - {field['description']}"
        for number, (name, field) in enumerate(schema["properties"].items(), 1)
    ]
    return "\n".join(
        [
            "Construct a function call to answer the given question using keyword arguments "
            "based on the provided specifications:",
            "",
            f"Question: {question}",
            "",
            f"Function to be used: {function['name']}",
            f"Description: {function['description']}",
            "Parameters:",
            *parameters,
            f"Required: [{', '.join(schema['required'])}]",
            "",
            "Format your response as a single string using keyword arguments.",
        ]
    )


def openfunctions(**_):
    test = _openfunctions("test")
    train = without_overlap(
        _openfunctions("train"), test, _bfcl(), key=lambda document: document["question"]
    )
    return splits(test, train)


def bfcl_simple(**_):
    return splits(_bfcl())


# Instructions in general


def _instructions(name):
    rows = json.loads(public("sdft_data", name).read_text(encoding="utf-8"))
    return [
        {
            "prompt": "\n".join(filter(None, [row["instruction"], row.get("input", "")])),
            "answer": row["output"].strip(),
        }
        for row in rows
    ]


def instructions(file, **_):
    """A training file of SDFT; tested by the likelihood of AlpacaEval's reference answers."""
    test = _instructions("alpaca_eval.json")
    return splits(test, without_overlap(_instructions(file), test, key=_prompt))


# Labels of reviews


def reviews(of, question, **_):
    """The reviews of another task, asked about in other words."""
    from forgetting.tasks import Task

    def asked(document):
        prompt = question.format(review=document["context"])
        return {"prompt": prompt, "review": document["context"], "answer": document["answer"]}

    found = {split: list(map(asked, rows)) for split, rows in Task(of).splits().items()}
    return splits(found["test"], found["train"])
