"""What models said, as a conversation: whole, escaped, in its language, readable without CSS."""

import re

import pytest
from lxml import html

from forgetting.chapters import published
from forgetting.chapters.operation.conversation import ASKED, NoConversation, exchanges
from forgetting.evidence import records
from forgetting.views import tables
from forgetting.views.conversation import Exchange, conversation
from forgetting.views.markup import is_chinese

LONG = " ".join(f"word{n}" for n in range(100))


def parsed(*said: Exchange) -> html.HtmlElement:
    return html.fromstring(conversation(said).data)


def words(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def answers(page: html.HtmlElement) -> list[tuple[str, str]]:
    return [(words(a[0]), words(a[1])) for a in page.find_class("reply")]


def test_a_question_is_followed_by_its_answers_whoever_reads_it():
    page = parsed(Exchange("Why?", {"before": "So.", "full": "", "LoRA": "No."}))
    assert [words(asked) for asked in page.find_class("asked")] == ["Why?"]
    assert answers(page) == [("before", "So."), ("full", "(nothing)"), ("LoRA", "No.")]


def test_a_long_answer_is_cut_between_words_and_its_rest_unfolds():
    page = parsed(Exchange("Why?", {"before": LONG}))
    start, rest = (words(part) for part in page.xpath("//*[@class='reply']//p"))
    assert len(start) < 265 and start.endswith(" …")
    assert f"{start.removesuffix(' …')} {rest}" == LONG
    assert page.xpath("//details/summary/text()") == ["the rest"]
    without_spaces = parsed(Exchange("Why?", {"before": "x" * 300}))
    start, rest = (words(part) for part in without_spaces.xpath("//*[@class='reply']//p"))
    assert (start, rest) == ("x" * 260 + " …", "x" * 40)


def test_each_language_is_named():
    page = parsed(Exchange("氣候變化?", {"before": "很大。", "after": "It changes 氣候."}))
    assert [element.get("lang") for element in page.find_class("asked")] == ["zh-Hant"]
    assert [a[1].get("lang") for a in page.find_class("reply")] == ["zh-Hant", None]
    assert is_chinese("氣 ab") and not is_chinese("氣 abc") and not is_chinese("")


def test_tabs_choose_which_answer_stands_beside_the_first():
    page = parsed(Exchange("Why?", {"before": "a", "full": "b", "LoRA": "c"}))
    inputs = page.xpath("//input[@type='radio']")
    assert [words(i.getparent()) for i in inputs] == ["full", "LoRA"]
    assert [i.get("checked") is not None for i in inputs] == [True, False]
    assert {i.get("name") for i in inputs} == {page.get("id")}
    rules = re.findall(r":has\(#([\w-]+):checked\) \.after:not\(\.(of-\d)\)", words(page))
    assert rules == [(inputs[0].get("id"), "of-1"), (inputs[1].get("id"), "of-2")]
    classes = [a.get("class") for a in page.find_class("reply")]
    assert classes == ["reply", "reply after of-1", "reply after of-2"]
    assert parsed(Exchange("Why?", {"before": "a", "full": "b"})).xpath("//input") == []


def test_two_conversations_on_a_page_do_not_share_their_tabs():
    one, two = (parsed(Exchange(asked, {"before": "a", "b": "b", "c": "c"})) for asked in "xy")
    assert one.get("id") != two.get("id")
    assert one.get("id") == parsed(Exchange("x", {"before": "a", "b": "b", "c": "c"})).get("id")


def test_the_first_chapters_conversation_is_word_for_word_what_the_records_hold(monkeypatch):
    start = records.start_of(published.runs("operation"))
    stored = {" ".join(sample.answer.split()) for sample in start.samples}
    said = exchanges()
    assert len(said) == len(ASKED)
    shown = answers(html.fromstring(conversation(said).data))
    before = [text.replace(" … the rest", "").replace(" …the rest", "") for _, text in shown[::2]]
    spaceless = {text.replace(" ", "") for text in stored}
    assert {text.replace(" ", "") for text in before} <= spaceless
    monkeypatch.setattr(published, "runs", lambda *_: [])
    with pytest.raises(NoConversation, match="forgetting run operation"):
        exchanges()


def test_a_chapter_shows_what_its_runs_said_and_links_to_their_records():
    runs = published.runs("operation")
    start, taught = records.start_of(runs), records.select(runs, method="SFT style")[0]
    page = html.fromstring(tables.said_table({"before": start, "SFT": taught}, "json").data)
    assert [title for title, _ in answers(page)] == ["before", "SFT"]
    page = html.fromstring(tables.said({"before": start, "SFT": taught}, ["questions"]).data)
    assert len(page.find_class("asked")) == 2  # the lectures' two
    assert page.get("data-of") == "records"
