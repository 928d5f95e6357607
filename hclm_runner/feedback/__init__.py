"""Feedback: one simulated annotator, whose faults are the options in conf/feedback/, and a placebo of it.

`base` says what an annotator is.
"""

from hclm_runner.feedback.annotator import Annotator
from hclm_runner.feedback.base import utility
from hclm_runner.feedback.replay import Replay

__all__ = ["Annotator", "Replay", "utility"]
