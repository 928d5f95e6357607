"""Feedback: one simulated annotator; the options in conf/feedback/ are its faults. `base` says what an annotator is."""

from hclm_runner.feedback.annotator import Annotator
from hclm_runner.feedback.base import utility

__all__ = ["Annotator", "utility"]
