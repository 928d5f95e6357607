"""The page docs/architectures.md: its head is ours, and what follows `MARK` is written from architectures.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.architectures import results
from experiments.architectures.design import RATES, TRIALS
from experiments.claims.page import prose, table
from experiments.claims.record import SYMBOLS
from experiments.estimate import Estimate
from hclm_runner import store
from hclm_runner.refusal import ConfigError

PAGE = Path(__file__).parents[2] / "docs/architectures.md"
PICTURE = Path(__file__).parents[1] / "pictures/architectures.png"
"""The figure of log-det, which the page shows."""
MARK = "<!-- What follows is written by python -m experiments architectures --page -->"
PUBLISHED = {
    "mnist1d / mlp": "68% (4000 samples)",
    "mnist1d / cnn": "94% (4000 samples)",
    "fashion_mnist / mlp": "88% (60000 samples)",
    "fashion_mnist / cnn": "92% (60000 samples)",
}
"""Test accuracy: of MNIST-1D by its authors, of Fashion-MNIST by its README (MLP 256-128-100; two convolutions)."""


def write(name: str, trials: str) -> list[Path]:
    """Write what follows the mark on the page, and copy the figure; return the paths.

    Args:
        name: The store.
        trials: That of the trials of the learning rates; it need not be there.

    Raises:
        ConfigError: If the store was not judged.
    """
    found = results.load(name)
    if found is None:
        raise ConfigError("store", name, "what came out; first python -m experiments architectures")
    there = (store.OUTPUTS / trials).is_dir()
    tried = results.tried(*store.load(store.OUTPUTS / trials)) if there else {}
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{text(found, tried)}", encoding="utf-8")
    picture = store.OUTPUTS / name / f"{results.stem(results.LOGDET)}.png"
    PICTURE.write_bytes(picture.read_bytes())
    return [PAGE, PICTURE]


def text(found: Mapping[str, Any], tried: Mapping[str, Any]) -> str:
    """Return what follows the mark, as Markdown.

    Args:
        found: What architectures.json says.
        tried: What `results.tried` says of the learning rates.
    """
    signs = ", ".join(f"{sign} {verdict.lower()}" for verdict, sign in SYMBOLS.items())
    networks = found["networks"]
    parts = [
        "## What came out",
        "\n".join(prose(f"- {line}") for line in found["summary"]),
        "## Force and entropy",
        "![Force and entropy of each network over epochs](../experiments/pictures/architectures.png)",
        prose(
            "Log-det. F is over its value before training. Under fixed, dashed is lam = 0 and solid the middle lam;",
            "under the laws, dashed is the thermostat and solid rl_thermostat or, of text, rate. The table has means",
            "over seeds [95% interval] of the last five epochs.",
        ),
        table(["network", "arm", "F over its first", "S, nats", "set point, nats", "lam"], _arms(networks)),
        "## The paper's claims",
        f"{signs}; – {results.PENDING}. The claims of VERDICTS.md, by the same rules.",
        _matrix(found["claims"], says=True),
        "## Claims of any surrogate and law",
        _matrix(found["generic"], says=False),
        "## Without the term",
        table(["network", "accuracy, at the end", "at the chosen epoch", "published"], _accuracies(networks)),
        prose(
            "Test accuracy at lam = 0. The published ones are of whole data sets and larger networks: this experiment",
            "asks about forces, in minutes.",
        ),
    ]
    if tried:
        parts += [
            "## The learning rates",
            prose(
                f"Least feedback loss (test accuracy there) at lam = 0, means over the seeds {TRIALS[0]} to",
                f"{TRIALS[-1]}, which are not in the grid; the least was taken.",
            ),
            rates(tried),
        ]
    return "\n\n".join(parts) + "\n"


def rates(tried: Mapping[str, Any]) -> str:
    """Return the table of the learning rates."""
    rows = []
    for title, cells in tried.items():
        best = min(cells.values(), key=lambda cell: cell["loss"])
        shown = {lr: f"{cell['loss']:.3f} ({cell['accuracy']:.0%})" for lr, cell in cells.items()}
        shown |= {lr: f"**{shown[lr]}**" for lr, cell in cells.items() if cell is best}
        rows.append([title, *(shown.get(f"{lr:g}", "–") for lr in RATES)])
    return table(["network", *(f"{lr:g}" for lr in RATES)], rows)


def _matrix(claims: Mapping[str, Any], *, says: bool) -> str:
    """Return a matrix of claims by networks, as signs."""
    heads = ["claim", *(["the paper says"] if says else []), *claims["tasks"]]
    rows = [
        [claim, *([words] if says else []), *(SYMBOLS[verdict] if verdict else "–" for verdict in verdicts)]
        for claim, words, verdicts in claims["rows"]
    ]
    blank = [""] if says else []
    return table(heads, [*rows, ["supported", *blank, *map(str, claims["supported"])]])


def _arms(networks: Mapping[str, Any]) -> list[list[str]]:
    return [
        [title, arm, *(_shown(own[name], spec) for name, spec in (("force", ".2g"), ("entropy", ".1f"))),
         "–" if own["setpoint"] is None else f"{own['setpoint']:.1f}", _shown(own["lam"], ".2g", interval=False)]
        for title, network in networks.items()
        for arm, own in network["arms"].items()
    ]  # fmt: skip


def _accuracies(networks: Mapping[str, Any]) -> list[list[str]]:
    return [
        [title, *(_shown(each, ".0%") for each in network["accuracy"].values()),
         PUBLISHED.get(title, "–")]
        for title, network in networks.items()
    ]  # fmt: skip


def _shown(estimate: Mapping[str, Any], spec: str, *, interval: bool = True) -> str:
    one = Estimate.of_dict(estimate)
    return format(one, spec) if interval else format(one.value, spec)
