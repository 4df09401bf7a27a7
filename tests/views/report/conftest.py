"""Small stores, and what a browser would make of their reports."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from toolkit.views.report.report import report_of_store
from toolkit.views.stored import snapshot_of_store

VOID = {"meta", "br", "image", "path", "use", "rect", "img", "hr", "input", "link"}


@dataclass
class Page:
    """A report as it was read."""

    html: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]

    @property
    def pictures(self) -> int:
        return sum(tag == "svg" for tag, _ in self.tags)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page: Page
        self._open: list[str] = []
        self._section = ""
        self._caption: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.page.tags.append((tag, named))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = named["id"]
        if tag == "figcaption":
            self._caption = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.page.unbalanced.append(tag)
        if tag == "figcaption" and self._caption is not None:
            self.page.captions.append(_words("".join(self._caption)))
            self._caption = None

    def handle_data(self, data: str) -> None:
        if self._section:
            self.page.sections[self._section] = self.page.sections.get(self._section, "") + data
        if self._caption is not None:
            self._caption.append(data)


def read(html: str) -> Page:
    reader = _Reader()
    reader.page = Page(html=html)
    reader.feed(html)
    reader.close()
    for name, words in reader.page.sections.items():
        reader.page.sections[name] = _words(words)
    return reader.page


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@pytest.fixture
def report() -> Callable[[Path | str], Page]:
    """Return the report of a store as read, after looking at what every report must be."""

    def make(path: Path | str) -> Page:
        page = read(report_of_store(path, snapshot_of_store(path)))
        check(page)
        return page

    return make


def check(page: Page) -> None:
    """Raise where a report would run, ask for, or mix up anything."""
    assert page.unbalanced == []
    assert len(page.ids) == len(set(page.ids))
    allowed = {
        "html", "head", "meta", "title", "style", "body", "header", "nav", "section", "footer",
        "h1", "h2", "h3", "p", "a", "b", "i", "br", "span", "div", "code", "pre", "details",
        "summary", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption",
        "svg", "g", "path", "defs", "use", "text", "tspan", "image", "clippath", "rect",
    }  # fmt: skip
    assert {tag for tag, _ in page.tags} <= allowed
    for tag, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        for name in ("href", "src", "xlink:href", "action"):
            if name in attrs:
                assert attrs[name].startswith(("#", "data:image/png;base64,")), (tag, attrs[name])
        if "href" in attrs and tag == "a":
            assert attrs["href"][1:] in page.ids
        urls = re.findall(r"url\(([^)]*)\)", attrs.get("style", "") + attrs.get("clip-path", ""))
        assert all(url.startswith("#") and url[1:] in page.ids for url in urls)
    policy = next(a for t, a in page.tags if t == "meta" and "http-equiv" in a)["content"]
    assert policy.startswith("default-src 'none'")
