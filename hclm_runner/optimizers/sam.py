"""Sharpness-aware minimisation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hclm_runner.optimizers.sgd import SGD
from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative


@part("optimizer", "sam", version=1)
@dataclass(frozen=True)
class SAM(SGD):
    """Gradient descent along the gradient at the worst point nearby, on the same minibatch and noise.

    g = grad E(theta + rho T^2 h / ||T h||_2), h = grad E(theta); then a step of `SGD` along g. T = I (Foret et al.
    2021, arXiv:2010.01412, Eq 2), or with `adaptive` T = diag |theta|, so that the scale of the weights does not matter
    (ASAM, Kwon et al. 2021, arXiv:2102.11600; as in the common implementations, of biases too, and without their eta).
    Weight decay is the step's alone. A step takes two gradients.
    """

    rho: NonNegative
    adaptive: bool

    def ahead(self, theta: Tensor, g: Tensor) -> Tensor:
        """Return theta + rho T^2 g / ||T g||, [p]; theta itself where T g is 0."""
        scale = theta.abs() if self.adaptive else torch.ones_like(theta)
        norm = (scale * g).norm()
        return theta + self.rho * scale.square() * g / torch.where(norm > 0, norm, 1.0)
