"""The page of a store as it fills, on loopback alone."""

import threading
from http.client import HTTPConnection

import pandas as pd
import pytest

from experiments.__main__ import main
from experiments.report.serve import server
from hclm_runner.refusal import ConfigError


@pytest.fixture
def shown(tmp_path):
    """The store, whether it has runs, how often a page was made, and what a browser gets of a path."""
    (tmp_path / "runs").mkdir()
    made = []

    def build() -> str:
        made.append(1)
        if not list(tmp_path.glob("runs/*")):
            raise ConfigError("store", "s", "runs λ")
        return f"<p>page {len(made)} λ"

    with server(tmp_path, build, 0) as serves:
        threading.Thread(target=serves.serve_forever, daemon=True).start()

        def get(path: str = "/") -> tuple[int, str]:
            browser = HTTPConnection(*serves.server_address, timeout=10)
            browser.request("GET", path)
            answer = browser.getresponse()
            return answer.status, answer.read().decode()

        yield tmp_path, get, serves
        serves.shutdown()


def test_the_page_is_made_again_only_once_the_store_has_changed(shown):
    folder, get, _ = shown
    assert get() == get() == (503, "store=s: expected runs λ")
    pd.DataFrame({"run_id": ["a"]}).to_parquet(folder / "runs" / "a.parquet")
    assert get() == get() == (200, "<p>page 2 λ")
    (folder / "runs" / ".half.parquet").write_bytes(b"")
    assert get()[1] == "<p>page 2 λ", "a file that is being written is not looked at"
    (folder / "claims.json").write_text("{}")
    assert get()[1] == "<p>page 3 λ"


def test_it_serves_one_page_to_this_machine(shown):
    _, get, serves = shown
    assert get("/runs/a.parquet")[0] == get("/../etc/passwd")[0] == 404
    assert serves.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_that_is_none_is_refused(port, capsys):
    with pytest.raises(SystemExit) as refused:
        main(["report", "paper", f"--serve={port}"])
    assert refused.value.code == 2
    assert f"argument --serve: {port}: expected a port, 1 to 65535" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(shown, capsys, monkeypatch):
    folder, _, serves = shown
    with pytest.raises(SystemExit) as refused:
        main(["report", str(folder), f"--serve={serves.server_address[1]}"])
    assert refused.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
