"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

from forgetting.decathlon import calls, execution, maths, state
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
    tables = [execution.Table.from_json(text) for text in doc["tables"]]
    form = execution.logical_form(answer)
    return {
        "test_suite": float(execution.executes_alike(answer, gold, tables)),
        "execution": float(execution.executes_alike(answer, gold, tables[:1])),
        "lf_em": float(form is not None and form == execution.logical_form(gold)),
    }


def joint_state(doc, results):
    return {"ds_em": float(state.same_state(results[0], doc["answer"]))}


def call(doc, results):
    return {"call_match": float(calls.same_call(results[0], doc["answer"], doc["signature"]))}


def number(doc, results):
    return {"solved": float(maths.same_number(results[0], doc["answer"]))}
