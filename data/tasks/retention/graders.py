"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

import json

from forgetting.tasks import metrics


def followed(doc, results):
    return {"followed": float(metrics.follows(results[0], json.loads(doc["check"])))}


def answered_in_language(doc, results):
    return {"language_kept": float(metrics.language(results[0]) == doc["language"])}


def last_word(doc, results):
    """acc: the last word is what greedy decoding gives; its log-likelihood in nats."""
    ((log_likelihood, greedy),) = results
    return {"acc": float(greedy), "log_likelihood": log_likelihood}


def extracted(doc, results):
    return {
        "exact_match": metrics.exact_match(results[0], doc["answers"]),
        "character_f1": metrics.character_f1(results[0], doc["answers"]),
    }


def ifeval(doc, results):
    """Counts an item add up to the instruction level: sum(followed) / sum(instructions)."""
    from forgetting.tasks.grading.ifeval import followed

    checks = json.loads(doc["checks"])
    strict = followed(results[0], doc["prompt"], checks)
    loose = followed(results[0], doc["prompt"], checks, loose=True)
    return {
        "prompt_level_strict_acc": float(all(strict)),
        "prompt_level_loose_acc": float(all(loose)),
        "followed_strict": float(sum(strict)),
        "followed_loose": float(sum(loose)),
        "instructions": float(len(checks)),
    }
