"""A page as the tests read it: its elements, its texts, its tables and its data."""

import html.parser
import json
from typing import Any

HEAD = {"answers": [], "found": [], "runs": 0, "judged": False}
"""The head of a page of which only a section is of interest."""


class Outline(html.parser.HTMLParser):
    """The elements of a page with the attributes of each, and its texts; elements that do not nest are an error."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif self._open and self._open[-1] != "style":
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """What a reader reads."""
        return " ".join(" ".join(self.texts).split())


def section(page: str, anchor: str) -> str:
    """Return a section of a page."""
    begins = page.index(f'<section id="{anchor}"')
    return page[begins : page.index("</section>", begins)]


def runs(page: str) -> dict[str, Any]:
    """Return the runs of the explorer as the page has them."""
    begins = page.index('id="runs">') + len('id="runs">')
    return json.loads(page[begins : page.index("</script>", begins)])
