"""Checkpoints: what a run needs to go on, whole or not there at all.

`state.json` names the tensors' file and is replaced after that is complete: whatever moment a run
is killed at, one checkpoint is there in full.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..runtime.errors import GeoAwareError
from ..runtime.files import replacing

STATE = "state.json"
_OPTIMISER = "optimiser."
_MODULE = "module."


@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    step: int
    pck: float


@dataclass(frozen=True)
class Checkpoint:
    """A run after some steps.

    module: the objective's state dict. optimiser, scaler: as torch gives them; a scaler of losses
        is there with fp16.
    best: None before the first validation.
    settings: what the run was asked for; only the same run can be gone on with.
    """

    step: int
    module: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]
    scaler: Mapping[str, Any] | None
    best: Best | None
    settings: Mapping[str, Any]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a .safetensors file, whole or not at all. Raises GeoAwareError where it cannot."""
    content = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replacing(path) as file:
        file.write(save(content))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all. Raises GeoAwareError where it cannot."""
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and remove the one before it."""
    moments = {
        f"{_OPTIMISER}{index}.{name}": value
        for index, state in checkpoint.optimiser["state"].items()
        for name, value in state.items()
    }
    module = {f"{_MODULE}{key}": value for key, value in checkpoint.module.items()}
    name = f"state-{checkpoint.step}.safetensors"
    write_tensors(folder / name, module | moments)
    content = {
        "step": checkpoint.step,
        "tensors": name,
        "best": checkpoint.best and asdict(checkpoint.best),
        "param_groups": checkpoint.optimiser["param_groups"],
        "scaler": checkpoint.scaler,
        "settings": checkpoint.settings,
    }
    write_json(folder / STATE, content)
    for old in folder.glob("state-*.safetensors"):
        if old.name != name:
            old.unlink()


def read(folder: Path) -> Checkpoint | None:
    """The checkpoint in a run's folder, None where there is none.

    Raises GeoAwareError where it is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        tensors = load_file(folder / Path(content["tensors"]).name)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(_OPTIMISER):
                index, name = key.removeprefix(_OPTIMISER).split(".")
                state.setdefault(int(index), {})[name] = value
        groups = [group | {"betas": tuple(group["betas"])} for group in content["param_groups"]]
        return Checkpoint(
            step=content["step"],
            module={
                key.removeprefix(_MODULE): value
                for key, value in tensors.items()
                if key.startswith(_MODULE)
            },
            optimiser={"state": state, "param_groups": groups},
            scaler=content.get("scaler"),
            best=content["best"] and Best(**content["best"]),
            settings=content["settings"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise GeoAwareError(
            f"{path}: no checkpoint that can be read ({error}); start anew in another folder"
        ) from None
