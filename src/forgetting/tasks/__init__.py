"""Tasks: lm-eval YAML files, their documents, metrics and graders."""

from forgetting.tasks.task import (
    TEMPLATE_FIELDS,
    Task,
    UnknownTask,
    folder,
    named,
    names,
)

__all__ = ["TEMPLATE_FIELDS", "Task", "UnknownTask", "folder", "named", "names"]
