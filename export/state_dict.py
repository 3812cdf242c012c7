"""Weights files to state dicts, state dicts into modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime.errors import GeoAwareError, first_line
from .shards import shards

ZIP, PICKLE = b"PK", b"\x80"  # how torch checkpoints begin, since 1.6 and before


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, of a torch checkpoint or of an index of shards.

    They are on the CPU, and where the format allows stay on the disk until they are used. Code in
    a checkpoint is never run. A `state_dict`, `model_state_dict` or `model` inside is unwrapped.
    Raises GeoAwareError for a file that holds anything else.
    """
    if parts := shards(path):
        return {key: x for name in parts for key, x in read_state(path.parent / name).items()}
    try:
        state = _read(path)
    except Exception as error:  # torch and safetensors raise many kinds, all meaning the same
        problem = first_line(error)
        if "weights_only" in str(error).lower():
            problem = (
                "it holds more than tensors; code in checkpoints is not run "
                "(take a .safetensors file of the same weights)"
            )
        raise GeoAwareError(f"{path}: not readable as weights: {problem}") from None
    for wrapper in ("model_state_dict", "state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GeoAwareError(f"{path}: holds no state dict of tensors")
    return state


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with path.open("rb") as file:
        start = file.read(2)
    if start != ZIP and start[:1] != PICKLE:
        raise ValueError("it is neither a torch checkpoint nor .safetensors")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=start == ZIP)


def load_into(module: nn.Module, state: Mapping[str, Tensor], ignore: Sequence[str] = ()) -> None:
    """Load a state dict; keys that begin with one of `ignore` may be left over.

    Raises GeoAwareError naming the first keys that are missing, left over, of another shape or
    not finite.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    extra = sorted(k for k in state.keys() - own.keys() if not k.startswith(tuple(ignore)))
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("left over", extra), ("misshapen", shapes))
        if keys
    ]
    if problems:
        name = type(module).__name__
        raise GeoAwareError(f"these are not weights of {name}: {'; '.join(problems)}")
    for key in own:
        if not torch.isfinite(state[key]).all():
            raise GeoAwareError(f"these weights are damaged: {key} holds NaN or infinite values")
    module.load_state_dict({key: state[key] for key in own})
