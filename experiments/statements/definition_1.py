"""Definition 1: when a surrogate counts as effective. `hclm_runner.effectiveness` judges a run by it."""

from experiments.statements.base import Statement

STATEMENT = Statement(
    name="Definition 1",
    says="A surrogate is effective if its force is f_min or more for a share of the training.",
    as_printed="empty",
    needs="constants with values: with free ones any surrogate that has one non-zero force is effective. Here f_min = "
    "0.05, of what the loss moves the encoder, in a quarter of the epochs",
)
