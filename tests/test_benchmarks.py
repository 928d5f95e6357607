"""The benchmark of sweeps runs, small, and its numbers are those of its commands."""

import json
import subprocess
import sys

import pytest

from experiments.benchmarks import command
from experiments.benchmarks.sweep import SCALES, Cost, family, growth, memory, overhead, wall_times


@pytest.mark.slow
def test_the_quick_benchmark_measures_everything(tmp_path):
    command = [sys.executable, "-m", "experiments", "benchmark", "sweep", "--quick"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "basic / fused" in done.stdout
    results = json.loads((tmp_path / "outputs/benchmark_sweep_quick.json").read_text())
    assert [len(rows) for rows in results["tables"].values()] == [2, 3, 2]
    assert all(seconds > 0 for rounds in results["costs"].values() for seconds, *_ in rounds)
    ((_, gigabytes, files),) = results["costs"]["sweep fused"]
    assert 0.1 < gigabytes < 10, "the parent and a process or two that have torch"
    assert files >= 3, "the lock, and a bundle's shard in records/ and in runs/"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["benchmark_sweep_quick.json"]


def test_the_tables_follow_from_what_the_commands_took():
    scale = SCALES["quick"]  # 9 jobs a seed
    costs = {
        "overhead fused 1": [Cost(1.0, 0)],
        "overhead fused 18": [Cost(1.17, 0)],  # 17 jobs more in 0.17 s: 10 ms each
        "overhead fused 27": [Cost(1.52, 0)],
        "overhead basic 1": [Cost(2.0, 0)],
        "overhead basic 9": [Cost(2.8, 0)],  # 100 ms each
        "sweep fused": [Cost(5.0, 0.75)],
        "sweep basic 9": [Cost(10.0, 0.5)],
        "sweep basic 18": [Cost(19.0, 0.5)],  # a second each
        "sweep joblib 18": [Cost(12.0, 1.0)],
        "sweep joblib 36": [Cost(21.0, 1.0)],
        "growth 9": [Cost(9.0, 0.5, 5)],
        "growth 18": [Cost(9.0, 0.5, 7)],
    }
    assert [row["jobs"] for row in overhead(scale, costs)] == [18, 27]
    assert overhead(scale, costs)[0] == pytest.approx(
        {"jobs": 18, "fused ms": 10, "basic ms": 100, "basic / fused": 10}
    )
    assert [row["seconds"] for row in wall_times(scale, costs)] == pytest.approx([5, 19, 12])
    assert [row["/ fused"] for row in wall_times(scale, costs)] == pytest.approx([1, 3.8, 2.4])
    assert [row["ms per run"] for row in growth(scale, costs)] == pytest.approx([1000, 500])
    assert [row["files"] for row in growth(scale, costs)] == [5, 7]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_whole_family():
    grandchild = "b = bytearray(2**28); print(flush=True); input()"
    child = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {grandchild!r}]))"
    process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        assert len(family(process.pid)) == 2
        assert 0.25 < sum(map(memory, family(process.pid))) < 0.4
    finally:
        process.communicate(b"\n")


def test_a_size_is_of_a_sweep_and_is_refused_for_a_step(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["step", "--quick"])
    assert stop.value.code == 2
    assert "--quick is of the benchmark of a sweep" in capsys.readouterr().err
