"""Running Jupyter Book, which turns the source of the book into pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from forgetting.site.book.fingerprints import rendering_fingerprint, skeleton
from forgetting.site.book.shared import BookError


def run_jupyter_book(root: Path, source: Path, *, strict: bool) -> Path:
    """Turn `source` into pages and return their folder; pages read before are not read again."""
    output = root / "build" / "_build"
    inputs = output / ".inputs"
    if not inputs.is_file() or inputs.read_text() != rendering_fingerprint(root):
        shutil.rmtree(output, ignore_errors=True)
    inputs.unlink(missing_ok=True)
    # Sphinx writes only pages that it read again, and leaves old titles and links on the others.
    known = output / ".skeleton"
    if not known.is_file() or known.read_text() != skeleton(source):
        shutil.rmtree(output / "html", ignore_errors=True)
    # Links carry a file's checksum where the file stands already: they must not on a second build.
    shutil.rmtree(output / "html" / "_static", ignore_errors=True)
    known.unlink(missing_ok=True)
    shutil.rmtree(output / "jupyter_execute", ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(source), "--path-output", str(output.parent), "-n", "-q"]
    command += ["--config", str(root / "_config.yml"), "--toc", str(root / "_toc.yml")]
    command += ["-W", "--keep-going"] if strict else []
    settings = {"FORGETTING_ROOT": str(root), "PYTHONHASHSEED": "0", "NO_COLOR": "1"}
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    log = done.stdout + done.stderr
    (root / "build" / "jupyter-book.log").write_text(log)
    if done.returncode:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", log).replace(f"{source}/", "")
        lines = [line for line in plain.splitlines() if line.strip()]
        told = [line for line in lines if re.search(r"WARNING|ERROR|error:|Error", line)]
        raise BookError("Jupyter Book failed:\n  " + "\n  ".join((told or lines)[:20]))
    return output / "html"
