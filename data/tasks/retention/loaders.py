"""What may be lost: multiple choice, verifiable instructions, open questions."""

import bz2
import csv
import importlib.resources
import json
import re

from forgetting.tasks.documents import bundled, in_order, jsonl, public, splits


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


# From here on the fields carry the names that lm-eval's own tasks read.


def arc_challenge(**_):
    rows = jsonl(public("llmfoundry_evals", "arc_challenge.jsonl"))
    return splits(
        {
            "question": row["query"].removeprefix("Question: "),
            "choices": row["choices"],
            "gold": row["gold"],
        }
        for row in rows
    )


def piqa(**_):
    rows = jsonl(public("llmfoundry_evals", "piqa.jsonl"))
    return splits(
        {
            "goal": row["query"].removeprefix("Question: ").removesuffix("\n"),
            "choices": row["choices"],
            "gold": row["gold"],
        }
        for row in rows
    )


def boolq(**_):
    """BoolQ's validation set as O-LoRA keeps it: with the article's title, as in SuperGLUE."""
    rows = json.loads(public("olora_cl_benchmark", "BoolQA/test.json").read_text(encoding="utf-8"))
    items = []
    for row in rows:
        question, passage = row["sentence"].removeprefix("question: ").split("\npassage: ", 1)
        gold = ["False", "True"].index(row["label"])
        items.append({"passage": passage, "question": question, "gold": gold})
    return splits(items)


def openbookqa(**_):
    rows = jsonl(public("llmfoundry_evals", "openbook_qa.jsonl"))
    return splits(
        {"question_stem": row["query"], "choices": row["choices"], "gold": row["gold"]}
        for row in rows
    )


def lambada(**_):
    """LAMBADA in OpenAI's edition: a passage without its last word, and that word."""
    rows = jsonl(public("llmfoundry_evals", "lambada_openai.jsonl"))
    return splits({"context": r["context"], "last_word": r["continuation"].strip()} for r in rows)


def truthfulqa_mc1(**_):
    """TruthfulQA with one true answer among false ones (Lin et al. 2022), 2 to 13 choices.

    The set keeps a question and its lettered choices in one text; the six questions and answers
    that come first in the prompt are those of lm-eval's own task.
    """
    import yaml
    from lm_eval.utils import apply_template

    task = importlib.resources.files("lm_eval") / "tasks/truthfulqa/truthfulqa_mc1.yaml"
    template = yaml.safe_load(task.read_text(encoding="utf-8"))["doc_to_text"]
    with open(public("mobileaibench", "truthful_qa.csv"), encoding="utf-8", newline="") as rows:
        rows = list(csv.DictReader(rows))
    items = []
    for row in rows:
        question, lettered = row["prompt"].split("\n\n", 1)
        choices = dict(re.findall(r"^([A-Z])\. (.*)$", lettered, re.M))
        query = apply_template(template, {"question": question})
        gold = list(choices).index(row["answer"])
        items.append({"query": query, "choices": list(choices.values()), "gold": gold})
    return splits(items)


def standin(file, **_):
    """A bundled multiple-choice set written for this book."""
    return splits(bundled(file))


# Things to say


def formats(file="formats.jsonl", **_):
    """Verifiable instructions. The check travels as JSON text, since checks differ in fields."""
    return splits(
        {"prompt": row["prompt"], "check": json.dumps(row["check"], ensure_ascii=False)}
        for row in bundled(file)
    )


def ifeval(**_):
    """IFEval's prompts (Zhou et al. 2023, arXiv 2311.07911), instructions and arguments as JSON."""
    items = []
    for row in jsonl(public("ifeval", "input_data.jsonl")):
        checks = list(zip(row["instruction_id_list"], row["kwargs"], strict=True))
        items.append({"prompt": row["prompt"], "checks": json.dumps(checks, ensure_ascii=False)})
    return splits(items)


def _drcd(file):
    """Every question of a DRCD file with its paragraph; annotators who agree count once."""
    articles = json.loads(public("drcd", file).read_text(encoding="utf-8"))["data"]
    for paragraph in (p for article in articles for p in article["paragraphs"]):
        for question in paragraph["qas"]:
            yield {
                # What a page shows; the whole prompt is in the template.
                "prompt": question["question"],
                "question": question["question"],
                "context": paragraph["context"],
                "answers": list(dict.fromkeys(a["text"] for a in question["answers"])),
            }


def drcd(**_):
    """DRCD (Shao et al. 2018, arXiv 1806.00920): its development set is what is learned.

    The training file is too large for the project's mirror.
    """
    return splits(_drcd("DRCD_test.json"), _drcd("DRCD_dev.json"))


def prompts(language, **_):
    """Open questions in one language, in the file's order: the lectures' two come first."""
    rows = [row for row in bundled("prompts.jsonl") if row["language"] == language]
    return in_order(rows)
