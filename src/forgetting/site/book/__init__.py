"""Build the book: prose, executed notebooks and run records become web pages. Nothing trains here.

`build(root)` writes `root/build/html`. It works in `root/build`:

    executed/<key>.ipynb   notebooks, run once per (code, records, library); new prose runs none
    source/                what Jupyter Book reads: `book/`, executed notebooks, generated pages
    _build/                Jupyter Book's own folder; copied to `html/` when every check has passed
"""

import shutil
from pathlib import Path

from forgetting.site.book.fingerprints import rendering_fingerprint, skeleton
from forgetting.site.book.normalising import WIDGET, normalise, serialise
from forgetting.site.book.rendering import run_jupyter_book
from forgetting.site.book.shared import BookError
from forgetting.site.book.staging import stage, with_records
from forgetting.site.book.verifying import page_problems, verify

__all__ = [
    "WIDGET",
    "BookError",
    "build",
    "normalise",
    "page_problems",
    "serialise",
    "skeleton",
    "stage",
    "verify",
    "with_records",
]


def build(root: Path, *, strict: bool = True) -> Path:
    """Build the book whose top folder is `root` and return the folder of its pages.

    With `strict`, a warning of Jupyter Book (a missing number, reference, citation or term) fails
    the build. The pages of the last good build stay in place until new ones have passed.
    """
    root = root.resolve()
    for name in ("_config.yml", "_toc.yml", "book"):
        if not (root / name).exists():
            raise BookError(f"{root}: has no {name}, so it is not the top folder of the book")
    source = stage(root)
    pages = run_jupyter_book(root, source, strict=strict)
    verify(pages, root / "_toc.yml")
    if strict:  # warnings are printed only while a page is read, so only a clean read may be reused
        (pages.parent / ".inputs").write_text(rendering_fingerprint(root))
        (pages.parent / ".skeleton").write_text(skeleton(source))
    html = root / "build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    return shutil.copytree(pages, html)
