"""The site is built without a warning; its links lead somewhere, and it fetches nothing."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]


class Page(HTMLParser):
    """What a page of the site is linked by, links to, and fetches."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        else:
            self.fetched += [given[name] for name in ("src", "href") if name in given]


def test_every_page_is_in_the_contents():
    contents = (ROOT / "docs/conf.py").read_text().splitlines()
    for path in (ROOT / "docs").glob("*.md"):
        assert f"docs/{path.stem}" in contents


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("sphinx_gallery", reason="make docs installs what the site needs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-b", "html", "-c", "docs", ".", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_link_leads_to_a_page_and_a_place_on_it_and_nothing_is_fetched(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 20
    for path, page in pages.items():
        for link in page.links + page.fetched:
            parts = urlsplit(link)
            if parts.scheme:
                assert link in page.links or parts.scheme == "data", f"{path.name} fetches {link}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {link}"


@pytest.mark.slow
def test_the_site_has_the_api_the_pages_and_the_examples_as_they_ran(site):
    api = Page(site / "docs/api.html").anchors
    assert {f"hclm_runner.{name}" for name in ("configure", "train", "sweep", "load", "Records")} <= api
    for path in (ROOT / "docs").glob("*.md"):
        assert (site / "docs" / f"{path.stem}.html").exists()
    for name in ("first_run", "own_surrogate", "own_model"):
        page = (site / f"docs/gallery/{name}.html").read_text()
        assert "sphx_glr_" in page, "a picture"
        assert f"{name}.ipynb" in page, "a notebook"
    assert "finished" in (site / "docs/gallery/own_surrogate.html").read_text()
    assert "README.html" in (site / "index.html").read_text()
