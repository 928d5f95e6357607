"""What is said of bad input: one line that names the key, what was expected, and the way out."""

import pytest

from hclm_runner.config import configure
from hclm_runner.config.manual import places
from hclm_runner.refusal import ConfigError

REFUSED = {
    # keys below a key
    ("sweep.workers=0",): "sweep.workers=0: expected auto or a whole number >= 1",
    ("sweep.memory=-1",): "sweep.memory=-1: expected auto or a finite number > 0",
    ("sweep=5",): "sweep=5: expected keys below it: sweep.on, ",
    ("lam.x=1",): "lam.x: expected lam itself, which has no keys below it",
    # eps that follows sigma, and eps that does not
    ("sigma=0",): "sigma=0: expected greater than 0",
    ("sigma=0", "surrogate.eps=0"): "surrogate.eps=0: expected a finite number > 0",
    ("surrogate.eps=1e-50",): "surrogate.eps=1e-50: expected a number between 1e-38 and 1e+38, for dtype=float32",
    # the notation of a value
    ("lam='0.1'",): "lam='0.1': expected a finite number >= 0, without quotes",
    ("model.hidden=['8']",): "model.hidden.0='8': expected a whole number >= 1 and <= 2147483648, without quotes",
    ("epochs=1e2",): "epochs=100.0: expected a whole number >= 1 and <= 2147483648, written as 100",
    ("sweep.bundle=2.0",): "sweep.bundle=2.0: expected auto or a whole number >= 1 and <= 2147483648, written as 2",
    ("epochs=1.5",): "epochs=1.5: expected a whole number >= 1 and <= 2147483648",
    ("epochs=inf",): "epochs=inf: expected a whole number >= 1 and <= 2147483648",
    ("premises=null",): "premises=null: expected true or false",
    # names
    ("name=.x",): "name=.x: expected a name of letters, digits and _ . -, which starts with a letter, a digit or _",
    ("name='a b'",): "name=a b: expected a name of letters, digits and _ . -, which starts with a letter, a digit or _",
    ("name=1.5",): "; text that looks like a number takes two kinds of quotes: \"'1.5'\"",
    # Hydra's grammar
    ("name=λ",): "or plain text; any other text takes two kinds of quotes: 'name=\"λ\"'",
    ("lam=0.1;1",): "or plain text; any other text takes two kinds of quotes: 'lam=\"0.1;1\"'",
    ("lam",): "lam: expected key=value",
    ("=1",): "=1: expected key=value",
    ("surrogate = logdet",): "surrogate = logdet: expected key=value, without spaces around =",
    ("lam=0.1 seed=1",): "lam=0.1 seed=1: expected one key=value, the next as a word of its own",
    ("λ=1",): "λ=1: expected a key of letters a-z, digits, _ and .",
    ("seed=nosuch(3)",): "seed=nosuch(3): expected a value that can be computed, got HydraException while evaluating",
    # one run, several values
    ("lam=0,1", "seed=2"): "lam=0,1: expected one value; for several, a list of configurations: ",
    # keys of an option
    ("lr=0.1",): "lr: expected a known key (did you mean optimizer.lr?); keys: lam, ",
    ("eps=1",): "(did you mean surrogate.eps or optimizer.eps?)",
    ("+workers=2",): "(did you mean sweep.workers?)",
    ("LAM=1",): "(did you mean lam?)",
    ("regime.kp=1",): "regime.kp: expected a known key (a key of regime=excited, nupi, proportional, rate, rl_thermostat, thermostat)",
    ("+regime.kp=1",): "regime.kp=1: expected a known key (a key of regime=excited, nupi, proportional, rate, rl_thermostat, thermostat)",
    ("~nosuch",): "~nosuch: expected a known key; keys: lam, ",
    # options of a group
    ("surrogate=null",): "surrogate=null: expected one of ",
    ("surrogate=5",): "surrogate=5: expected one of ",
    ("~surrogate",): "surrogate: expected one of ",
    # what is there already
    ("+lam=3",): "+lam=3: expected lam=3, without +: the key is there",
    ("+experiment=quick",): "+experiment=quick: expected experiment=quick, without +: the key is there",
    ("++surrogate=logdet",): "++surrogate=logdet: expected surrogate=logdet, without +: the key is there",
    # Hydra's own keys
    ("hydra.mode=X",): "hydra.mode=X: expected a value of its type, got Invalid value 'X', expected one of [RUN, MULTIRUN]",
    ("hydra.nosuch=1",): "hydra.nosuch: expected a known key; keys: run, sweep, ",
    # what is no part
    ("task._target_=os.system",): "a Python function or class that is a task, got a builtin function written in C",
    ("surrogate._target_=math.sqrt",): "a Python function or class that is a surrogate, got a builtin function written",
}  # fmt: skip


@pytest.mark.parametrize("overrides", REFUSED, ids=" ".join)
def test_bad_input_is_explained_in_one_line(overrides):
    with pytest.raises(ConfigError) as refused:
        configure(list(overrides))
    assert REFUSED[overrides] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_several_values_are_for_a_multirun(cli):
    said = cli("lam=0,1", "seed=2")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "lam=0,1: expected one value, or -m for a run of each: python -m hclm_runner -m lam=0,1 seed=2" in said.err


def test_nothing_is_offered_where_only_the_value_is_wrong():
    for override in ("epochs=1.5", "epochs=inf", "epochs=0", "lam=large", "name=.x"):
        with pytest.raises(ConfigError) as refused:
            configure([override])
        assert "quotes" not in str(refused.value)
        assert "written as" not in str(refused.value)


def test_a_key_is_found_under_each_option_that_has_it_with_those_that_it_starts_from():
    assert places("kp") == {"regime.kp": ["excited", "nupi", "proportional", "rate", "rl_thermostat", "thermostat"]}
    assert places("dry_run") == {"sweep.dry_run": []}
    assert set(places("eps")) == {"surrogate.eps", "optimizer.eps"}
    assert places("_target_") == places("lam") == {}
