"""The command: what it judges, prints, writes and refuses; and what reads its claims.json."""

import copy
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import BY_ID, ORDINARY, L, Runs, S, V

from experiments import grid
from experiments.claims import command, generic, paper, record
from experiments.claims.claim import Data
from experiments.claims.judge import INCONCLUSIVE, REFUTED, SUPPORTED, effect
from experiments.compare import flips
from experiments.estimate import Estimate
from hclm_runner.refusal import ConfigError

ROOT = Path(__file__).parents[2]
SWEEP = ["-m", "experiment=quick", "seed=range(6)", "epochs=8", "name=small", "batch_size=16"]
TINY = ["task.train=32", "task.feedback=32", "task.test=32"]
ESTIMATE = ("value", "low", "high", "n")
HEADLINE = ("verdict", *ESTIMATE, "p", "decided", "parts")
"""What a claim has of its literal reading at the end."""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A folder with outputs/small/, the paper's grid in miniature."""
    folder = tmp_path_factory.mktemp("swept")
    done = python("-m", "hclm_runner", *SWEEP, *TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    return ORDINARY.store(tmp_path_factory.mktemp("made_up") / "store")


@pytest.fixture(scope="module")
def judged(made_up) -> record.Record:
    return command.judge(str(made_up), 100)


def users_own() -> Runs:
    """Runs of a surrogate and a law of a user's own, where the paper's softmax and thermostat would be."""
    runs = Runs()
    runs.names = {"softmax": "renyi", "thermostat": "my_law"}
    return runs


def written(folder: Path) -> tuple[dict, pd.DataFrame]:
    """Return claims.json, if it is JSON to the letter, and claims.parquet."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads((folder / "claims.json").read_text(), parse_constant=refuse)
    return found, pd.read_parquet(folder / "claims.parquet")


def test_the_command_judges_a_store_as_the_functions_judge_its_grid(made_up, capsys):
    command.main([str(made_up), "--resamples", "200"])
    found, _ = written(made_up)
    runs = ORDINARY.grid()
    tables = {
        "claims": (paper.CLAIMS, paper.read(runs, "made up")),
        "generic": (generic.of_grid(runs), Data.of(runs, "made up")),
    }
    for table, (claims, read) in tables.items():
        assert [one["id"] for one in found[table]] == [claim.id for claim in claims]
        views = {view: read.at(view) for view in ("end", "chosen")}
        for claim, one in zip(claims, found[table], strict=True):
            assert (one["task"], one["says"]) == ("made_up", claim.says)
            ways = [(reading["reading"], reading["view"]) for reading in one["readings"]]
            assert ways == list(itertools.product(claim.readings, claim.views))
            assert {key: one[key] for key in HEADLINE} == {key: one["readings"][0][key] for key in HEADLINE}
            for (reading, view), plain in zip(ways, one["readings"], strict=True):
                expected = claim.judged(views[view], 200, reading)
                assert (plain["words"], plain["verdict"]) == (claim.readings[reading].words, expected.verdict)
                estimates = [expected.estimate, *(part.estimate for part in expected.parts)]
                for numbers, estimate in zip((plain, *plain["parts"]), estimates, strict=True):
                    got = np.array([numbers[key] for key in ESTIMATE], float)
                    wanted = np.array([getattr(estimate, key) for key in ESTIMATE], float)
                    np.testing.assert_allclose(got, np.where(np.isfinite(wanted), wanted, np.nan), 1e-9, 1e-12)
    out = capsys.readouterr().out
    assert out.count("made_up, ") == 2, "a table of the paper's, and one of any surrogate and law"
    assert "not judged" not in out
    assert len(out.splitlines()) == sum(len(found[table]) for table in tables) + 2 * 2 + 2, "heads and two paths"
    assert all(one["says"] in out for one in found["claims"]), "a pipe is as wide as need be"


@pytest.mark.parametrize("width", [60, 100])
def test_a_claim_is_one_line_of_a_terminal(judged, monkeypatch, capsys, width):
    for key, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width)}.items():
        monkeypatch.setenv(key, value)
    command.show("paper's claims", "the paper says", judged.claims)
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(judged.claims) + 2
    assert max(map(len, lines)) <= width
    for claim, line in zip(judged.claims, lines[2:], strict=True):
        assert line.split()[1:3] == [claim["verdict"], claim["id"].split()[0]]
        shown = claim["parts"][claim["decided"]]
        assert effect(Estimate.of_dict(shown), shown["unit"])[: width - 40] in line
        assert claim["says"][: (width - 60) // 2] in line


def test_claims_parquet_has_a_row_for_each_part_of_each_reading_and_infinity_is_null_in_the_json(tmp_path):
    folder = Runs().set("force", L, "A", 0).store(tmp_path / "store")
    command.main([str(folder), "--resamples", "100"])
    found, rows = written(folder)
    both = [(table, claim) for table in ("claims", "generic") for claim in found[table]]
    parts = [
        (table, claim["id"], reading["reading"], reading["view"], part["text"], part["verdict"])
        for table, claim in both
        for reading in claim["readings"]
        for part in reading["parts"]
    ]
    kept = ["table", "id", "reading", "view", "text", "verdict"]
    assert list(rows[kept].itertuples(index=False, name=None)) == parts
    headlines = rows.query("reading == 'literal' and view == 'end'").groupby("id")["claim_verdict"].first()
    assert headlines.to_dict() == {c["id"]: c["verdict"] for _, c in both}
    undefined = next(claim for claim in found["claims"] if claim["id"] == "18")
    assert (undefined["verdict"], undefined["value"]) == (INCONCLUSIVE, None)


def test_a_store_of_a_users_own_gets_its_claims_and_a_line_on_what_the_papers_lack(tmp_path, capsys):
    folder = users_own().store(tmp_path / "store")
    command.main([str(folder), "--resamples", "100"])
    found, rows = written(folder)
    assert found["claims"] == []
    assert {"renyi / my_law: effective", "logdet / fixed: collapses"} <= {claim["id"] for claim in found["generic"]}
    assert set(rows["table"]) == {"generic"}
    (line,) = found["lacking"]
    assert line.startswith("made_up: the paper's claims are not judged: ")
    assert "softmax" in line
    assert "thermostat" in line
    assert line in capsys.readouterr().out.replace("\n", "")


def test_a_claim_that_cannot_be_stated_is_a_line_that_says_what_it_lacks(tmp_path, capsys):
    folder = users_own().drop("softmax", "A").store(tmp_path / "store")  # renyi was never run under fixed
    command.main([str(folder), "--resamples", "100"])
    found, _ = written(folder)
    says = [
        f"renyi under {law} {what}"
        for law in ("my_law", "rl_thermostat")
        for what in (
            "collapses at one lam or more",
            "lowers the validated test loss, relative to renyi under fixed at lam = 0",
            "is steadier over lam than renyi under fixed",
        )
    ]
    out = capsys.readouterr().out
    for text in says:
        (line,) = [line for line in found["lacking"] if f"not judged, {text}: " in line]
        assert "expected runs of renyi under fixed" in line
        assert line in out
    assert len(found["lacking"]) == 1 + len(says)
    judged = {claim["id"] for claim in found["generic"]}
    assert "renyi / my_law: effective" in judged
    assert not any(name.startswith("renyi / fixed") for name in judged)


def test_an_incomplete_grid_of_the_papers_is_refused_by_name_and_the_cells_that_are_whole_are_judged(
    made_up, tmp_path, capsys
):
    folder = tmp_path / "store"
    shutil.copytree(made_up, folder, ignore=shutil.ignore_patterns("claims.*"))
    gone = ["logdet-thermostat-0.1-3-made_up", "softmax-fixed-3.0-0-made_up"]
    for path in folder.glob("r*/*.parquet"):
        frame = pd.read_parquet(path)
        frame[~frame["run_id"].isin(gone)].to_parquet(path)
    command.main([str(folder), "--resamples", "100"])
    found, _ = written(folder)
    named = "softmax / fixed, lam0 3, seed 0; logdet / thermostat, lam0 0.1, seed 3"
    assert found["claims"] == []
    assert found["lacking"][0].endswith(f"expected every run of the grid, but 2 are missing: {named}")
    judged = {claim["id"] for claim in found["generic"]}
    assert "variance / fixed: effective" in judged
    assert {"softmax / fixed: effective", "logdet / thermostat: steadier"}.isdisjoint(judged)
    lacks = [line for line in found["lacking"] if "not judged, logdet under thermostat" in line]
    assert lacks
    assert all("1 are missing: logdet / thermostat, lam0 0.1, seed 3" in line for line in lacks)


def test_a_store_of_which_nothing_can_be_judged_is_refused_in_one_line_that_says_why(tmp_path):
    runs = Runs().drop(grid.SURROGATES, "BC").drop((S, V), "A")
    for values in runs.columns.values():
        values[:, :, 1:] = np.nan  # log-det at lam = 0 is left
    folder = runs.store(tmp_path / "store")
    with pytest.raises(ConfigError) as refusal:
        command.main([str(folder)])
    assert "\n" not in str(refusal.value)
    assert not (folder / "claims.json").exists()


def test_a_comparator_can_be_named(tmp_path):
    folder = users_own().set("test_loss", "softmax", "B", 1.0).store(tmp_path / "store")
    command.main([str(folder), "--resamples", "100", "--against", "renyi", "my_law"])
    found, _ = written(folder)
    by_id = {claim["id"]: claim for claim in found["generic"]}
    ours = by_id["logdet / fixed: test loss against renyi / my_law"]
    assert ours["says"].endswith("relative to renyi under my_law")
    assert ours["value"] == pytest.approx(1, rel=0.05), "twice the comparator's"
    assert not any(name.startswith("renyi / my_law: test loss") for name in by_id), (
        "a method is not compared with itself"
    )
    assert found["against"] == ["renyi", "my_law"]
    assert [line for line in found["lacking"] if "the paper's claims" not in line] == []


def test_equal_ids_are_equal_claims_whatever_they_are_compared_with():
    runs = users_own().grid()
    usual = {claim.id: claim.says for claim in generic.of_grid(runs)}
    assert len(usual) == len(generic.of_grid(runs))
    for against in generic.methods(runs):
        for claim in generic.of_grid(runs, against):
            assert usual.setdefault(claim.id, claim.says) == claim.says, claim.id


@pytest.mark.slow
def test_a_verdict_against_another_comparator_is_no_flip(made_up, tmp_path):
    """A surrogate of a user's own beats fixed, and not log-det: two claims, not one that two stores judge apart."""
    folder = users_own().set("test_loss", "softmax", "B", 1.6).set("test_loss", L, "C", 1.0).store(tmp_path / "store")
    judged = []
    for against in ([], ["--against", "logdet", "rl_thermostat"]):
        command.main([str(folder), "--resamples", "100", *against])
        judged.append(written(folder)[0]["generic"])
    verdicts = [{claim["id"]: claim["verdict"] for claim in one} for one in judged]
    assert verdicts[0]["renyi / my_law: test loss"] == SUPPORTED
    assert verdicts[1]["renyi / my_law: test loss against logdet / rl_thermostat"] == REFUTED
    rows, alone = flips(*judged, {"made_up": "made_up"})
    assert rows == []
    assert alone > 0


def test_runs_that_were_tried_and_failed_are_named_and_what_was_never_tried_is_absent(made_up, tmp_path):
    folder = tmp_path / "store"
    shutil.copytree(made_up, folder, ignore=shutil.ignore_patterns("claims.*"))
    places = "surrogate == 'logdet' and regime == 'thermostat' and {}"
    lam, seed, method = "lam0 == 3", "seed == 2", "surrogate == 'variance' and regime == 'rl_thermostat'"
    never = "surrogate == 'softmax' and regime == 'rl_thermostat'"
    for path in folder.glob("runs/*.parquet"):
        runs = pd.read_parquet(path)
        for what in (places.format(lam), places.format(seed), method):
            runs.loc[runs.query(what).index, ["status", "rows"]] = ["failed", 0]
        runs.drop(runs.query(never).index).to_parquet(path)
    left = pd.concat([pd.read_parquet(path) for path in folder.glob("runs/*.parquet")]).query("status == 'finished'")
    for path in folder.glob("records/*.parquet"):
        frame = pd.read_parquet(path)
        frame[frame["run_id"].isin(left["run_id"])].to_parquet(path)
    found = command.judge(str(folder), 100)
    lacking = "\n".join(found.lacking)
    for kind in ("is effective by Definition 1", "collapses at one lam or more", "lowers the", "is steadier"):
        assert f"not judged, logdet under thermostat {kind}" in lacking
        assert f"not judged, variance under rl_thermostat {kind}" in lacking
    assert "12 are missing: logdet / thermostat, lam0 0, seed 2" in lacking, "eight at lam = 3, four more of seed 2"
    assert "40 are missing: variance / rl_thermostat, lam0 0, seed 0" in lacking
    judged = {claim["id"].split(":")[0] for claim in found.generic}
    assert {"logdet / fixed", "softmax / thermostat"} <= judged
    assert judged.isdisjoint({"logdet / thermostat", "variance / rl_thermostat", "softmax / rl_thermostat"})
    assert "softmax under rl_thermostat" not in lacking


def test_a_comparator_that_is_not_there_is_refused(made_up):
    with pytest.raises(ConfigError, match="--against=tsallis under fixed: expected one of softmax under fixed, "):
        command.main([str(made_up), "--against", "tsallis", "fixed"])


def test_a_store_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^store=nowhere: expected a store of runs"):
        command.main(["nowhere"])


def test_too_few_resamples_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["nowhere", "--resamples", "0"])
    assert stop.value.code == 2
    assert "--resamples: expected 100 or more, got 0" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_on_a_store_that_the_runner_made(swept):
    done = python("-m", "experiments", "claims", "small", "--resamples", "200", cwd=swept)
    assert done.returncode == 0, done.stderr
    found, rows = written(swept / "outputs/small")
    assert [claim["id"] for claim in found["claims"]] == list(BY_ID)
    readings = [reading for claim in (*found["claims"], *found["generic"]) for reading in claim["readings"]]
    assert len(rows) == sum(len(reading["parts"]) for reading in readings)
    assert "outputs/small/claims.json" in done.stdout
    before = (swept / "outputs/small/claims.json").read_bytes()
    python("-m", "experiments", "claims", "outputs/small", "--resamples", "200", cwd=swept)
    after = (swept / "outputs/small/claims.json").read_bytes()
    assert after == before.replace(b'"store": "small"', b'"store": "outputs/small"'), (
        "the same store, the same verdicts"
    )


def test_survivors_are_counted_task_by_task_and_table_by_table(judged):
    for rows in copy.deepcopy((judged.claims, judged.generic)):
        kept = [one["survives_bh"] for one in rows]
        record.mark_survivors(rows)
        assert [one["survives_bh"] for one in rows] == kept
