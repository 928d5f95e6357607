"""The command that draws figures: what it draws by default, what it draws again, what it refuses and what it says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic_own import made_up, without, write

from experiments import estimate, grid
from experiments.figures import FIGURES, command, draw, mechanics, table
from hclm_runner import picture
from hclm_runner.refusal import ConfigError

RUNS = made_up()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("written") / "small", RUNS)


@pytest.fixture
def folder(written, tmp_path) -> Path:
    """A store on the disk that holds RUNS."""
    return Path(shutil.copytree(written, tmp_path / "small"))


@pytest.fixture
def said(capfd):
    """Run the command; return the lines it prints and, but for the last, where the figures are."""

    def run(folder: Path, *options: str) -> list[str]:
        capfd.readouterr()
        command.main([str(folder), *options])
        *lines, where = capfd.readouterr().out.splitlines()
        assert where.startswith(f"  {folder}/figures/")
        return lines

    return run


def test_the_store_written_here_is_the_grid_made_up_here(written):
    loaded = grid.only(grid.load(written), None)
    xr.testing.assert_equal(loaded, RUNS)
    assert loaded.attrs["missing"] == []
    assert loaded.attrs["config"].items() >= RUNS.attrs["config"].items()


def test_an_incomplete_grid_is_refused_or_marked(folder, said, tmp_path):
    broken = write(
        tmp_path / "broken", without(RUNS, surrogate="logdet", regime="rl_thermostat", lam0=3.0, seed=[1, 2])
    )
    with pytest.raises(ConfigError, match=r"2 are missing: .*, lam0 3, seed 2; .*, --incomplete draws what is there"):
        command.main([str(broken)])
    others = {"fig03_rates", "fig04_ratio", "definition_1", "balance"}
    assert {path.stem for path in broken.glob("figures/*")} == others
    with pytest.raises(ConfigError, match="2 are missing"):
        command.main([str(broken), "--only", "17"])
    said(broken, "--incomplete", "--only", "17")
    assert "incomplete: 79 of 81 runs" in (broken / "figures" / "fig17_logdet_gap.svg").read_text()
    said(folder, "--only", "17")
    assert "incomplete" not in (folder / "figures" / "fig17_logdet_gap.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ["--only", "5", "40"],
            "--only=40: expected a number from 3 to 32, or names such as softmax_force, softmax_entropy",
        ),
        (["--task", "digits"], "task=digits: expected one of gaussian_mixture"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(written, arguments, named):
    with pytest.raises(ConfigError) as refused:
        command.main([str(written), *arguments])
    assert str(refused.value) == named


def test_a_store_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"^store="):
        command.main([str(tmp_path / "nowhere")])


def test_only_what_is_stale_is_drawn_again(folder, said):
    out = folder / "figures"
    assert said(folder, "--only", "22", "5", "5") == ["2 figures drawn: 5, 22"]
    stems = ("fig05_softmax_test_loss", "fig05_softmax_test_loss_chosen", "fig22_logdet_fixed_test_loss")
    assert {path.name for path in out.iterdir()} == {f"{s}.{kind}" for s in stems for kind in command.KINDS}
    assert said(folder, "--only", "5", "22", "--incomplete") == ["2 figures up to date: 5, 22"]
    assert said(folder, "--only", "22", "--force") == ["1 figure drawn: 22"]
    (out / f"{stems[1]}.pdf").unlink()
    assert said(folder, "--only", "5", "22") == ["1 figure drawn: 5", "1 figure up to date: 22"]
    assert said(folder, "--only", "22", "--seeds") == ["1 figure drawn: 22"]  # in files of its own
    (shard,) = (folder / "records").iterdir()
    os.utime(shard)
    assert said(folder, "--only", "22") == ["1 figure drawn: 22"]


@pytest.mark.parametrize("module", [command, draw, mechanics, table, estimate, grid, picture])
def test_a_figure_older_than_the_code_that_draws_it_is_stale(tmp_path, module):
    source, files = Path(module.__file__), [tmp_path / f"fig.{kind}" for kind in command.KINDS]
    assert source in command.CODE
    for path in files:
        path.touch()
    assert command.is_current(files, [source])
    os.utime(files[1], ns=(0, source.stat().st_mtime_ns))
    assert not command.is_current(files, [source])


def test_each_task_has_a_folder_of_its_own(folder, said):
    write(folder, RUNS, task="digits")
    with pytest.raises(ConfigError, match="one of digits, gaussian_mixture"):
        command.main([str(folder), "--only", "5"])
    said(folder, "--only", "5", "--task", "digits")
    assert (folder / "figures" / "digits" / "fig05_softmax_test_loss.png").exists()


@pytest.fixture
def drawn(monkeypatch):
    """Collect the stems of what would be written, and write none of it: which figures, not their looks."""
    stems: list[str] = []
    monkeypatch.setattr(
        command, "_write", lambda drawings, _: stems.extend(s for one in drawings for s in one.pictures)
    )
    return stems


def test_the_papers_grid_gives_the_papers_figures_and_the_rest_on_request(folder, said, drawn):
    numbers = ", ".join(map(str, range(3, 33)))
    assert said(folder) == [
        f"32 figures drawn: {numbers}, definition_1, balance",
        "44 more figures, of the paper's surrogates and regimes, with --all",
    ]
    views = [row.stem + view for row in FIGURES for view in (("",) if row.regime else ("", "_chosen"))]
    paper = ["fig03_rates", "fig04_ratio", *views, "definition_1", "balance"]
    assert drawn == paper
    drawn.clear()
    (line,) = said(folder, "--all")
    assert line.startswith(
        f"76 figures drawn: {numbers}, definition_1, balance, variance_entropy, softmax_fixed_force, "
    )
    assert line.endswith(" and 40 more")
    assert drawn[: len(paper)] == paper
    assert len(set(drawn)) == len(paper) + 44 + 1, "variance's entropy is over base lam, in two views"


def test_the_papers_grid_with_parts_of_a_users_own_gives_both_unasked(tmp_path, said, drawn):
    mixed = without(
        made_up([*grid.SURROGATES, "renyi"], [*grid.REGIMES, "my_law"]), surrogate="variance", regime="my_law"
    )
    folder = write(tmp_path / "mixed", mixed)
    first, *_, last = said(folder)

    def own_of(stems):
        return [s for s in stems if not s.startswith(("fig", "definition", "balance")) and not s.endswith("_chosen")]

    own = own_of(drawn)
    numbers = ", ".join(map(str, range(3, 33)))
    assert first.startswith(f"{32 + len(own)} figures drawn: {numbers}, definition_1, balance, softmax_force, ")
    columns = ["force", "entropy", "gap", "reward", "test_loss", "lam"]
    places = ["softmax", "logdet", "renyi", "softmax_my_law", "logdet_my_law", "renyi_fixed", "renyi_thermostat"]
    places += ["renyi_rl_thermostat", "renyi_my_law"]
    assert own == [f"{place}_{column}" for place in places for column in columns]
    # Over lam the law stands next to ours, so that of ours over lam nothing is left but variance's entropy.
    assert last == "44 more figures, of the paper's surrogates and regimes, with --all"
    drawn.clear()
    said(folder, "--all")
    assert {"variance_entropy", "softmax_fixed_force"} <= set(drawn)
    assert len(own_of(drawn)) == len(own) + 44
    assert len(drawn) == len(set(drawn))


def test_an_incomplete_grid_of_the_papers_does_not_keep_a_users_own_figures_from_being_drawn(tmp_path, drawn, capfd):
    runs = without(made_up([*grid.SURROGATES, "renyi"]), surrogate="logdet", regime="fixed", lam0=3.0, seed=2)
    folder = write(tmp_path / "gap", runs)
    with pytest.raises(ConfigError, match="1 are missing: logdet / fixed, lam0 3, seed 2"):
        command.main([str(folder)])
    assert drawn[:2] == ["fig03_rates", "fig04_ratio"]
    assert {stem.split("_")[0] for stem in drawn[2:]} == {"definition", "balance", "renyi"}
    assert len(drawn) == 4 + 5 * 6, "renyi over base lam in two views, and under three laws"
    assert "28 figures drawn: 3, 4, definition_1, balance, renyi_force" in capfd.readouterr().out
    drawn.clear()
    command.main([str(folder), "--incomplete"])
    assert len(drawn) == 4 + 2 * 17 + 11 + 5 * 6


def test_a_store_of_a_users_own_gets_the_same_figures_and_one_line_on_the_papers(tmp_path, said, drawn):
    own = without(made_up(["softmax", "renyi"], ["fixed", "my_law"]), surrogate="softmax", regime="my_law")
    own["reward"] = own["reward"] * np.nan
    folder = write(tmp_path / "own", own)
    assert said(folder) == [
        "28 figures drawn: 3, 4, definition_1, softmax_force, softmax_entropy, softmax_gap, softmax_test_loss,"
        " softmax_lam and 20 more",
        "5 figures left out, because no run has a value to show: softmax_reward, renyi_reward, softmax_fixed_reward,"
        " renyi_fixed_reward, renyi_my_law_reward",
        f"Figures 5-32 are not drawn: store={folder}: expected runs of surrogate variance, logdet and of regime"
        " thermostat, rl_thermostat too",
        "9 of 36 runs of the grid have no result: softmax / my_law, lam0 0, seed 0; softmax / my_law, lam0 0, seed 1;"
        " softmax / my_law, lam0 0, seed 2; and 6 more",
    ]
    with pytest.raises(ConfigError, match="runs of surrogate variance, logdet and of regime thermostat"):
        command.main([str(folder), "--only", "18"])


def test_an_own_figure_is_written_and_drawn_again_while_its_grid_lacks_runs(tmp_path, said):
    own = made_up(["renyi"], ["fixed", "my_law"])
    folder = write(tmp_path / "own", own)
    assert said(folder, "--only", "renyi_my_law_entropy") == ["1 figure drawn: renyi_my_law_entropy"]
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"renyi_my_law_entropy.{kind}" for kind in command.KINDS
    }
    assert said(folder, "--only", "renyi_my_law_entropy") == ["1 figure up to date: renyi_my_law_entropy"]
    ragged = write(tmp_path / "ragged", without(own, regime="my_law", seed=2))
    for _ in range(2):
        assert said(ragged, "--only", "renyi_gap")[0] == "1 figure drawn: renyi_gap"


@pytest.mark.slow
def test_many_figures_are_the_same_bytes_from_other_processes(folder, tmp_path):
    line = [sys.executable, "-m", "experiments", "figures", str(folder), "--out", str(tmp_path / "there")]
    done = subprocess.run([*line, "--only", "3", "7", "24", "softmax_force"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "here").mkdir()
    known = command.figures(grid.only(grid.load(folder), None)).every()
    for name in ("3", "7", "24", "softmax_force"):
        for stem, figure in known[name].pictures.items():
            for path in picture.save(figure(), tmp_path / "here" / stem, command.KINDS, dpi=300):
                assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name


def test_figures_3_and_4_need_no_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command.main(["nowhere", "--only", "3", "4"])
    written = sorted(path.name for path in (tmp_path / "outputs/nowhere/figures").iterdir())
    assert written == sorted(f"{stem}.{kind}" for stem in ("fig03_rates", "fig04_ratio") for kind in command.KINDS)
    assert "outputs/nowhere/figures/" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="store=nowhere: expected a store of runs"):
        command.main(["nowhere", "--only", "3", "18"])
    with pytest.raises(ConfigError, match=r"^store=paper: expected the paper's runs, which make figures trains$"):
        command.main(["--only", "18"])


def test_figures_of_no_runs_go_into_the_folder_of_a_store_given_by_its_path(folder, said, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert said(folder, "--only", "3", "3") == ["1 figure drawn: 3"]
    assert len(list((folder / "figures").iterdir())) == 3
    command.main(["elsewhere/mine", "--only", "4"])
    assert len(list((folder.parent / "elsewhere/mine/figures").iterdir())) == 3
    assert not (folder.parent / "outputs").exists()
