"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

from forgetting.tasks.grading import answers, sequence
from forgetting.tasks.grading import sql as queries


def span(doc, results):
    """EM and nF1 of the nearest right span."""
    return {
        "em": float(sequence.normalised_exact_match(results[0], doc["golds"])),
        "nf1": sequence.normalised_f1(results[0], doc["golds"]),
    }


def label(doc, results):
    return {"em": float(sequence.normalised_exact_match(results[0], doc["golds"]))}


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
    """Joint match (decaNLP's dsEM on a turn): every slot has its value and there is no other."""
    return {"ds_em": float(sequence.state(results[0]) == sequence.state(doc["answer"]))}


def call(doc, results):
    same = answers.same_arguments(results[0], doc["answer"], doc["signature"])
    return {"call_match": float(same)}


def number(doc, results):
    return {"solved": float(answers.same_number(results[0], doc["answer"], answers.marked_number))}
