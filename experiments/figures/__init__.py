"""Figures of a store's runs: the paper's 3-32, and the same of any surrogate and regime, a user's own among them.

`table` says which there are, `draw` draws a row of it, `command` is what `python -m experiments figures` does. Imports
neither torch nor hydra.
"""

from experiments.figures.table import FIGURES, LOOKS, FigureRow

__all__ = ["FIGURES", "LOOKS", "FigureRow"]
