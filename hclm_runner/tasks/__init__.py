"""Tasks, one file a family; `base` says what a task is."""

from hclm_runner.tasks.base import Draw, Split, Task
from hclm_runner.tasks.gaussian_mixture import gaussian_mixture, mixture_centres
from hclm_runner.tasks.scikit_learn import breast_cancer, digits, wine

__all__ = ["Draw", "Split", "Task", "breast_cancer", "digits", "gaussian_mixture", "mixture_centres", "wine"]
