"""Every task of the book: lm-eval reads it as the library does, item for item."""

import pytest
from lm_eval.tasks import TaskManager
from test_evaluation import KINDS, assert_item_for_item

from forgetting import Task, tasks
from forgetting.engine import compute

pytestmark = pytest.mark.public


@pytest.fixture(scope="module")
def manager():
    """What `lm_eval --include_path data/tasks` makes."""
    return TaskManager(include_path=str(tasks.folder()), include_defaults=False)


@pytest.fixture(scope="module")
def model(tiny):
    """`tiny` after a little Chinese, so that its preferences are no coin tosses."""
    settings = {"tokens": 2048, "length": 128, "batch": 2, "learning_rate": 1e-2}
    return compute.model(tiny.train(Task("zh_everyday"), **settings))


# Of recordings: lm-eval's own model reads text alone.
OWN_FORM = [(n, Task(n).chat) for n in tasks.names() if "doc_to_audio" not in Task(n).config]
OTHER_FORM = [(name, not Task(name).chat) for name in KINDS]


@pytest.mark.parametrize(("name", "chat"), OWN_FORM + OTHER_FORM)
def test_item_for_item_as_plain_lm_eval(name, chat, model, manager):
    if missing := Task(name).missing():
        pytest.skip(f"{', '.join(missing)} is not at hand: set FORGETTING_DATA_MIRROR")
    assert_item_for_item(model, manager, name, chat)
