"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

import json

from forgetting.tasks.grading import answers, sequence

LABELS = ("negative", "positive")


def log_likelihood(doc, results):
    """Sum over the text, in nats; the library divides by tokens, which lm-eval does not know."""
    return {"log_likelihood": results[0] if isinstance(results[0], float) else results[0][0]}


def number(doc, results):
    return {"correct": float(answers.same_number(results[0], doc["answer"]))}


def label(doc, results):
    """In a chat, "Positive." is as right as "positive"."""
    return {"em": float(sequence.normalised_exact_match(results[0], [doc["answer"]]))}


def named_label(doc, results):
    """The answer may have any words; of the labels it names the right one alone."""
    return {"em": float(sequence.named(results[0], LABELS) == {doc["answer"]})}


def labelled_object(doc, results):
    return sequence.labelled_object(results[0], [doc["answer"]], "sentiment")


def call(doc, results):
    return {
        "call": float(answers.same_call(results[0], doc["answer"])),
        "call_text": float(answers.same_call_text(results[0], doc["answer"])),
    }


def possible_call(doc, results):
    function, possible = json.loads(doc["function"]), json.loads(doc["possible"])
    return {"call": float(answers.possible_call(results[0], function, possible))}
