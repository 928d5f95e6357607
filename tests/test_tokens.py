"""Samples that are tokens: what a task of them is, which models read them, what S reads of them, and what is refused.

That the numbers are right is for test_reference.py.
"""

import numpy as np
import pytest

from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.tasks import Task
from hclm_runner.training.trainer import train

TASK = ["task=token_parts.tokens", "task.train=12", "task.feedback=6", "task.test=6", "batch_size=6", "epochs=1"]
RUN = [*TASK, "model=token_parts.token_mlp"]

X = np.arange(18).reshape(6, 3) % 5
Y = X % 2


@pytest.mark.parametrize(
    ("train", "others", "vocabulary", "message"),
    [
        ((X, Y), (X, Y), 4, r"tokens 0..3, \[n, T\], got int64 of shape \[6, 3\], from 0 to 4 in the train split$"),
        ((X, Y), (X - 1, Y), 5, "tokens 0..4, .*, got int64 of shape .*, from -1 to 3 in the feedback split"),
        ((X.astype(float), Y), (X, Y), 5, "tokens 0..4, .*, got float64"),
        ((X[..., None], Y), (X[..., None], Y), 5, r"tokens 0..4, .*, got int64 of shape \[6, 3, 1\]"),
        ((X, Y[:, :2]), (X, Y), 5, r"integer labels 0..1, \[6, 3\], a label for each token, got .*\[6, 2\], .* in the train split"),
        ((X, Y), (X, Y[:, 0]), 5, r"a label for each token, got int64 of shape \[6\], .* in the feedback split"),
        ((X, Y[:, 0]), (X, Y), 5, r"integer labels 0..1, \[n\], got int64 of shape \[6, 3\], .* in the feedback split"),
        ((X, Y), (X, Y), None, r"integer labels 0..1, \[n\], got int64 of shape \[6, 3\], .* in the train split"),
    ],
)  # fmt: skip
def test_tokens_are_numbers_of_a_vocabulary_and_their_labels_one_each(train, others, vocabulary, message):
    with pytest.raises(ConfigError, match=message):
        Task(train, others, others, classes=2, vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [*TASK],
            r"mlp: expected a model of \(input_shape, outputs, vocabulary\), as causal_transformer, for samples of \[3\] tokens",
        ),
        (
            ["model=token_parts.token_mlp"],
            r"token_mlp: expected a model of \(input_shape, outputs\), for samples of shape \[40\], which are no tokens",
        ),
        ([*RUN, "model.mean=true"], r"\[6, 3, 3\] of head\(Z\), got shape \[6, 3\]"),
        ([*RUN, "task.each=false"], r"\[6, 3\] of head\(Z\), got shape \[6, 3, 3\]"),
        ([*TASK, "model=token_parts.of_patches"], r"Z \[6, d\], or \[6, T, d\] of tokens, .* got shape \[6, 3, 1, 1\]"),
        (["surrogate_of=tokens"], r"^surrogate_of=tokens: expected pooled: Z of model=mlp is \[B, d\], not tokens"),
        ([*RUN, "regime=thermostat"], "regime.setpoint=null: .* no log K, nor has a task that labels tokens"),
    ],
)
def test_what_does_not_fit_tokens_is_refused_in_one_line(overrides, message):
    with pytest.raises(ConfigError, match=message) as refused:
        train(configure(*overrides))
    assert "\n" not in str(refused.value)


def test_a_sample_of_tokens_may_have_one_class_and_then_log_k_is_its_set_point():
    run = configure(*RUN, "task.each=false", "model.mean=true", "regime=thermostat", "surrogate_of=tokens")
    assert train(run).columns["setpoint"][0] == pytest.approx(np.log(3))


def test_the_rows_of_the_surrogate_are_part_of_a_run_where_they_are_not_pooled():
    usual, pooled, each = (
        configure(*RUN),
        configure(*RUN, "surrogate_of=pooled"),
        configure(*RUN, "surrogate_of=tokens"),
    )
    assert (usual.run_id, usual.label) == (pooled.run_id, pooled.label)
    assert each.run_id != usual.run_id
    assert "surrogate_of=tokens" in each.label
    assert each.shape_key != usual.shape_key
