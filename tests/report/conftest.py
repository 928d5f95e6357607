"""A judged store and its page, which the tests of the report share."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic import claim, write

from experiments.report import page as report
from hclm_runner import store

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><text x="1" y="9">50% #1 λ &amp;</text></svg>'


@pytest.fixture(autouse=True, scope="package")
def _empty_folder(tmp_path_factory):
    """Leave out what `make theory` or `make multiverse` may have written in this folder: a page shows them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        yield


@pytest.fixture(scope="session")
def judge() -> Callable[..., None]:
    """Write a store's claims.json."""

    def write_claims(folder: Path, *claims: dict[str, Any], **more: Sequence[Any]) -> None:
        head = {"store": str(folder), "resamples": 100, "confidence": 0.95, "claims": claims, "generic": []}
        (folder / "claims.json").write_text(json.dumps(head | more))

    return write_claims


@pytest.fixture(scope="session")
def draw() -> Callable[..., None]:
    """Write a figure of one line of text, its own name, for each stem."""

    def write_figures(folder: Path, *stems: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for stem in stems:
            (folder / f"{stem}.svg").write_text(SVG.replace("50%", stem.replace("<", "").replace("&", "")))

    return write_figures


@pytest.fixture(scope="session")
def renamed() -> Callable[..., Path]:
    """Copy a store with other surrogates and regimes in the place of its own, and without those that get no name."""

    def copy(source: Path, target: Path, surrogates: Mapping[str, str], regimes: Mapping[str, str]) -> Path:
        records, runs = store.load(source)
        new = {"surrogate": surrogates, "regime": regimes}
        for frame in (records, runs):
            context = frame["label"].str.split(" / ", n=2).str[2]
            for axis, names in new.items():
                frame[axis] = frame[axis].astype(str).map(names)
            frame["label"] = frame["surrogate"] + " / " + frame["regime"] + " / " + context
        runs = runs.dropna(subset=[*new])
        configs = [json.loads(text) for text in runs["config"]]
        for config in configs:
            for axis, names in new.items():
                config[axis]["name"] = names[config[axis]["name"]]
        store.prepare(target)
        kept = records[records["run_id"].isin(runs["run_id"])]
        store.write(target, kept, runs.assign(config=[json.dumps(config) for config in configs]))
        return target

    return copy


@pytest.fixture(scope="session")
def claims() -> tuple[dict[str, Any], ...]:
    return (
        claim("22"),
        claim("23", "REFUTED", says="fewer than <b>1</b> & more", sentence="</script><script>alert(1)</script>"),
        claim("24", "INCONCLUSIVE"),
        claim("25", "COLLAPSE", value=None, low=None, high=None),
        claim("X1 raw"),
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory, claims, judge, draw):
    """A judged store with two figures, and a run that diverged."""
    made = write(tmp_path_factory.mktemp("stores") / "small", diverged={("softmax", "thermostat", 0.1, 2)})
    judge(made, *claims)
    draw(made / "figures", "fig03_rates", "fig22_logdet_fixed_test_loss", "fig22_logdet_fixed_test_loss_seeds")
    return made


@pytest.fixture(scope="session")
def page(folder):
    return report.build(str(folder))
