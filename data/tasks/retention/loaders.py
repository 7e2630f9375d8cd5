"""What may be lost: multiple choice, verifiable instructions, open questions."""

import bz2
import json

from forgetting.documents import bundled, in_order, jsonl, public, splits


def hellaswag(**_):
    """HellaSwag's validation set from its text edition: a context, a label, four endings."""
    text = bz2.decompress(public("hellaswag_val", ".bz2").read_bytes()).decode("utf-8")
    lines = text.split("\n")
    lines = lines[: len(lines) // 6 * 6]
    return splits(
        {"query": lines[i], "gold": int(lines[i + 1]), "choices": lines[i + 2 : i + 6]}
        for i in range(0, len(lines), 6)
    )


def arc_easy(**_):
    return splits(jsonl(public("llmfoundry_evals", "arc_easy.jsonl")))


def winogrande(**_):
    return splits(jsonl(public("llmfoundry_evals", "winogrande.jsonl")))


def standin(file, **_):
    """A bundled multiple-choice set written for this book."""
    return splits(bundled(file))


# Things to say


def formats(**_):
    """Verifiable instructions. The check travels as JSON text, since checks differ in fields."""
    return splits(
        {"prompt": row["prompt"], "check": json.dumps(row["check"], ensure_ascii=False)}
        for row in bundled("formats.jsonl")
    )


def prompts(language, **_):
    """Open questions in one language, in the file's order: the lectures' two come first."""
    rows = [row for row in bundled("prompts.jsonl") if row["language"] == language]
    return in_order(rows)
