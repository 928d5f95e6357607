"""How far a sweep is, from the files of its store alone."""

import re

from filelock import FileLock
from synthetic_runs import configs, write

from hclm_runner.sweeps import status
from hclm_runner.sweeps.__main__ import main


def test_planned_running_and_ended_runs_are_counted(tmp_path, capsys):
    folder, runs = tmp_path / "s", configs(12)
    bundles = [runs[0:3], runs[3:6], runs[6:12]]
    write(folder, bundles[0])
    write(folder, runs[3:4], "failed")
    status.write_plan(folder, "local", bundles)
    for bundle in bundles[:2]:
        status.begin(folder, bundle)
    ended = dict.fromkeys((*status.ENDED, *status.OPEN), 0) | {"finished": 3, "failed": 1}
    assert status.read(folder).counts == ended | {"dead": 2, "pending": 6}, "no command is at it"
    with FileLock(folder / ".lock"):
        assert status.read(folder).counts == ended | {"running": 2, "pending": 6}
        assert main(["status", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"pending\W+6\b", out)
    assert "A command is writing to it." in out
    assert err == f"error: failed: it failed: {runs[3].title}\n"


def test_a_store_without_a_plan_has_what_has_ended(tmp_path):
    write(tmp_path / "s", configs(2))
    assert status.read(tmp_path / "s").counts == dict.fromkeys((*status.ENDED, *status.OPEN), 0) | {"finished": 2}
