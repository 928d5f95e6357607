"""The command behind make theory: its tables, its files, and what it refuses."""

import itertools
import json

import numpy as np
import pytest

from experiments.estimate import Estimate
from experiments.statements import studies
from experiments.statements.base import Table
from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, ON_REQUEST, Records, describe
from hclm_runner.refusal import ConfigError
from hclm_runner.store import prepare, write

REGIMES, LAMS, SEEDS = ("fixed", "thermostat"), (0.03, 0.3), (0, 1, 2, 3)
QUIET = ["sigma=0", "surrogate.eps=1.0", "batch_size=256"]
STORES = {
    "premises": [[f"surrogate={s}", f"optimizer={o}"] for s in ("softmax", "variance", "logdet") for o in ("plain", "sgd", "adam")],
    "descent": [[f"surrogate={s}", "optimizer=plain", *QUIET] for s in ("variance", "logdet")],
}  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Stores as the two sweeps write them, of numbers that mean nothing: measured at epochs 0, 10 and 12."""
    folder, rng = tmp_path_factory.mktemp("theory"), np.random.default_rng(0)
    for name, cells in STORES.items():
        prepare(folder / "outputs" / name)
        for cell, regime in itertools.product(cells, REGIMES):
            one = configure(*cell, f"regime={regime}", "epochs=12", "premises=true")
            runs = [one.model_copy(update={"lam": lam, "seed": seed}) for lam in LAMS for seed in SEEDS]
            table = {column: 0.1 + rng.random((len(runs), 13)) for column in COLUMNS}
            for column in ON_REQUEST:
                table[column][:, [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]] = np.nan
            records = Records(runs, table, np.full(len(runs), -1))
            write(folder / "outputs" / name, records.frame(), describe(records, "cpu", 1.0))
    return folder


def test_the_tables_are_printed_and_what_was_found_before_stays(outputs, monkeypatch, capsys):
    monkeypatch.chdir(outputs)
    out = outputs / "outputs/theory"
    out.mkdir()
    (out / "studies.json").write_text(json.dumps({"proposition_4": {"tables": [], "figures": {}}}))
    studies.main(["--only", "theorem_2", "theorem_1", "proposition_3"])
    printed = capsys.readouterr().out
    found = json.loads((out / "studies.json").read_text(), parse_constant=pytest.fail)
    assert list(found) == ["theorem_1", "theorem_2", "proposition_3", "proposition_4"]
    for name, title in (("theorem_1", "Theorem 1"), ("theorem_2", "Theorem 2"), ("proposition_3", "Proposition 3")):
        (table,), numbers = found[name]["tables"], found[name]["numbers"]
        assert table["title"] == f"{title} on runs"
        assert table["title"] in printed
        assert {len(row) for row in table["rows"]} == {len(table["head"])}
        assert [row[0] for row in table["rows"]] == ["descent"] * 2 + ["plain"] * 3 + ["sgd"] * 3 + ["adam"] * 3
        assert all(cell.replace(" ± ", "±") in printed for row in table["rows"] for cell in row)
        for row, number in zip(table["rows"], numbers, strict=True):
            for column, cell in list(zip(table["head"], row, strict=True))[3:]:
                assert cell == f"{Estimate.of_dict(number[column]):±.2f}"
        assert list(found[name]["figures"]) == [f"{name}_on_runs"]
        for kind in ("pdf", "svg", "png"):
            assert (out / f"{name}_on_runs.{kind}").stat().st_size > 10_000
            assert f"outputs/theory/{name}_on_runs.{kind}" in printed


def test_what_cannot_be_studied_is_refused(outputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="store=premises: expected a store of runs"):
        studies.main(["--only", "theorem_2"])
    monkeypatch.chdir(outputs)
    with pytest.raises(ConfigError, match="store=samples: expected a store of runs"):
        studies.main(["--only", "proposition_4", "--out", "elsewhere"])
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        studies.main(["--only", "theorem_2", "--out", str(tmp_path / "file")])
    with pytest.raises(SystemExit, match="2"):  # a statement that is asked of no runs
        studies.main(["--only", "proposition_2"])
    assert "invalid choice: 'proposition_2'" in capsys.readouterr().err


def test_a_number_is_shown_with_half_its_interval(capsys):
    studies.show(
        Table("Title", "note", ("surrogate", "closure"), [("logdet", f"{Estimate(0.634, 0.584, 0.684, 10):±.2f}")])
    )
    assert "0.63±0.05" in capsys.readouterr().out
    assert f"{Estimate(7.11467, np.nan, np.nan, 3):±.2f}" == "7.11"
    assert f"{Estimate(np.nan, np.nan, np.nan, 0):±.2f}" == "–"
