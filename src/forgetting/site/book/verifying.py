"""Looking over built pages: none is missing, asks another host, or has an image without words."""

import re
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

from forgetting.site.book.shared import BookError, toc_entries

OTHER_HOST = re.compile(r"\s*(?:(?:https?|wss?|ftp):)?//", re.IGNORECASE)
STYLE_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", re.IGNORECASE)
FILE_NAME = re.compile(r"\S+\.(?:png|svg|jpe?g|gif|webp)", re.IGNORECASE)
FETCHED_BY_LINK = {
    "stylesheet",
    "icon",
    "apple-touch-icon",
    "manifest",
    "modulepreload",
    "preload",
    "prefetch",
    "prerender",
    "preconnect",
    "dns-prefetch",
}
NOT_FETCHED = {"a", "area", "form", "link", "blockquote", "del", "ins", "q"}
VERBATIM = {"pre", "code", "script", "style", "textarea"}


def verify(pages: Path, toc: Path) -> None:
    """Raise unless each entry of `toc` has its page, images have words, and no page phones out."""
    if not (pages / "index.html").is_file():
        raise BookError("index.html: was not built")
    for name in toc_entries(toc):
        page = pages / f"{PurePosixPath(name).with_suffix('')}.html"
        if not page.is_file():
            raise BookError(f"{toc.name}: {name} has no page {page.relative_to(pages)}")
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
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".css":
        return _style_problems(text)
    if "_static" in path.parts:  # templates of the theme, shown to nobody
        return []
    parser = _PageParser()
    parser.feed(text)
    parser.close()
    return parser.problems


def _style_problems(css: str) -> list[str]:
    addresses = [first or second for first, second in STYLE_URL.findall(css)]
    return [f"a style asks for {url}" for url in addresses if OTHER_HOST.match(url)]


class _PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self._in_style = False
        self._verbatim = 0  # depth of elements whose text is code

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self._verbatim += tag in VERBATIM
        relations = set(given.get("rel", "").lower().split())
        if tag not in NOT_FETCHED or (tag == "link" and relations & FETCHED_BY_LINK):
            for name in ("src", "href", "xlink:href", "data", "poster"):
                self._check(tag, given.get(name, ""))
            for candidate in given.get("srcset", "").split(","):
                self._check(tag, candidate)
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self._check(tag, given.get("content", "").partition("=")[2])
        self.problems += _style_problems(given.get("style", ""))
        if tag == "img":
            words = given.get("alt", "").strip()
            if not words or FILE_NAME.fullmatch(words):  # docutils falls back to the file's name
                self.problems.append(f"the image {given.get('src', '')} has no alt text")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        self._verbatim -= tag in VERBATIM

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.problems += _style_problems(data)
        elif not self._verbatim and "{{" in data:
            # In a table cell a bar ends the cell, and MyST says nothing of the torn substitution.
            shown = " ".join(data[data.index("{{") :].split())[:60]
            self.problems.append(f"a number was not filled in: {shown}")

    def _check(self, tag: str, address: str) -> None:
        if OTHER_HOST.match(address):
            self.problems.append(f"<{tag}> asks another host for {address.strip()}")
