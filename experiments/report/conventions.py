"""The page docs/conventions.md, prose and one table, as the report shows it."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

DOCUMENT = Path(__file__).parents[2] / "docs" / "conventions.md"
LINKS = ("link_open", "link_close", "image")
"""Their targets are files of the checkout, which a page that is sent to somebody does not have."""
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


class Conventions(NamedTuple):
    """What a page of Markdown holds below its heading, as HTML: its prose, and its table's head and rows."""

    prose: Markup
    head: list[Markup]
    rows: list[list[Markup]]


def read(path: Path) -> Conventions | None:
    """Return the page's prose and table, its first heading and the targets of its links left out; None without a file.

    HTML in the Markdown is shown as text.
    """
    return parse(path.read_text()) if path.exists() else None


def parse(text: str) -> Conventions:
    """Return the prose and the table of a page of Markdown."""
    tokens = MARKDOWN.parse(text)
    for token in tokens:
        token.children = [child for child in token.children or () if child.type not in LINKS]
    inside = _spans(tokens, "table")
    heading = _spans(tokens, "heading")[:3]
    prose = [token for token in tokens if not any(token is other for other in (*inside, *heading))]
    rows: list[list[Markup]] = []
    for token, following in pairwise(inside):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(_html(following.children or ()))
    return Conventions(_html(prose), rows[0] if rows else [], rows[1:])


def _spans(tokens: Sequence[Token], kind: str) -> list[Token]:
    """Return the tokens from each opening of a kind to its end."""
    found, depth = [], 0
    for token in tokens:
        depth += token.type == f"{kind}_open"
        if depth:
            found.append(token)
        depth -= token.type == f"{kind}_close"
    return found


def _html(tokens: Sequence[Token]) -> Markup:
    return Markup(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}))
