"""What my annotator promises. Run by: python -m pytest test_my_part.py."""

import numpy as np
import torch

from hclm_runner import configure, train
from my_part import MyPart

SMALL = ["task.train=64", "task.feedback=64", "task.test=64", "epochs=2"]


def test_it_reports_the_nearest_grade_of_the_epoch_asked_for():
    utilities, critiques = torch.tensor([0.3, 0.9]), torch.tensor([-0.2, 0.05])
    reported = MyPart(grade=0.25).report(utilities, critiques, 1, torch.zeros(4))
    assert [float(each) for each in reported] == [1.0, 0.0]
    assert [each.shape for each in reported] == [(), ()]


def test_it_does_not_look_into_the_future():
    now, later = torch.tensor([0.3, 0.9]), torch.tensor([0.3, torch.nan])
    assert MyPart().report(now, now, 0, torch.zeros(4)) == MyPart().report(later, later, 0, torch.zeros(4))


def test_it_trains_and_the_law_gets_its_grades():
    records = train([configure(["regime=rl_thermostat", "feedback=my_part.MyPart", *SMALL])])
    assert records.causes == [None]
    grades = records.columns["feedback"][0] / 0.25
    assert np.allclose(grades, np.round(grades))
