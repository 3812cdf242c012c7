"""Weights as they are published, to the state dicts of the parts."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ....runtime.errors import GeoAwareError
from .architecture import Config

State = Mapping[str, Tensor]

COMPVIS_TEXT = "cond_stage_model.transformer."
CAPTIONER = "backbone.feature_extractor."
CAPTIONERS_PARTS = ("clip_project.", "time_embed_project.", "alpha_cond")
COMPVIS_UNET = "model.diffusion_model."

# diffusers' names of the VAE's attention before 0.18, and since.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def by_role(states: Mapping[str, State], unet: Config, vae: Config) -> dict[str, State]:
    """State dicts by role, keys as diffusers and transformers have them today.

    A whole checkpoint of CompVis' format, role `model`, is taken apart; a state given for a role of
    its own goes before the checkpoint's. `unet` and `vae` are the networks' configurations.
    """
    roles = dict(states)
    if "model" in roles:
        roles = _taken_apart(roles.pop("model"), unet, vae) | roles
    if "vae" in roles:
        roles["vae"] = {_renamed(key): value for key, value in roles["vae"].items()}
    if "captioner" in roles:
        roles["captioner"] = _of_captioner(roles["captioner"])
    return roles


def of_role(roles: Mapping[str, State], role: str) -> State:
    """The state of a role. Raises GeoAwareError where there is none."""
    if not roles.get(role):
        raise GeoAwareError(
            f"these weights have no {role!r}, which Stable Diffusion needs here; "
            f"there are: {', '.join(sorted(name for name in roles if roles[name])) or 'none'}"
        )
    return roles[role]


def _of_captioner(state: State) -> dict[str, Tensor]:
    """The captioner's own tensors: its checkpoint holds a segmentation network as well."""
    bare = {key.removeprefix(CAPTIONER): value for key, value in state.items()}
    return {key: value for key, value in bare.items() if key.startswith(CAPTIONERS_PARTS)}


def _taken_apart(whole: State, unet: Config, vae: Config) -> dict[str, State]:
    if not any(key.startswith(COMPVIS_UNET) for key in whole):
        raise GeoAwareError(
            f"no Stable Diffusion in CompVis' format: no key begins with {COMPVIS_UNET}; the first "
            f"are {', '.join(sorted(whole)[:3])}. A UNet alone is named --weights sd15.unet=FILE"
        )
    # Imported where it is needed: it brings all of diffusers' schedulers along.
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
    )

    text = {
        key.removeprefix(COMPVIS_TEXT): value
        for key, value in whole.items()
        if key.startswith(COMPVIS_TEXT)
    }
    first_stage = {key: x for key, x in whole.items() if key.startswith("first_stage_model.")}
    return {
        "unet": convert_ldm_unet_checkpoint(whole, {"layers_per_block": 2} | dict(unet)),
        "vae": convert_ldm_vae_checkpoint(first_stage, dict(vae)),
        "text_encoder": text,
    }


def _renamed(key: str) -> str:
    if ".attentions." not in key:
        return key
    parts = [OLD_ATTENTION.get(part, part) for part in key.split(".")]
    return ".".join(parts)
