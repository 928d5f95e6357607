"""Write VERDICTS.md, what the paper claims and what a store shows: python -m experiments verdicts [store]."""

import argparse
import math
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import grid
from experiments.claims import findings, paper, record
from experiments.claims.claim import MARGIN, VIEWS, Data
from experiments.claims.command import tally
from experiments.claims.findings import Cell
from experiments.claims.intervals import ALPHA
from experiments.claims.judge import COLLAPSE, COVERAGE, FEWEST, INCONCLUSIVE, REFUTED, SUPPORTED
from experiments.claims.record import SYMBOLS, ClaimRow
from experiments.claims.remarks import REMARKS, Remark
from experiments.estimate import Estimate
from experiments.multiverse import results, section
from experiments.multiverse.analysis import ROBUST
from hclm_runner import store
from hclm_runner.analysis import F_MIN
from hclm_runner.refusal import ConfigError

PAGE = Path(__file__).parents[1] / "VERDICTS.md"

SECTIONS = {REFUTED: "Refuted", COLLAPSE: "Collapse", INCONCLUSIVE: "Not settled", SUPPORTED: "Supported"}
"""Verdict -> its head, in the order of the page."""
WHEN = dict(zip(VIEWS, ("at the end of training", "at the chosen epoch"), strict=True))
NAME = "multiverse"
"""The multiverse that the page reads, where it was judged: a name under outputs/."""
F_MINS = (F_MIN, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The values of f_min that the page shows."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page from the records and the verdicts of a store.

    Raises:
        ConfigError: If the store lacks the paper's grid, its verdicts, or data sets enough.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments verdicts", description="Write the page on the paper's claims from a judged store."
    )
    parser.add_argument("store", nargs="?", default="paper", help="name under outputs/, or path (default: paper)")
    parser.add_argument("--task", help="which, where the store has several")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help="where to write")
    given = parser.parse_args(arguments)
    judged = record.load(given.store)
    if judged is None:
        raise ConfigError("store", given.store, f"verdicts in it; first {record.command(given.store)}")
    runs = grid.only(grid.load(given.store), given.task)
    d = paper.read(runs, given.store)
    task = given.task or next(iter({claim["task"] for claim in judged["claims"]}), None)
    claims = [claim for claim in judged["claims"] if claim["task"] == task]
    page = text(d, claims, multiverse=results.load(NAME))
    store.atomically(given.out, lambda path: Path(path).write_text(page, encoding="utf-8"))
    for line in (*unfit(claims, REMARKS), str(given.out)):
        print(f"  {line}")


def text(
    d: Data,
    claims: Sequence[ClaimRow],
    remarks: Mapping[str, Remark] = REMARKS,
    multiverse: Mapping[str, Any] | None = None,
) -> str:
    """Return the page, as Markdown.

    Args:
        d: The runs.
        claims: Their verdicts.
        remarks: Claim id -> what we say of it.
        multiverse: Its results, as multiverse.json has them, if it was judged.

    Raises:
        ConfigError: If there are too few data sets for an interval.
    """
    if (sets := d.grid.sizes["seed"] // d.draws) < FEWEST:
        raise ConfigError("store", d.source, f"{FEWEST} data sets or more, got {sets}")
    blocks = [head(d), found(d), *([reconstructions(multiverse)] if multiverse else []), definition_1(d), rules(d)]
    return "\n\n".join([*blocks, overview(claims), sections(claims, remarks)]) + "\n"


def unfit(claims: Sequence[ClaimRow], remarks: Mapping[str, Remark]) -> list[str]:
    """Return a line for each claim without a remark, or whose remark was written for another verdict."""
    lines = []
    for claim in claims:
        remark = remarks.get(claim["id"])
        if remark is None:
            lines.append(f"claim {claim['id']} has no remark in experiments/claims/remarks.py")
        elif remark.verdict != claim["verdict"]:
            lines.append(f"the remark on claim {claim['id']} is of {remark.verdict}, now it is {claim['verdict']}")
    return lines


# --- before any claim -----------------------------------------------------------------------------------------------


def head(d: Data) -> str:
    """Return what the page is, and of which runs."""
    sizes = [d.grid.sizes[axis] for axis in grid.AXES]
    sets = sizes[-1] // d.draws
    seeds = f", {d.draws} training seeds of each" if d.draws > 1 else ""
    made = prose(
        f"{math.prod(sizes)} runs of the reference task (`make figures`): {sets} data sets{seeds}, {sizes[2]} lam.",
        "`python -m experiments verdicts` writes this page from the store's records and verdicts: change",
        "`experiments/claims/page.py` and `experiments/claims/remarks.py`, not the page.",
    )
    limits = prose(
        "**One reconstruction cannot refute a paper** whose settings are known to us only as prose. REFUTED means that",
        "this experiment does not show what is claimed. [The multiverse](../docs/multiverse.md) asks in how many",
        "plausible reconstructions each claim holds.",
    )
    return f"# What the paper claims, and what its experiment shows\n\n{made}\n\n{limits}"


def found(d: Data) -> str:
    """Return what early stopping does at lam = 0, and what it leaves to each surrogate and law."""
    end, chosen = (findings.cell(d.at(view), grid.SURROGATES[0], findings.FIXED, 0) for view in VIEWS)
    late, stopped = (findings.best(d.at(view)) for view in VIEWS)
    scaled = findings.best(d.at("end"), "feedback_scaled_loss")
    plain, calibrated = findings.first(late), findings.first(scaled, "feedback_scaled_loss")
    over = findings.beyond_temperature(d, plain, "test_loss")
    over_scaled = findings.beyond_temperature(d, calibrated, "test_scaled_loss")
    repaired = prose(
        "**What looks like entropy control is mostly late over-confidence repaired.** Without an entropy term",
        f"(lam = 0) the test loss is {end.shown['test_loss']:.2f} nats at the end of training, {_accuracy(end)}. One",
        "temperature, fitted on the feedback split, takes that loss to",
        f"{end.shown['test_scaled_loss']:.3f}. To stop at the epoch of least feedback loss takes it to",
        f"{chosen.shown['test_loss']:.3f}, {_accuracy(chosen)}.",
    )
    against = prose(
        f"The best at the end is {_named(plain)}: {plain.shown['test_loss']:.3f}, {_accuracy(plain)}. Its difference",
        f"from the fitted temperature is {_signed(over)}, and from early stopping {_signed(plain.loss)}. With a",
        f"temperature fitted to every run, the best at the end is {_named(calibrated)}:",
        f"{calibrated.shown['test_scaled_loss']:.3f}, {_accuracy(calibrated)}; from lam = 0 with a temperature it",
        f"differs by {_signed(over_scaled)}.",
    )
    left = [
        f"- {name}: " + "; ".join(f"{one.regime}, {_signed(one.loss)}" for one in stopped if one.surrogate == name)
        for name in grid.SURROGATES
    ]
    remains = prose(
        "**Once lam = 0 is stopped early too**, this remains of each surrogate. Under each law, at the lam and epoch",
        f"of least feedback loss, the test loss differs from {chosen.shown['test_loss']:.3f} by so many nats:",
    )
    legend = prose(
        "In the tables, base lam is that of least mean feedback loss, and Δ the difference from lam = 0 stopped early,",
        "with its 95% interval by sign flips of data sets, uncorrected; ⊘ marks a collapsed cell.",
    )
    tables = (
        f"### At the end of training\n\n{_cells(end, late)}\n\n### At the chosen epoch\n\n{_cells(chosen, stopped)}"
    )
    blocks = ["## What was found", repaired, against, remains, "\n".join(left), _shown(stopped, chosen), legend, tables]
    return "\n\n".join(blocks)


def _shown(cells: Sequence[Cell], zero: Cell) -> str:
    """Return which cells are shown to have a lower test loss than lam = 0 stopped early, and how much that is."""
    apart = [_named(one) for one in cells if one.loss.high < 0]
    corrected = [_named(one) for one in findings.lower(cells)]
    most = -min(one.loss.value for one in cells) / zero.shown["test_loss"]
    return prose(
        f"Of these {len(cells)} intervals, those below 0: {', '.join(apart) or 'none'}. After Holm's correction:",
        f"{', '.join(corrected) or 'none'}. The largest reduction is {most:.1%}; the claims below count effects from",
        f"{MARGIN:.0%}.",
    )


def _accuracy(one: Cell) -> str:
    return f"with an accuracy of {one.shown['test_accuracy']:.3f}"


def _named(one: Cell) -> str:
    return f"{one.surrogate} under {one.regime} at lam = {one.lam:g}"


def _signed(estimate: Estimate) -> str:
    """Return a difference with its interval, to three decimals; what rounds to zero has no sign."""
    return re.sub(r"[+-](0\.000)", r"\1", f"{estimate:+.3f}").replace("-", "−")


def _cells(zero: Cell, cells: Sequence[Cell]) -> str:
    """Return the table of lam = 0 and of each surrogate and law."""
    heads = ("surrogate", "law", "base lam", "test loss", "with fitted temperature", "accuracy", "calibration error")
    rows = [
        ["none" if one is zero else one.surrogate, "–" if one is zero else one.regime]
        + [f"{one.lam:g}{' ⊘' if one.collapsed else ''}"]
        + [f"{one.shown[column]:.3f}" for column in findings.SHOWN]
        + [_signed(one.loss), _signed(one.accuracy)]
        for one in (zero, *cells)
    ]
    return table([*heads, "Δ test loss", "Δ accuracy"], rows)


def reconstructions(multiverse: Mapping[str, Any]) -> str:
    """Return in how many plausible reconstructions each claim has which verdict, and on which choices that depends."""
    claims = multiverse["claims"]
    ours = sum(universe["reference_question"] for universe in multiverse["universes"])
    robust = Counter(claim["robust"] for claim in claims if claim["robust"])
    says = prose(
        f"`make multiverse` trained {len(multiverse['universes'])} universes, with the same seeds in each: {ours}",
        "choose values for what the paper leaves open, the reference among them; the others ask about other data too.",
        "A verdict is robust",
        f"if {ROBUST:.0%} of the reconstructions have it: {_counted(robust, SUPPORTED)}, {_counted(robust, REFUTED)},",
        f"{_counted(robust, COLLAPSE)}, and none for {len(claims) - robust.total()} of {len(claims)} claims. A share",
        "of universes is not a probability. [The multiverse](../docs/multiverse.md) says which universes these are and",
        "how to read the table: the literal reading, at the end of training and at the chosen epoch.",
    )
    rows = [
        [
            *(claim["id"], claim["says"]),
            *(section.verdicts(claim), _stopped(claim), section.counted(claim["questions"]), section.depends(claim)),
        ]
        for claim in claims
    ]
    heads = ("claim", "the paper says", f"in {ours} reconstructions", "stopped early", "with other data", "depends on")
    return f"## In how many reconstructions\n\n{says}\n\n{table(heads, rows)}"


def _counted(robust: Mapping[str, int], verdict: str) -> str:
    return f"{robust.get(verdict, 0)} robustly {verdict}"


def _stopped(claim: Mapping[str, Any]) -> str:
    """Return the shares of a claim's verdicts at the chosen epoch; a claim about trajectories has none."""
    there = {(one["reading"], one["view"]): one["reconstructions"] for one in claim["readings"]}
    counts = there.get(("literal", "chosen"))
    return section.counted(counts) if counts else "–"


def definition_1(d: Data) -> str:
    """Return which surrogates are effective by Definition 1, for several f_min."""
    best = findings.separating(d)
    shares = {f_min: findings.effective(d, f_min) for f_min in sorted({*F_MINS, best})}
    says = prose(
        "The share of the fixed runs at lam > 0 in which the surrogate is effective: its update of the encoder is",
        "f_min of the loss's, or more, in a quarter of the epochs.",
    )
    rows = [[f"{f_min:g}", *(f"{share:.0%}" for share in each.values())] for f_min, each in shares.items()]
    softmax = {f_min: f"{shares[f_min][grid.SURROGATES[0]]:.0%}" for f_min in (F_MIN, best)}
    ends = prose(
        f"The paper names no f_min. At {F_MIN:g}, which is ours, softmax too is effective in {softmax[F_MIN]} of its",
        f"runs. It is furthest from variance and log-det at {best:g}, with {softmax[best]}; but an f_min that is",
        "chosen from this table tests nothing.",
    )
    return f"## Definition 1\n\n{says}\n\n{table(['f_min', *grid.SURROGATES], rows)}\n\n{ends}"


def rules(d: Data) -> str:
    """Return how a verdict is reached."""
    sets = d.grid.sizes["seed"] // d.draws
    size = max(size for size in COVERAGE if size <= sets)
    return f"""## How a verdict is reached

A claim has one or several parts. A part is a number and the side of a bound on which the paper's words put it; "lower"
and "higher" mean by {MARGIN:.0%}. Runs are paired, and a data set is kept whole.

- The interval of a mean or a ratio of means is of sign flips, exact where differences are symmetric. Other statistics
  have the bootstrap, whose 95% interval was measured to cover {COVERAGE[size]:.0%} or more at {size} data sets.
- ✓ SUPPORTED: every part is on the claimed side at 5% (intersection-union). ✗ REFUTED: one is on the other side, at 5%
  after Holm's correction over the parts. ? INCONCLUSIVE: neither.
- ⊘ COLLAPSE: in {1 - ALPHA:.0%} of the resamples a collapsed cell decides. Its training loss is within 10% of that of
  guessing, or its test loss 5% above that at lam = 0, or its accuracy 5 points lower. Between {ALPHA:.0%} and
  {1 - ALPHA:.0%} the part is INCONCLUSIVE.
- A run that diverged counts as the worst there is.
- The verdict is that of the literal reading at the end of training. It is followed by that at the epoch of least
  feedback loss, and by a charitable reading where the words allow one. What is about trajectories has one view.
- A structural part cannot fail as worded. A claim of nothing else is no evidence.
- BH: whether the verdict survives Benjamini-Hochberg at 5% over all claims.

[figures.md](../docs/figures.md#how-a-verdict-is-reached) says more, and so does [claims/judge.py](claims/judge.py)."""


# --- claim by claim -------------------------------------------------------------------------------------------------


def overview(claims: Sequence[ClaimRow]) -> str:
    """Return how many claims have each verdict, in each reading and view."""
    rows = []
    for reading in ("literal", "charitable"):
        for view, when in WHEN.items():
            counts = Counter(_read(claim, reading, view)["verdict"] for claim in claims)
            rows.append([reading, when, *(str(counts[verdict]) for verdict in SYMBOLS)])
    alike = sum(len({each["verdict"] for each in claim["readings"]}) == 1 for claim in claims)
    heads = ["reading", "view", *(f"{sign} {verdict}" for verdict, sign in SYMBOLS.items())]
    says = prose(
        f"{tally(claims)}. {alike} of the claims have one verdict in all their readings and views. Where a claim has",
        "no charitable reading, or one view only, the table counts that which it has.",
    )
    return f"## The {len(claims)} claims\n\n{says}\n\n{table(heads, rows)}"


def _read(claim: ClaimRow, reading: str, view: str) -> dict[str, Any]:
    """Return a claim's verdict in a reading and view; where it lacks that, in the literal one, or at the end."""
    there = {(each["reading"], each["view"]): each for each in claim["readings"]}
    reading = reading if (reading, "end") in there else "literal"
    return there.get((reading, view), there[reading, "end"])


def sections(claims: Sequence[ClaimRow], remarks: Mapping[str, Remark]) -> str:
    """Return every claim once, under its verdict."""
    blocks = []
    for verdict, title in SECTIONS.items():
        own = [claim for claim in claims if claim["verdict"] == verdict]
        if own:
            blocks += [f"## {title}", *(_section(claim, remarks.get(claim["id"])) for claim in own)]
    return "\n\n".join(blocks)


def _section(claim: ClaimRow, remark: Remark | None) -> str:
    """Return what is found of a claim: its verdicts in a table, whether it is evidence, and our remark."""
    views = [view for view in WHEN if any(each["view"] == view for each in claim["readings"])]
    words = {each["reading"]: each["words"] for each in claim["readings"]}
    rows = [
        [reading if reading == "literal" else f"{reading}: {meant}"]
        + [_verdict(_read(claim, reading, view)) for view in views]
        for reading, meant in words.items()
    ]
    remarked = remark.text if remark else ""
    if remark and remark.verdict != claim["verdict"]:
        remarked += f" (Written when the verdict was {remark.verdict}.)"
    survives = f"BH: {'yes' if claim['survives_bh'] else 'no'}."
    return "\n\n".join([
        f"### {claim['id']} · {claim['says']}",
        table(["reading", *(WHEN[view] for view in views)], rows),
        " ".join(filter(None, (remarked, _structural(claim), survives))),
    ])  # fmt: skip


def _verdict(reading: Mapping[str, Any]) -> str:
    """Return a cell: the verdict, which part decided it, and what that part says."""
    parts = reading["parts"]
    part = parts[reading["decided"]]
    which = f" (part {reading['decided'] + 1} of {len(parts)})" if len(parts) > 1 else ""
    known = (
        ALPHA < part["collapsed"] < 1 - ALPHA or part["collapsed"] < 0.0005
    )  # the sentence has it, or it rounds to 0
    collapse = "" if known else f" A collapse decides it in {part['collapsed']:.1%} of the resamples."
    return f"{SYMBOLS[reading['verdict']]} **{reading['verdict']}**{which}: {reading['sentence']}{collapse}"


def _structural(claim: ClaimRow) -> str:
    parts = claim["parts"]
    cannot = [part["structural"] for part in parts if part["structural"]]
    if not cannot:
        return "Structural: no."
    extent = "yes" if claim["structural"] else f"{len(cannot)} of {len(parts)} parts"
    return f"Structural: {extent}, {'; '.join(dict.fromkeys(cannot))}."


def prose(*sentences: str) -> str:
    """Return a paragraph, in lines of 130 characters at most."""
    return textwrap.fill(" ".join(filter(None, sentences)), 130, break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])
