"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

from forgetting import metrics


def refused(doc, results):
    return {"refused": float(metrics.refuses(results[0]))}
