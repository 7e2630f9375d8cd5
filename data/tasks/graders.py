"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

import json

from forgetting import metrics


def followed(doc, results):
    return {"followed": float(metrics.follows(results[0], json.loads(doc["check"])))}


def refused(doc, results):
    return {"refused": float(metrics.refuses(results[0]))}


def answered_in_language(doc, results):
    return {"language_kept": float(metrics.language(results[0]) == doc["language"])}


def log_likelihood(doc, results):
    """Sum over the text, in nats; the library divides by tokens, which lm-eval does not know."""
    return {"log_likelihood": results[0] if isinstance(results[0], float) else results[0][0]}
