"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

from forgetting.tasks.grading import decathlon
from forgetting.tasks.grading import sql as queries
from forgetting.tasks.grading.sequence import normalised_exact_match, normalised_f1


def span(doc, results):
    """EM and nF1 of the nearest right span."""
    return {
        "em": float(normalised_exact_match(results[0], doc["golds"])),
        "nf1": normalised_f1(results[0], doc["golds"]),
    }


def label(doc, results):
    return {"em": float(normalised_exact_match(results[0], doc["golds"]))}


def sql(doc, results):
    """Execution on the table asked about, on the whole suite of tables, and logical form."""
    answer, gold = results[0].strip(), doc["answer"]
    tables = [queries.read_table(text) for text in doc["tables"]]
    form = queries.logical_form(answer)
    return {
        "test_suite": float(queries.executes_alike(answer, gold, tables)),
        "execution": float(queries.executes_alike(answer, gold, tables[:1])),
        "lf_em": float(form is not None and form == queries.logical_form(gold)),
    }


def joint_state(doc, results):
    return {"ds_em": float(decathlon.same_state(results[0], doc["answer"]))}


def call(doc, results):
    return {"call_match": float(decathlon.same_call(results[0], doc["answer"], doc["signature"]))}


def number(doc, results):
    return {"solved": float(decathlon.same_number(results[0], doc["answer"]))}
