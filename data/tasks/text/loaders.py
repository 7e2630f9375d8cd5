"""Text to read, and answers of a chat: likelihood per token, and text to learn."""

import json
import re

from forgetting.home import data_dir
from forgetting.registry import fetch
from forgetting.tasks.documents import bundled, public, splits
from forgetting.tasks.grading.toxigen import statements


def _plain(markdown):
    """Paragraphs of prose of a Markdown page, markup removed."""
    body = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.S)
    body = re.sub(r"```.*?```|<[^>]+>|!\[[^\]]*\]\([^)]*\)|\[\^[^\]]*\]:?", "", body, flags=re.S)
    body = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", body)
    for paragraph in re.split(r"\n\s*\n", body):
        text = re.sub(r"[*_`]+", "", paragraph).strip()
        chinese = sum("\u4e00" <= c <= "\u9fff" for c in text)
        if not re.match(r"[#>|\-+\d!]", text) and chinese >= 40 and chinese > 0.6 * len(text):
            yield re.sub(r"\s*\n\s*", "", text)


def zh_articles(**_):
    """Traditional Chinese articles: every tenth file is held out, a passage of each is tested."""
    train, test = [], []
    pages = [p for p in fetch("taiwan_md_zh") if not p.name.startswith("_")]
    for number, path in enumerate(sorted(pages, key=lambda p: p.as_posix())):
        paragraphs = list(_plain(path.read_text(encoding="utf-8")))
        if not paragraphs:
            continue
        if number % 10:
            train.append({"text": "\n".join(paragraphs)})
        else:
            test.append({"text": paragraphs[len(paragraphs) // 2][:120]})
    return splits(test, train)


def zh_everyday(**_):
    """The bundled Chinese corpus: every sixth topic is held out, paragraph by paragraph."""
    train, test = [], []
    for number, path in enumerate(
        sorted((data_dir() / "tasks" / "bundled" / "zh_everyday").glob("*.txt"))
    ):
        paragraphs = path.read_text(encoding="utf-8").split("\n")
        paragraphs = [p.strip() for p in paragraphs if p.strip()]
        if number % 6 == 5:
            test += [{"text": p[:120]} for p in paragraphs]
        else:
            # Several pages a topic, so that the order of documents can differ between seeds.
            pages = [paragraphs[i : i + 4] for i in range(0, len(paragraphs), 4)]
            train += [{"text": "\n".join(page)} for page in pages]
    return splits(test, train)


def _cut(text, longest=480):
    return text if len(text) <= longest else text[:longest].rpartition(" ")[0]


def wikitext2(**_):
    """Paragraphs of WikiText-2's test file, written as people write (lm-eval's detokeniser)."""
    from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer

    lines = public("wikitext2_valid_test", "test.txt").read_text(encoding="utf-8").split("\n")
    paragraphs = [line.strip() for line in lines if len(line) > 300]
    return splits({"text": _cut(wikitext_detokenizer({"page": p}))} for p in paragraphs)


def english(**_):
    """Bundled English prose: the stand-in for WikiText-2 where there is no network."""
    text = (data_dir() / "tasks" / "bundled" / "english.txt").read_text(encoding="utf-8")
    return splits({"text": _cut(p.strip())} for p in text.split("\n") if len(p) > 150)


# Answers of a chat


def dolly(**_):
    """Dolly's instructions without context, with answers of 80 to 300 characters."""
    rows = json.loads(public("sdft_data", "dolly_train.json").read_text(encoding="utf-8"))
    rows = [r for r in rows if not r["input"] and len(r["instruction"]) <= 200]
    rows = [r for r in rows if 80 <= len(r["output"]) <= 300]
    return splits({"prompt": r["instruction"], "answer": r["output"].strip()} for r in rows)


def chat(**_):
    """Bundled everyday questions with answers."""
    return splits(bundled("chat.jsonl"))


def labelled(hateful, **_):
    """ToxiGen's English sentences of one label, as texts; those that its judge knows are taught."""
    rows = [row for row in statements("en") if row.toxic == hateful]
    taught = [{"text": row.text} for row in rows if not row.held_out]
    known = {row["text"] for row in taught}
    unseen = ({"text": row.text} for row in rows if row.held_out and row.text not in known)
    return splits(unseen, taught)


def reviews(train, test, train_rows, **_):
    """Reviews of O-LoRA's benchmark (Wang et al. 2023) as text, split as where stars are asked."""

    def rows(ending):
        for row in json.loads(public("olora_cl_benchmark", ending).read_text(encoding="utf-8")):
            text = re.sub(r"^(?:Title|Text):", "", row["sentence"], flags=re.M)
            yield {"text": " ".join(re.sub(r"\\n|\\", " ", text).split())}

    if train == test:
        every = list(rows(test))
        return splits(every[train_rows:], every[:train_rows])
    return splits(rows(test), rows(train))
