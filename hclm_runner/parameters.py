"""The parameters of finished runs, beside their records: parameters/<run id>.safetensors. Imports torch only to load.

A file also says what the network reads and returns: it is built again without the data.
"""

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from hclm_runner import arrays, store
from hclm_runner.config import choose
from hclm_runner.records import Records
from hclm_runner.refusal import ConfigError

if TYPE_CHECKING:
    from torch import nn


def save(folder: Path, trained: Records) -> list[Path]:
    """Write the parameters of the runs that finished and ask for it; what was there of the others goes.

    Args:
        folder: The store, locked.
        trained: The runs; with `theta` and `network` if any of them asks.

    Returns:
        The files.

    Raises:
        OSError: If the disk refuses.
    """
    paths = []
    for place, (run, diverged) in enumerate(zip(trained.runs, trained.diverged, strict=True)):
        path = store.parameters_of(folder, run.run_id)
        if run.save_parameters and diverged < 0:
            assert trained.network is not None
            reads = json.dumps([trained.network.input_shape, trained.network.outputs, trained.network.vocabulary])
            arrays.write(path, trained.parameters(place), {"run_id": run.run_id, "network": reads})
            paths.append(path)
        else:
            path.unlink(missing_ok=True)
    return paths


def load_model(of: str | os.PathLike[str], run_id: str) -> "nn.Module":
    """Return the trained network of a stored run, one that trained with save_parameters=true.

    Args:
        of: The store, by its name under outputs/ or by its path.
        run_id: The run, as `load` has it in the column `run_id`.

    Returns:
        A torch.nn.Module, x [B, ...] -> logits (or the components of the target) [B, outputs]; in eval mode, on the
        CPU, in the run's dtype. Its parts are `encoder`, x -> Z, and `head`, which reads Z without noise.

    Raises:
        FileNotFoundError: If there is no store.
        ConfigError: If it has no such run, the run did not finish, its parameters were not saved or their file is
            damaged, or the code of its model is no longer what it was.
    """
    import torch
    from torch import nn

    from hclm_runner.training.problem import make_model

    folder = store.locate(of)
    run, path = store.find(folder, run_id), store.parameters_of(folder, run_id)
    if run is None:
        raise ConfigError("run_id", run_id, f"a run with a result in {folder}/")
    if run["status"] != "finished":
        raise ConfigError("run_id", run_id, f"a run that finished, got one with status {run['status']}")
    again = "; the same run with save_parameters=true saves them"
    if not path.exists():
        raise ConfigError("run_id", run_id, f"a run whose parameters were saved{again}")
    config, code = json.loads(run["config"]), json.loads(run["code"])
    choice = choose("model", config["model"])
    if [choice.name, *choice.code] != code["model"]:
        raise ConfigError("model._target_", choice.target, f"the code that run {run_id} trained, but it changed since")
    try:
        parameters, text = arrays.read(path)
    except (OSError, ValueError) as error:
        raise ConfigError("run_id", run_id, f"a run whose parameters can be read, got {error}{again}") from error
    shape, *sizes = json.loads(text["network"])
    model = make_model(choice, config["seed"], tuple(shape), *sizes)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()}, assign=True)
    network = nn.Sequential(OrderedDict((part, model.get_submodule(part)) for part in ("encoder", "head")))
    return network.eval()
