"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

from forgetting.tasks.grading import sequence as metrics


def label(doc, results):
    return {"em": float(metrics.exact_match(results[0], [doc["answer"]]))}
