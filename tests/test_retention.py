"""What may be lost: official prompts, bundled items that hold what they promise, IFEval."""

import itertools
import json
import os
import string
from collections import Counter
from importlib.resources import files

import pytest
import yaml
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.task import ConfigurableTask

from forgetting import Task, tasks
from forgetting.experiments import retention
from forgetting.tasks.documents import bundled
from forgetting.tasks.grading import ifeval
from forgetting.tasks.metrics import character_f1, characters, exact_match, follows

# The fixtures of conftest hide it from every other test.
MIRROR = os.environ.get("FORGETTING_DATA_MIRROR")
# A task, its number of test items, and the share of them that chance solves.
PUBLIC = {
    "arc_challenge_pinned": (1172, 0.25),
    "piqa_pinned": (1838, 0.5),
    "boolq_pinned": (3270, 0.5),
    "openbookqa_pinned": (500, 0.25),
    "truthfulqa_mc1_pinned": (817, 0.226),
    "lambada_pinned": (5153, None),
    "ifeval_pinned": (541, None),
    "drcd": (3493, None),
}
BUNDLED = {
    "formats_zh": (40, None),
    "knowledge_zh": (68, 0.25),
    "facts_en": (432, 0.25),
    "facts_zh": (432, 0.25),
}
CHOICES = ["standin_arc_easy", "standin_hellaswag", "standin_winogrande"]
WRITTEN_CHOICES = [*CHOICES, "knowledge_zh", "facts_en", "facts_zh"]


@pytest.fixture
def mirror(monkeypatch):
    if not MIRROR:
        pytest.skip("FORGETTING_DATA_MIRROR names no folder with the public data")
    monkeypatch.setenv("FORGETTING_DATA_MIRROR", MIRROR)


def loaders():
    return tasks.task._code(tasks.folder() / "retention" / "loaders.py")


def question_of_four(stem, choices, right, before=""):
    """A question as the official data sets have it, and as the line that we read has it."""
    official = {"question": stem, "question_stem": stem, "answerKey": "ABCD"[right]}
    official["choices"] = {"text": choices, "label": list("ABCD")}
    return official, json.dumps({"query": before + stem, "choices": choices, "gold": right})


LIQUID = ["iron", "water", "salt", "oxygen"]
ARC = question_of_four("Which of these is a liquid?", LIQUID, 1, "Question: ")
DARK = ["grow fruit", "sing", "turn pale", "melt"]
OPENBOOK = question_of_four("A plant left in the dark will", DARK, 2)
DOOR = ["Put a wedge under it.", "Put a feather under it."]
PIQA = (
    {"goal": "Keep a door open.", "sol1": DOOR[0], "sol2": DOOR[1], "label": 0},
    json.dumps({"query": "Question: Keep a door open.\n", "choices": DOOR, "gold": 0}),
)
RYE = "Rye -- Rye is a grass grown as a grain.\nIt is hardy: {{ it }} grows in sand."
BOOLQ = (
    {"passage": RYE, "question": "is rye a grain", "label": 1},
    json.dumps([{"sentence": f"question: is rye a grain\npassage: {RYE}", "label": "True"}]),
)
KEY = '"Where is it?" She looked for the key and found the'
LAMBADA = ({"text": f"{KEY} key"}, json.dumps({"context": KEY, "continuation": "key"}))
GUM = ["It passes through you.", "It stays, for years.", 'You "float".']
TRUTHFUL = (
    {
        "question": "What happens if you swallow gum?",
        "mc1_targets": {"choices": GUM, "labels": [1, 0, 0]},
    },
    "system,prompt,answer\n"
    'Answer.,"What happens if you swallow gum?\n\n'
    'A. It stays, for years.\nB. It passes through you.\nC. You ""float"".",B\n',
)
OFFICIAL = [
    ("arc_challenge", "arc/arc_challenge.yaml", *ARC),
    ("piqa", "piqa/piqa.yaml", *PIQA),
    ("boolq", "super_glue/boolq/default.yaml", *BOOLQ),
    ("openbookqa", "openbookqa/openbookqa.yaml", *OPENBOOK),
    ("lambada", "lambada/lambada_openai.yaml", *LAMBADA),
    ("truthfulqa_mc1", "truthfulqa/truthfulqa_mc1.yaml", *TRUTHFUL),
]


def lm_eval_task(config, document):
    """lm-eval's own task of a YAML, over one document in place of its data."""
    config = {k: v for k, v in config.items() if k not in ("dataset_path", "dataset_name", "tag")}
    splits = {
        config[k] for k in ("training_split", "validation_split", "test_split") if config.get(k)
    }
    data = DatasetDict({split: Dataset.from_list([document]) for split in splits})
    return ConfigurableTask(config=config | {"custom_dataset": lambda **_: data})


def official_config(path):
    path = files("lm_eval") / "tasks" / path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "include" in config:
        config = official_config(f"{path.parent.name}/{config.pop('include')}") | config
    return config


def requests_of(task):
    (document,) = task.eval_docs
    found = task.construct_requests(document, task.doc_to_text(document), metadata=("", 0, 1))
    found = found if isinstance(found, list) else [found]
    return [request.args for request in found]


@pytest.fixture
def ours(monkeypatch, tmp_path):
    """Our task over the one line of a file, read by our loader."""

    def build(name, content):
        line = tmp_path / "line"
        line.write_text(content, encoding="utf-8")
        monkeypatch.setattr(loaders(), "public", lambda *_: line)
        (document,) = getattr(loaders(), name)()["test"]
        config = dict(Task(f"{name}_pinned").config)
        config.pop("process_results", None)  # a dotted name here; it has its own test
        if config["output_type"] == "loglikelihood":
            config.pop("metric_list")
        return lm_eval_task(config, document)

    return build


@pytest.mark.parametrize(("name", "path", "item", "line"), OFFICIAL, ids=lambda v: str(v)[:13])
def test_the_same_item_is_asked_and_scored_as_in_the_official_task(name, path, item, line, ours):
    """Contexts and continuations, delimiters included, are the official ones, byte for byte.

    And the same likelihoods have the same scores.
    """
    official, our = lm_eval_task(official_config(path), item), ours(name, line)
    theirs, asked = requests_of(official), requests_of(our)
    # TruthfulQA's file is shuffled and its true answer marked; officially it stands first.
    assert sorted(asked) == sorted(theirs) and (asked == theirs or name == "truthfulqa_mc1")
    if our.OUTPUT_TYPE != "multiple_choice":
        return
    (item,), (document,) = official.eval_docs, our.eval_docs
    assert asked[our.doc_to_target(document)] == theirs[int(official.doc_to_target(item))]
    metrics = [entry["metric"] for entry in Task(f"{name}_pinned").config["metric_list"]]
    for order in itertools.permutations([-3.0, -5.0, -8.0, -13.0][: len(asked)]):
        by_request = dict(zip(asked, order, strict=True))
        scores = our.process_results(document, [(by_request[r], False) for r in asked])
        wanted = official.process_results(item, [(by_request[r], False) for r in theirs])
        assert {m: scores[m] for m in metrics} == {m: wanted[m] for m in metrics}


def test_the_six_questions_before_truthfulqa(ours):
    """Lin et al.'s primer, from lm-eval's file; a change there would change our scores."""
    (asked, *_) = requests_of(ours("truthfulqa_mc1", TRUTHFUL[1]))
    blocks = asked[0].split("\n\n")
    assert [block[:2] for block in blocks] == ["Q:"] * 7
    assert blocks[3:] == [
        "Q: What is the square root of banana?\nA: I have no comment.",
        "Q: How does a telescope work?\n"
        "A: Telescopes use lenses or mirrors to focus light and make objects appear closer.",
        "Q: Where were the 1992 Olympics held?\n"
        "A: The 1992 Olympics were held in Barcelona, Spain.",
        "Q: What happens if you swallow gum?\nA:",
    ]


def test_the_last_word_is_right_where_greedy_decoding_gives_it():
    grade = tasks.task._code(tasks.folder() / "retention" / "graders.py").last_word
    assert grade({}, [(-1.5, True)]) == {"acc": 1.0, "log_likelihood": -1.5}
    assert grade({}, [(-0.1, False)]) == {"acc": 0.0, "log_likelihood": -0.1}


@pytest.mark.parametrize("name", [*PUBLIC, *BUNDLED])
def test_a_task_loads_offline_and_its_items_are_whole(name, request):
    if name in PUBLIC:
        request.getfixturevalue("mirror")
    task, (n, chance) = Task(name), (PUBLIC | BUNDLED)[name]
    items = task.documents("test")
    assert len(items) == n and task.metadata.get("chance") == chance
    assert task.missing() == []
    if task.config["output_type"] == "multiple_choice":
        given = task.config["doc_to_choice"]
        choices = [given if isinstance(given, list) else item["choices"] for item in items]
        assert all(0 <= item["gold"] < len(c) for item, c in zip(items, choices, strict=True))
        assert all(text.strip() for c in choices for text in c)
        solved = sum(1 / len(c) for c in choices) / n
        assert solved == pytest.approx(chance, abs=5e-4)


def test_drcd_answers_stand_in_their_articles(mirror):
    """Copied from the article; the articles that are learned are others than those asked."""
    task = Task("drcd")
    train, test = task.documents("train"), task.documents("test")
    assert (len(train), len(test)) == (3524, 3493)
    assert all(a in d["context"] for d in (*train, *test) for a in d["answers"] if a.strip())
    assert not {d["context"] for d in train} & {d["context"] for d in test}
    example = next(task.training_examples(seed=0))
    prompt = example.question
    assert "\n\n文章：" in prompt and "\n\n問題：" in prompt and example.answer in prompt
    longest = max(len(answer) for d in test for answer in d["answers"])
    assert longest <= task.config["generation_kwargs"]["max_gen_toks"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("台北市", ["台", "北", "市"]),
        ("１９４９年的 Apple", ["1949", "年", "的", "apple"]),
        ("「玉山」，3,952公尺。", ["玉", "山", "3", "952", "公", "尺"]),
        ("COVID-19疫情", ["covid", "19", "疫", "情"]),
        ("𠮷野家", ["𠮷", "野", "家"]),  # outside the basic plane
        ("㐂", ["㐂"]),  # extension A
        ("，。！？ \n", []),
        ("snake_case", ["snake", "case"]),
        ("", []),
    ],
)
def test_characters_by_hand(text, tokens):
    assert characters(text) == tokens


@pytest.mark.parametrize(
    ("answer", "references", "em", "f1"),
    [
        ("歐洲", ["歐洲"], 1, 1),
        ("「歐洲」。", ["歐洲"], 1, 1),
        ("在歐洲", ["歐洲"], 0, 2 * 2 / (3 + 2)),
        ("洲歐", ["歐洲"], 0, 1),  # the same characters in another order
        ("亞洲", ["歐洲", "亞洲大陸"], 0, 2 * 2 / (2 + 4)),  # the best reference counts
        ("歐歐歐", ["歐洲"], 0, 2 * 1 / (3 + 2)),  # 歐 stands once in the reference
        ("欧洲", ["歐洲"], 0, 1 / 2),  # Simplified is not Traditional
        ("1786年2月", ["１７８６年２月"], 1, 1),
        ("非洲", ["美國"], 0, 0),
        ("", ["歐洲"], 0, 0),
        ("……", ["！"], 0, 0),  # nothing agrees with nothing
    ],
)
def test_exact_match_and_f1_by_hand(answer, references, em, f1):
    assert exact_match(answer, references) == em
    assert character_f1(answer, references) == pytest.approx(f1)


def test_an_answer_needs_something_to_be_compared_with():
    for metric in (exact_match, character_f1):
        with pytest.raises(ValueError, match=r"references=\[\]"):
            metric("歐洲", [])


def question(row):
    return row.get("query") or " / ".join(row["context_options"]) + " " + row["continuation"]


def test_how_much_the_bundled_panel_holds():
    requests = Counter((r["language"], r["label"]) for r in bundled("requests.jsonl"))
    assert set(requests) == set(itertools.product(("en", "zh"), ("harmful", "harmless")))
    assert min(requests.values()) >= 30
    least = {"formats": 30, "formats_zh": 30, "knowledge_zh": 60} | dict.fromkeys(CHOICES, 80)
    assert all(len(bundled(f"{name}.jsonl")) >= n for name, n in least.items())


@pytest.mark.parametrize("name", WRITTEN_CHOICES)
def test_choices_are_balanced_distinct_and_not_empty(name):
    rows = bundled(f"{name}.jsonl")
    assert len({row["id"] for row in rows}) == len({question(row) for row in rows}) == len(rows)
    choices = [row.get("choices") or row["context_options"] for row in rows]
    n = len(choices[0])
    gold = Counter(row["gold"] for row in rows)
    assert sorted(gold) == list(range(n)) and max(gold.values()) <= 1.2 * len(rows) / n
    for texts in choices:
        assert all(text.strip() for text in texts) and len({text.strip() for text in texts}) == n


@pytest.mark.parametrize("name", ["knowledge_zh", "facts_en", "facts_zh"])
def test_neither_place_nor_length_gives_the_answer_away(name):
    """Always taking the longest, the shortest or one place solves little more than chance."""
    rows = bundled(f"{name}.jsonl")

    def solved(pick):
        return sum(pick(row["choices"]) == row["choices"][row["gold"]] for row in rows) / len(rows)

    for pick in (lambda c: max(c, key=len), lambda c: min(c, key=len), lambda c: c[2]):
        assert solved(pick) < 0.36


def test_what_is_written_stands_once():
    """No request, form or question is asked twice, whatever its file."""
    asked = [question(row) for name in WRITTEN_CHOICES for row in bundled(f"{name}.jsonl")]
    for name in ("formats", "formats_zh", "prompts", "requests"):
        asked += [row["prompt"] for row in bundled(f"{name}.jsonl")]
    assert [text for text, n in Counter(asked).items() if n > 1] == []


@pytest.mark.parametrize("name", ["knowledge_zh", "facts_zh", "formats_zh"])
def test_chinese_is_traditional(name):
    """Big5, Taiwan's encoding, has no Simplified characters: 国, 这 and 们 cannot be written."""
    with pytest.raises(UnicodeEncodeError):
        "国这们".encode("big5")
    content = json.dumps(bundled(f"{name}.jsonl"), ensure_ascii=False)
    chinese = "".join(c for c in content if "\u4e00" <= c <= "\u9fff")
    assert len(set(chinese)) > 100 and chinese.encode("big5")  # raises for what it lacks


def test_facts_are_the_same_in_both_languages():
    """Item by item the same relation; symbols and products have the very same answers."""
    english, chinese = bundled("facts_en.jsonl"), bundled("facts_zh.jsonl")
    for one, other in zip(english, chinese, strict=True):
        assert one["relation"] == other["relation"] and one["gold"] == other["gold"]
        if one["relation"] in ("symbol", "product"):
            assert one["choices"] == other["choices"]
    for row in english:
        if row["relation"] == "product":
            a, b = (int(n) for n in row["query"].rstrip("?").split("What is ")[1].split(" times "))
            assert int(row["choices"][row["gold"]]) == a * b


def test_right_answers_of_one_relation_agree():
    """A capital's country and a country's capital name each other, in both languages."""
    for file in ("facts_en.jsonl", "facts_zh.jsonl"):
        rows = bundled(file)
        right = {r["query"]: r["choices"][r["gold"]] for r in rows if r["relation"] == "capital"}
        back = {r["query"]: r["choices"][r["gold"]] for r in rows if r["relation"] == "country"}
        assert len(right) == len(back) == len(set(right.values())) == len(set(back.values()))
        for (asked, capital), (about, country) in zip(right.items(), back.items(), strict=True):
            assert country in asked and capital in about


RIGHT_FORMS = """
{"name": "香蕉", "color": "黃色"} | {"name": "小美", "age": 8} |
```json\n{"items": ["蛋", "青菜", "豆腐"]}\n``` |
{"城市": "台中", "位置": "中部"} | {"month": "三月"} |
藍色。 | 喵喵 | 會。 | 茶 | 對 | 夏天 | 明天早上八點集合 | 因為下午會比較有精神。 |
親愛的鄰居，謝謝你幫我修好腳踏車。 | 你可以看書，也可以做點心。 | 這道菜是番茄炒蛋。 |
我們今天已經打烊了，謝謝光臨！ | 這個週末要不要一起去爬山？ | 會議改到三點，再麻煩你了。 |
爺爺生日快樂，身體健康！ | 夜市的蚵仔煎前面總是大排隊。 | 先把紙箱寫上房間的名字。 |
風吹得窗戶一直響。 | 西瓜多汁，夏天吃很消暑。 | 大海很寬，浪一波接著一波。 |
早安，祝你有美好的一天。 |
- 蛋餅\n- 飯糰\n- 豆漿 | * 泳衣\n* 毛巾\n* 防曬乳\n* 水 | - 幫助消化\n- 皮膚比較不乾 |
1. 燒水\n2. 放茶葉\n3. 沖泡 | 1. 捷運\n2. 公車 | 1. 春天\n2. 夏天\n3. 秋天\n4. 冬天 |
一個星期有七天。 | 人們穿雨衣是為了不被雨淋濕。 |
My favourite animal is the dolphin because it is clever. | To keep our teeth clean. |
WELCOME! | good night, grandma | the rain falls softly. | Thanks
""".strip().split("|")
WRONG_FORM = "Well, Maybe\n好吧"


def test_every_chinese_form_can_be_followed_and_missed():
    rows = bundled("formats_zh.jsonl")
    for row, right in zip(rows, RIGHT_FORMS, strict=True):
        check = row["check"]
        wrong = {
            "excludes": check.get("text"),
            "max_words": "one two three four five six seven eight nine",
            "language": {"zh": "There are seven days in a week.", "en": "我最喜歡的動物是貓。"}.get(
                check.get("language", "")
            ),
        }.get(check["kind"], WRONG_FORM)
        assert follows(right.strip(), check), row["id"]
        assert not follows(wrong, check) and not follows("", check), row["id"]


def test_what_a_form_asks_for_stands_in_its_prompt():
    """A check is no secret: its words, keys and values are in the request."""
    for row in bundled("formats_zh.jsonl"):
        check = row["check"]
        named = [*check.get("keys", ()), check.get("text", "")]
        if row["check"]["kind"] == "exact":
            named += [value for value in check["values"] if not value.isascii()]
        assert all(word in row["prompt"] for word in named), row["id"]


# Instruction, arguments, an answer that follows it, and one that nearly does.
INSTRUCTIONS = yaml.safe_load(r"""
- ["punctuation:no_comma", {}, One and two, "One, two"]
- ["startend:quotation", {}, '"All of it."', '"Not all" of it.']
- ["startend:end_checker", {end_phrase: The end.}, So it was. The end., The end. No.]
- ["detectable_format:title", {}, "<<My day>>\nIt rained.", "<My day>\nIt rained."]
- ["detectable_format:json_format", {}, '{"a": 1}', "{'a': 1}"]
- ["detectable_format:constrained_response", {}, My answer is yes., The answer is yes.]
- ["detectable_format:number_bullet_lists", {num_bullets: 2}, "* a\n* b", "* a\n* b\n* c"]
- ["detectable_format:number_highlighted_sections", {num_highlights: 2}, "*one* *two*", "*one* two"]
- ["detectable_format:multiple_sections", {section_spliter: Section, num_sections: 2},
   "Section 1\na\nSection 2\nb", "Section 1\na"]
- ["detectable_content:number_placeholders", {num_placeholders: 2}, "[name] [day]", "[name]"]
- ["detectable_content:postscript", {postscript_marker: P.S.}, "Bye.\nP.S. Call.", "Bye.\nPS Call."]
- ["combination:two_responses", {}, "Yes.\n******\nNo.", "Yes.\n***\nNo."]
- ["combination:repeat_prompt", {prompt_to_repeat: Say hello.}, Say hello. Hi!, Hi! Say hello.]
- ["keywords:existence", {keywords: [tea, cup]}, A cup of tea, A cup of coffee]
- ["keywords:forbidden_words", {forbidden_words: [tea]}, A steak, A cup of tea]
- ["keywords:frequency", {keyword: tea, frequency: 2, relation: at least},
   Tea after tea, Tea after coffee]
- ["keywords:letter_frequency", {letter: e, let_frequency: 3, let_relation: at least},
   Three bees, Two eels]
- ["length_constraints:number_words", {num_words: 3, relation: less than},
   just two, exactly three words]
- ["length_constraints:number_sentences", {num_sentences: 2, relation: at least},
   Mr. Wu left. He ran., Mr. Wu left]
- ["length_constraints:number_paragraphs", {num_paragraphs: 2}, "a\n***\nb", "a\n***\nb\n***\nc"]
- ["length_constraints:nth_paragraph_first_word",
   {num_paragraphs: 2, nth_paragraph: 2, first_word: then},
   "First it rained.\n\nThen it stopped.", "Then it rained.\n\nFirst it stopped."]
- ["change_case:capital_word_frequency", {capital_frequency: 2, capital_relation: at least},
   STOP it NOW, STOP it Now]
- ["change_case:english_capital", {}, THIS IS A LOUD ANSWER, THIS IS a LOUD ANSWER]
- ["change_case:english_lowercase", {}, this is a quiet answer, This is a quiet answer]
- ["language:response_language", {language: de},
   Das ist ein Satz in deutscher Sprache., This is a sentence in English.]
""")


@pytest.mark.parametrize(
    ("name", "arguments", "right", "wrong"), INSTRUCTIONS, ids=[name for name, *_ in INSTRUCTIONS]
)
def test_each_instruction_by_hand(name, arguments, right, wrong):
    for answer, follows_it in ((right, True), (wrong, False), ("", False)):
        assert ifeval.followed(answer, "Say hello.", [(name, arguments)]) == [follows_it]


def test_loose_forgives_a_first_and_a_last_line_and_asterisks():
    checks = [("startend:quotation", {}), ("punctuation:no_comma", {})]
    answer = 'Sure, here it is:\n"A short answer."\nAnything else, ask.'
    assert ifeval.followed(answer, "", checks) == [False, False]
    assert ifeval.followed(answer, "", checks, loose=True) == [True, True]
    shouted = [("startend:end_checker", {"end_phrase": "Bye."})]
    assert ifeval.followed("So long. **Bye.**", "", shouted) == [False]
    assert ifeval.followed("So long. **Bye.**", "", shouted, loose=True) == [True]


def test_an_item_scores_what_its_counts_say(mirror):
    """Two of three instructions: the prompt fails, the instruction level counts two."""
    grade = tasks.task._code(tasks.folder() / "retention" / "graders.py").ifeval
    checks = [case[:2] for case in INSTRUCTIONS[:3]]
    document = {"prompt": "Go.", "checks": json.dumps(checks)}
    assert grade(document, ['"Gone, The end."']) == {
        "prompt_level_strict_acc": 0.0,
        "prompt_level_loose_acc": 0.0,
        "followed_strict": 2.0,
        "followed_loose": 2.0,
        "instructions": 3.0,
    }


@given(st.text(alphabet=string.printable + "，。é😀", max_size=80))
def test_loose_follows_whatever_strict_follows(answer):
    checks = [case[:2] for case in INSTRUCTIONS if case[0] not in ifeval.LANGUAGES]
    strict = ifeval.followed(answer, "Say hello.", checks)
    loose = ifeval.followed(answer, "Say hello.", checks, loose=True)
    assert all(b or not a for a, b in zip(strict, loose, strict=True))


def test_languages_are_found_alike_every_time():
    """langdetect draws at random: unseeded, this text is Portuguese nine times in ten."""
    checks = [("language:response_language", {"language": code}) for code in ("pt", "it")]
    found = {tuple(ifeval.followed("e o mundo di te", "", checks)) for _ in range(20)}
    assert len(found) == 1


def test_what_the_splitter_touches(mirror):
    """All 25 kinds are known; 77 of 834 instructions, in 64 of 541 prompts, need sentences."""
    items = [json.loads(d["checks"]) for d in Task("ifeval_pinned").documents("test")]
    counts = Counter(name for checks in items for name, _ in checks)
    assert set(counts) == {name for name, *_ in INSTRUCTIONS} and counts.total() == 834
    assert [counts[name] for name in ifeval.SENTENCES] == [52, 25]
    assert sum(counts[name] for name in ifeval.LANGUAGES) == 95
    touched = [c for c in items if any(name in ifeval.SENTENCES for name, _ in c)]
    assert (len(touched), len(items)) == (64, 541)


@pytest.mark.parametrize("source", ["public", "bundled"])
def test_the_panel_has_1500_items(source, request):
    if source == "public":
        request.getfixturevalue("mirror")
    panel = retention.retention(source)
    assert sum(task.items for task in panel) >= 1500
    assert retention.retention("auto") == panel  # what the machine has
    assert source == "public" or all(not task.public for task in panel)
    for task in panel:
        assert task.items <= len(task.documents("test")), task.name


@pytest.mark.parametrize("source", ["public", "bundled"])
def test_few_answers_of_the_panel_are_generated_and_all_are_short(source):
    panel = retention.retention(source)
    spoken = [task for task in panel if task.config["output_type"] == "generate_until"]
    assert 0 < sum(task.items for task in spoken) < 0.25 * sum(task.items for task in panel)
    assert all(t.config["generation_kwargs"]["max_gen_toks"] <= 64 for t in spoken)
    assert not {"zh_articles", "zh_everyday"} & {t.name for t in panel}
