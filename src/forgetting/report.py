"""A reader's own run as one page of HTML, beside what the book published.

The page holds all it shows: pictures are inside, nothing is asked of another host. The chapter's
prose speaks of the published runs, so it stays in the book; headings, figures and tables are here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from forgetting.evidence import claims, records
from forgetting.evidence.claims import Verdict
from forgetting.evidence.papers import papers
from forgetting.evidence.records import Tier
from forgetting.experiments import parameters

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1f1f1f; --ground: #fff; --line: #c9c9c9; --link: #0b5394;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --ground: #14181e; --line: #48566b; --link: #8ab4f8; }
}
body { background: var(--ground); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif;
  margin: 0 auto; max-width: 64rem; padding: 1rem; overflow-wrap: break-word; }
a { color: var(--link); }
img { background: #fff; height: auto; max-width: 100%; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top; }
.wide { overflow-x: auto; }
.beside { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); }
figure { margin: 0; }
.verdict { border: 1px solid currentcolor; border-radius: .8em; font-size: .85em; font-weight: 600;
  padding: .05em .6em; white-space: nowrap; }
"""


def published(chapter: str) -> list[Verdict]:
    """The chapter's verdicts from the records in the book's own `results/`, as they are now."""
    folder = records.project_root() / "results" / chapter
    found = [records.load(path) for path in sorted(folder.glob("*.json"))]
    by_tier = ([r for r in found if r.tier == tier] for tier in claims.PUBLISHED)
    stored = next((alike for alike in map(records.comparable, by_tier) if alike), [])
    return [
        claims.judge(claim, paper, stored)
        for paper in papers()
        for claim in paper.claims
        if claim.chapter == chapter
    ]


def page(
    chapter: str,
    executed: Path,
    settings: Mapping[str, Any],
    before: Sequence[Verdict],
    book_page: Path | None = None,
) -> str:
    """The page of one executed notebook.

    `settings` are the parameters it ran with, `before` the published verdicts. `book_page` is the
    chapter as the book staged it; its figures stand beside those of the run.
    """
    notebook = nbformat.read(executed, as_version=4)
    title = parameters.title_of(executed)
    tier: Tier | None = settings.get("tier")
    rows = "".join(
        f"<tr><th scope='row'>{_text(name)}</th><td>{_text(value) or '–'}</td></tr>"
        for name, value in zip(settings, map(parameters.typed, settings.values()), strict=True)
    )
    body = [
        f"<h1>{_text(title)}</h1>",
        f"<p>A run of the chapter <code>{_text(chapter)}</code>, {date.today():%Y-%m-%d}, beside "
        "what the book published. It is judged with all that is stored of its tier. A smaller tier "
        "is another experiment of the same shape: compare directions, not sizes.</p>",
        *_smoke_warning(tier),
        "<h2>Parameters</h2>",
        _wide("Parameters", f"<table>{rows}</table>"),
        "<h2>Verdicts</h2>",
        verdict_table(claims.verdicts(chapter, tier), before),
        *_outputs(notebook, _figures(book_page)),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_text(title)}: a run of one's own</title><style>{STYLE}</style></head>"
        "<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def _smoke_warning(tier: str | None) -> list[str]:
    if tier != "smoke":
        return []
    return ["<p><strong>The smoke tier's model is a toy: its numbers mean nothing.</strong></p>"]


def verdict_table(found: Sequence[Verdict], before: Sequence[Verdict]) -> str:
    """Every claim with the run's verdict and the published one."""
    if not found:
        return "<p>This chapter has no claims.</p>"
    known = {verdict.id: verdict for verdict in before}
    rows = [
        f"<tr><th scope='row'>{_text(v.statement)}</th><td>{_verdict(v)}</td>"
        f"<td>{_verdict(known[v.id]) if v.id in known else '–'}</td></tr>"
        for v in found
    ]
    head = "".join(f"<th scope='col'>{c}</th>" for c in ("claim", "with this run", "published"))
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return _wide("Verdicts", f"<table>{body}</table>")


def _wide(label: str, table: str) -> str:
    """A table that scrolls in its own box, which the keyboard can reach."""
    return f"<div class='wide' role='region' tabindex='0' aria-label='{label}'>{table}</div>"


def _verdict(verdict: Verdict) -> str:
    told = f"<span class='verdict'>{verdict.verdict}</span>"
    if verdict.effect is not None and verdict.low is not None and verdict.high is not None:
        numbers = f"{verdict.effect:+.3g} [{verdict.low:+.3g}, {verdict.high:+.3g}]"
        told += f"<br>{_text(f'{numbers} {verdict.unit}'.replace('-', '−'))}"
    if verdict.tier:
        told += f"<br><small>{verdict.tier} tier, {verdict.runs}, {verdict.date}</small>"
    elif verdict.reason:
        told += f"<br><small>{_text(verdict.reason)}</small>"
    return told


# -- outputs -----------------------------------------------------------------------------------


def _outputs(notebook: NotebookNode, beside: Mapping[str, str]) -> list[str]:
    """Headings and what the cells showed; below a heading that shows nothing stands nothing."""
    shown: list[str] = []
    waiting: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            waiting += [
                f"<h{len(m)}>{_text(t)}</h{len(m)}>" for m, t in HEADING.findall(cell.source)
            ]
            continue
        printed = "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
        found = [text for output in cell.outputs if (text := _output(output, beside))]
        if printed:
            summary = "<summary>What it printed</summary>"
            found.append(f"<details>{summary}<pre>{_text(printed)}</pre></details>")
        if found:
            shown += [*_nearest(waiting), *found]
            waiting = []
    return shown


HEADING = re.compile(r"^(#{2,4}) +(.+?) *$", re.MULTILINE)


def _nearest(headings: Sequence[str]) -> list[str]:
    """Of headings without anything below them the last, and what it stands under."""
    kept: list[str] = []
    for heading in reversed(headings):
        if not kept or heading[2] < kept[0][2]:
            kept.insert(0, heading)
    return kept


def _output(output: NotebookNode, beside: Mapping[str, str]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        alt = _alt(output)
        ours = _picture(data["image/png"], alt, "This run")
        theirs = _picture(beside[alt], f"Published: {alt}", "Published") if alt in beside else ""
        return f"<div class='beside'>{ours}{theirs}</div>"
    if "text/html" in data:
        return _wide("Table of the run", data["text/html"])
    return ""


def _picture(png: str, alt: str, caption: str) -> str:
    source = f"data:image/png;base64,{''.join(png.split())}"
    words = html.escape(alt, quote=True)
    return f"<figure><img src='{source}' alt='{words}'><figcaption>{caption}</figcaption></figure>"


def _alt(output: NotebookNode) -> str:
    return output.get("metadata", {}).get("image/png", {}).get("alt", "A figure of this chapter.")


def _figures(book_page: Path | None) -> dict[str, str]:
    """The published figures by their alternative texts; none where the book was not built."""
    if book_page is None or not book_page.is_file():
        return {}
    cells = nbformat.read(book_page, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return {
        _alt(output): output["data"]["image/png"]
        for output in outputs
        if "image/png" in output.get("data", {})
    }


def _text(text: object) -> str:
    return html.escape(str(text), quote=True)
