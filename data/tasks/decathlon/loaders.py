"""Documents of the decathlon in miniature, in `bundled/decathlon/`, in the order of the splits.

Six in seven documents are taught, and lie compressed; what is asked can be read as it is. Beside
the answer, `facts` tells what a document was written from, and `novel` marks a test item whose
wording no training document has.
"""

import json

from forgetting.documents import bundled, in_order


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
