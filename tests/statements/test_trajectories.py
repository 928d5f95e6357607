"""Theorems 1 and 2 and Proposition 3 on runs: what is counted, on paths whose every number is known."""

import functools
import itertools
import operator

import numpy as np
import pytest
import xarray as xr
from small_stores import store_of

from experiments.statements import proposition_3, theorem_1_on_runs, theorem_2, trajectories
from hclm_runner.config import configure
from hclm_runner.optimizers import Adam
from hclm_runner.refusal import ConfigError

DIMENSIONS = ("optimizer", "regime", "surrogate", "lam0", "seed")
H_S, H_L = np.diag([1.0, 0.1]), np.diag([0.2, 1.0])
TARGET = np.array([2.0, -1.0])


def descend(lr: float, lam_of, T: int = 30) -> dict[str, list[float]]:
    """Gradient descent of L + lam S, both quadratic, an epoch a step; the columns of a row at each epoch."""
    theta, rows = np.array([1.0, 3.0]), []
    for t in range(T + 1):
        gS, gL, lam = H_S @ theta, H_L @ (theta - TARGET), lam_of(t)
        S, L = theta @ H_S @ theta / 2, (theta - TARGET) @ H_L @ (theta - TARGET) / 2
        gE = gL + lam * gS
        moved = theta - lr * gE
        S1, L1 = moved @ H_S @ moved / 2, (moved - TARGET) @ H_L @ (moved - TARGET) / 2
        rows.append(
            {"lam": lam, "train_loss": L, "entropy": S, "force": np.linalg.norm(gS), "loss_force": np.linalg.norm(gL)}
            | {"injection": -gS @ gL, "dissipation": lam * gS @ gS, "gg": gE @ gE}
            | {"curvature": gS @ H_S @ gS / (gS @ gS), "coupling": abs(gS @ H_S @ gL) / np.linalg.norm(gS)}
            | {"smoothness": np.linalg.norm(H_L + lam * H_S, 2), "step_time": lr, "step_drift": gS @ (moved - theta)}
            | {"step_entropy": S1 - S, "step_energy": L1 + lam * S1 - L - lam * S}
        )
        theta = moved
    return {name: [row[name] for row in rows] for name in rows[0]}


def dataset(*paths: dict[str, list[float]], lr: float) -> xr.Dataset:
    """One optimiser and surrogate; a path is a seed."""
    runs = xr.Dataset(
        {name: (("seed", "epoch"), np.array([path[name] for path in paths])) for name in paths[0]},
        coords={"seed": range(len(paths)), "epoch": range(len(paths[0]["lam"]))},
    )
    runs = runs.expand_dims(optimizer=["plain"], regime=["fixed"], surrogate=["logdet"], lam0=[0.3])
    return runs.assign_coords(lr=("optimizer", [lr]), steps=("optimizer", [1])).transpose(*DIMENSIONS, "epoch")


def chatter(t: int) -> float:
    return 1.0 if t % 2 else 0.01


def test_the_slope_of_the_energy_follows_from_the_columns():
    runs = dataset(descend(0.3, lambda t: 0.1 + 0.05 * t), lr=0.3)
    np.testing.assert_allclose(theorem_1_on_runs.slopes_squared(runs), runs["gg"], rtol=1e-12)


@pytest.mark.parametrize(
    "lam_of", [lambda _: 0.5, chatter, lambda t: 1.0 / (1 + t)], ids=["fixed", "chatter", "falling"]
)
def test_theorem_1_holds_of_gradient_descent_with_the_controllers_work_counted(lam_of):
    found = theorem_1_on_runs.along_runs(dataset(descend(0.3, lam_of), lr=0.3))
    assert found["lr beta <= 1"].item() == found["descends"].item() == 1
    bound = theorem_1_on_runs.least_slope_over_bound(dataset(descend(0.3, lam_of), lr=0.3))
    assert bound["epoch"].to_numpy().tolist() == list(range(1, 31))
    assert (bound <= 1).all()


def test_the_bound_is_what_its_sum_says():
    path = descend(0.3, chatter)
    lam, L, S = (np.array(path[name]) for name in ("lam", "train_loss", "entropy"))
    for T in (1, 2, 7, 30):
        spent = sum(L[t] + lam[t] * S[t] - L[t + 1] - lam[t] * S[t + 1] for t in range(T))
        spent += sum(
            max(lam[t - 1] - lam[t], 0) * S[t] for t in range(1, T)
        )  # what a falling lam gave, and none counts
        expected = min(path["gg"][:T]) / (2 * spent / (0.3 * T))
        found = theorem_1_on_runs.least_slope_over_bound(dataset(path, lr=0.3)).sel(epoch=T).item()
        assert found == pytest.approx(expected, rel=1e-12), T


def test_without_the_work_a_chattering_lam_breaks_the_bound():
    # No loss to fall: what descent takes out, the controller puts in again.
    found = theorem_1_on_runs.along_runs(dataset(descend(0.3, chatter, T=4000), lr=0.3))
    assert (found["bound"].item(), found["as printed"].item()) == (1, 0)


@pytest.mark.parametrize("lr", [2.0, 2.5, 3.0])
def test_too_large_a_step_breaks_the_descent_and_the_bound_though_energy_then_rises(lr):
    large = theorem_1_on_runs.along_runs(dataset(descend(lr, lambda _: 0.5, T=8), lr=lr))
    assert large["lr beta <= 1"].item() == large["descends"].item() == large["bound"].item() == 0


def test_adam_has_no_lr_and_its_steps_are_judged_all_the_same():
    found = theorem_1_on_runs.along_runs(dataset(descend(0.3, chatter), lr=np.nan))
    assert np.isnan(found["lr beta <= 1"]).all()
    assert np.isnan(found["bound"]).all()
    assert found["descends"].item() == 1


def test_the_balance_closes_to_the_second_order_and_what_does_not_follow_the_flow_is_told_apart():
    path = descend(0.01, lambda _: 0.5)
    found = theorem_2.along_runs(dataset(path, lr=0.01))
    assert found["closure"].item() == pytest.approx(found["length"].item(), rel=1e-9)
    assert found["closure"].item() < 0.05
    assert found["direction"].item() == pytest.approx(0, abs=1e-12)
    aside = path | {"step_drift": [0.0] * 31, "step_entropy": [0.0, *path["step_entropy"][1:]]}
    found = theorem_2.along_runs(dataset(aside, lr=0.01))
    assert found["length"].item() == pytest.approx(1)
    assert found["direction"].item() > 0.5


def test_late_the_balance_says_what_the_flow_did():
    found = theorem_2.along_runs(dataset(descend(0.001, lambda _: 0.5, T=100), lr=0.001))
    assert found["late, said"].item() == pytest.approx(found["late, done"].item(), rel=0.01)


def test_proposition_3_counts_positive_curvature_and_where_the_force_ends():
    path = descend(0.3, lambda _: 0.5)
    found = proposition_3.along_runs(dataset(path, lr=0.3))
    assert [found[name].item() for name in ("mu > 0", "throughout", "starts inside", "ends inside")] == [1, 1, 0, 1]
    dented = path | {"curvature": [-1.0] * 10 + [np.nan] * 11 + [1.0] * 10}
    found = proposition_3.along_runs(dataset(dented, lr=0.3))
    assert (found["mu > 0"].item(), found["throughout"].item()) == (0.5, 0)
    assert np.isnan(found["ends inside"]).all()
    found = proposition_3.along_runs(dataset(path | {"force": [0.1, *path["force"][1:-1], 1e3]}, lr=0.3))
    assert (found["starts inside"].item(), found["ends inside"].item()) == (1, 0)


def test_a_row_has_the_seeds_mean_and_interval_and_nothing_where_nothing_was_measured():
    runs = dataset(descend(0.3, chatter), descend(0.2, chatter), lr=0.3)
    both = xr.concat([runs, runs.assign_coords(surrogate=["softmax"]) * np.nan], "surrogate")
    for measure in (proposition_3.along_runs, theorem_1_on_runs.along_runs, theorem_2.along_runs):
        (row,) = trajectories.estimates(both, measure)
        assert (row["surrogate"], row["seeds"]) == ("logdet", 2)
    per_seed = theorem_2.along_runs(runs)["closure"].to_numpy().ravel()
    closure = row["closure"]
    assert closure.n == 2
    assert closure.value == pytest.approx(per_seed.mean())
    assert closure.high - closure.low == pytest.approx(2 * 12.7062 * per_seed.std(ddof=1) / 2**0.5, rel=1e-5)
    assert all(type(part) in (int, float) for part in vars(closure).values())  # so that JSON has them


def test_what_only_some_runs_have_is_their_share_without_an_interval():
    inside, outside = (descend(0.3, lambda _: 0.5) for _ in range(2))
    outside["force"][-1] = 1e3
    undefined = inside | {"curvature": [-1.0] * 31}
    runs = dataset(inside, inside, outside, undefined, lr=0.3)
    (row,) = trajectories.estimates(runs, proposition_3.along_runs, proposition_3.INSIDE)
    assert row["throughout"].value == 3 / 4
    assert row["ends inside"].value == 2 / 3
    assert row["ends inside"].n == 3
    assert np.isnan([row["ends inside"].low, row["ends inside"].high]).all()
    assert format(row["ends inside"], "±.2f") == "0.67"


# --- the stores -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The two stores in miniature."""
    folder = tmp_path_factory.mktemp("stores")

    def cells(*optimizers, surrogates=("softmax", "variance", "logdet")):
        fixed = itertools.product(optimizers, surrogates, ("fixed", "thermostat"), trajectories.LAMS)
        return [[*o, f"surrogate={s}", f"regime={r}", f"lam={lam}", "premises=true"] for o, s, r, lam in fixed]

    full = ["optimizer=plain"]
    three = ([f"optimizer={name}", "batch_size=32"] for name in ("sgd", "adam", "plain"))
    return store_of(folder / "a", *cells(*three)), store_of(folder / "b", *cells(full, surrogates=("logdet",)))


def test_the_stores_are_read_with_the_learning_rates_and_steps_of_their_optimisers(stores):
    runs = trajectories.load(*map(str, stores))
    assert runs["optimizer"].to_numpy().tolist() == ["descent", "plain", "sgd", "adam"]
    assert runs["surrogate"].to_numpy().tolist() == ["softmax", "variance", "logdet"]
    np.testing.assert_allclose(runs["lr"], [0.05, 0.05, 0.5, np.nan])
    assert runs["steps"].to_numpy().tolist() == [1, 2, 2, 2]
    own = runs.sel(optimizer="descent", surrogate="logdet", seed=1)["force"]
    assert own.isel(regime=0, lam0=0).to_numpy().tolist() == [4, 5, 6, 7]


class aaa(Adam):  # noqa: N801 - its name is what the rows are called
    """A user's own optimiser."""


def aab(Z):
    return Z.square().mean()


ADAM = dict(configure("optimizer=adam").optimizer.options)


def test_what_a_user_ran_too_has_rows_of_its_own_after_the_papers(stores, tmp_path):
    own = [f"optimizer={__name__}.aaa", *(f"optimizer.{key}={value}" for key, value in ADAM.items()), "premises=true"]
    named = [[*own, f"surrogate={s}", f"regime={r}", f"lam={lam}"]
             for s, r, lam in itertools.product(("logdet", "variance"), ("fixed", "thermostat"), trajectories.LAMS)]  # fmt: skip
    named += [[*each, f"surrogate={__name__}.aab"] for each in named if "surrogate=variance" in each]
    runs = trajectories.load(*map(str, stores), str(store_of(tmp_path / "own", *named)))
    assert runs["optimizer"].to_numpy().tolist() == ["descent", "plain", "sgd", "adam", "aaa"]
    assert runs["surrogate"].to_numpy().tolist() == ["softmax", "variance", "logdet", "aab"]
    rows = trajectories.estimates(runs, theorem_2.along_runs)
    assert [row["surrogate"] for row in rows if row["optimizer"] == "aaa"] == ["variance", "logdet", "aab"]


def test_what_the_statements_cannot_do_without_is_asked_for_at_once(stores, tmp_path):
    with pytest.raises(ConfigError, match="runs at optimizer = descent too"):
        trajectories.load(str(stores[0]))
    few = store_of(tmp_path / "few", ["premises=true", "regime=fixed", "lam=0.03"])
    with pytest.raises(ConfigError, match="runs at regime = thermostat too"):
        trajectories.load(str(few))
    with pytest.raises(ConfigError, match="premises=true, omega=0 and rho=0"):
        trajectories.load(str(store_of(tmp_path / "plain", ["lam=0.03"])))


def test_a_seed_of_which_a_run_diverged_does_not_enter(stores):
    runs = trajectories.load(*map(str, stores))
    where = {"optimizer": "sgd", "surrogate": "variance", "regime": "fixed", "lam0": 0.3, "seed": 2}
    died = functools.reduce(operator.and_, (runs[name] == at for name, at in where.items()))
    cut = runs.where(~(died & (runs["epoch"] >= 2)))
    whole, rest = ({(row["optimizer"], row["surrogate"]): row for row in trajectories.estimates(each, theorem_2.along_runs)}
                   for each in (runs.sel(seed=[0, 1, 3]), cut))  # fmt: skip
    key = ("sgd", "variance")
    assert (whole[key]["seeds"], rest[key]["seeds"]) == (3, 3)
    assert vars(rest[key]["closure"]) == pytest.approx(vars(whole[key]["closure"]))
    assert rest[("adam", "variance")]["seeds"] == 4
