"""Write into every chapter's claims.toml since when each claim stands as it is judged.

    python tools/date_claims.py

`written` is the day and the commit from which on what is compared (`DECIDES`: all but the checks
that a claim needs) is what it is today, however often its file was moved or its words were mended.
Commit a new claim first, then run this.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DECIDES = ("measures", "left", "right", "than", "same", "matched_on", "line_on", "direction")
PLACES = ("data/papers", "src/forgetting/chapters")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def deciding(claim: dict[str, Any]) -> str:
    """What a claim is judged by, in one text."""
    return repr([claim.get(name) for name in (*DECIDES, "tolerance")])


def history() -> dict[str, tuple[str, str]]:
    """By claim, the text that decides it now, and the day and commit since which it is so."""
    since: dict[str, tuple[str, str]] = {}
    for line in git("log", "--reverse", "--format=%h %cs", "--", *PLACES).splitlines():
        commit, day = line.split()
        changed = git(
            "show", "--format=", "--name-only", "--diff-filter=AMR", commit, "--", *PLACES
        )
        for path in changed.splitlines():
            if not path.endswith(".toml"):
                continue
            try:
                claims = tomllib.loads(git("show", f"{commit}:{path}")).get("claims", [])
            except tomllib.TOMLDecodeError:
                continue
            for claim in claims if isinstance(claims, list) else []:
                text = deciding(claim)
                if since.get(claim["id"], ("", ""))[0] != text:
                    since[claim["id"]] = text, f"{day} {commit}"
    return since


def dated(text: str, since: dict[str, tuple[str, str]]) -> str:
    """A claims.toml with `written` after every claim's unit."""
    parts = re.split(r"(?m)^(?=\[\[claims\]\]\n)", text)
    for number, part in enumerate(parts[1:], 1):
        (claim,) = tomllib.loads(part)["claims"]
        stands, when = since.get(claim["id"], ("", ""))
        part = re.sub(r'(?m)^written = ".*"\n', "", part)
        if stands == deciding(claim):
            part = re.sub(r"(?m)^(unit = .*)$", rf'\1\nwritten = "{when}"', part)
        parts[number] = part
    return "".join(parts)


if __name__ == "__main__":
    since = history()
    for path in sorted(ROOT.glob("src/forgetting/chapters/*/claims.toml")):
        text = path.read_text(encoding="utf-8")
        if (new := dated(text, since)) != text:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))
