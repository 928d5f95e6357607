"""The whole way from a signal to a prediction, on linear plants in the project's own laws; then the command, small."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from experiments.__main__ import main
from experiments.stability import command, design, findings
from experiments.stability.figure import draw
from experiments.stability.identify import Plant
from experiments.statements.theorem_1_on_runs import control_work
from hclm_runner.picture import save
from hclm_runner.regimes import Excited, RLThermostat, Seen

ROOT = Path(__file__).parents[2]
EPOCHS = 240
PI = {"holds": "entropy", "kappa": 1.0, "setpoint": None, "lam_min": 1e-3, "lam_max": 10.0, "warmup": 5}
PI |= {"smoothing": 0.5, "kp": 0.5, "ki": 0.1, "anti_windup": 1.0}
RL = PI | {"policy": "critique", "alpha": 0.0, "c0": 0.0, "m_min": -2.0, "m_max": 1.0, "explore": 0.2, "baseline": 0.1}
EXCITED = RL | {"delay": 0, "excites": "lam", "amplitude": 0.0, "period": 2}
LAW = findings.Law(kp=0.5, ki=0.1, smoothing=0.5, alpha=0.5, warmup=5)
FAST = Plant(np.array([0.5]), np.array([-0.2, -0.1]), 0)
SLOW = Plant(np.array([0.9]), np.array([-0.3]), 0)
"""Of other dynamics and five times the gain: what a prediction from the wrong plant is."""


def simulated(plant: Plant, answer: float, late: int, runs: int, **options) -> list[xr.Dataset]:
    """Return the runs of a law, each with its own options [runs], on log S = plant(log lam) and a `late` c = answer log S.

    A linear world with a kick half-way, and noise that the runs of a seed share.
    """
    kind = Excited if "delay" in options else RLThermostat
    law = kind(**options)
    xi, noise = np.random.default_rng(0).standard_normal((2, EPOCHS + 1, 3, 1))
    lam0 = torch.full((3, runs), 0.1, dtype=torch.float64)
    state, y, u, c, rows = (
        law.init(lam0, torch.ones_like(lam0)),
        [np.zeros((3, runs))] * 3,
        [np.zeros((3, runs))] * 3,
        [],
        [],
    )
    for t in range(EPOCHS + 1):
        new = (
            plant.a[0] * y[-1]
            + sum(b * u[-1 - i] for i, b in enumerate(plant.b))
            + 0.002 * noise[t]
            + 0.05 * (t == 130)
        )
        y.append(new)
        c.append(answer * new)
        S, heard = torch.from_numpy(np.exp(new)), torch.from_numpy(c[max(t - late, 0)])
        seen = dict.fromkeys(Seen._fields, torch.full_like(S, torch.nan)) | {
            "epoch": t,
            "entropy": S,
            "critique": heard,
        }
        state = law.update(state, Seen(**seen | {"xi": torch.from_numpy(xi[t]).expand(3, runs)}))
        u.append(state["lam"].log().numpy() - np.log(0.1))
        rows.append([state["lam"].numpy(), S.numpy(), state["setpoint"].numpy(), heard.numpy()])
    table = np.array(rows)  # [epoch, column, seed, run]
    columns = ("lam", "entropy", "setpoint", "feedback")
    return [
        xr.Dataset(
            {name: (("seed", "epoch"), table[:, i, :, k].T) for i, name in enumerate(columns)},
            {"seed": range(3), "epoch": range(EPOCHS + 1)},
        )
        for k in range(runs)
    ]


@cache
def linear_world() -> findings.Traces:
    return traces(FAST, FAST)


def traces(plant: Plant, excited: Plant, answer: float = 0.3) -> findings.Traces:
    """Return the parts of a world with one optimiser, in which the signal meets the plant `excited`."""
    found: dict = {"lam": {}, "setpoint": {}, "inner": {}, "outer": {}}
    for part, (_, period, alpha) in design.SIGNALS.items():
        amplitude = torch.tensor([0.2, -0.2])
        pair = simulated(
            excited,
            answer,
            0,
            2,
            **EXCITED | {"excites": part, "amplitude": amplitude, "alpha": alpha, "period": period},
        )
        for sign, runs in zip((1, -1), pair, strict=True):
            found[part][(("optimizer", "sgd"), ("surrogate", "logdet"), ("sign", sign))] = runs
    gains = np.array([(delay, kp) for delay in (0, 1, 4, 8) for kp in design.KP])
    delay, kp = torch.from_numpy(gains).T
    for row, runs in zip(
        gains, simulated(plant, 0.0, 0, len(gains), **EXCITED | {"delay": delay, "kp": kp, "ki": kp}), strict=True
    ):
        place = (("optimizer", "sgd"), ("ratio", 1.0), ("delay", int(row[0])), ("gain", row[1]))
        found["inner"][place] = runs
    for late in (0, 10):
        alpha = torch.tensor(design.ALPHA, dtype=torch.float64)
        for value, runs in zip(
            design.ALPHA, simulated(plant, answer, late, len(alpha), **RL | {"alpha": alpha}), strict=True
        ):
            found["outer"][("optimizer", "sgd"), ("noise", 0.0), ("delay", late), ("gain", value)] = runs
    return found


def test_in_a_linear_world_the_prediction_is_right_but_next_to_the_boundary():
    """A cell is a factor of 2 wide, and next to the boundary a cycle grows slower than a run is long: 0.6 to 1.5."""
    world = linear_world()
    plants = findings.known(world, LAW, 20)
    for one in plants:
        assert one.found.fit > 0.98
        assert one.at_bound == 0
    for one in plants[:2]:
        np.testing.assert_allclose([*one.found.plant.a, *one.found.plant.b], [0.5, -0.2, -0.1], atol=1e-6)
    for cells in (findings.inner_cells(world, plants, LAW), findings.outer_cells(world, plants, LAW)):
        (own, every) = findings.agreement(cells, "map")
        assert own | {"optimizer": "all"} == every
        assert own["right"]["value"] >= 0.9, cells
        assert own["right"]["value"] > own["one_guess"]
        assert own["right"]["low"] < own["right"]["value"] <= own["right"]["high"]
        assert 0.6 < own["factor"]["value"] < 1.5
        assert any(cell["unstable"] for cell in cells)
        assert all(cell["settled"] == 3 for cell in cells if not cell["unstable"])


def test_a_prediction_from_another_plant_is_wrong():
    world = traces(FAST, SLOW)
    plants = findings.known(world, LAW, 20)
    own, _ = findings.agreement(findings.inner_cells(world, plants, LAW), "inner")
    assert own["factor"]["value"] < 0.5


def test_without_a_working_point_or_an_answer_nothing_is_predicted():
    world = traces(FAST, FAST, answer=0.0)
    plants = findings.known(world, LAW, 20)
    assert [one.found.fit >= findings.USED for one in plants] == [True, True, False, False]
    assert {cell["predicted_unstable"] for cell in findings.outer_cells(world, plants, LAW)} == {None}
    stuck = {place: runs.assign(lam=0 * runs["lam"] + 10.0) for place, runs in world["lam"].items()}
    plants = findings.known({**world, "lam": stuck}, LAW, 20)
    assert [one.found for one in plants[:2]] == [None, None]
    none = list(findings.agreement(findings.inner_cells(world, plants, LAW), "inner"))
    assert none == [{"map": "inner", "optimizer": name, "cells": 0} for name in ("sgd", "all")]
    rows = list(findings.plant_rows(plants, LAW))
    assert [row["found"] is None for row in rows] == [True, True, False, False]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_the_work_of_the_controller_is_what_the_rises_of_lam_add_to_the_energy():
    rng = np.random.default_rng(4)
    lam, S, L = rng.random((3, 2, 9))
    columns = {"lam": lam, "entropy": S, "train_loss": L}
    runs = xr.Dataset({name: (("seed", "epoch"), each) for name, each in columns.items()}, {"epoch": range(9)})
    work = [sum(max(lam[i, t] - lam[i, t - 1], 0) * S[i, t] for t in range(1, 8)) for i in range(2)]
    np.testing.assert_allclose(control_work(runs).isel(epoch=-1), work)
    fall = [L[i, 0] + lam[i, 0] * S[i, 0] - L[i, 8] - lam[i, 7] * S[i, 8] for i in range(2)]
    (row,) = findings.work_rows({"laws": {(("law", "x"),): runs}})
    assert (row["law"], row["work"]["value"], row["fall"]["value"]) == (
        "x",
        *map(pytest.approx, map(np.mean, (work, fall))),
    )


# --- the table of runs, and the command -----------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """A table of few runs."""
    few = {"OPTIMIZERS": ("sgd",), "RATIOS": (0.2,), "KP": (0.5, 8.0), "DELAYS": (0, 3), "ALPHA": (0.5,), "LAWS": LAWS}
    for name, value in (few | {"FEEDBACK_DELAYS": (0, 7), "NOISES": (0.05,)}).items():
        monkeypatch.setattr(design, name, value)


LAWS = ("fixed", "rl_thermostat")


def test_every_run_is_another_and_no_seed_of_a_map_identifies(small):
    runs = design.runs(2)
    assert len({run.config.run_id for run in runs}) == len(runs)
    seeds = {part: {run.seed for run in runs if run.part == part} for part in ("lam", "setpoint", "inner", "outer")}
    assert seeds["lam"] == seeds["setpoint"] == set(range(4))
    assert not seeds["inner"] & seeds["lam"]
    assert seeds["inner"] == seeds["outer"]
    for run in runs:
        at, options, feedback = dict(run.place), run.config.regime.options, run.config.feedback.options
        if run.part == "inner":
            assert (options["kp"], options["ki"], options["delay"]) == (
                at["gain"],
                at["ratio"] * at["gain"],
                at["delay"],
            )
            assert options["amplitude"] == options["alpha"] == feedback["delay"] == 0
        if run.part == "outer":
            assert (options["alpha"], feedback["delay"], feedback["noise"]) == (at["gain"], at["delay"], at["noise"])
            assert (options["kp"], options["delay"]) == (0.5, 0)


def test_what_is_written_and_printed_of_a_linear_world(tmp_path, capfd):
    world = linear_world()
    columns = world["lam"][next(iter(world["lam"]))]
    losses = columns["entropy"] * 0.5
    world = world | {"laws": {(("surrogate", "logdet"), ("law", "thermostat")): columns.assign(train_loss=losses)}}
    found = command.judged(world, LAW, 20)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    cells = {(row["map"], row["optimizer"]): row["cells"] for row in found["agreement"]}
    assert cells == {
        ("inner", "sgd"): 28,
        ("inner", "all"): 28,
        ("outer, noise 0", "sgd"): 14,
        ("outer, noise 0", "all"): 14,
        ("outer, noise 0.05", "all"): 0,
    }
    paths = save(draw(found), tmp_path / "stability", ("png",))
    command.show(found, paths)
    out = capfd.readouterr().out
    assert "\nTheorem 1: what the controller adds to the budget\n" in out
    assert "log lam to log S       logdet     sgd        early  1.00  -0.6 [-0.6, -0.6]" in out
    assert out.endswith("stability.png\n")


def test_the_number_of_runs_is_that_of_the_pages():
    several = {"inner": 1, "outer": 1}
    runs = sum(design.SEEDS * several.get(part, 2) for part, *_ in design.places())
    for page in ("docs/stability.md", "Makefile"):
        assert f"{runs} runs" in (ROOT / page).read_text()


TINY = ["epochs=40", "batch_size=16", "task.train=32", "task.feedback=32", "task.test=32", "sweep.workers=1"]


@pytest.mark.slow
def test_the_command_trains_judges_and_draws_and_then_trains_nothing(small, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    command = ["stability", *TINY, "--seeds", "2", "--resamples", "20", "--name", "small"]
    main(command)
    out = capfd.readouterr().out
    folder = tmp_path / "outputs/small"
    found = json.loads((folder / "stability.json").read_text())
    assert [len(found[name]) for name in ("plants", "inner", "outer", "control_work")] == [8, 4, 2, 6]
    assert all(row["work"]["value"] == 0 for row in found["control_work"] if row["law"] == "fixed")
    assert all(row["work"]["value"] > 0 for row in found["control_work"] if row["law"] != "fixed")
    assert all((folder / f"stability.{kind}").stat().st_size > 5_000 for kind in ("png", "pdf"))
    assert out.endswith("stability.pdf\n")
    main(command)
    assert json.loads((folder / "stability.json").read_text()) == found


def test_a_dry_run_trains_and_writes_nothing(small, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    main(["stability", *TINY, "sweep.dry_run=true", "--seeds", "2"])
    captured = capfd.readouterr()
    assert "68 runs would train" in captured.out + captured.err
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["regime.kp=1"], "error: regime.kp: expected no value: the experiment sets surrogate, optimizer, regime"),
        (["epochs=x"], "error: epochs=x"),
        (["epochs=20"], "error: epochs=20: expected 40 or more"),
        (["--seeds", "1"], "python -m experiments stability: error: argument --seeds: expected 2 or more, got 1"),
    ],
)
def test_what_is_refused_is_one_line(arguments, line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["stability", *arguments])
    assert stop.value.code == 2
    assert line in capfd.readouterr().err
    assert not (tmp_path / "outputs").exists()
