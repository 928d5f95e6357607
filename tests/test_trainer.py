"""What the trainer promises: independence from neighbours, from lam = 0, from the annotator; and Theorem 2 on the real thing."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, Records
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes import Fixed, Seen, State, Thermostat
from hclm_runner.training.trainer import train

SMALL = ["epochs=4", "task.train=64", "task.feedback=32", "task.test=48", "batch_size=16"]


def vary(base, **values):
    return base.model_copy(update=values)


def rows(records: Records, run: int) -> np.ndarray:
    return np.stack([records.columns[name][run] for name in COLUMNS])


@pytest.mark.kernels
def test_rows_do_not_depend_on_the_order_of_the_batch_nor_on_threads():
    base = configure("surrogate=logdet", "regime=thermostat", *SMALL)
    runs = [vary(base, lam=lam, seed=seed) for seed in (3, 1) for lam in (0.0, 0.1, 1.0)]
    forward, backward = train(runs), train(runs[::-1])
    torch.set_num_threads(2)
    try:
        threaded = train(runs)
    finally:
        torch.set_num_threads(1)
    for i in range(len(runs)):
        np.testing.assert_array_equal(rows(forward, i), rows(backward, len(runs) - 1 - i))
        np.testing.assert_array_equal(rows(forward, i), rows(threaded, i))


def test_every_float_may_vary_within_a_batch():
    a = configure("surrogate=logdet", "regime=rl_thermostat", "feedback=noisy", "omega=0.01", "rho=0.1", *SMALL)
    others = ["lam=0.7", "seed=5", "sigma=0.5", "surrogate.eps=0.3", "omega=0.02", "rho=0.3", "risk.miss_cost=2"]
    others += ["regime.kp=0.2", "regime.kappa=0.8", "regime.warmup=1", "regime.alpha=0.1", "regime.lam_max=2"]
    others += ["feedback.flip=0.3", "feedback.noise=0.2", "feedback.delay=2", "feedback.w=0.5", "feedback.drift=0.01"]
    others += ["optimizer.lr=0.02", "optimizer.momentum=0.5", "optimizer.weight_decay=0.01"]
    others += ["task.separation=2.0", "task.label_noise=0.3"]
    b = configure("surrogate=logdet", "regime=rl_thermostat", "feedback=noisy", *SMALL, *others)
    both = train([a, b])
    np.testing.assert_array_equal(rows(both, 0), rows(train([a]), 0))
    np.testing.assert_array_equal(rows(both, 1), rows(train([b]), 0))
    assert not np.allclose(rows(both, 0), rows(both, 1), equal_nan=True)


def leaky(in_features: int, out_features: int, *, slope: float) -> nn.Module:
    encoder = nn.Sequential(nn.Linear(in_features, 8), nn.LeakyReLU(slope))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, out_features)})


def test_a_models_floats_are_part_of_its_shape():
    model = [f"model={__name__}.leaky", *SMALL]
    a, b = (configure([*model, f"model.slope={slope}"]) for slope in (0.0, 0.9))
    assert a.shape_key != b.shape_key
    assert (rows(train([a]), 0) != rows(train([b]), 0)).any()


def test_runs_of_different_shape_are_refused():
    for other in (
        "surrogate=softmax",
        "regime=thermostat",
        "epochs=3",
        "batch_size=8",
        "model.hidden=[8]",
        "omega=0.1",
        "dtype=float64",
    ):
        with pytest.raises(ValueError, match="shape_key"):
            train([configure(*SMALL), configure(*SMALL, other)])
    with pytest.raises(ValueError, match="at least one"):
        train([])
    assert configure("lam=1", "seed=3").shape_key == configure("lam=0").shape_key


def test_what_a_seed_fixes_is_the_same_under_every_surrogate_regime_and_lam():
    arms = [(s, r, lam) for s in ("logdet", "softmax") for r in ("fixed", "thermostat") for lam in ("0", "1")]
    first = [train([configure(f"surrogate={s}", f"regime={r}", f"lam={lam}", *SMALL)]).columns for s, r, lam in arms]
    for name in (
        "train_loss",
        "test_loss",
        "feedback_loss",
        "train_accuracy",
        "reward",
        "loss_force",
        "effective_rank",
    ):
        assert len({columns[name][0, 0] for columns in first}) == 1, name
    other = train([configure("seed=1", *SMALL)]).columns
    assert other["train_loss"][0, 0] != first[0]["train_loss"][0, 0]


def no_surrogate(Z: Tensor) -> Tensor:
    return (0 * Z).sum()


def test_lam_zero_is_bit_identical_to_no_surrogate_at_all():
    none = train([configure([f"surrogate={__name__}.no_surrogate", "lam=0", *SMALL])])
    for surrogate in ("logdet", "variance", "softmax"):
        zero = train([configure(f"surrogate={surrogate}", "lam=0", *SMALL)])
        for name in ("train_loss", "test_loss", "loss_force", "effective_rank", "reward"):
            np.testing.assert_array_equal(zero.columns[name], none.columns[name])
    some = train([configure("surrogate=logdet", "lam=0.01", *SMALL)])
    assert (some.columns["train_loss"][0, 1:] != none.columns["train_loss"][0, 1:]).all()


def test_a_run_that_diverges_is_frozen_flagged_and_disturbs_nobody():
    base = configure("surrogate=logdet", "regime=thermostat", *SMALL)
    wild = configure("surrogate=logdet", "regime=thermostat", *SMALL, "optimizer.lr=1e25")
    together = train([base, wild, vary(base, seed=1)])
    assert together.diverged.tolist() == [-1, 1, -1]
    np.testing.assert_array_equal(rows(together, 0), rows(train([base]), 0))
    np.testing.assert_array_equal(rows(together, 2), rows(train([vary(base, seed=1)]), 0))
    np.testing.assert_array_equal(rows(together, 1), rows(train([wild]), 0))
    assert np.isfinite(together.columns["train_loss"][1, 0])
    assert np.isnan(rows(together, 1)[:, 1:]).all()


def spoiled(Z: Tensor, *, at: float) -> Tensor:
    """Not finite once the representation has spread beyond `at`."""
    spread = Z.var(0).sum()
    return spread + torch.where(spread > at, torch.nan, 0.0)


def test_a_surrogate_that_fails_late_is_flagged_at_its_epoch():
    surrogate = [f"surrogate={__name__}.spoiled", "lam=0", *SMALL]
    free = train([configure([*surrogate, "surrogate.at=1e9"])]).columns["entropy"][0]
    assert free[0] < free[2] < free[3], "the spread must grow for this test to say anything"
    failed = train([configure([*surrogate, f"surrogate.at={(free[2] + free[3]) / 2}"])])
    assert failed.diverged.tolist() == [3]
    np.testing.assert_array_equal(failed.columns["entropy"][0, :3], free[:3])


@pytest.mark.parametrize("surrogate", ["logdet", "variance", "softmax"])
def test_theorem_2_closes_to_first_order_in_the_step(surrogate):
    """One step of the real trainer, whole batch, no noise: (S_1 - S_0)/eta -> -<gS, gL> - lam F^2 with an error of order eta."""
    physics = [f"surrogate={surrogate}", "surrogate.eps=1.0"] if surrogate != "softmax" else ["surrogate=softmax"]
    plain = [
        "epochs=1",
        "task.train=64",
        "batch_size=64",
        "sigma=0",
        "optimizer.momentum=0",
        "lam=0.5",
        "dtype=float64",
    ]
    steps = np.array([1e-2, 1e-3, 1e-4])
    records = train([configure(*physics, *plain, f"optimizer.lr={eta}") for eta in steps])
    S, injection, dissipation = (records.columns[name] for name in ("entropy", "injection", "dissipation"))
    rate = injection[:, 0] - dissipation[:, 0]
    error = np.abs((S[:, 1] - S[:, 0]) / steps - rate)
    slopes = np.diff(np.log(error)) / np.diff(np.log(steps))
    assert np.abs(slopes - 1).max() < 0.1, (error, slopes)
    wrong = np.abs((S[:, 1] - S[:, 0]) / steps - (injection[:, 0] + dissipation[:, 0]))
    assert wrong[-1] > 100 * error[-1], "the opposite sign of the dissipation must not close"


class Witness(Thermostat):
    """A thermostat that notes what it was shown."""

    uses_feedback = True
    seen: list[Seen] = []  # noqa: RUF012 - shared on purpose

    def update(self, state: State, seen: Seen) -> State:
        self.seen.append(seen)
        return super().update(state, seen)


def test_no_gradient_flows_from_feedback_or_control_to_the_parameters():
    Witness.seen.clear()
    law = ["regime=thermostat", f"regime._target_={__name__}.Witness"]
    train([configure(*law, *SMALL)])
    assert len(Witness.seen) == 1 + 5, "once when it is checked, then at each epoch"
    for seen in Witness.seen:
        for value in (seen.entropy, seen.utility, seen.critique, seen.xi):
            assert not value.requires_grad
            assert value.grad_fn is None


class Scripted(Fixed):
    """lam at epoch t is lam0 + t, whatever happens."""

    def update(self, state: State, seen: Seen) -> State:
        return state | {"lam": state["lam"] + 1}


def test_a_law_of_ones_own_sets_lam_and_the_lam_column_is_what_is_in_force_next():
    law = [f"regime={__name__}.Scripted", "lam=0"]
    scripted = train([configure([*law, *SMALL])])
    np.testing.assert_array_equal(scripted.columns["lam"][0], [1, 2, 3, 4, 5])
    one = train([configure("lam=1", *SMALL)])
    assert scripted.columns["train_loss"][0, 1] == one.columns["train_loss"][0, 1]
    assert scripted.columns["train_loss"][0, 2] != one.columns["train_loss"][0, 2]


class Debt(Fixed):
    """Pays for entropy instead of taxing it, from epoch 2 on."""

    def update(self, state: State, seen: Seen) -> State:
        return state | {"lam": state["lam"] - 0.1}


def test_a_law_that_goes_below_zero_is_no_result():
    records = train([configure([f"regime={__name__}.Debt", "lam=0.25", *SMALL])])
    assert records.diverged.tolist() == [2]


@dataclass(frozen=True)
class Gain(Fixed):
    gain: float | int

    def update(self, state: State, seen: Seen) -> State:
        return state | {"lam": 0 * state["lam"] + self.gain}


def test_an_option_that_is_whole_in_one_run_and_not_in_another_keeps_both():
    law = [f"regime={__name__}.Gain", *SMALL]
    both = train([configure([*law, f"regime.gain={gain}"]) for gain in (1, 0.5)])
    assert both.columns["lam"][:, 0].tolist() == [1.0, 0.5]


def constant(Z: Tensor) -> Tensor:
    return torch.ones_like(Z[0, 0])


def test_a_surrogate_that_theta_does_not_reach_exerts_no_force():
    placebo = train([configure([f"surrogate={__name__}.constant", *SMALL])])
    assert (placebo.columns["force"] == 0).all()
    assert (placebo.columns["entropy"] == 1).all()
    assert np.isnan(placebo.columns["critical_lam"]).all()


def tied(in_features: int, out_features: int) -> nn.Module:
    encoder, head = nn.Sequential(nn.Linear(in_features, 8), nn.Linear(8, out_features)), nn.Linear(8, out_features)
    head.weight = encoder[1].weight
    return nn.ModuleDict({"encoder": encoder, "head": head})


def frozen(in_features: int, out_features: int) -> nn.Module:
    encoder = nn.Linear(in_features, 8).requires_grad_(False)
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, out_features)})


def noisy(in_features: int, out_features: int) -> nn.Module:
    encoder = nn.Sequential(nn.Linear(in_features, 8), nn.Dropout(0.5))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, out_features)})


@pytest.mark.parametrize(
    ("model", "message"), [("tied", "under two names"), ("frozen", "do not train"), ("noisy", "no random numbers")]
)
def test_a_model_that_cannot_be_vectorised_faithfully_is_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        train([configure([f"model={__name__}.{model}", *SMALL])])


class Silent:
    """No law at all."""


def test_a_law_without_its_methods_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"regime._target_=.*Silent.*a law with init"):
        train([configure([f"regime={__name__}.Silent", *SMALL])])


def test_one_run_needs_no_list_and_records_show_each_id_with_its_settings():
    base, wild = configure(*SMALL), configure(*SMALL, "optimizer.lr=1e25")
    alone, both = train(base), train([base, wild])
    np.testing.assert_array_equal(rows(alone, 0), rows(both, 0))
    head, first, second = repr(both).splitlines()
    assert repr(alone).startswith("1 run, 4 epochs")
    assert head == f"2 runs, 4 epochs, {both.theta.shape[1]} parameters each; .frame() has a row per epoch"
    assert first == f"  {base.run_id}  {base.title}"
    assert second == f"  {wild.run_id}  {wild.title}, diverged at epoch 1"
    many = alone._replace(runs=[base] * 20, diverged=np.full(20, -1))
    assert repr(many).splitlines()[-1] == "  and 8 more"
    assert len(repr(many).splitlines()) == 14


def test_progress_is_told_each_epoch_with_a_number_for_each_run():
    base, shown = configure(*SMALL), []
    records = train([base, vary(base, seed=1)], progress=lambda epoch, row: shown.append((epoch, row["train_loss"])))
    assert [epoch for epoch, _ in shown] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(np.stack([loss for _, loss in shown], -1), records.columns["train_loss"])


def test_float32_follows_float64():
    single, double = (
        train([configure(f"dtype={dtype}", "regime=thermostat", *SMALL)]) for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(rows(single, 0), rows(double, 0), rtol=2e-4, atol=2e-5)
