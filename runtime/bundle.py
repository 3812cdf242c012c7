"""Bundles on disk: where they are, and that they are what their manifest says."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from pydantic import ValidationError

from ..kernels.home import home as own_folder
from .errors import GeoAwareError, InputError, first_problem
from .manifest import LOCAL, MANIFEST, RANDOM, EngineKind, EngineRecord, File, Manifest
from .recipe import NAME_PATTERN

DEFAULT = "lite"

NAMES_TOLD = 5  # of the bundles at hand, where one asked for is not there

# The first ONNX opset whose attention is one operator, which not every TensorRT takes in fp32.
FUSED_ATTENTION_OPSET = 23

_SHIPPED = Path(__file__).parent / "bundles"


def home() -> Path:
    """The folder of built bundles: `$GEOAWARE_HOME/bundles`, or in the user's cache directory."""
    return own_folder() / "bundles"


@dataclass(frozen=True)
class Bundle:
    """A recipe, built: a folder with `manifest.json` and the files it names."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, name: str | os.PathLike[str] | None = None) -> Bundle:
        """Open a bundle by name or folder; None is the default that ships with the package.

        A name is looked for among the bundles built on this machine, then among those shipped,
        then as a folder; a `Path` is always a folder.

        Raises InputError where there is none, GeoAwareError where its manifest does not hold.
        """
        return cls(path := find(name), read_manifest(path))

    def verified(self) -> Bundle:
        """This bundle, after its files were found complete and unchanged.

        Raises GeoAwareError naming the first file that is missing or differs.
        """
        for file in self.manifest.files:
            self._verify(file, self._repair())
        return self

    def verify_engine(self, record: EngineRecord) -> None:
        """Raise GeoAwareError for an engine whose files or models are not those of its record."""
        command = f"build it again: {self.engine_command(record)}"
        for model, plan in zip(self.manifest.models, record.plans, strict=True):
            if plan.model != tuple(file.sha256 for file in model.files):
                raise GeoAwareError(
                    f"{self.file(plan.file.name)}: built from another {model.files[0].name}; "
                    f"{command}"
                )
            self._verify(plan.file, command)

    def file(self, name: str) -> Path:
        """The path of one of the bundle's files."""
        return self.path / name

    def build_command(self) -> str:
        """The command that builds this bundle."""
        name, head = self.manifest.name, self._trained_head()
        if self.manifest.is_random:
            name = name.removesuffix("-random")
        if head:
            recipe, keep = self.manifest.recipe.name, self.manifest.recipe.keep
            name = recipe + name.removeprefix(f"{recipe}-{head}").removeprefix(f"-keep{keep:g}")
            command = f"{build_command(name)} --head RUN" + (f" --keep {keep:g}" if keep else "")
        else:
            command = build_command(name)
        if self.manifest.models[0].stored_as != self.manifest.precision:
            command += " --compact"
        command += self._weights_options()
        if self.path.parent != home() and not is_shipped(self.path):
            command += f" --out {shlex.quote(str(self.path))}"
        return command

    def no_engine(self, kind: EngineKind) -> str:
        """What to say where the bundle has no engine of a kind: the command that builds one."""
        lacks = f"{self.path}: has no {kind} engine"
        if self.manifest.precision == "int8":
            return f"{lacks}: int8 is for the CPU, engines are built of fp32 and fp16 models"
        command = f"{self.build_command()} --engine {kind}"
        if self._may_fuse_attention_in_single():
            command += " --force"
        named = f", then name it (--bundle {DEFAULT})" if is_shipped(self.path) else ""
        return f"{lacks}; build one on this machine{named}: {command}"

    def prove_command(self) -> str:
        """The command that proves its engines which were built without a GPU."""
        return f"geoexport prove {shlex.quote(str(self.path))}"

    def engine_command(self, record: EngineRecord) -> str:
        """The command that builds an engine like this one for the GPU it runs on."""
        options = record.options
        command = f"{self.build_command()} --engine {record.kind}"
        if self._may_fuse_attention_in_single():
            command += f" --opset {self._opset}"
        command += f" --batch {','.join(map(str, record.batches))}"
        if options.workspace_gb is not None:
            command += f" --workspace {options.workspace_gb:g}"
        if options.optimisation_level is not None:
            command += f" --optimisation-level {options.optimisation_level}"
        if options.version_compatible:
            command += " --version-compatible"
        if options.hardware_compatible:
            command += " --hardware-compatible"
        return command

    @property
    def _opset(self) -> int:
        return max(model.opset for model in self.manifest.models)

    def _may_fuse_attention_in_single(self) -> bool:
        return self.manifest.precision == "fp32" and self._opset >= FUSED_ATTENTION_OPSET

    def _trained_head(self) -> str | None:
        """The head's name where it was built from a run of training, which names the bundle too."""
        recipe, name = self.manifest.recipe, self.manifest.name
        is_of_run = f"{name}-".startswith(f"{recipe.name}-{recipe.head}-")
        return recipe.head if is_of_run else None

    def _weights_options(self) -> str:
        """The options that name weights which are not the published ones."""
        head = self._trained_head()
        records = [record for record in self.manifest.weights if record.part != head]
        sources = {record.source for record in records}
        if len(sources) == 1 and self.manifest.is_random:
            return f" --random-weights {sources.pop().removeprefix(RANDOM)}"
        options = ""
        for record in records:
            if record.source.startswith(LOCAL):
                options += f" --weights {record.part}=FILE"
            elif record.source.startswith(RANDOM):
                options += f" --weights {shlex.quote(f'{record.part}={record.source}')}"
        return options

    def _verify(self, file: File, repair: str) -> None:
        path = self.file(file.name)
        if path.is_symlink() or not path.is_file():
            raise GeoAwareError(f"{path}: missing from the bundle; {repair}")
        if path.stat().st_size != file.bytes or sha256_of(path) != file.sha256:
            raise GeoAwareError(f"{path}: changed since it was built; {repair}")

    def _repair(self) -> str:
        if is_shipped(self.path):
            return "install geoaware again"
        return f"build it again: {self.build_command()} --force"


def find(name: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a bundle, as `Bundle.open` looks for it."""
    if name is None:
        return _SHIPPED / DEFAULT
    if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name):
        for root in (home(), _SHIPPED, Path()):
            if (root / name / MANIFEST).is_file():
                return root / name
        raise InputError(_not_built(name))
    folder = Path(name).expanduser()
    try:
        if (folder / MANIFEST).is_file():
            return folder
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    raise InputError(f"{folder}: no bundle there ({MANIFEST} is missing)")


def build_command(name: str) -> str:
    """The command that builds the bundle of this name, such as `lite-384px-fp16`."""
    recipe, side, precision, random = _named(name)
    return (
        f"geoexport build {recipe}"
        + (f" --frame {side}" if side else "")
        + (f" --precision {precision}" if precision else "")
        + (" --random-weights 0" if random else "")
    )


def _named(name: str) -> tuple[str, ...]:
    """The recipe, frame side, precision and `-random` in a bundle's name; "" for what is not."""
    match = re.fullmatch(r"(.+?)(?:-(\d+)px)?(?:-(fp16|int8))?(-random)?", name)
    assert match, name
    return match.groups(default="")


def _not_built(name: str) -> str:
    """What to say where there is no bundle of this name: how to build it, and the nearest names."""
    recipe, _, precision, _ = _named(name)
    command = build_command(name)
    if recipe.startswith(f"{DEFAULT}-"):  # no recipe is called so: it is the default with a head
        command = build_command("-".join(filter(None, (DEFAULT, precision)))) + " --head RUN"
    known = {path.name for path in installed()}
    nearest = sorted(known, key=lambda each: (-SequenceMatcher(None, name, each).ratio(), each))
    more = ", …" if nearest[NAMES_TOLD:] else ""
    return (
        f"bundle {name!r} is not built; build it: {command} (geoexport list names the recipes); "
        f"at hand: {', '.join(nearest[:NAMES_TOLD])}{more}"
    )


def installed() -> Iterator[Path]:
    """The folders of all bundles at hand, built ones before shipped ones."""
    for root in (home(), _SHIPPED):
        for manifest in sorted(root.glob(f"[a-z0-9]*/{MANIFEST}")):
            yield manifest.parent


def is_shipped(path: Path) -> bool:
    """Whether a bundle's folder came with the package."""
    return path.is_relative_to(_SHIPPED)


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest. Raises GeoAwareError for one that this version cannot use."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise GeoAwareError(
            f"{path}: not a manifest this version can use ({first_problem(error)}); "
            "build it again with geoexport build … --force"
        ) from None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
        return digest.hexdigest()
