"""Networks to plans: what TensorRT is asked for, and what it may remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...kernels.home import home
from ...runtime.engines.tensorrt_module import complaint, load, ran_out_of_memory, started
from ...runtime.errors import GeoAwareError, InputError
from ...runtime.files import replacing
from ...runtime.manifest import EngineKind, EngineOptions
from .interruption import interruptible
from .network import attention_advice, compute_types, parse

GIB = 2**30


class PlanBuilder:
    """Builds the plans of one engine.

    architecture: of the GPU they are for, such as "8.9". gpu: its name; None to build ahead of
    time, without one, which only TensorRT-RTX can. report: takes what a build survives.
    """

    def __init__(
        self,
        kind: EngineKind,
        batches: Sequence[int],
        options: EngineOptions,
        architecture: str,
        gpu: str | None,
        report: Callable[[str], None],
    ) -> None:
        self.kind, self.batches, self.options = kind, batches, options
        self.architecture, self.gpu, self._report = architecture, gpu, report
        self.module = load(kind)
        self.version = str(self.module.__version__)

    def build(self, content: bytes, path: Path) -> tuple[bytes, dict[str, int]]:
        """The plan of an ONNX graph, and the types its network computes in.

        content: the graph; path: where it lies, beside its external weights. Raises GeoAwareError
        where TensorRT refuses the graph, runs out of memory or gives up.
        """
        builder = started(self.module, self.module.Builder)
        parsed = parse(self.module, builder, content, path)
        config = self._config(builder, parsed.network)
        cache = self._timing_cache(config)
        with interruptible(self.module, config):
            plan = builder.build_serialized_network(parsed.network, config)
        if plan is None:
            raise self._failure(path, content)
        if cache:
            self._keep(cache, config.get_timing_cache())
        return bytes(plan), compute_types(parsed.network)

    def _config(self, builder: Any, network: Any) -> Any:
        module, config = self.module, builder.create_builder_config()
        config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
        # TensorFloat-32 rounds the factors of a product to 10 bits: fp32 means fp32.
        config.clear_flag(module.BuilderFlag.TF32)
        if self.options.workspace_gb is not None:
            limit = int(self.options.workspace_gb * GIB)
            config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, limit)
        if self.options.optimisation_level is not None:
            config.builder_optimization_level = self.options.optimisation_level
        if self.options.version_compatible:
            config.set_flag(module.BuilderFlag.VERSION_COMPATIBLE)
        if self.options.hardware_compatible:
            level = module.HardwareCompatibilityLevel.AMPERE_PLUS
            config.hardware_compatibility_level = level
        if self.kind == "tensorrt-rtx":
            # Not named, a target is one of 8.0 and later. CUDA graphs need memory that we give.
            config.num_compute_capabilities = 1
            config.set_compute_capability(check_target(module, self.architecture), 0)
            config.set_flag(module.BuilderFlag.REQUIRE_USER_ALLOCATION)
        for batch in self.batches:
            config.add_optimization_profile(_profile(builder, network, batch))
        return config

    def _timing_cache(self, config: Any) -> Path | None:
        """Give a build what others learnt about this GPU; the file that keeps it.

        TensorRT-RTX times nothing when it builds, and asks for a GPU where it is given a cache.
        """
        if self.kind != "tensorrt":
            return None
        name = f"{self.architecture}-{self.gpu}-{self.version}".replace(" ", "_").replace("/", "_")
        path = home() / "timing" / f"{name}.cache"
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            self._report(f"going without the timing cache {path}: {error.strerror}")
            content = b""
        config.set_timing_cache(config.create_timing_cache(content), False)
        return path

    def _keep(self, path: Path, cache: Any) -> None:
        """Keep what was learnt. What cannot be kept is learnt again: the plan is none the worse."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(bytes(cache.serialize()))
        except OSError as error:
            self._report(f"the timing cache {path} is not kept: {error.strerror}")
        except GeoAwareError as error:
            self._report(f"the timing cache is not kept: {error}")

    def _failure(self, path: Path, content: bytes) -> GeoAwareError:
        reason = complaint(self.module)
        advice = attention_advice(content)
        if ran_out_of_memory(self.module):
            advice = "; out of memory: give it less with --workspace GB, or build smaller batches"
        return GeoAwareError(
            f"{path.name}: {self.kind} {self.version} builds no engine: {reason}{advice}"
        )


def check_target(module: Any, architecture: str, gpu: str | None = None) -> Any:
    """The member of ComputeCapability for "8.9". Raises InputError where there is none.

    gpu: the name of the GPU of that architecture, where it was not asked for by `--for`.
    """
    names = [name for name in dir(module.ComputeCapability) if name.startswith("SM")]
    name = f"SM{architecture.replace('.', '')}"
    if name not in names:
        known = ", ".join(f"sm_{each[2:]}" for each in names)
        asked = f"{gpu} is sm_{name[2:]}" if gpu else f"--for sm_{name[2:]}"
        raise InputError(f"{asked}: {module.__name__} {module.__version__} builds for {known}")
    return getattr(module.ComputeCapability, name)


def _profile(builder: Any, network: Any, batch: int) -> Any:
    """One fixed shape: open shapes would be slower, and slower each time they change."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = (batch, *tuple(tensor.shape)[1:])
        profile.set_shape(tensor.name, shape, shape, shape)
    return profile
