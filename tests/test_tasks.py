"""Every task of the book: lm-eval reads it as the library does, item for item."""

import pytest
from lm_eval.tasks import TaskManager
from test_evaluation import assert_item_for_item

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


@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat template"])
@pytest.mark.parametrize("name", tasks.names())
def test_item_for_item_as_plain_lm_eval(name, chat, model, manager):
    if missing := Task(name).missing():
        pytest.skip(f"{', '.join(missing)} is not at hand: set FORGETTING_DATA_MIRROR")
    assert_item_for_item(model, manager, name, chat)
