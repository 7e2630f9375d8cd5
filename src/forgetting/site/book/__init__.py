"""Build the book: prose, executed notebooks and run records become web pages. Nothing trains here.

`build(root)` writes `root/build/html`. It works in `root/build`:

    executed/<key>.json    outputs of notebooks, run once per (code, records, library)
    source/                what Jupyter Book reads: `book/`, executed notebooks, generated pages
    _build/                Jupyter Book's own folder; its pages become `html/` when they pass
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from forgetting.site.book import plain
from forgetting.site.book.staging import stage
from forgetting.site.book.verifying import verify
from forgetting.site.markup import BookError

__all__ = ["BookError", "build"]


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
    pages = _run_jupyter_book(root, source, strict=strict)
    plain.write(pages, source)
    verify(pages, root / "_toc.yml")
    html = root / "build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    return pages.rename(html)


def _run_jupyter_book(root: Path, source: Path, *, strict: bool) -> Path:
    """Turn `source` into pages and return their folder.

    Every page is read again: of one that it has read before, Sphinx repeats no warning, and on one
    that did not change it leaves old titles and links of others.
    """
    output = root / "build" / "_build"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(source), "--path-output", str(output.parent), "-n", "-q"]
    command += ["--config", str(root / "_config.yml"), "--toc", str(root / "_toc.yml")]
    command += ["-W", "--keep-going"] if strict else []
    settings = {"FORGETTING_ROOT": str(root), "PYTHONHASHSEED": "0", "NO_COLOR": "1"}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    log = done.stdout + done.stderr
    (root / "build" / "jupyter-book.log").write_text(log)
    if done.returncode:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", log).replace(f"{source}/", "")
        lines = [line for line in plain.splitlines() if line.strip()]
        problems = [line for line in lines if re.search(r"WARNING|ERROR|error:|Error", line)]
        raise BookError("Jupyter Book failed:\n  " + "\n  ".join((problems or lines)[:20]))
    return output / "html"
