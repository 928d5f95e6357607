"""Our remarks on the paper's claims, as experiments/VERDICTS.md has them: what the numbers mean, and why.

They hold no number that a store could change. Each stands with the verdict for which it was written: the page says so
where the store's verdict is another.
"""

from typing import NamedTuple

from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED


class Remark(NamedTuple):
    """What we say of a claim."""

    verdict: str
    """The verdict for which it was written."""
    text: str


REMARKS = {
    "5": Remark(
        INCONCLUSIVE,
        "At the end the lowest loss is at the largest lam, and lies around the margin. With early stopping the "
        "feedback split chooses lam = 0: there is no improvement, as claimed.",
    ),
    "6": Remark(
        REFUTED,
        "The gap rises in the middle of the grid, as claimed, and comes down again at its end, where it should be "
        "worst.",
    ),
    "7": Remark(
        INCONCLUSIVE,
        "Small it is, by every measure. Whether it is also noisier is open: log-det's force, with which it is "
        "compared, varies most near the lam at which log-det collapses.",
    ),
    "8": Remark(
        REFUTED,
        "The representation grows in volume while it loses directions: at the largest lam the log-det rate is "
        "higher and the effective rank lower. At a small lam the entropy falls by more than a fifth and neither "
        "shrinks by 5%, which is the charitable reading.",
    ),
    "9": Remark(
        SUPPORTED,
        "Weak as worded: a controller that must move does. The entropy falls below its set point by itself, so "
        "the thermostat lets lam go to its lower bound and rests there.",
    ),
    "10": Remark(
        REFUTED,
        "The two rewards are the same to about a hundredth, in both views.",
    ),
    "11": Remark(
        SUPPORTED,
        "Lower by more than the margin; but the mean over lam under fixed includes cells that have collapsed. "
        "That it is steadier over lam is integral action, not entropy.",
    ),
    "12": Remark(
        INCONCLUSIVE,
        "How many points of the grid contract depends on where the points lie. Measured along log lam the gap "
        "contracts over most of the range at the end of training. With early stopping it does so over less, and "
        "that is open.",
    ),
    "13": Remark(
        INCONCLUSIVE,
        "Lower than under fixed in the mean over lam, because a fixed small lam leaves the force very large; a "
        "fixed large lam has a lower force than rl_thermostat. Against thermostat no difference is seen.",
    ),
    "14": Remark(
        SUPPORTED,
        "True of any integrating law whose set point is within reach.",
    ),
    "15": Remark(
        SUPPORTED,
        "Higher, and steadier from one training seed to the next. Over the epochs of a run it is less steady than "
        "under fixed.",
    ),
    "16": Remark(
        COLLAPSE,
        "At the end the feedback loss chooses a lam at which next to nothing is learnt, because most smaller ones "
        "over-fit to a worse loss. With early stopping lam = 0 does not fail. Whether both thermostats stay "
        "within 5% of their best loss over all lam is open; in reward, rl_thermostat does not at lam = 0.",
    ),
    "17": Remark(
        REFUTED,
        "At the end the gap falls far, and far more than with softmax; but variance lowers it as much as log-det "
        "does. With early stopping the gap at lam = 0 is small, and no order is shown.",
    ),
    "18": Remark(
        COLLAPSE,
        "The low extreme of the force under fixed is the collapsed cell. With early stopping the mean force under "
        "the thermostats is about that of lam = 0.",
    ),
    "19": Remark(
        REFUTED,
        "Over base lam the entropy is far steadier than under fixed. Within a run it is not: a controller that "
        "regulates also ripples, and the set point of rl_thermostat moves.",
    ),
    "20": Remark(
        SUPPORTED,
        "True of any law with anti-windup whose set point is within reach.",
    ),
    "21": Remark(
        INCONCLUSIVE,
        "At the end variance under rl_thermostat is as good. With early stopping variance at a small lam has the "
        "higher reward.",
    ),
    "22": Remark(
        COLLAPSE,
        "The lam that the feedback loss chooses at the end is one at which next to nothing is learnt: its loss is "
        "flat for that reason. Among the lam that do not collapse, whether the chosen one is stable is open.",
    ),
    "23": Remark(
        REFUTED,
        "At small lam the force never halves. It falls far only at the large lam at which nothing is learnt.",
    ),
    "24": Remark(
        REFUTED,
        "The entropy expands at every lam that learns. It is compressed afterwards only at some of them; at the "
        "smallest lam it does not fall.",
    ),
    "25": Remark(
        SUPPORTED,
        "A third of claim 16, and integral action by itself.",
    ),
    "26": Remark(
        REFUTED,
        "The force does not collapse: to hold the entropy at a set point holds up the force. It is bounded, as "
        "claimed.",
    ),
    "27": Remark(
        SUPPORTED,
        "True of any law that integrates an error.",
    ),
    "28": Remark(
        REFUTED,
        "The reward peaks early and falls while the training loss goes on falling. The thermostat holds the "
        "entropy, and that does not keep the network from over-confidence.",
    ),
    "29": Remark(
        SUPPORTED,
        "Lower and steadier over seeds than under thermostat at the end, where thermostat over-fits. With early "
        "stopping the two losses are the same.",
    ),
    "30": Remark(
        REFUTED,
        "Rougher than under fixed, and not for the noise of a finite feedback split: with 8192 samples in place "
        "of 512 (three lam, six seeds) the roughness is within 5% of what it was. The loop makes it: thermostat, "
        "which has no feedback, is already rougher than fixed at small lam, and rl_thermostat moves the set point "
        "too.",
    ),
    "31": Remark(
        SUPPORTED,
        "True of any law with anti-windup whose set point is within reach.",
    ),
    "32": Remark(
        INCONCLUSIVE,
        "Highest of the three at the end. With early stopping it is that of thermostat. Over epochs it is less "
        "steady than under either.",
    ),
    "X1 raw": Remark(
        SUPPORTED,
        "Raw forces depend on the unit of the surrogate. The next claim has none, and holds too.",
    ),
    "X1 ratio": Remark(
        SUPPORTED,
        "It holds in the share of the update too, which is what moves the encoder.",
    ),
    "X2": Remark(
        INCONCLUSIVE,
        "Lam moves both the force and the gap, so that no correlation would show that one moves the other. "
        "`python -m experiments mediation` sets lam and the force apart.",
    ),
    "X3": Remark(
        INCONCLUSIVE,
        "As X2: lam moves both.",
    ),
}
"""Claim's id -> remark, in the order of the paper."""
