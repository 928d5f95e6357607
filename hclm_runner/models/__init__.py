"""Models, one file each; `base` says what a model is."""

from hclm_runner.models.base import Model
from hclm_runner.models.causal_transformer import causal_transformer
from hclm_runner.models.cnn import cnn
from hclm_runner.models.linear import linear
from hclm_runner.models.mlp import mlp
from hclm_runner.models.resnet import resnet
from hclm_runner.models.transformer import transformer

__all__ = ["Model", "causal_transformer", "cnn", "linear", "mlp", "resnet", "transformer"]
