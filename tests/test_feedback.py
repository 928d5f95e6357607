"""The simulated human: the utility, and each fault of an annotator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap

from hclm_runner.feedback import Annotator, utility
from hclm_runner.streams import stream

CLEAN = Annotator(w=1.0, noise=0.0, flip=0.0, delay=0, observe=1.0, bias=0.0, drift=0.0)
EPOCHS = 12
unit = st.floats(0, 1)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def truths(seed: int = 0) -> Tensor:
    """Return a true utility and critique by epoch, [2, epochs + 1]."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(-0.9, 0.9, (2, EPOCHS + 1)))


def draws(*shape: int, seed: int = 0) -> Tensor:
    """Return what an epoch's annotator draws, [..., 4]: two normals, then two uniforms."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.concatenate([rng.standard_normal((*shape, 2)), rng.random((*shape, 2))], axis=-1))


def many(annotator: Annotator, truth: Tensor, epoch: int, drawn: Tensor) -> Tensor:
    """Return the reports of one annotator under many draws, [2, draws]."""
    return torch.stack(vmap(lambda xi: annotator.report(truth[0], truth[1], epoch, xi))(drawn))


# --- utility --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "confidence", "w", "expected"),
    [
        (0.75, 0.75, 1, 0.75),  # calibrated
        (0.75, 0.5, 1, 0.75),  # modesty costs nothing
        (0.5, 0.75, 1, 0.25),
        (0.5, 0.75, 0, 0.5),
        (0.5, 0.75, 2, 0.0),
        (1.0, 1.0, 1, 1.0),
        (0.0, 1.0, 1, -1.0),
    ],
)
def test_utility_is_being_right_minus_being_surer_than_right(accuracy, confidence, w, expected):
    assert utility(number(accuracy), number(confidence), w).item() == expected
    assert utility(number(accuracy), number(confidence), number(w)).item() == expected


def test_over_confidence_costs_its_own_size_unless_w_says_otherwise():
    assert utility(number(0.5), number(0.75)).item() == 0.25


@given(accuracy=unit, confidence=unit, surer=unit)
@settings(max_examples=60, deadline=None)
def test_utility_keeps_its_range_and_never_rewards_over_confidence(accuracy, confidence, surer):
    u = utility(number(accuracy), number(confidence)).item()
    assert -1 <= u <= accuracy
    assert utility(number(accuracy), number(max(confidence, surer))).item() <= u


# --- annotator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 1, 7, EPOCHS])
def test_clean_annotator_tells_the_truth(epoch):
    truth = truths()
    for drawn in draws(20):
        u, c = CLEAN.report(truth[0], truth[1], epoch, drawn)
        assert (u.item(), c.item()) == (truth[0, epoch].item(), truth[1, epoch].item())


def test_report_does_not_read_the_future():
    truth, changed = truths(), truths()
    changed[:, 5:] = torch.nan
    annotator = replace(CLEAN, noise=0.3, delay=1, bias=0.1)
    for epoch in range(1, 5):
        reports = [annotator.report(t[0], t[1], epoch, draws(4)[epoch - 1]) for t in (truth, changed)]
        assert reports[0] == reports[1]
        assert all(value.isfinite() for value in reports[0])


@pytest.mark.parametrize("delay", [0, 1, 5, EPOCHS, EPOCHS + 3])
def test_delayed_report_is_of_an_earlier_epoch_and_missing_until_there_is_one(delay):
    truth = truths()
    for epoch in range(EPOCHS + 1):
        reported = torch.stack(replace(CLEAN, delay=delay).report(truth[0], truth[1], epoch, draws(1)[0]))
        if epoch < delay:
            assert reported.isnan().all()
        else:
            assert torch.equal(reported, truth[:, epoch - delay])


def test_bias_and_drift_are_added_to_both_reports_and_drift_counts_from_epoch_0():
    truth = truths()
    annotator = replace(CLEAN, bias=0.25, drift=-0.03, delay=2)
    for epoch in range(2, EPOCHS + 1):
        u, c = annotator.report(truth[0], truth[1], epoch, draws(1)[0])
        # The annotator's standard drifts with the epoch of the report, not with that of what is judged.
        assert u.item() == pytest.approx(truth[0, epoch - 2].item() + 0.25 - 0.03 * epoch, rel=1e-12)
        assert c.item() == pytest.approx(truth[1, epoch - 2].item() + 0.25 - 0.03 * epoch, rel=1e-12)


def test_noise_has_the_standard_deviation_asked_for_and_is_independent_for_utility_and_critique():
    truth, n, sd = truths(), 40_000, 0.2
    errors = (many(replace(CLEAN, noise=sd), truth, 3, draws(n)) - truth[:, 3:4]).numpy()
    assert np.abs(errors.mean(1)).max() < 4 * sd / np.sqrt(n)
    assert np.abs(errors.std(1) / sd - 1).max() < 4 / np.sqrt(2 * n)
    assert abs(np.corrcoef(errors)[0, 1]) < 4 / np.sqrt(n)
    # Gaussian: fourth moment three times the square of the second.
    assert np.mean(errors**4, axis=1) / sd**4 == pytest.approx(3, abs=4 * np.sqrt(96 / n))


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.6, 1.0])
def test_sign_is_turned_with_the_probability_asked_for_and_for_both_reports_together(flip):
    truth, n = truths(), 20_000
    reported = many(replace(CLEAN, flip=flip, bias=0.5), truth, 3, draws(n)) - 0.5  # the bias is not turned
    signs = reported / truth[:, 3:4]
    np.testing.assert_allclose(signs.abs().numpy(), 1, rtol=1e-12)
    assert torch.equal(signs[0].sign(), signs[1].sign())
    assert (signs[0] < 0).double().mean().item() == pytest.approx(flip, abs=4 * np.sqrt(flip * (1 - flip) / n))


@pytest.mark.parametrize("observe", [0.0, 0.2, 0.9, 1.0])
def test_reports_arrive_with_the_probability_asked_for_and_both_or_neither(observe):
    truth, n = truths(), 20_000
    reported = many(replace(CLEAN, observe=observe), truth, 3, draws(n))
    assert torch.equal(reported[0].isnan(), reported[1].isnan())
    arrived = ~reported[0].isnan()
    assert arrived.double().mean().item() == pytest.approx(observe, abs=4 * np.sqrt(observe * (1 - observe) / n))
    assert (reported[:, arrived] == truth[:, 3:4]).all()


def test_sign_noise_and_missing_reports_are_drawn_independently():
    truth, n = truths(), 40_000
    reported = many(replace(CLEAN, noise=0.01, flip=0.3, observe=0.5), truth, 3, draws(n)).numpy()
    arrived = ~np.isnan(reported[0])
    signs = np.sign(reported[0, arrived] / truth[0, 3].item())
    noise = reported[:, arrived] - signs * truth[:, 3:4].numpy()
    m = arrived.sum()
    assert np.mean(signs < 0) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / m))
    assert noise.std(1) == pytest.approx(0.01, rel=4 / np.sqrt(2 * m))
    assert np.abs(np.corrcoef(np.stack([signs, *noise])) - np.eye(3)).max() < 4 / np.sqrt(m)


def by_hand(faults: dict[str, float], truth: np.ndarray, epoch: int, drawn: np.ndarray) -> np.ndarray:
    """Return s x_{t - delay} + bias + drift t + noise xi for utility and critique, in plain floats."""
    seen = epoch - faults["delay"]
    if seen < 0 or drawn[3] >= faults["observe"]:
        return np.full(2, np.nan)
    sign = -1 if drawn[2] < faults["flip"] else 1
    return sign * truth[:, seen] + faults["bias"] + faults["drift"] * epoch + faults["noise"] * drawn[:2]


def test_annotators_with_faults_of_their_own_report_side_by_side():
    runs = 60
    rng = np.random.default_rng(5)
    faults = {
        "w": rng.uniform(0, 2, runs),
        "noise": rng.uniform(0, 1, runs),
        "flip": rng.uniform(0, 1, runs),
        "delay": rng.integers(0, 8, runs),
        "observe": rng.uniform(0, 1, runs),
        "bias": rng.normal(size=runs),
        "drift": rng.normal(size=runs),
    }
    truth = torch.stack([truths(k) for k in range(runs)])
    missing = flipped = 0
    for epoch in range(EPOCHS + 1):
        drawn = draws(runs, seed=epoch)
        reported = vmap(lambda own, u, c, xi, epoch=epoch: Annotator(**own).report(u, c, epoch, xi))(
            {key: torch.from_numpy(value) for key, value in faults.items()}, truth[:, 0], truth[:, 1], drawn
        )
        expected = np.stack(
            [
                by_hand({key: value[k] for key, value in faults.items()}, truth[k].numpy(), epoch, drawn[k].numpy())
                for k in range(runs)
            ]
        )
        np.testing.assert_allclose(torch.stack(reported, -1).numpy(), expected, rtol=1e-12, atol=1e-14)
        missing += np.isnan(expected[:, 0]).sum()
        flipped += (drawn[:, 2].numpy() < faults["flip"]).sum()
    assert 50 < missing < runs * EPOCHS
    assert flipped > 50


@pytest.mark.parametrize(
    "fault", [{"noise": 0.5}, {"flip": 0.5}, {"delay": 3}, {"observe": 0.5}, {"bias": 0.5}, {"drift": 0.5}]
)
def test_each_fault_alone_may_differ_between_runs(fault):
    ((key, value),) = fault.items()
    truth, drawn = truths(), draws(1)[0]
    for epoch in range(EPOCHS + 1):
        own = torch.tensor([value, 0 * value])
        reported = vmap(lambda x, epoch=epoch: replace(CLEAN, **{key: x}).report(truth[0], truth[1], epoch, drawn))(own)
        for k in range(2):
            alone = replace(CLEAN, **{key: own[k].item()}).report(truth[0], truth[1], epoch, drawn)
            for together, single in zip(reported, alone, strict=True):
                assert torch.equal(together[k].nan_to_num(-99), single.nan_to_num(-99))


# --- streams --------------------------------------------------------------------------------------------------------


def test_an_annotators_draws_depend_on_seed_and_epoch_alone():
    def drawn(*key) -> list[float]:
        return stream(*key).standard_normal(3).tolist()

    assert drawn(3, "annotator", 7) == drawn(3, "annotator", 7)
    different = [
        drawn(*key) for key in ((3, "annotator", 7), (4, "annotator", 7), (3, "annotator", 8), (3, "noise", 7))
    ]
    assert len({value for row in different for value in row}) == 12
