"""Models, one file each; `base` says what a model is."""

from hclm_runner.models.base import Model
from hclm_runner.models.mlp import mlp

__all__ = ["Model", "mlp"]
