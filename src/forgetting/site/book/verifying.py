"""Looking over built pages: none is missing, asks another host, or has an image without words."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lxml import html

from forgetting.site.markup import BookError

OTHER_HOST = re.compile(r"\s*(?:(?:https?|wss?|ftp):)?//", re.IGNORECASE)
STYLE_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", re.IGNORECASE)
FILE_NAME = re.compile(r"\S+\.(?:png|svg|jpe?g|gif|webp)", re.IGNORECASE)
NOT_FETCHED = {"a", "area", "form", "button", "link", "blockquote", "del", "ins", "q"}
FETCHED_BY_LINK = re.compile("stylesheet|icon|manifest|preload|fetch|prerender|preconnect")
VERBATIM = " or ".join(f"ancestor::{tag}" for tag in ("pre", "code", "script", "style", "textarea"))


def toc_entries(path: Path) -> list[str]:
    """The pages that a table of contents names, in its order."""
    from sphinx_external_toc.parsing import parse_toc_yaml

    return list(parse_toc_yaml(path))


def verify(pages: Path, toc: Path) -> None:
    """Raise unless each entry of `toc` has its page, images have words, and no page phones out."""
    if not (pages / "index.html").is_file():
        raise BookError("index.html: was not built")
    for name in toc_entries(toc):
        page = PurePosixPath(name).with_suffix(".html")
        if not (pages / page).is_file():
            raise BookError(f"{toc.name}: {name} has no page {page}")
    problems = [
        f"{path.relative_to(pages)}: {problem}"
        for path in sorted(pages.rglob("*"))
        if path.suffix in (".html", ".css") and path.parent.name != "_sources"
        for problem in page_problems(path)
    ]
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise BookError(problems[0] + more)


def page_problems(path: Path) -> list[str]:
    """What is wrong with one page or stylesheet: requests to other hosts, images without words."""
    if path.suffix == ".css":
        return _style_problems(path.read_text(encoding="utf-8", errors="replace"))
    if "_static" in path.parts:  # templates of the theme, shown to nobody
        return []
    page = html.parse(path, html.HTMLParser(encoding="utf-8")).getroot()
    if page is None:
        return ["is empty"]
    problems = [
        f"<{tag}> asks another host for {address.strip()}"
        for tag, address in _fetched(page)
        if OTHER_HOST.match(address)
    ]
    for style in page.xpath("//style/text() | //@style"):
        problems += _style_problems(style)
    for image in page.iter("img"):
        words = image.get("alt", "").strip()
        if not words or FILE_NAME.fullmatch(words):  # docutils falls back to the file's name
            problems.append(f"the image {image.get('src', '')} has no alt text")
    for text in page.xpath(f"//text()[contains(., '{{{{') and not({VERBATIM})]"):
        # In a table cell a bar ends the cell, and MyST says nothing of the torn substitution.
        shown = " ".join(text[text.index("{{") :].split())[:60]
        problems.append(f"a number was not filled in: {shown}")
    return problems


def _fetched(page: html.HtmlElement) -> Iterator[tuple[str, str]]:
    """Tags and the addresses that a browser asks for by itself, but for those in styles."""
    for element, attribute, address, _ in page.iterlinks():
        followed = not FETCHED_BY_LINK.search(element.get("rel", "").lower())
        if attribute not in (None, "style") and not (element.tag in NOT_FETCHED and followed):
            yield element.tag, address
    for element in page.xpath("//*[@srcset or @poster]"):
        for candidate in f"{element.get('poster', '')},{element.get('srcset', '')}".split(","):
            yield element.tag, candidate


def _style_problems(css: str) -> list[str]:
    addresses = [url or imported for url, imported in STYLE_URL.findall(css)]
    return [f"a style asks for {address}" for address in addresses if OTHER_HOST.match(address)]
