"""The fast trainer against the slow reference: whole runs, every column, every epoch, alone and fused."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import reference
import reference_energy
import reference_laws
import torch
from reference import reference_run

from hclm_runner.config import configure
from hclm_runner.tasks import Task
from hclm_runner.training.trainer import COLUMNS, train

RTOL = 1e-9
ATOL = 1e-12
"""For the columns that cross zero (gap, alignment, injection, critical_lam, feedback): differences of numbers near 1,
whose rounding (observed: below 1e-14) is absolute. It outweighs RTOL only for values below 1e-3."""

# 46 samples make 2 batches of 20 and leave 6 out; d = 16 < 20 takes the d x d form of the log-det.
SMALL = ["task.train=46", "task.feedback=24", "task.test=32"]
RUN = ["dtype=float64", "batch_size=20", "epochs=8"]
FIXED = ["regime=fixed"]
THERMOSTAT = ["regime=thermostat", "regime.warmup=3"]
CRITIQUE = ["regime=rl_thermostat", "regime.warmup=3"]
REINFORCE = [*CRITIQUE, "regime.policy=reinforce"]
TINY = ["task.signal=3", "task.nuisance=0", "task.classes=2", "model.hidden=[2]", "model.representation=2"]
EVERY_FAULT = [
    *("feedback=noisy", "feedback.noise=0.1", "feedback.flip=0.7", "feedback.delay=2", "feedback.observe=0.7"),
    *("feedback.bias=0.1", "feedback.drift=-0.02", "feedback.w=2.0"),
]


@dataclass(frozen=True)
class Miss:
    """The entry of a run's table that disagrees most, in tolerances."""

    tolerances: float
    column: str
    epoch: int
    expected: float
    got: float

    def __str__(self) -> str:
        error = abs(self.got - self.expected)
        relative = error / abs(self.expected) if self.expected else math.inf
        return (
            f"{self.column} at epoch {self.epoch}: reference {self.expected!r}, trainer {self.got!r}, relative error "
            f"{relative:.2e} ({error:.2e} absolute), tolerance {RTOL:.0e} relative + {ATOL:.0e}"
        )


def worst_miss(expected, columns, run) -> Miss:
    assert set(expected) == set(columns) == set(COLUMNS)
    misses = []
    for name in COLUMNS:
        assert len(expected[name]) == columns[name].shape[1]
        for epoch, (a, b) in enumerate(zip(expected[name], columns[name][run].tolist(), strict=True)):
            if math.isnan(a) or math.isnan(b):
                tolerances = 0.0 if math.isnan(a) and math.isnan(b) else math.inf
            else:
                tolerances = abs(a - b) / (RTOL * abs(a) + ATOL)
            misses.append(Miss(tolerances, name, epoch, a, b))
    return max(misses, key=lambda miss: miss.tolerances)


def run_of(*overrides, task=SMALL):
    return configure(*RUN, *task, *overrides)


def check(*configs) -> dict[str, np.ndarray]:
    """Train the runs as one batch, hold each to its reference, and return the columns."""
    records = train(configs)
    assert (records.diverged == -1).all()
    for r, config in enumerate(configs):
        miss = worst_miss(reference_run(config), records.columns, r)
        assert miss.tolerances <= 1, f"run {r} of {len(configs)}: {miss}"
    return records.columns


@pytest.mark.parametrize("regime", [FIXED, THERMOSTAT, CRITIQUE], ids=lambda regime: regime[0])
@pytest.mark.parametrize("surrogate", ["softmax", "variance", "logdet"])
def test_a_run_agrees_with_the_reference_alone_and_beside_others(surrogate, regime):
    config = run_of(f"surrogate={surrogate}", *regime)
    configs = [config.model_copy(update={"lam": lam, "seed": seed}) for lam, seed in ((0.3, 7), (1.0, 0), (0.01, 7))]
    fused, alone = train(configs).columns, train(configs[:1]).columns
    for r, config in enumerate(configs):
        expected = reference_run(config)
        for company, columns in (("fused", fused), ("alone", alone))[: 2 if r == 0 else 1]:
            miss = worst_miss(expected, columns, r)
            assert miss.tolerances <= 1, f"run {r}, {company}: {miss}"


CASES = {
    "lam_zero": ["lam=0"],
    "adam": ["optimizer=adam", "optimizer.lr=0.01", *THERMOSTAT],
    "weight_decay": ["optimizer.weight_decay=0.05"],
    "clamp": ["clamp=0.4", "lam=0.3", "optimizer=adam", "omega=0.01"],
    "clip_and_cosine": [
        "clip=0.8",
        "schedule=cosine",
        "schedule_warmup=2",
        "omega=0.01",
        "optimizer.weight_decay=0.02",
    ],
    "clip_sam_and_warmup": ["clip=0.5", "schedule_warmup=3", "optimizer=sam", "clamp=0.4"],
    "data_seed": ["data_seed=3", "seed=1"],
    "rate_held": [*THERMOSTAT, "regime.holds=logdet_rate", "surrogate=softmax", "regime.kappa=0.5"],
    "balance": ["regime=balance", "regime.warmup=2", "surrogate=variance"],
    "omega": ["omega=0.01"],
    "rho": ["rho=0.5", "risk.critical_class=2", "risk.miss_cost=3.0"],
    "spectral_and_label_smoothing": [
        *("omega=0.05", "structure=spectral", "rho=0.2", "risk=label_smoothing", "epochs=3"),
    ],
    "vib_and_confidence_penalty": ["surrogate=vib", "sigma=0.5", "rho=0.3", "risk=confidence_penalty", "epochs=3"],
    "sam": ["optimizer=sam", "optimizer.rho=0.3", "omega=0.01", "optimizer.weight_decay=0.02", *THERMOSTAT, "epochs=5"],
    "asam_and_dropout": [
        *("optimizer=sam", "optimizer.adaptive=true", "optimizer.rho=0.7", "dropout=0.3", "clamp=0.4", "epochs=4"),
    ],
    "omega_and_rho": ["omega=0.02", "rho=0.3", "surrogate=variance", *THERMOSTAT],
    "eps_is_not_sigma_squared": ["sigma=0.5", "surrogate.eps=0.8", *THERMOSTAT],
    "no_noise": ["sigma=0.0", "surrogate=softmax"],
    "two_hidden_layers": ["model.hidden=[12,9]"],
    "gram_form_in_training": ["model.representation=40", *THERMOSTAT],
    "gram_form_throughout": ["model.representation=60", "epochs=4"],
    "lam0_below_the_bounds": ["lam=0", *THERMOSTAT],
    "lam0_above_the_bounds": ["lam=50", "regime.lam_max=2.0", *CRITIQUE],
    "setpoint_in_nats": ["regime.setpoint=2.5", *THERMOSTAT],
    "setpoint_in_nats_moved": ["regime.setpoint=0.6", "regime.kappa=0.7", *CRITIQUE],
    "no_warmup": ["regime.warmup=0", *THERMOSTAT[:1], "regime.smoothing=0.8"],
    "at_the_upper_bound_and_back": [
        *(*THERMOSTAT, "regime.warmup=0", "regime.setpoint=0.45", "lam=0.18", "regime.lam_max=0.2", "epochs=12"),
        *("regime.kp=0.8", "regime.ki=0.4", "regime.anti_windup=0.3"),
    ],
    "gains_beyond_full_back_calculation": [
        *(*THERMOSTAT, "regime.warmup=0", "regime.setpoint=0.45", "lam=0.18", "regime.lam_max=0.2", "epochs=12"),
        *("regime.kp=0.1", "regime.ki=0.5"),
    ],
    "critique_at_its_upper_bound": [*CRITIQUE, "regime.alpha=4.0", "regime.c0=0.4", "regime.m_max=0.1"],
    "critique_at_its_lower_bound": [*CRITIQUE, "regime.alpha=4.0", "regime.c0=-0.3", "regime.m_min=-0.4"],
    # Few parameters: the reference makes the dense matrix.
    "metric_force": ["metric_force=ggn", "measure_every=3", "model.hidden=[5]", "model.representation=4", *THERMOSTAT],
    "metric_force_fisher": ["metric_force=fisher", "measure_every=5", "model.hidden=[]", "model.representation=6"],
    # And no more of them than Lanczos' method takes steps: then it is exact.
    "premises": ["premises=true", "measure_every=2", *TINY, *THERMOSTAT],
    "premises_softmax": ["premises=true", "measure_every=3", "surrogate=softmax", "optimizer.momentum=0", *TINY],
    "premises_adam": ["premises=true", "surrogate=variance", "optimizer=adam", "omega=0.02", "rho=0.3", *TINY],
    "reinforce": [*REINFORCE, "lam=0.3"],
    "reinforce_at_its_bounds": [
        *(*REINFORCE, "regime.warmup=0", "regime.alpha=0.5", "regime.explore=0.3", "regime.baseline=0.4"),
        *("regime.m_min=-0.25", "regime.m_max=0.15"),
    ],
}


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES.keys())
def test_a_run_agrees_with_the_reference_under_other_options(overrides):
    check(run_of(*overrides))


@pytest.mark.parametrize("policy", [CRITIQUE, REINFORCE], ids=["critique", "reinforce"])
@pytest.mark.parametrize(
    "feedback",
    [
        ["feedback=noisy"],
        ["feedback=delayed", "feedback.delay=5"],
        ["feedback=sparse", "feedback.observe=0.5"],
        EVERY_FAULT,
    ],
    ids=["noisy", "delayed", "sparse", "every_fault"],
)
def test_a_run_agrees_with_the_reference_whatever_the_annotator(feedback, policy):
    columns = check(run_of(*policy, *feedback))
    assert np.isfinite(columns["feedback"]).any()
    assert np.ptp(columns["setpoint"]) > 0  # the feedback did move something


@pytest.mark.kernels
def test_runs_fused_with_every_float_different_agree_with_the_reference():
    first = ["omega=0.01", "rho=0.1", *CRITIQUE, "feedback=noisy"]
    second = [
        *("omega=0.03", "rho=0.4", *CRITIQUE, *EVERY_FAULT[:2], "feedback.flip=0.3", "feedback.bias=0.1", "lam=1.5"),
        *("feedback.observe=0.8", "feedback.drift=0.01", "feedback.w=0.5", "sigma=0.7", "surrogate.eps=1.3"),
        *("optimizer.lr=0.02", "optimizer.momentum=0.5", "optimizer.weight_decay=0.01", "risk.miss_cost=2.0"),
        *("regime.kappa=0.8", "regime.kp=0.7", "regime.ki=0.2", "regime.alpha=0.9", "regime.c0=0.1"),
        *("regime.lam_min=0.05", "regime.lam_max=3.0", "regime.smoothing=0.3", "regime.anti_windup=0.5"),
        *("regime.m_min=-0.5", "regime.m_max=0.5", "task.label_noise=0.3", "task.separation=2.0"),
    ]
    check(run_of(*first), run_of(*second), run_of(*second, "seed=5"))


def test_a_run_on_real_data_agrees_with_the_reference():
    check(run_of("seed=3", *CRITIQUE, task=["task=wine"]))


def regression(rng: np.random.Generator, *, train: int, feedback: int, test: int) -> Task:
    def split(n):
        x = rng.standard_normal((n, 6))
        return x, np.stack([x[:, 0] * x[:, 1], x[:, 2]], axis=1)

    return Task(split(train), split(feedback), split(test), None)


@pytest.mark.kernels
def test_a_regression_run_agrees_with_the_reference():
    task = [f"task={__name__}.regression", *SMALL]
    columns = check(run_of("regime.setpoint=1.5", *THERMOSTAT, task=task))
    assert np.isnan(columns["reward"]).all()


OF_TOKENS = {
    "pooled": ["dropout=0.3", "regime.setpoint=0.2", *CRITIQUE[:1], "regime.warmup=1"],
    "each": ["surrogate_of=tokens", "surrogate=softmax", "rho=0.3", "risk.critical_class=1", "risk.miss_cost=3.0"],
    "each_on_request": [
        *("surrogate_of=tokens", "premises=true", "metric_force=ggn", "epochs=1", "task.train=6"),
        *("model.hidden=1", "model.representation=1"),  # few parameters, as in `CASES`
    ],
}


def on_tokens(*overrides):
    # 14 samples make 2 batches of 6 and leave 2 out: none of these is a number of tokens or classes, 3.
    task = ["task=token_parts.tokens", "task.train=14", "task.feedback=7", "task.test=8", "batch_size=6"]
    return run_of("model=token_parts.token_mlp", "epochs=4", "lam=0.3", *overrides, task=task)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(overrides, id=name, marks=[pytest.mark.slow] if "on_request" in name else [])
        for name, overrides in OF_TOKENS.items()
    ],
)
def test_a_run_on_tokens_agrees_with_the_reference(overrides):
    check(on_tokens(*overrides))


# --- negative controls: the comparison must see one wrong line, far above its tolerance ------------------------------


def unbiased_covariance(Z):
    C = Z - Z.mean(0)
    return C.T @ C / (len(Z) - 1)


def reversed_error(y, S_ref):
    return min(max(math.log(S_ref / y), -1.0), 1.0)


def unweighted_sparsity(theta):
    return sum(torch.sqrt((row**2).sum()) for W in theta[::2] for row in W)


def tardy_report(utilities, critiques, t, draws, **faults):
    return reports(utilities, critiques, t, draws, **{**faults, "delay": faults["delay"] + 1})


reports = reference.report


def silent_gradient(config, theta, x, y, t):
    xi = torch.zeros(len(x), theta[-2].shape[1], dtype=torch.float64)
    return reference.gradient(reference.terms(config, theta, x, y, xi)[0], theta)


def balance_of_one_end(theta, start, moves, dS, gS_before, gS, lam):
    return balances(theta, start, moves, dS, gS, gS, lam)


balances = reference.balance


@pytest.fixture(scope="module")
def measured():
    """A run with every part of the energy, and its true columns."""
    config = run_of("omega=0.01", *CRITIQUE, "feedback=noisy")
    return config, check(config)


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (reference_energy, "covariance", unbiased_covariance),
        (reference_laws, "control_error", reversed_error),
        (reference_energy, "group_sparsity", unweighted_sparsity),
        (reference, "report", tardy_report),
        (reference, "noisy_gradient", silent_gradient),
        (reference, "balance", balance_of_one_end),
    ],
)
def test_a_wrong_reference_disagrees(monkeypatch, measured, module, name, wrong):
    config, columns = measured
    monkeypatch.setattr(module, name, wrong)
    assert worst_miss(reference_run(config), columns, 0).tolerances > 1e6


def test_a_reference_of_other_rows_disagrees():
    pooled, each = (on_tokens("epochs=1", f"surrogate_of={rows}") for rows in ("pooled", "tokens"))
    assert worst_miss(reference_run(each), train(pooled).columns, 0).tolerances > 1e6
