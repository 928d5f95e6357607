"""What a sweep will do: sizes that are asked of task and model, bundles by work, a budget of memory."""

import numpy as np
import pandas as pd
import pytest

from hclm_runner.config import configure
from hclm_runner.sweeps.plan import LARGEST, SMALLEST, make_plan, size_of
from hclm_runner.tasks import Task
from hclm_runner.training.problem import DRAWS, draw_task

KNOWN = pd.DataFrame({"run_id": [], "status": [], "parameters": []})


def grid(*overrides, seeds=10, **varied):
    base = configure("device=cpu", *overrides)
    runs = [base.model_copy(update={"seed": seed, **varied}) for seed in range(seeds)]
    return {run.run_id: run for run in runs}


def plan(configs, **options):
    first = next(iter(configs.values()))
    first = first.model_copy(update={"sweep": first.sweep.model_copy(update=options)})
    return make_plan(configs, KNOWN, first)


def test_every_run_that_the_store_lacks_is_in_one_bundle_of_runs_that_may_train_together():
    configs = grid() | grid("surrogate=softmax") | grid("model.hidden=[8]")
    known = pd.DataFrame(
        {"run_id": list(configs)[:3], "status": ["finished", "diverged", "failed"], "parameters": False}
    )
    made = make_plan(configs, known, next(iter(configs.values())))
    planned = [run.run_id for bundle in made.bundles for run in bundle]
    assert sorted(planned) == sorted(set(configs) - {*list(configs)[:2]})
    assert made.stored == 2
    assert len(made.diverged) == 1
    assert all(len({run.shape_key for run in bundle}) == 1 for bundle in made.bundles)


def test_the_bundle_with_the_most_work_starts_first_whatever_its_number_of_runs():
    few_and_long, many_and_short = grid("task.train=8192", seeds=4), grid("task.train=64", seeds=20)
    made = plan(many_and_short | few_and_long, workers=2)
    work = [made.work(bundle) for bundle in made.bundles]
    assert work == sorted(work, reverse=True)
    assert made.bundles[0][0].task.options["train"] == 8192
    assert len(made.bundles[0]) < len(made.bundles[-1])


def test_work_grows_with_samples_epochs_and_parameters_and_with_what_is_measured_on_request():
    small = size_of(configure("task.train=64"))
    for more in (["task.train=128"], ["task.train=64", "epochs=240"], ["task.train=64", "model.hidden=[128]"],
                 ["task.train=64", "premises=true"]):  # fmt: skip
        assert size_of(configure(*more)).seconds > small.seconds, more
    assert size_of(configure("epochs=240")).seconds == pytest.approx(2 * size_of(configure("epochs=120")).seconds)


def test_work_is_that_of_a_weight_wherever_a_convolution_uses_it():
    usual = {"task": "mnist1d", "epochs": 1}
    linear, conv = (size_of(configure(model=model, **usual)).seconds for model in ("linear", "cnn"))
    ours = 16 * 40 + 16 * 10
    # [16, 32] channels of width 3 on 40 and 20 points, pooled to 10, a linear layer, the head
    theirs = 40 * 16 * 3 + 20 * 32 * 16 * 3 + 16 * 32 * 10 + 16 * 10
    assert conv / linear == pytest.approx(theirs / ours)


def test_memory_is_asked_of_the_task_and_the_model_not_guessed_from_options():
    narrow, wide = (size_of(configure([f"model={__name__}.hidden_under_another_name",
                                       f"model.breadth={breadth}"])) for breadth in (8, 800))  # fmt: skip
    assert wide.bytes > 10 * narrow.bytes
    digits = size_of(configure("task=digits"))  # its test split is the rest: no option says how many
    samples, floats, head = 1797, 64 + 64 + 64 + 16 + 16 + 10, 16 + 10
    parameters = 64 * 64 + 64 + 64 * 16 + 16 + 16 * 10 + 10
    train = len(draw_task(configure("task=digits")).train[0])
    assert digits.bytes == 4 * (4.0 * samples * floats + (64 + 4 * DRAWS * head) * train + 8 * parameters)
    assert size_of(configure("task=digits", "dtype=float64")).bytes == 2 * digits.bytes
    assert size_of(configure("task=digits", "measure_samples=10")).bytes < digits.bytes


def hidden_under_another_name(in_features: int, out_features: int, *, breadth: int):
    from torch import nn

    encoder = nn.Sequential(nn.Linear(in_features, breadth), nn.Tanh(), nn.Linear(breadth, 4))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, out_features)})


def test_a_bundle_keeps_to_the_memory_and_is_never_larger_than_it_pays():
    configs = grid(seeds=200)
    one = size_of(next(iter(configs.values()))).bytes / 2**30
    made = plan(configs, workers=2, memory=20.5 * one * 2)
    assert max(map(len, made.bundles)) <= 20
    assert made.gigabytes <= 20.5 * one * 2
    free = plan(configs, workers=1, memory=1e3)
    assert max(map(len, free.bundles)) <= LARGEST
    assert max(map(len, plan(configs, bundle=7, memory=1e3).bundles)) <= 7


def test_bundles_are_divided_until_every_worker_has_as_many_but_not_into_crumbs():
    made = plan(grid(seeds=81), workers=2, memory=1e3)
    assert len(made.bundles) == 2
    made = plan(grid(seeds=SMALLEST), workers=2, memory=1e3)
    assert len(made.bundles) == 1
    assert made.workers == 1


def test_bundles_of_a_group_are_of_one_size_so_that_they_share_a_program():
    made = plan(grid(seeds=240), workers=2, memory=1e3)
    assert list(map(len, made.bundles)) == [60] * 4


def test_the_first_bundles_are_of_different_programs():
    made = plan(
        grid(seeds=160) | grid("regime=thermostat", seeds=160) | grid("surrogate=softmax", seeds=160), workers=2
    )
    assert [bundle[0].surrogate.name for bundle in made.bundles[:2]] == ["logdet", "softmax"]


def compiled(made):
    return {run.compile is True for bundle in made.bundles for run in bundle}


LONG = "epochs=1600"
"""Of such runs one takes three seconds, whatever its law."""


def test_auto_compiles_where_the_work_for_a_program_and_that_of_a_process_repay_it():
    few = grid(LONG, seeds=20)
    assert compiled(plan(few, workers=1)) == {False}
    assert compiled(plan(few | grid(LONG, "regime=thermostat", seeds=20), workers=1)) == {True}
    assert compiled(plan(few | grid(LONG, "surrogate=softmax", seeds=20), workers=1)) == {False}
    many = grid(LONG, seeds=64)
    assert compiled(plan(many, workers=1)) == {True}
    assert compiled(plan(many, workers=4)) == {False}
    # Nor a network whose time is that of its products.
    assert compiled(plan(grid("task=mnist1d", "model=cnn", seeds=64), workers=1)) == {False}


def test_auto_is_decided_for_the_whole_sweep_and_not_for_what_is_left_of_it():
    configs = grid(LONG, seeds=64)
    known = pd.DataFrame({"run_id": list(configs)[:62], "status": "finished", "parameters": False})
    first = next(iter(configs.values()))
    first = first.model_copy(update={"sweep": first.sweep.model_copy(update={"workers": 1})})
    assert compiled(make_plan(configs, known, first)) == {True}


def test_what_the_user_says_of_compiling_holds_and_without_a_compiler_there_is_none(monkeypatch):
    assert compiled(plan(grid("compile=true", seeds=2))) == {True}
    assert compiled(plan(grid("compile=false", LONG, seeds=64), workers=1)) == {False}
    monkeypatch.setenv("CXX", "there-is-no-such-compiler")
    assert compiled(plan(grid(LONG, seeds=64), workers=1)) == {False}


@pytest.mark.parametrize(("device", "there"), [("cpu", True), ("cuda", False)])
def test_nothing_is_compiled_for_a_gpu(device, there):
    made = plan(grid("compile=true", seeds=2, device=device), on="slurm")
    assert [made.compiles(bundle) for bundle in made.bundles] == [there]


def broken(rng):
    raise RuntimeError("no data")


def test_a_part_that_cannot_be_made_does_not_stop_the_plan():
    configs = grid() | grid(f"task={__name__}.broken")
    made = plan(configs)
    assert made.runs == 20
    assert made.bundles[-1][0].task.target.endswith("broken")


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # what joblib, which asks cgroups too, takes as a limit
    assert plan(grid(seeds=100) | grid("surrogate=softmax", seeds=100), workers="auto").workers == 1


def returns_a_tuple(in_features: int, out_features: int):
    from torch import nn

    class Both(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.both = Both(in_features, 8)

        def forward(self, x):
            return self.both(x)[0]

    return nn.ModuleDict({"encoder": First(), "head": nn.Linear(8, out_features)})


def never_runs(in_features: int, out_features: int):
    from torch import nn

    return nn.ModuleDict({"encoder": nn.Linear(in_features + 1, 8), "head": nn.Linear(8, out_features)})


@pytest.mark.parametrize("model", ["returns_a_tuple", "never_runs"])
def test_an_odd_model_has_a_size_too(model):
    size = size_of(configure([f"model={__name__}.{model}"]))
    assert size.bytes > 1e6
    assert size.seconds > 0


def test_memory_counts_the_parameters_of_a_wide_network_and_what_second_derivatives_keep():
    wide = ["task=wine", "model.hidden=[1024,1024]"]
    parameters = 13 * 1024 + 1024**2
    assert size_of(configure(*wide)).bytes > 8 * 4 * parameters
    assert size_of(configure(*wide, "premises=true")).bytes > 20 * 8 * parameters


def test_bundles_that_can_be_divided_are_where_the_one_with_the_most_work_cannot():
    heavy, light = grid("task.train=4096", seeds=2 * SMALLEST - 1), grid("task.train=64", seeds=LARGEST)
    other = grid("task.train=64", "surrogate=softmax", seeds=LARGEST)
    assert len(plan(heavy | light | other, workers=2, memory=1e3).bundles) == 4


def pictures(rng, *, side: int) -> Task:
    def split(n):
        return rng.standard_normal((n, 1, side, side)), np.arange(n) % 3

    return Task(split(64), split(8), split(8), classes=3)


def test_a_network_that_fills_a_core_is_a_bundle_of_its_own_unless_the_user_says_how_many():
    small, large = (grid("model=cnn", f"task={__name__}.pictures", f"task.side={side}", seeds=12) for side in (8, 28))
    assert sorted(map(len, plan(small | large, workers=1, memory=1e3).bundles)) == [*[1] * 12, 12]
    assert sorted(map(len, plan(large, workers=1, bundle=6).bundles)) == [6, 6]
    run = next(iter(large.values()))
    assert size_of(run).alone
    assert not size_of(run.model_copy(update={"batch_size": 16})).alone, "a quarter of the floats"
    assert not size_of(run, "cuda").alone
    assert not size_of(configure()).alone
    assert (size_of(configure()).small, size_of(configure(), "cuda").small) == (True, False), "a GPU has graphs"
    of_cluster = grid("model=cnn", f"task={__name__}.pictures", "task.side=28", seeds=12, device="auto")
    assert len(plan(of_cluster, on="slurm").bundles) == 12
