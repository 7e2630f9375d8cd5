"""Tasks: lm-eval YAML files, their documents, metrics and graders."""

from forgetting.tasks.example import HEARD, Example, Turn
from forgetting.tasks.task import (
    TEMPLATE_FIELDS,
    BadTask,
    Task,
    UnknownTask,
    folder,
    named,
    names,
)

__all__ = [
    "HEARD",
    "TEMPLATE_FIELDS",
    "BadTask",
    "Example",
    "Task",
    "Turn",
    "UnknownTask",
    "folder",
    "named",
    "names",
]
