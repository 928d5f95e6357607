"""What stands on the page of a store: plain data for template.html.jinja, from the store's runs, claims and figures."""

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import xarray as xr
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from experiments import grid, placebos
from experiments.architectures import results as architectures
from experiments.claims.judge import effect
from experiments.claims.record import SYMBOLS, load, matrix
from experiments.estimate import Estimate
from experiments.multiverse import section as multiverse
from experiments.report import baselines, conventions, readings
from experiments.report.answer import answers
from experiments.report.explore import GROUPS, LEVELS, as_json, compressed, fit
from experiments.report.gallery import Claim, Picture, figures, image, slug
from hclm_runner import store
from hclm_runner.records import JUDGED, SPLITS
from hclm_runner.refusal import ConfigError

HERE = Path(__file__).parent
THEORY = store.OUTPUTS / "theory"
"""Where `make verify` writes gates.json and its figures, and `make theory` studies.json and its own."""
LIMIT = 8_000_000
"""Bytes of the page: what mail and a phone still take."""

UNITS = (
    dict.fromkeys([f"{split}_{loss}" for split in SPLITS for loss in ("loss", "scaled_loss")], "nats")
    | dict.fromkeys(("gap", "entropy", "setpoint", "logdet_rate"), "nats")
    | dict.fromkeys(("injected", "dissipated", "other", "closure"), "nats an epoch")
    | dict.fromkeys(("force", "loss_force"), "nats per unit of θ")
    | dict.fromkeys(("injection", "dissipation", "noisy_injection"), "nats per unit of time")
    | dict.fromkeys(
        [f"{split}_{name}" for split in SPLITS for name in JUDGED if "accuracy" in name], "share of samples"
    )
    | {"effective_rank": "dimensions", "share": "‖D_S‖ / ‖D_L‖", "force_ratio": "λ‖∇S‖ / ‖∇L‖"}
)
"""What the explorer's columns are measured in; the others are plain numbers."""

VIEWS = {"end": "at the end", "chosen": "at the chosen epoch"}
"""When a run is judged -> in words."""

QUESTIONS = {
    "effective": (
        "Effective?",
        "whether more than half of its runs at lam > 0 are effective by Definition 1; the share of them",
    ),
    "collapses": (
        "Collapses?",
        "whether nothing is learnt, or less than at lam = 0, at one lam > 0 or more; the share of resamples in which"
        " that is so",
    ),
    "test loss": (
        "Lowers the test loss?",
        "whether it is lower, at the validated lam, than without the term by 5%; by how much it changes",
    ),
    "steadier": (
        "Steadier over lam?",
        "whether the test loss depends less on the base lam than under fixed; its range over lam, relative to that",
    ),
}
"""Kind of claim -> what is asked of a surrogate under a law, and what the answer and its number say."""
ANSWERS = {"SUPPORTED": "yes", "REFUTED": "no", "INCONCLUSIVE": "open", "COLLAPSE": "only by collapse"}


ONE = (
    "All of this is one reconstruction of an experiment whose settings are lost: it cannot refute a paper."
    " “make multiverse” asks every claim in many plausible reconstructions, and then this page opens with the answer."
)


class Section(NamedTuple):
    """A section of the page: its anchor, its heading, and the data of its macro in the template."""

    id: str
    heading: str
    data: Any


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
    judged = judgements(source)
    claims, generic = judged["claims"], judged["generic"]
    elsewhere = judgements(tasks)["claims"] if tasks else []
    pictures = figures(folder / "figures", grids, claims)
    drawn = {(picture.task, picture.number): picture.anchor for picture in pictures if picture.number}
    before = [Section("verdicts", "Verdicts", {"claims": claims, "drawn": drawn})]
    universes = multiverse.section() if claims else None
    if universes:
        overview = universes.pictures.get("")
        facts = universes._asdict() | {"overview": image(overview) if overview else None}
        before.insert(0, Section("multiverse", "In how many reconstructions", facts))
    early = {task: table for task, one in grids.items() if (table := baselines.rows(one))}
    if early:
        before.append(Section("baselines", "Against stopping early", early))
    by_task = matrix(claims, elsewhere)
    if len(by_task["tasks"]) > 1:
        before.append(Section("tasks", "Claims and tasks", by_task))
    if claims and (networks := architectures.load()):
        paths = {
            name: store.OUTPUTS / architectures.NAME / f"{architectures.stem(name)}.svg" for name in grid.SURROGATES
        }
        own = {name: image(path) for name, path in paths.items() if path.exists()}
        before.append(Section("architectures", "Other networks, trained hard", networks | {"pictures": own}))
    lacking = judged.get("lacking", [])
    if generic or lacking:
        before.append(Section("generic", "Each surrogate and law", methods(generic) | {"lacking": lacking}))
    if twins := placebos.of_store(folder) + (placebos.of_store(store.locate(tasks)) if tasks else []):
        before.append(Section("placebos", "Is it feedback?", twins))
    missing = [name(claim) for claim in claims if claim["figure"] and (claim["task"], claim["figure"]) not in drawn]
    command = f"python -m experiments figures {shlex.quote(source)}"
    switch = any(len(picture.views) > 1 for picture in pictures)
    before.append(
        Section("figures", "Figures", {"pictures": pictures, "missing": missing, "command": command, "switch": switch})
    )
    after = theory()
    if found := conventions.read(conventions.DOCUMENT):
        after.append(Section("conventions", "Where this differs from, or completes, the paper", found))
    after.append(Section("runs-of-this-page", "What was run", run_facts(grids, store.load(source)[1], folder)))

    done = sum(int(one["train_loss"].isel(epoch=0).count()) for one in grids.values())
    of = max(one.sizes["seed"] for one in grids.values())
    said = [*map(baselines.sentence, early.values()), *readings.summary(claims)]
    said += [ONE] if claims and not universes else []
    library = compressed(get_plotlyjs().encode())

    def page(packed: Markup, seeds: int) -> str:
        shown = {"units": as_json(units(grids)), "groups": as_json(GROUPS)}
        facts = {"seeds": seeds, "of": of, "levels": LEVELS, **shown}
        explorer = Section("explorer", "Explorer", facts)
        return render(
            title="Does an entropy regulariser help?",
            head={"answers": answers(grids, generic), "found": said, "runs": done, "judged": bool(claims)},
            sections=[*before, explorer, *after],
            scripts={"plotly": library, "runs": packed} if seeds else {},
        )

    return page(*fit(grids, room=LIMIT - len(page(Markup(), 1).encode())))


def units(grids: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """Return what each column is measured in; losses of a task without classes are in the units of its target."""
    of_classes = all(bool(one["reward"].count()) for one in grids.values())
    return {name: unit for name, unit in UNITS.items() if of_classes or not name.endswith(("loss", "gap"))}


def render(title: str, head: Mapping[str, Any], sections: Sequence[Section], scripts: Mapping[str, str]) -> str:
    """Return the page. All data are escaped, except what is Markup.

    Args:
        title: Its title, a question.
        head: The `answers`, a sentence for each task, what was `found` in words, how many `runs` there
            are, and whether the paper was `judged`.
        sections: Its sections, in their order.
        scripts: The id of an element of data -> its content.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "anchor": anchor,
        "name": name,
        "facts": readings.facts,
        "readings": readings.rows,
        "number": number,
        "change": lambda change: f"{change:+.3f}".replace("-", "−"),
        "effect": lambda part: effect(Estimate.of_dict(part), part["unit"]),
    }
    return environment.get_template("template.html.jinja").render(
        title=title,
        head=head,
        sections=sections,
        scripts=scripts.items(),
        symbols=SYMBOLS,
        words=ANSWERS,
        views=VIEWS,
        ways=baselines.WAYS,
        needed=f"{', '.join(grid.SURROGATES)} under {', '.join(grid.REGIMES)}",
        style=Markup((HERE / "style.css").read_text()),
        script=Markup((HERE / "explorer.js").read_text()),
    )


# --- the data of the sections ---------------------------------------------------------------------------------------


def judgements(source: str) -> dict[str, Any]:
    """Return what claims.json says of a store: the paper's claims under `claims`, those of any surrogate in `generic`.

    Raises:
        ConfigError: If the store was not judged.
    """
    judged = load(source)
    if judged is None:
        command = f"python -m experiments claims {shlex.quote(source)}"
        raise ConfigError("store", source, f"verdicts in it; they come from {command}")
    return judged


def run_facts(grids: Mapping[str, xr.Dataset], runs: pd.DataFrame, folder: Path) -> list[tuple[str, str]]:
    """Return what was run, where, from which code, how long it took and when: pairs of a name and a text."""
    facts: list[tuple[str, str]] = []
    for task, one in grids.items():
        config = one.attrs["config"]
        axes = {name: ", ".join(f"{value:g}" if name == "lam0" else str(value) for value in one[name].to_numpy())
                for name in grid.AXES}  # fmt: skip
        problems = [f"{len(one.attrs[what])} {what}" for what in ("missing", "diverged") if one.attrs[what]]
        product = "; ".join(f"{name} {values}" for name, values in axes.items())
        facts += [
            (f"Task {task}", options(config["task"])),
            ("Grid", f"{product}; {', '.join(problems) or 'every run finished'}"),
            ("Epochs", f"{one.sizes['epoch'] - 1}, measured before the first and after each"),
            (
                "Training",
                "; ".join(f"{config[key]['name']} ({options(config[key])})" for key in ("model", "optimizer")),
            ),
        ]
    seconds = runs["wall_time"].sum()
    written = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in (folder / "runs").glob("*.parquet")]
    versions = {f"{name} {version}" for text in set(runs["versions"]) for name, version in json.loads(text).items()}
    return [
        *facts,
        ("Command", "; ".join(sorted(set(runs["command"])))),
        ("Commit", ", ".join(sorted(runs["commit"].fillna("none recorded").unique()))),
        ("Versions", ", ".join(sorted(versions))),
        ("Device", ", ".join(sorted(set(runs["device"])))),
        ("Wall time", f"{seconds / 60:.1f} minutes, summed over processes: {seconds / len(runs):.2f} s a run"),
        ("Written", f"{span(written)} UTC, by the files' dates"),
        ("Store", str(folder)),
    ]


def methods(claims: Sequence[Claim]) -> dict[str, Any]:
    """Return the claims of any surrogate and law as a table: a row for each method, a column for each question.

    Returns:
        `head`, pairs of a question and what its answer says; and `rows` of a task, a method, and its claim for each
        question, None where it was not judged.
    """
    names = {(claim["task"], claim["id"]): claim["id"].rpartition(": ")[::2] for claim in claims}
    kinds = list(dict.fromkeys(kind for _, kind in names.values()))
    places = dict.fromkeys((task, method) for (task, _), (method, _) in names.items())
    cells = {(claim["task"], *names[claim["task"], claim["id"]]): claim for claim in claims}
    rows = [(*place, [cells.get((*place, kind)) for kind in kinds]) for place in places]
    return {"head": [QUESTIONS.get(kind, (kind, "")) for kind in kinds], "rows": rows}


def theory() -> list[Section]:
    """Return the sections of the theory for which `make verify` and `make theory` were run."""
    found = []
    if (path := THEORY / "gates.json").exists():
        gates = json.loads(path.read_text())
        statements: dict[str, list[str]] = {}
        for gate in gates:
            statements.setdefault(gate["figure"], []).append(gate["statement"])
        captions = {stem: "; ".join(dict.fromkeys(those)) for stem, those in statements.items()}
        shown_gates = {"gates": gates, "pictures": theory_figures(captions)}
        found.append(Section("theory", "The theory, gate by gate", shown_gates))
    if (path := THEORY / "studies.json").exists():
        studies = json.loads(path.read_text()).values()
        shown_studies = [{"tables": each["tables"], "pictures": theory_figures(each["figures"])} for each in studies]
        found.append(Section("studies", "The theory on real runs", shown_studies))
    return found


def theory_figures(captions: Mapping[str, str]) -> list[Picture]:
    """Return the figures of the theory that were drawn, by the stems of their files."""
    paths = ((stem, caption, THEORY / f"{stem}.svg") for stem, caption in captions.items())
    return [Picture(f"theory-{stem}", caption, {"end": image(path)}) for stem, caption, path in paths if path.exists()]


# --- words and addresses --------------------------------------------------------------------------------------------


def name(claim: Claim) -> str:
    """Return what a claim is called on the page."""
    return f"Figure {claim['figure']}" if claim["figure"] else str(claim["id"])


def anchor(claim: Claim) -> str:
    """Return the id of a claim's row."""
    return slug("claim", claim["task"], claim["id"])


def number(value: float | None) -> str:
    """Return a number to three digits; a dash if there is none."""
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def span(times: Sequence[datetime]) -> str:
    """Return from when to when, with the date once if it is one."""
    first, last = min(times), max(times)
    return f"{first:%d %B %Y, %H:%M} to {last:{'%H:%M' if first.date() == last.date() else '%d %B %Y, %H:%M'}}"


def options(config: Mapping[str, Any]) -> str:
    """Return the options of a configuration's group, in words."""
    return ", ".join(f"{key} {value}" for key, value in config.items() if key not in ("name", "_target_"))
