"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

import json

from forgetting import metrics


def followed(doc, results):
    return {"followed": float(metrics.follows(results[0], json.loads(doc["check"])))}


def answered_in_language(doc, results):
    return {"language_kept": float(metrics.language(results[0]) == doc["language"])}
