"""A system turn goes wherever a question goes; a template without one says so in one line."""

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from forgetting import Task, evaluate, foundation, tasks
from forgetting.engine import compute
from forgetting.models import template
from forgetting.models.template import BadTurns
from forgetting.probes.evaluation import FamilyLM
from forgetting.probes.told_apart import ToldApart

ASKED = Task("harmful_en_guarded", 2)
TAUGHT = Task("mini_sentiment_guarded", 2)
LINE = "You are a careful assistant."
REFUSES = (
    "{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHORT = {"style": "sft", "examples": 2, "length": 1024, "batch": 2}


@pytest.fixture(scope="module")
def without(tiny, tmp_path_factory):
    """`tiny` with a chat template that takes no system turn."""
    folder = tmp_path_factory.mktemp("without")
    model, tokenizer = compute.model(tiny)
    model.save_pretrained(folder)
    own = tokenizer.chat_template
    tokenizer.chat_template = REFUSES
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = own
    return foundation(str(folder))


def test_the_line_stands_before_the_question_once(tiny):
    _, tokenizer = compute.model(tiny)
    for task in (ASKED, TAUGHT):
        prompt = template.prompt(tokenizer, task.example(task.documents("test")[0]))
        assert prompt.count(LINE) == 1
        assert prompt.index("<|im_start|>system") < prompt.index(LINE) < prompt.index("user\n")


def test_it_changes_what_is_answered_and_what_is_learned(tiny):
    plain = Task("mini_sentiment_chat")
    guarded = tiny.train(TAUGHT, **SHORT)
    assert guarded != tiny.train(plain, **SHORT)
    assert evaluate(guarded, [ASKED])[ASKED.name].n == 2


def test_a_template_that_takes_none_says_so(without):
    """Asked, taught, measured, and asked by lm-eval."""
    line = "turns: system, user: the chat template takes no such turns .*not supported"
    with pytest.raises(BadTurns, match=line):
        evaluate(without, [ASKED])
    with pytest.raises(BadTurns, match=line):
        evaluate(without, [ToldApart(ASKED, Task("harmless_en", 2))])
    with pytest.raises(BadTurns, match=line):
        compute.model(without.train(TAUGHT, **SHORT))
    model = FamilyLM(*compute.model(without))
    manager = TaskManager(include_path=str(tasks.folder()), include_defaults=False)
    with pytest.raises(BadTurns, match=line):
        simple_evaluate(
            model,
            tasks=[ASKED.name],
            task_manager=manager,
            apply_chat_template=True,
            limit=2,
            bootstrap_iters=0,
        )


def test_what_has_no_system_turn_is_asked_of_it_as_before(without, tiny):
    task = Task("harmful_en", 2)
    assert evaluate(without, [task])[task.name].n == evaluate(tiny, [task])[task.name].n
