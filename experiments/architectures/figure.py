"""Force and entropy over epochs of each network beside the MLP's, a figure for each surrogate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.architectures.results import FIXED, arms, stem, titled
from experiments.estimate import Array, of_seeds
from experiments.grid import SURROGATES
from hclm_runner.picture import BLUE, GREEN, GREY, KINDS, ORANGE, PINK, STYLE, save

COLOURS = {"mlp": BLUE, "cnn": ORANGE, "transformer": GREEN, "causal_transformer": PINK}
LINES: tuple[Any, ...] = ("--", "-")
"""Of the two arms of a panel."""
ROOM = 1e-4
"""Of a force relative to its first value the least that is shown: a collapse to 0 would flatten all else."""


def write(grids: Mapping[str, xr.Dataset], folder: Path, source: str) -> list[Path]:
    """Draw the figure of each surrogate into a store's folder, and return the paths."""
    by_title = {title: grids[context] for context, title in titled(grids, source).items()}
    return [path for name in SURROGATES for path in save(draw(by_title, name), folder / stem(name), KINDS)]


def draw(networks: Mapping[str, xr.Dataset], surrogate: str) -> Figure:
    """Return a row of panels for each task: force over that before training, and entropy, under fixed and under laws.

    Lines are means over seeds with bands of 95%: of the force geometric, as its axis is logarithmic.

    Args:
        networks: Title -> its runs.
        surrogate: Whose force and entropy.
    """
    tasks = list(dict.fromkeys(title.partition(" / ")[0] for title in networks))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.8 + 1.9 * len(tasks)), layout="constrained")
        panels = figure.subplots(len(tasks), 4, squeeze=False, sharex="row")
        for line, task in zip(panels, tasks, strict=True):
            for title, one in networks.items():
                if title.startswith(f"{task} / "):
                    _network(line, one, surrogate, COLOURS[title.rpartition(" / ")[2]])
            line[0].set_ylabel(f"{task.replace('_', '-')}\nF over F before training")
            line[2].set_ylabel("S (nats)")
            for axes in line[:2]:
                axes.set_yscale("log")
                axes.axhline(1, color=GREY, linewidth=0.7)
            for axes in line[2:]:
                axes.set_yscale("symlog", linthresh=1)
                axes.set_ylim(bottom=0)
            for pair in (line[:2], line[2:]):
                limits = [axes.get_ylim() for axes in pair]
                for axes in pair:
                    axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        middle = list(arms(next(iter(networks.values())), surrogate))[1]
        for axes, what in zip(panels[0], ("force", "force", "entropy", "entropy"), strict=True):
            under = "fixed" if axes in (panels[0][0], panels[0][2]) else "the laws"
            axes.set_title(f"{what}, {under}", fontsize=8)
        for axes in panels[-1]:
            axes.set_xlabel("epoch")
        _legend(figure, networks, middle)
        figure.suptitle(f"{surrogate}: mean over seeds, 95% interval", fontsize=9)
    return figure


def _network(line: Any, one: xr.Dataset, surrogate: str, colour: str) -> None:
    """Draw the arms of a network: under fixed in the first of each pair of panels, under the laws in the second."""
    own = arms(one, surrogate)
    fixed = [name for name in own if name.startswith("lam")]
    laws = [name for name in own if name not in fixed]
    for place, names in enumerate((fixed, laws)):
        for name, dash in zip(names, LINES[-len(names) :], strict=True):
            runs = own[name]
            log_ratio = of_seeds(xr.apply_ufunc(np.log, (runs["force"] / runs["force"].isel(epoch=0)).clip(min=ROOM)))
            _band(line[place], log_ratio.value, log_ratio.half, colour, dash, np.exp)
            entropy = of_seeds(runs["entropy"])
            _band(line[2 + place], entropy.value, entropy.half, colour, dash)
    setpoint = float(own[laws[0]]["setpoint"].max())  # of rl_thermostat it moves
    if np.isfinite(setpoint):
        line[3].axhline(setpoint, color=GREY, linewidth=0.9, linestyle=":")


def _band(axes: Axes, value: xr.DataArray, half: xr.DataArray, colour: str, dash: Any, of: Any = lambda x: x) -> None:
    x, low, high = value["epoch"].to_numpy(), _array(of(value - half)), _array(of(value + half))
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, _array(of(value)), color=colour, linestyle=dash, linewidth=1.2)


def _array(values: xr.DataArray) -> Array:
    return np.asarray(values.to_numpy(), float)


def _legend(figure: Figure, networks: Mapping[str, xr.Dataset], middle: str) -> None:
    models = list(dict.fromkeys(title.rpartition(" / ")[2] for title in networks))
    handles = [Line2D([], [], color=COLOURS[model], label=model.replace("_", " ")) for model in models]
    arms_of: dict[str, Any] = {
        f"{FIXED} at {middle}; rl_thermostat, or rate": "-",
        f"{FIXED} at lam = 0; thermostat": "--",
    }
    handles += [Line2D([], [], color="black", linestyle=dash, label=name) for name, dash in arms_of.items()]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="set point of thermostat, or rate"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
