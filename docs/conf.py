"""The site: the pages of the repository as they are, the API from its docstrings, the examples as they run.

The source folder is the repository's root, so that a link between two pages is the same on the site and in the code.
`make docs` writes docs/_build/html/index.html; it fetches nothing, and a warning is an error.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import hclm_runner

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs/examples")]  # for `experiments`, and for the modules of the examples

project = "hclm_runner"
author = "the authors of hclm_runner"
version = release = hclm_runner.__version__
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/*.rst", "docs/gallery/**", "experiments/**.md"]
exclude_patterns = [".*", "outputs", "docs/_build", "**/sg_execution_times.rst"]

extensions = [
    "myst_parser",  # the pages are Markdown
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings with Args, Returns and Raises
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",  # runs the examples, and makes a page and a notebook of each
]
myst_enable_extensions = ["html_image"]  # <img width=...>
myst_heading_anchors = 3
default_role = "code"  # docstrings are Markdown in this respect
viewcode_follow_imported_members = False  # it would lead to places that no page has
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_rtype = False
html_theme = "furo"  # reads well on a phone and in the dark, and fetches nothing
html_title = f"hclm_runner {release}"
html_extra_path = ["site"]  # index.html, which leads to the README
html_copy_source = False

sphinx_gallery_conf = {
    "examples_dirs": "docs/examples",
    "gallery_dirs": "docs/gallery",
    "filename_pattern": r"\.py",
    "ignore_pattern": r"my_\w+\.py",
    "within_subsection_order": "ExampleTitleSortKey",
    "write_computation_times": False,
    "show_memory": False,
    "abort_on_example_error": True,
}

CONTENTS = """
```{toctree}
:hidden:
:caption: How to
docs/running
docs/laws
docs/python
docs/gallery/index
docs/extending
docs/export_and_search
docs/cluster
docs/figures
docs/does_it_help
docs/multiverse
docs/mediation
docs/architectures
docs/stability
docs/logdet
docs/theory
```
```{toctree}
:hidden:
:caption: Reference
docs/api
docs/records
docs/conventions
experiments/VERDICTS
experiments/statements/STATEMENTS
```
```{toctree}
:hidden:
:caption: The project
docs/how_it_is_built
CONTRIBUTING
CHANGELOG
```
"""


def as_the_site_has_it(_: Sphinx, page: str, text: list[str]) -> None:
    """Give the README the site's contents; lead links to an example to its page, and those to a package to its code."""

    def leads(link: re.Match[str]) -> str:
        target = (ROOT / page).parent / link[1]
        if target.parent == ROOT / "docs/examples":
            return f"]({link[1].replace('examples/', 'gallery/').replace('.py', '.rst')})"
        return f"]({link[1]}/__init__.py)" if (target / "__init__.py").exists() else link[0]

    text[0] = re.sub(r"\]\(([\w./]+)\)", leads, text[0]) + (CONTENTS if page == "README" else "")


WRITTEN: dict[str, list[str]] = {}
"""Name -> the docstring of an attribute, in which napoleon would take what stands before a colon for its type."""


def keep_attribute(*event: Any) -> None:
    """Keep the docstring of an attribute from napoleon."""
    _, kind, name, _, _, lines = event
    if kind in ("attribute", "data", "property"):
        WRITTEN[name] = [] if lines[0].startswith("Alias for field number") else list(lines)


def as_written(*event: Any) -> None:
    """Keep the bars and trailing underscores of a formula in a docstring: reStructuredText has other uses for them."""
    _, _, name, _, _, lines = event
    lines[:] = WRITTEN.pop(name, lines)
    for i, line in enumerate(lines):
        pieces = re.split(r"(`+[^`]*`+)", line)
        pieces[::2] = [re.sub(r"\||(?<=\w)_(?!\w)", r"\\\g<0>", piece) for piece in pieces[::2]]
        lines[i] = "".join(pieces)


def setup(app: Sphinx) -> None:
    """Begin each build from nothing, so that every example trains what it shows."""
    for left in ("gallery", "examples/outputs"):
        shutil.rmtree(ROOT / "docs" / left, ignore_errors=True)
    app.connect("source-read", as_the_site_has_it)
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)
    app.connect("autodoc-process-docstring", as_written, priority=600)  # napoleon's is 500
