"""The numbers of the explorer, packed."""

import base64
import gzip
import json

import numpy as np
import pytest

from experiments import grid
from experiments.report import explore
from experiments.report import page as report
from hclm_runner.records import COLUMNS


@pytest.fixture(scope="module")
def grids(folder):
    return grid.load(folder)


def test_a_store_too_large_for_a_page_shows_fewer_seeds_and_says_so(grids):
    whole, seeds = explore.fit(grids, room=10**9)
    assert seeds == 4
    halved, seeds = explore.fit(grids, room=len(whole) - 1)
    assert seeds == 2
    assert len(halved) <= len(whole) - 1
    assert json.loads(halved)["gaussian_mixture"]["seed"] == [0, 1]
    assert explore.fit(grids, room=0) == ("", 0)


def test_the_page_says_how_many_seeds_it_has(folder, page, monkeypatch):
    assert "seeds are in this page" not in page
    monkeypatch.setattr(report, "LIMIT", len(page.encode()) - 1)
    halved = report.build(str(folder))
    assert "The first 2 of 4 seeds are in this page." in halved
    assert len(halved.encode()) < report.LIMIT
    monkeypatch.setattr(report, "LIMIT", 0)
    none = report.build(str(folder))
    assert "too many for a page" in none
    assert 'id="plotly"' not in none
    assert 'id="runs"' not in none


def test_a_column_that_was_not_measured_is_not_in_the_explorer(grids):
    runs = grids["gaussian_mixture"].copy()
    runs["metric_force"] = runs["metric_force"] * np.nan
    assert set(explore.pack(runs)["columns"]) == set(COLUMNS) - {"metric_force"}


def test_codes_are_the_numbers_to_half_a_level(grids):
    runs = grids["gaussian_mixture"]
    packed = explore.pack(runs)
    epochs = runs.sizes["epoch"]
    logarithmic = {name for name, column in packed["columns"].items() if column["log"]}
    assert {"train_loss", "dissipation"} <= logarithmic < set(COLUMNS)
    for name, column in packed["columns"].items():
        planes = np.frombuffer(gzip.decompress(base64.b64decode(column["codes"])), np.uint8)
        low, high = planes.reshape(2, -1).astype(int)
        codes = (low + 256 * high).reshape(-1, epochs).cumsum(axis=1) % 65536
        exact = runs[name].transpose(*grid.AXES, "epoch").to_numpy().reshape(-1, epochs)
        np.testing.assert_array_equal(codes == 65535, np.isnan(exact), name)
        assert ((codes == 65534) == ((exact == 0) & column["log"])).all()
        held = codes <= explore.LEVELS
        shown = column["low"] + codes[held] * (column["high"] - column["low"]) / explore.LEVELS
        true = np.log(exact[held]) if column["log"] else exact[held]
        rounding = np.ptp(true) / explore.LEVELS / 2
        np.testing.assert_allclose(shown, true, rtol=0, atol=rounding * (1 + 1e-6) + 1e-12, err_msg=name)


def test_json_in_a_page_cannot_end_its_script():
    text = explore.as_json({"</script>": "<!-- & '"})
    assert not set("<>&'") & set(text)
    assert json.loads(text) == {"</script>": "<!-- & '"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        explore.as_json(float("nan"))


def test_every_column_has_its_place_in_the_menu():
    grouped = [name for columns in explore.GROUPS.values() for name in columns]
    assert sorted(grouped) == sorted(COLUMNS)


def test_a_run_has_its_chosen_epoch_and_a_seed_its_data_set(grids):
    runs = grids["gaussian_mixture"].transpose(*grid.AXES, "epoch")
    packed = explore.pack(runs)
    assert packed["data_seed"] == [0, 1, 2, 3]
    loss = runs["feedback_loss"].to_numpy().reshape(-1, runs.sizes["epoch"])[:, 1:]
    assert packed["chosen"] == (1 + np.nanargmin(loss, axis=1)).tolist()
