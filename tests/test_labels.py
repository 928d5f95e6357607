"""Labels are true: what is called the same was trained the same, in the records, in a store and for its readers."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hclm_runner import ConfigError, configure, load
from hclm_runner.config import labels
from hclm_runner.parts import ROOMS

RENYI = """
def renyi(Z, width: float, order: float = 2.0):
    return width * Z.square().mean()

def logdet(Z):
    return Z.square().mean()
"""


def test_a_run_of_defaults_has_bare_names():
    assert configure([]).label == "logdet / fixed / gaussian_mixture"
    assert configure(["omega=1", "rho=1"]).label == "logdet / fixed / gaussian_mixture, omega=1, rho=1"


@pytest.mark.parametrize("group", ROOMS)
def test_each_option_that_ships_is_called_as_its_file(group, needs):
    for path in (labels.CONF / group).glob("*.yaml"):
        chosen = configure(f"{group}={path.stem}", "sigma=0.5", needs(group, path.stem))
        assert chosen.label_of(group) == path.stem


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        (["surrogate.eps=0.1"], "logdet(eps=0.1) / fixed / gaussian_mixture"),
        (["sigma=0.5"], "logdet / fixed / gaussian_mixture, sigma=0.5"),  # eps follows sigma
        (["sigma=0.5", "surrogate.eps=1"], "logdet(eps=1) / fixed / gaussian_mixture, sigma=0.5"),
        (["surrogate={name: x}"], "logdet / fixed / gaussian_mixture"),
        (["feedback=noisy", "feedback.delay=3"], "logdet / fixed / gaussian_mixture, feedback=noisy(delay=3)"),
        (["model.hidden=[8,4]"], "logdet / fixed / gaussian_mixture, model=mlp(hidden=[8, 4])"),
        (["optimizer=plain", "optimizer.name=adam"], "logdet / fixed / gaussian_mixture, optimizer=sgd(momentum=0)"),
        (["risk.miss_cost=3"], "logdet / fixed / gaussian_mixture"),  # not in use: rho = 0
        (["risk.miss_cost=3", "rho=1"], "logdet / fixed / gaussian_mixture, rho=1, risk=asymmetric_cost(miss_cost=3)"),
    ],
)
def test_what_differs_from_the_defaults_is_in_the_label(overrides, label):
    assert configure(overrides).label == label


VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, 0.5, -1.0, 1e20, "", "a", "1", "true", "null", "a, b=1", [], [1], ["1"]]
)
OPTIONS = st.dictionaries(st.sampled_from("abc"), VALUES)


@given(OPTIONS, OPTIONS, OPTIONS)
@example({"a": True}, {"a": 1}, {"a": 1})  # equal in Python, and not the same option
def test_options_that_differ_never_share_a_label(one, other, defaults):
    same = labels.label("s", one, defaults) == labels.label("s", other, defaults)
    keys = {*one, *other}

    def meant(options):  # an option that is not given has its default
        both = {key: options.get(key, defaults.get(key)) for key in keys | {*defaults}}
        return {key: (type(value) is bool, value) for key, value in both.items()}

    if set(one) == set(other):  # the options of one part
        assert same == (meant(one) == meant(other))


def test_a_users_own_part_shows_what_its_signature_does_not_say(user_module):
    own = user_module(RENYI)
    run = configure(["surrogate=softmax", f"surrogate._target_={own}.renyi", "+surrogate.width=5"])
    assert run.label_of("surrogate") == "renyi(width=5)"
    run = configure(
        ["surrogate=softmax", f"surrogate._target_={own}.renyi", "+surrogate.width=0.5", "+surrogate.order=3"]
    )
    assert run.label_of("surrogate") == "renyi(order=3, width=0.5)"


def test_another_target_under_our_name_is_called_after_its_target(user_module):
    own = user_module(RENYI)
    assert configure(["surrogate=softmax", f"surrogate._target_={own}.logdet"]).label_of("surrogate") == f"{own}.logdet"
    run = configure(["surrogate=softmax", f"surrogate._target_={own}.renyi", "+surrogate.width=1"])
    assert run.surrogate.name == "renyi"  # not softmax, which is what the options file says


@pytest.mark.parametrize("name", ["renyi(width=5)", "a / b", "", "[1]"])
def test_a_name_that_could_be_mistaken_for_a_label_is_refused(user_module, name):
    own = user_module(RENYI)
    with pytest.raises(ConfigError, match=r"surrogate\.name=.*: expected a name of letters"):
        configure(["surrogate=softmax", f"surrogate._target_={own}.logdet", f"surrogate.name='{name}'"])


def test_a_group_takes_one_option(cli):
    with pytest.raises(ConfigError, match="surrogate: expected one option, got a list"):
        configure(["surrogate=[logdet,variance]"])
    alone = cli("surrogate=[logdet,variance]")
    assert (alone.code, alone.err.count("\n")) == (2, 1)
    assert "error: surrogate: expected one option, got a list" in alone.err
    together = cli("-m", "surrogate=[logdet,variance]", "lam=0,1")
    assert (together.code, "expected one option" in together.err) == (2, True)


def test_the_records_carry_labels_and_load_gives_what_varies(cli, user_module):
    own = user_module(RENYI)
    surrogate = ("surrogate=softmax", f"surrogate._target_={own}.renyi", "+surrogate.width=0.5,5")
    assert cli("-m", *surrogate, "optimizer.lr=0.01,0.1", "epochs=1", "name=s").code == 0
    records, runs = load("s")
    assert set(records["surrogate"]) == {"renyi(width=0.5)", "renyi(width=5)"}
    assert set(runs["label"]) == {
        f"renyi(width={width}) / fixed / gaussian_mixture, epochs=1, optimizer=sgd{lr}"
        for width in ("0.5", "5")
        for lr in ("(lr=0.01)", "(lr=0.1)")
    }
    by_label = records[records["epoch"] == 0].groupby("surrogate")["force"].mean()
    assert by_label["renyi(width=5)"] == pytest.approx(10 * by_label["renyi(width=0.5)"], rel=1e-5)  # float32
    for frame in (records, runs):
        assert set(frame["surrogate.width"]) == {0.5, 5.0}
        assert set(frame["optimizer.lr"]) == {0.01, 0.1}
        assert "optimizer.momentum" not in frame  # it does not vary


def test_edited_code_takes_the_place_of_the_same_runs_and_never_joins_others(cli, user_module, tmp_path):
    own = user_module(RENYI)
    surrogate = ("surrogate=softmax", f"surrogate._target_={own}.renyi", "+surrogate.width=1", "epochs=1", "name=s")
    assert cli("-m", *surrogate, "lam=0,1").code == 0
    (tmp_path / f"{own}.py").write_text(RENYI.replace("width *", "2 * width *"))
    forget(own)
    refused = cli(*surrogate, "lam=0")  # of the runs there, one would be repeated and one would stay
    assert refused.code == 2
    assert re.search(rf"surrogate={own}\.renyi: expected the code of the 1 runs that .*force=true", refused.err)
    assert len(load("s")[1]) == 2
    again = cli("-m", *surrogate, "lam=0,1")
    assert (again.code, again.err.count("set aside, ")) == (0, 2)
    assert len(list((tmp_path / "outputs/s/set_aside").iterdir())) == 2
    assert set(load("s")[1]["lam0"]) == {0.0, 1.0}
    (tmp_path / f"{own}.py").write_text(RENYI.replace("width *", "3 * width *"))
    forget(own)
    assert cli(*surrogate, "lam=0", "force=true").code == 0
    assert len(load("s")[1]) == 1


def test_two_parts_of_one_name_are_refused_before_anything_trains(cli, user_module, tmp_path):
    one, other = user_module(RENYI), user_module(RENYI + "# another\n")
    said = cli(
        "-m", "surrogate=softmax", f"surrogate._target_={one}.renyi,{other}.renyi", "+surrogate.width=1", "name=s"
    )
    assert said.code == 2
    assert f"surrogate.name=renyi: expected one part of this name, got {one}.renyi and {other}.renyi" in said.err
    assert not list((tmp_path / "outputs/s/records").iterdir())


def forget(module: str) -> None:
    """Have a module imported anew, and its code read anew, as another process would."""
    import importlib
    import sys

    sys.modules.pop(module, None)
    importlib.invalidate_caches()
