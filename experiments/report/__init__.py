"""A store as one HTML page that opens from disk: verdicts, figures, and an explorer of every run over epochs.

    python -m experiments report paper

`page` says what stands on the page, `explore` packs the runs for the explorer, `conventions` reads the table of
conventions, `template.html.jinja` is the page, `style.css` and `explorer.js` are its style and its script. The page
holds all it needs, its plotting library too, and forbids itself to fetch anything.

Imports neither torch nor hydra.
"""

from experiments.report.command import main

__all__ = ["main"]
