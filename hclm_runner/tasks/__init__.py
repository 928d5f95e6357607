"""Tasks, one file a family; `base` says what a task is."""

from hclm_runner.tasks.base import Draw, Split, Task
from hclm_runner.tasks.dataset import dataset
from hclm_runner.tasks.gaussian_mixture import gaussian_mixture, mixture_centres
from hclm_runner.tasks.images import cifar10, fashion_mnist
from hclm_runner.tasks.mnist1d import mnist1d
from hclm_runner.tasks.scikit_learn import breast_cancer, digits, wine
from hclm_runner.tasks.text import text

__all__ = [
    "Draw",
    "Split",
    "Task",
    "breast_cancer",
    "cifar10",
    "dataset",
    "digits",
    "fashion_mnist",
    "gaussian_mixture",
    "mixture_centres",
    "mnist1d",
    "text",
    "wine",
]
