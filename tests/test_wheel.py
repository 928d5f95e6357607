"""An installed wheel carries conf/ and runs, away from any checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import hclm_runner

ROOT = Path(__file__).parents[1]
SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=2"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_the_whole_configuration_and_the_plugin_where_hydra_looks_for_it_and_nowhere_else(wheel):
    inside = zipfile.ZipFile(wheel).namelist()
    yaml = {name for name in inside if name.endswith(".yaml") and "/templates/" not in name}
    assert yaml == {f"hclm_runner/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    plugins = [name for name in inside if name.startswith("hydra_plugins/") or "/hydra_plugins/" in name]
    assert sorted(plugins) == ["hydra_plugins/hclm_fused.py", "hydra_plugins/hclm_parts.py"]
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "hclm_runner/templates").rglob("*my_part.*")}
    assert {name for name in inside if "/templates/" in name} == templates


def test_the_wheel_carries_its_version_and_its_types_and_no_package_of_a_common_name(wheel):
    inside = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith(f"hclm_runner-{hclm_runner.__version__}-")
    assert "hclm_runner/py.typed" in inside
    tops = {name.partition("/")[0] for name in inside}
    assert tops == {"hclm_runner", "hydra_plugins", f"hclm_runner-{hclm_runner.__version__}.dist-info"}


@pytest.mark.slow
def test_the_wheel_runs_from_its_own_configuration(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site)}
    where = "import hclm_runner.config as c; print(c.CONF)"
    found = subprocess.run([sys.executable, "-c", where], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == str(site / "hclm_runner" / "conf")
    command = [sys.executable, "-m", "hclm_runner", *SMALL]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "outputs/default/records").glob("*.parquet"))


@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([binaries / "pip", "install", "--quiet", str(wheel)], check=True)
    done = subprocess.run(
        [binaries / "hclm-runner", "-m", "seed=0,1", *SMALL], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs/default/runs").is_dir()
