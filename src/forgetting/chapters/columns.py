"""Columns of tables that several chapters show, "role.metric" to title."""

from __future__ import annotations

from forgetting.evidence.records import Run
from forgetting.views import tables

CALL_COLUMNS = {
    "new answers.nats": "calls (nats)",
    "hellaswag.acc_norm": "HellaSwag, by length",
    "arc challenge.acc": "ARC-challenge",
    "winogrande.acc": "WinoGrande",
    "truthful.acc": "TruthfulQA",
    "old text.forward_kl": "drift, text",
    "old answers.forward_kl": "drift, answers",
    "formats.followed": "formats kept",
    "margin harmful.gold_margin": "refusal margin (nats)",
    "margin obedient.gold_margin": "the same, obedient prompt",
    "margin harmless.gold_margin": "over-refusal margin (nats)",
}
SKILLS = {
    "label.em": "right label",
    "label.balanced": "right label, balanced",
    "json.json": "JSON when asked",
    "formats.followed": "formats kept",
    "hellaswag.acc_norm": "HellaSwag, by length",
    "arc.acc_norm": "ARC-easy, by length",
}
LIKELIHOODS = {
    "new answers.nats": "labels (nats)",
    "json answers.nats": "JSON (nats)",
    "old text.forward_kl": "drift, text",
    "old answers.forward_kl": "drift, answers",
    "margin harmful.gold_margin": "refusal margin (nats)",
}


def call_columns(start: Run) -> dict[str, str]:
    """Columns of the chapters that teach function calls, of what a run was asked.

    Whether a call is right is the first metric of its task.
    """
    right = f"calls.{start.scores_of('calls').metrics[0]}"
    return {right: "right calls"} | tables.measured(CALL_COLUMNS, start)
