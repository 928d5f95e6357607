"""A store as one HTML page that opens from disk: verdicts, figures, and an explorer of every run over epochs.

    python -m experiments.report paper

Reads the store's runs, its claims.json (`experiments.claims`) and its figures/ (`experiments.figures`), and writes
STORE/report.html. The page holds all it needs, its plotting library too, and forbids itself to fetch anything; its
style and script are report.css and report.js. The explorer's numbers are packed by `pack`, rounded to 16 bits.

Imports neither torch nor hydra.
"""

import argparse
import base64
import gzip
import html
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from experiments import grid, verdicts
from experiments.figures import FIGURES, LOOKS, Row
from experiments.verdicts import Claim
from hclm_runner import store, terminal
from hclm_runner.refusal import ConfigError
from hclm_runner.records import COLUMNS

HERE = Path(__file__)
README = HERE.parents[1] / "README.md"
THEORY = store.OUTPUTS / "theory"
"""Where `make verify` writes gates.json and its figures, and `make theory` studies.json and its own."""
LIMIT = 8_000_000
"""Bytes of the page: what mail and a phone still take."""

UNDEFINED, ZERO, LEVELS = 65535, 65534, 65533
"""Codes of `pack`: NaN, exactly 0 on a logarithmic scale, and the greatest of the others."""
DECADES = 2.0
"""A column of no negative numbers whose positive ones span more than this is packed by its logarithm."""

MODEL_FIGURES = {
    3: "The scaling model: rates of injection and dissipation over scale, for weak, balanced and excessive dissipation",
    4: "The scaling model: injection over dissipation, for weak, balanced and excessive dissipation",
}
PHRASES = {"lam": "adaptive lam", "test_loss": "test loss", "gap": "gap, test minus train loss"}
escape = partial(html.escape, quote=True)
"""Everything that comes from data passes through here."""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<a class="skip" href="#verdicts">Skip to the verdicts</a>
<header>
<h1>$title</h1>
<nav aria-label="Sections"><ul>$navigation</ul></nav>
</header>
<main>
$sections</main>
<dialog id="large" aria-label="Figure, large">
<form method="dialog"><button>Close</button></form>
<img alt="">
</dialog>
$data<script>
$script</script>
</body>
</html>
""")


class Section(NamedTuple):
    """A section of the page: its anchor, its heading and its HTML."""

    id: str
    heading: str
    body: str


def build(source: str, tasks: str | None = None) -> str:
    """Return the page of a store.

    Args:
        source: The store, by name or path.
        tasks: A store of several tasks, whose verdicts join the matrix of claims and tasks.

    Raises:
        ConfigError: If a store or its verdicts are not there.
    """
    grids = grid.load(source)
    folder = store.locate(source)
    claims = _claims(source)
    elsewhere = _claims(tasks) if tasks else []
    pictures = figures(folder / "figures", list(grids))
    drawn = {(picture.task, picture.number) for picture in pictures}
    sections = [
        Section("runs-of-this-page", "What was run", run_facts(grids, store.load(source)[1], folder)),
        Section("verdicts", "Verdicts", verdict_table(claims, drawn)),
        Section("against", "Where the data differ from the paper", against(claims)),
        Section("tasks", "Claims and tasks", matrix(claims, elsewhere)),
        Section("figures", "Figures", gallery(pictures, claims, source)),
        Section("explorer", "Explorer", ""),
    ]
    if (gates := THEORY / "gates.json").exists():
        sections.append(Section("theory", "The theory, gate by gate", gate_table(json.loads(gates.read_text()))))
    if (studies := THEORY / "studies.json").exists():
        sections.append(Section("studies", "The theory on real runs", study_tables(json.loads(studies.read_text()))))
    if conventions := _readme_section("Where this differs from, or completes, the paper"):
        sections.append(Section("conventions", "Where this differs from, or completes, the paper", conventions))
    done = sum(int(one["train_loss"].isel(epoch=0).count()) for one in grids.values())
    render = partial(_render, f"Does an entropy regulariser help? {done} runs against the paper", sections)
    library = _script("plotly", _compressed(get_plotlyjs().encode()))
    of = max(one.sizes["seed"] for one in grids.values())
    packed, seeds = fit(grids, room=LIMIT - len(render(explorer(1, of), library + _script("runs", "")).encode()))
    return render(explorer(seeds, of), library + _script("runs", _json(packed)) if seeds else "")


# --- the numbers of the explorer ------------------------------------------------------------------------------------


def fit(grids: Mapping[str, xr.Dataset], room: int) -> tuple[dict[str, Any], int]:
    """Pack as many seeds as fit into so many bytes: all, or half of them, or a quarter, ...; return how many, too."""
    seeds = max(one.sizes["seed"] for one in grids.values())
    while seeds:
        packed = {task: pack(one.isel(seed=slice(seeds))) for task, one in grids.items()}
        if len(_json(packed)) <= room:
            return packed, seeds
        seeds //= 2
    return {}, 0


def pack(one: xr.Dataset) -> dict[str, Any]:
    """Return a grid as JSON has it: its axes, and each column as codes of 16 bits between its least and greatest value.

    A column, of those that were measured, is [surrogate, regime, lam0, seed, epoch]. Its codes 0..LEVELS are evenly
    spaced from `low` to `high`, logarithms where `log`; they are stored as their changes from epoch to epoch, modulo
    2^16, all low bytes before all high bytes, compressed, in base64. So a number is off by at most half of 1/LEVELS of
    its column's range.
    """
    axes = {name: one[name].to_numpy().tolist() for name in (*grid.AXES, "epoch")}
    measured = [name for name in COLUMNS if np.isfinite(one[name]).any()]
    columns = {name: one[name].transpose(*grid.AXES, "epoch").to_numpy() for name in measured}
    return axes | {"columns": {name: _pack(values) for name, values in columns.items()}}


def _pack(values: NDArray[np.float64]) -> dict[str, Any]:
    positive = values[values > 0]
    log = bool(len(positive) and not (values < 0).any() and np.log10(positive.max() / positive.min()) > DECADES)
    with np.errstate(divide="ignore"):
        scaled = np.log(values) if log else values
    finite = scaled[np.isfinite(scaled)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    step = (high - low) / LEVELS or 1.0
    codes = np.where(
        np.isfinite(scaled), np.round((np.where(np.isfinite(scaled), scaled, low) - low) / step), UNDEFINED
    )
    codes[np.isneginf(scaled)] = ZERO
    changes = np.diff(codes.astype(np.int64), axis=-1, prepend=0).astype("<u2").reshape(-1)
    planes = changes.view(np.uint8).reshape(-1, 2).T.tobytes()
    return {"low": low, "high": high, "log": log, "codes": _compressed(planes)}


def _compressed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


# --- the sections ---------------------------------------------------------------------------------------------------


def run_facts(grids: Mapping[str, xr.Dataset], runs: pd.DataFrame, folder: Path) -> str:
    """Return what was run, where, from which code, how long it took and when."""
    facts: list[tuple[str, str]] = []
    for task, one in grids.items():
        config = one.attrs["config"]
        axes = {name: ", ".join(f"{value:g}" if name == "lam0" else str(value) for value in one[name].to_numpy())
                for name in grid.AXES}  # fmt: skip
        problems = [f"{len(one.attrs[what])} {what}" for what in ("missing", "diverged") if one.attrs[what]]
        product = "; ".join(f"{name} {values}" for name, values in axes.items())
        facts += [
            (f"Task {task}", _options(config["task"])),
            ("Grid", f"{product}; {', '.join(problems) or 'every run finished'}"),
            ("Epochs", f"{one.sizes['epoch'] - 1}, measured before the first and after each"),
            (
                "Training",
                "; ".join(f"{config[key]['name']} ({_options(config[key])})" for key in ("model", "optimizer")),
            ),
        ]
    seconds = runs["wall_time"].sum()
    written = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in (folder / "runs").glob("*.parquet")]
    versions = {f"{name} {version}" for text in set(runs["versions"]) for name, version in json.loads(text).items()}
    facts += [
        ("Command", "; ".join(sorted(set(runs["command"])))),
        ("Commit", ", ".join(sorted(runs["commit"].fillna("none recorded").unique()))),
        ("Versions", ", ".join(sorted(versions))),
        ("Device", ", ".join(sorted(set(runs["device"])))),
        ("Wall time", f"{seconds / 60:.1f} minutes, summed over processes: {seconds / len(runs):.2f} s a run"),
        ("Written", f"{min(written):%d %B %Y, %H:%M} to {max(written):%H:%M} UTC, by the files' dates"),
        ("Store", str(folder)),
    ]
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>\n" for name, text in facts)
    return f"<dl>\n{items}</dl>\n"


def verdict_table(claims: Sequence[Claim], drawn: Collection[tuple[str, int]]) -> str:
    """Return the counts by verdict, and a row for each claim; `drawn` are the (task, number) of figures to link to."""
    counts = Counter(claim["verdict"] for claim in claims)
    tally = "".join(f"<li>{_badge(verdict)} {counts[verdict]}</li>" for verdict in verdicts.SYMBOLS)
    several = len({claim["task"] for claim in claims}) > 1
    head = ("Claim", "Verdict", "The paper says", "Effect, 95% interval", "What was found")
    rows = [_verdict_row(claim, (claim["task"], claim["figure"]) in drawn, several) for claim in claims]
    letters = "A = fixed, B = thermostat, C = rl_thermostat."
    note = "Intervals: BCa bootstrap over seeds, paired; verdicts after Holm's correction over the parts of a claim."
    return f'<ul class="tally">{tally}</ul>\n<p>{letters} {note}</p>\n' + _table("The claims, judged", head, rows)


def _verdict_row(claim: Claim, drawn: bool, several: bool) -> str:
    name = escape(_name(claim))
    linked = f'<a href="#{_figure_anchor(claim["task"], claim["figure"])}">{name}</a>' if drawn else name
    task = f"<br><small>{escape(claim['task'])}</small>" if several else ""
    parts = "".join(
        f"<li>{_badge(part['verdict'])} {escape(part['text'])}: {_number(part['effect'])} {_interval(part)}, "
        f"claimed {escape(part['sense'])} {_number(part['bound'])}{_p(part['p'])}</li>"
        for part in claim["parts"]
    )
    count = f"{len(claim['parts'])} part{'s' if len(claim['parts']) > 1 else ''}"
    return (
        f'<tr id="{_anchor(claim)}"><th scope="row">{linked}{task}</th><td>{_badge(claim["verdict"])}</td>'
        f'<td>{escape(claim["says"])}</td><td class="number">{_number(claim["effect"])}<br>{_interval(claim)}</td>'
        f"<td>{escape(claim['sentence'])}<details><summary>{count}</summary><ul>{parts}</ul></details></td></tr>\n"
    )


def against(claims: Sequence[Claim]) -> str:
    """Return the claims that the data do not support, each with what was found instead."""
    rows = [
        f'<li>{_badge(claim["verdict"])} <a href="#{_anchor(claim)}">{escape(_name(claim))}</a>: '
        f"{escape(claim['says'])}. <em>{escape(claim['sentence'])}</em></li>\n"
        for verdict in ("REFUTED", "COLLAPSE", "INCONCLUSIVE")
        for claim in claims
        if claim["verdict"] == verdict
    ]
    return f'<ul class="against">\n{"".join(rows)}</ul>\n' if rows else "<p>Nowhere: every claim is supported.</p>\n"


def matrix(claims: Sequence[Claim], elsewhere: Sequence[Claim] = ()) -> str:
    """Return the verdicts of each claim on each task; where both lists judge a task, the first counts."""
    judged = {(claim["id"], claim["task"]): claim["verdict"] for claim in (*elsewhere, *claims)}
    tasks = list(dict.fromkeys(claim["task"] for claim in (*claims, *elsewhere)))
    if len(tasks) < 2:
        return "<p>One task was judged. For the same claims on four: <code>make tasks</code>.</p>\n"
    says = {claim["id"]: claim["says"] for claim in (*elsewhere, *claims)}
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td>'
        + "".join(f"<td>{_badge(judged.get((name, task)))}</td>" for task in tasks)
        + "</tr>\n"
        for name, text in says.items()
    ]
    total = [sum(verdict == "SUPPORTED" for (_, on), verdict in judged.items() if on == task) for task in tasks]
    cells = "".join(f"<td>{count}</td>" for count in total)
    rows.append(f'<tr><th scope="row">all</th><td>how many are supported</td>{cells}</tr>\n')
    return _table("Verdicts by claim and task", ("Claim", "The paper says", *tasks), rows)


def gate_table(gates: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each gate: the statement, what was measured, its tolerance, and the control that must fail."""
    head = ("Statement", "Gate", "What was measured", "Value", "Tolerance", "Control, which must fail")
    rows = [
        f'<tr><th scope="row">{escape(gate["statement"])}</th><td>{"✓ holds" if gate["passes"] else "✗ FAILS"}</td>'
        f"<td>{escape(gate['says'])}<br><small>{escape(gate['measured'])}</small></td>"
        f'<td class="number">{_number(gate["value"])}</td><td class="number">{_number(gate["tolerance"])}</td>'
        f"<td>{escape(gate['control'])}</td></tr>\n"
        for gate in gates
    ]
    held = sum(gate["passes"] for gate in gates)
    shown: dict[str, list[str]] = {}
    for gate in gates:
        shown.setdefault(gate.get("figure", ""), []).append(gate["statement"])
    drawn = theory_figures({stem: "; ".join(dict.fromkeys(those)) for stem, those in shown.items()})
    return f"<p>{held} of {len(gates)} gates hold.</p>\n" + _table("Gates of make verify", head, rows) + drawn


def study_tables(studies: Mapping[str, Any]) -> str:
    """Return the tables and figures of the studies that `make theory` made."""
    parts = []
    for found in studies.values():
        for table in found["tables"]:
            rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table["rows"]]
            parts.append(_table(table["title"], table["head"], rows) + f"<p>{escape(table['note'])}</p>\n")
        parts.append(theory_figures(found["figures"]))
    return "".join(parts)


def theory_figures(captions: Mapping[str, str]) -> str:
    """Return the figures of the theory that were drawn, by the stems of their files."""
    cards = [
        f'<figure id="theory-{escape(stem)}"><button class="zoom" aria-label="Enlarge: {escape(caption)}">'
        f'<img alt="{escape(caption)}" src="{_data_uri((THEORY / f"{stem}.svg").read_text())}"></button>'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
        for stem, caption in captions.items()
        if (THEORY / f"{stem}.svg").exists()
    ]
    return f'<div class="gallery">\n{"".join(cards)}</div>\n' if cards else ""


class Picture(NamedTuple):
    """A figure that was drawn."""

    task: str
    number: int
    path: Path
    title: str


def figures(folder: Path, tasks: Sequence[str]) -> list[Picture]:
    """Return the figures there are, by task and number; a task has a folder of its own where there are several."""
    titles = MODEL_FIGURES | {row.number: _title(row) for row in FIGURES}
    found = {}
    for task in tasks:
        here = folder / task if len(tasks) > 1 else folder
        for path in sorted(here.glob("fig[0-9][0-9]_*.svg"), reverse=True):  # without its seeds a figure comes last
            number = int(path.stem[3:5])
            found[task, number] = Picture(task, number, path, titles.get(number, path.stem[6:].replace("_", " ")))
    return [found[key] for key in sorted(found)]


def _title(row: Row) -> str:
    """Return what a figure draws, in words."""
    what = PHRASES.get(row.column, row.column)
    if row.regime is None:
        drawn = f"{row.surrogate}: {what} over the base lam, a curve for each regime"
    else:
        drawn = f"{row.surrogate}, {LOOKS[row.regime].name}: {what} over epochs, a curve for each base lam"
    return f"{drawn}; mean over seeds, 95% interval"


def gallery(pictures: Sequence[Picture], claims: Sequence[Claim], source: str) -> str:
    """Return the figures, each with a link to its claim."""
    if not pictures:
        return f"<p>They were not drawn yet: <code>python -m experiments.figures {escape(source)}</code>.</p>\n"
    several = len({picture.task for picture in pictures}) > 1
    cards = []
    for picture in pictures:
        links = "".join(
            f' <a href="#{_anchor(claim)}" aria-label="{claim["verdict"]}: claim of figure {picture.number}">'
            f"{_badge(claim['verdict'])}</a>"
            for claim in claims
            if (claim["task"], claim["figure"]) == (picture.task, picture.number)
        )
        title = escape(f"{picture.title}; task {picture.task}" if several else picture.title)
        cards.append(
            f'<figure id="{_figure_anchor(picture.task, picture.number)}">'
            f'<button class="zoom" aria-label="Enlarge figure {picture.number}">'
            f'<img alt="Figure {picture.number}. {title}." src="{_data_uri(picture.path.read_text())}"></button>'
            f"<figcaption><b>Figure {picture.number}.</b> {title}.{links}</figcaption></figure>\n"
        )
    drawn = {(picture.task, picture.number) for picture in pictures}
    missing = [_name(claim) for claim in claims if claim["figure"] and (claim["task"], claim["figure"]) not in drawn]
    absent = f" Not drawn: {escape(', '.join(missing))}." if missing else ""
    return f'<p>A click enlarges a figure; Esc closes it.{absent}</p>\n<div class="gallery">\n{"".join(cards)}</div>\n'


def explorer(seeds: int, of: int) -> str:
    """Return the explorer's controls, which the script fills; `seeds` are in the page, `of` so many in the store."""
    if not seeds:
        return "<p>The runs of this store are too many for a page of this size.</p>\n"
    part = f"The first {seeds} of {of} seeds are in this page. " if seeds < of else ""
    return f"""<p>{part}Numbers here are rounded to 1/{LEVELS} of their column's range (of its logarithm's range, where
it spans more than two decades); exact ones are in the store's <code>records/</code>. The address keeps the choice.</p>
<noscript><p>The explorer needs JavaScript.</p></noscript>
<form id="choice" hidden>
<label class="task">Task <select name="task"></select></label>
<label>Column <select name="column"></select></label>
<label>Seeds <select name="seed"></select></label>
<label><input type="checkbox" name="log"> logarithmic axis</label>
<fieldset><legend>Surrogate</legend><div data-axis="surrogate"></div></fieldset>
<fieldset><legend>Regime</legend><div data-axis="regime"></div></fieldset>
<fieldset><legend>Base lam</legend><div data-axis="lam0"></div></fieldset>
</form>
<p id="status" role="status">Loading ...</p>
<div id="plot" role="img" aria-describedby="status"></div>
<details id="numbers"><summary>The curves as numbers</summary><div></div></details>
"""


def _readme_section(heading: str) -> str:
    """Return a section of the README, its prose and its table; nothing where there is no README or no such section."""
    text = README.read_text() if README.exists() else ""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if not found:
        return ""
    lines = found[1].strip().splitlines()
    prose = " ".join(line for line in lines if not line.startswith("|"))
    cells = [[cell.strip() for cell in line.strip("| ").split(" |")] for line in lines if line.startswith("|")]
    if len(cells) < 3:
        return f"<p>{_inline(prose)}</p>\n"
    head, _, *body = cells
    rows = [
        "<tr>"
        + f'<th scope="row">{_inline(row[0])}</th>'
        + "".join(f"<td>{_inline(cell)}</td>" for cell in (row + [""] * len(head))[1 : len(head)])
        + "</tr>\n"
        for row in body
    ]
    return f"<p>{_inline(prose)}</p>\n" + _table("Conventions of this project", head, rows)


# --- pieces of HTML -------------------------------------------------------------------------------------------------


def _render(title: str, sections: Sequence[Section], explored: str, data: str) -> str:
    bodies = [each._replace(body=explored) if each.id == "explorer" else each for each in sections]
    return PAGE.substitute(
        title=escape(title),
        style=HERE.with_suffix(".css").read_text(),
        navigation="".join(f'<li><a href="#{each.id}">{escape(each.heading)}</a></li>' for each in bodies),
        sections="".join(
            f'<section id="{each.id}" aria-labelledby="{each.id}-h">\n'
            f'<h2 id="{each.id}-h">{escape(each.heading)}</h2>\n{each.body}</section>\n'
            for each in bodies
        ),
        data=data,
        script=HERE.with_suffix(".js").read_text(),
    )


def _table(caption: str, head: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table in a box of its own that scrolls, by keyboard too."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n"
        "</table></div>\n"
    )


def _badge(verdict: str | None) -> str:
    if verdict is None:
        return "not judged"
    symbol = verdicts.SYMBOLS[verdict]
    return f'<span class="badge {verdict.lower()}"><span aria-hidden="true">{symbol}</span> {verdict}</span>'


def _anchor(claim: Claim) -> str:
    return "claim-" + re.sub(r"\W+", "-", f"{claim['task']}-{claim['id']}")


def _figure_anchor(task: str, number: int) -> str:
    return "figure-" + re.sub(r"\W+", "-", f"{task}-{number}")


def _name(claim: Claim) -> str:
    return f"Figure {claim['figure']}" if claim["figure"] else str(claim["id"])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"[{_number(row['low'])}, {_number(row['high'])}]"


def _p(p: float | None) -> str:
    return "" if p is None else ", p &lt; 0.001" if p < 0.001 else f", p = {p:.2g}"


def _options(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items() if key not in ("name", "_target_"))


def _inline(markdown: str) -> str:
    """Return a line of Markdown, of which the README's table has only code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(markdown))


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml," + escape(urllib.parse.quote(svg, safe=" <>=:/;,()'*+.!?&@$[]{}|^~-_"))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _script(id: str, content: str) -> str:
    return f'<script type="application/octet-stream" id="{id}">{content}</script>\n'


def _claims(source: str) -> list[Claim]:
    claims = verdicts.load(source)
    if claims is None:
        raise ConfigError("store", source, f"verdicts in it; they come from {verdicts.how(source)}")
    return claims


# --- the command ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page that the command line asks for; exit with 2 if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m experiments.report", description="A store as one HTML page.")
    parser.add_argument("store", nargs="?", default="paper", help="name under outputs/, or path (default: paper)")
    parser.add_argument("--tasks", metavar="STORE", help="a store of several tasks, for the matrix of claims and tasks")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the store")
    given = parser.parse_args(arguments)
    with terminal.refusing(given.out):
        page = build(given.store, given.tasks)
        path = given.out or store.locate(given.store) / "report.html"
        store.atomically(path, lambda temporary: Path(temporary).write_text(page))
    if len(page.encode()) > LIMIT:
        terminal.say(f"the page is larger than {LIMIT / 1e6:g} MB: its figures are")
    print(f"  {path}  {len(page.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
