"""Equation 5: the force in a metric G. `hclm_runner.physics.metric` computes it, `tests/test_metric.py` checks it."""

from experiments.statements.base import Statement

STATEMENT = Statement(
    name="Equation 5",
    says="The metric force is √(∇Sᵀ (G + delta I)⁻¹ ∇S), G the Fisher or the Gauss-Newton matrix.",
    as_printed="a definition",
    needs="delta = 0 to be the same after a linear reparametrisation: neither the Euclidean force, which is that of "
    "G = I, nor delta I is. Checked in `tests/test_metric.py`",
)
