"""A decathlon in miniature: seven kinds of tasks, written for this book.

decaNLP (McCann et al. 2018, arXiv 1806.08730) and LAMOL (Sun, Ho & Lee 2020, arXiv 1909.03329) ask
everything as (context, question, answer). So do these documents; they lie in `bundled/decathlon/`
in the order of the splits: what is asked as text, what is taught, six times as much, compressed.

Training and test documents share no names of people, towns or places. Half of the test items,
those that are `novel`, share no wording with training documents either. `facts` tells what a
document was written from; no template shows it.
"""

import json

from forgetting.tasks.documents import bundled, in_order


def frozen(file, **_):
    ends = ("test.jsonl", "train.jsonl.gz")
    return in_order(*(map(_whole, bundled(f"decathlon/{file}_{end}")) for end in ends))


def _whole(document):
    """A document with the fields that follow from others; what is nested becomes JSON text."""
    whole = {"golds": [document["answer"]], "novel": False} | document
    whole["prompt"] = f"{document['context']}\n{document['question']}"
    whole["facts"] = json.dumps(document["facts"])
    if "tables" in document:
        whole["tables"] = [json.dumps(table) for table in document["tables"]]
    return whole
