"""The command behind make theory: its tables, its files, and what it refuses."""

import itertools
import json

import numpy as np
import pytest

from experiments.theory import studies
from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, ON_REQUEST, Records, describe
from hclm_runner.store import prepare, write

REGIMES, LAMS, SEEDS = ("fixed", "thermostat"), (0.03, 0.3), (0, 1, 2, 3)
QUIET = ["sigma=0", "surrogate.eps=1.0", "optimizer.name=descent", "batch_size=256"]
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
            one = configure([*cell, f"regime={regime}", "epochs=12", "premises=true"])
            runs = [one.model_copy(update={"lam": lam, "seed": seed}) for lam in LAMS for seed in SEEDS]
            table = {column: 0.1 + rng.random((len(runs), 13)) for column in COLUMNS}
            for column in ON_REQUEST:
                table[column][:, [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]] = np.nan
            records = Records(runs, table, np.full(len(runs), -1))
            write(folder / "outputs" / name, records.frame(), describe(records, "cpu", 1.0))
    return folder


def refusal(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        studies.main(arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_tables_are_printed_and_the_figures_and_numbers_written_beside_what_was_there(outputs, monkeypatch, capsys):
    monkeypatch.chdir(outputs)
    out = outputs / "outputs/theory"
    out.mkdir()
    (out / "studies.json").write_text(json.dumps({"scaling": {"tables": [], "figures": {}}}))
    studies.main(["--only", "trajectories"])
    printed = capsys.readouterr().out
    found = json.loads((out / "studies.json").read_text())
    assert list(found) == ["trajectories", "scaling"]
    assert [table["title"] for table in found["trajectories"]["tables"]] == [
        "Proposition 3 on runs", "Theorem 1 on runs", "Theorem 2 on runs"
    ]  # fmt: skip
    for table in found["trajectories"]["tables"]:
        assert table["title"] in printed
        assert {len(row) for row in table["rows"]} == {len(table["head"])}
        assert [row[0] for row in table["rows"]] == ["descent"] * 2 + ["plain"] * 3 + ["sgd"] * 3 + ["adam"] * 3
        assert all(cell in printed for row in table["rows"] for cell in row)
    for stem in found["trajectories"]["figures"]:
        for kind in ("pdf", "svg", "png"):
            assert (out / f"{stem}.{kind}").stat().st_size > 10_000
            assert f"outputs/theory/{stem}.{kind}" in printed


def test_what_cannot_be_studied_is_refused_in_one_line(outputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "store=premises: expected a store of runs" in refusal(capsys, "--only", "trajectories")
    monkeypatch.chdir(outputs)
    assert "store=samples: expected a store of runs" in refusal(capsys, "--only", "scaling", "--out", "elsewhere")
    (tmp_path / "file").write_text("")
    assert "--out" in refusal(capsys, "--only", "trajectories", "--out", str(tmp_path / "file"))


def test_a_number_is_shown_with_half_its_interval():
    assert studies.number({"value": 0.634, "low": 0.584, "high": 0.684}) == "0.63±0.05"
    assert studies.number({"value": 7.11467}) == "7.1"
    assert studies.number({"gap": 0.4, "gap_low": 0.3, "gap_high": 0.5}, "gap") == "0.40±0.10"
    assert studies.number(None) == studies.number({"value": None}) == "–"
