"""A recipe in PyTorch, eager and compiled, with the weights its bundle was built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.doctor import require
from geoaware.runtime.errors import first_line
from geoaware.runtime.manifest import Precision

from .networks import Float32, Network, Opener, only_model

if TYPE_CHECKING:
    from geoaware.export.graphs import Graph

Arithmetic = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Way:
    """How PyTorch is asked to run.

    place: torch's name of the device. compiler: the mode of `torch.compile`; None for eager.
    bfloat16 is autocast, float16 the exporter's: weights and arithmetic, but for norms.
    """

    place: Literal["cpu", "cuda"] = "cpu"
    arithmetic: Arithmetic = "float32"
    compiler: str | None = None


def eager(bundle: Bundle, threads: int) -> Network:
    """As PyTorch comes, on the CPU."""
    return _opened(Way(), bundle, threads)


def eager_bfloat16(bundle: Bundle, threads: int) -> Network:
    """As PyTorch comes, on the CPU, by autocast."""
    return _opened(Way(arithmetic="bfloat16"), bundle, threads)


def compiled(bundle: Bundle, threads: int) -> Network:
    """By `torch.compile` in its default mode, on the CPU; compiles at the first call of a shape."""
    return _opened(Way(compiler="default"), bundle, threads)


def on_gpu(precision: Precision) -> dict[str, Opener]:
    """On the GPU: frames are uploaded and descriptors downloaded in every call, as with ours.

    Attention is `scaled_dot_product_attention` everywhere, float32 is never TF32.
    """
    types: Sequence[tuple[str, Arithmetic]] = (
        [("", "float32")] if precision == "fp32" else [(" fp16", "float16"), (" bf16", "bfloat16")]
    )
    ways = {f"PyTorch eager{suffix}": Way("cuda", each) for suffix, each in types}
    suffix, first = types[0]
    ways[f"PyTorch compiled{suffix}"] = Way("cuda", first, "max-autotune")
    return {name: partial(_opened, way) for name, way in ways.items()}


def _opened(way: Way, bundle: Bundle, threads: int) -> Network:
    side = int(only_model(bundle).inputs[0].shape[-1])
    require("export", "PyTorch as a rival", "export,embedded")
    import torch

    from geoaware.export import graphs

    if way.place == "cuda" and not torch.cuda.is_available():
        raise GeoAwareError(f"PyTorch {torch.__version__} has no CUDA here")
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    parts = _graphs(bundle, way)
    precision = torch.bfloat16 if way.arithmetic == "bfloat16" else None

    def run(frames: Float32) -> Float32:
        with torch.autocast(way.place, precision, enabled=precision is not None):
            made = graphs.run(parts, {side: torch.from_numpy(frames).to(way.place)})
        return cast(Float32, made.float().cpu().numpy())

    if way.compiler:
        _compile(run, np.zeros((1, 3, side, side), np.float32))
    return run


def _graphs(bundle: Bundle, way: Way) -> list[Graph]:
    """The recipe's one graph, where and how it shall run, with the weights of the bundle."""
    import torch

    from geoaware.export.modules import reference_graphs
    from geoaware.export.parts import resolve_all
    from geoaware.export.weights import source_of

    manifest = bundle.manifest
    weights = resolve_all(
        manifest.recipe, {each.part: source_of(each) for each in manifest.weights}
    )
    type_ = torch.float16 if way.arithmetic == "float16" else torch.float32
    [graph] = reference_graphs(manifest.recipe, weights, type_)
    module = graph.module.to(way.place)
    if way.compiler:
        module = cast(torch.nn.Module, torch.compile(module, mode=way.compiler, dynamic=False))
    return [replace(graph, module=module)]


def _compile(run: Network, frames: Float32) -> None:
    """Compile for frames of this shape. Raises GeoAwareError where no compiler can do it."""
    try:
        run(frames)
    except Exception as error:  # the compiler's exceptions share no base class
        raise GeoAwareError(f"torch.compile fails: {first_line(error)}") from None
