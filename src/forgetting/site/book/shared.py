"""What the steps of a build share: their error, and the table of contents."""

from pathlib import Path


class BookError(RuntimeError):
    """The book cannot be built; the message says where and why."""


def toc_entries(path: Path) -> list[str]:
    """The pages that a table of contents names, in its order."""
    from sphinx_external_toc.parsing import parse_toc_yaml

    return list(parse_toc_yaml(path))
