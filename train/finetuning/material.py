"""What a run of fine-tuning is made from: a recipe, and annotated images that can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...export import recipe_files
from ...runtime import images
from ...runtime.datasets import Problem
from ...runtime.errors import GeoAwareError
from ...runtime.evaluation.watch import Watch
from ...runtime.parallel import default_workers, in_threads
from ...runtime.recipe import Recipe
from ...runtime.store import Key
from ..material import Material, gather
from .families import backbone_of, family_of
from .settings import FinetuneSettings


@dataclass(frozen=True)
class FinetuneMaterial:
    """A recipe of one backbone, and pairs whose images can be read.

    keys: of the pairs' images, by path.
    """

    recipe: Recipe
    pairs: Material
    keys: Mapping[Path, Key]

    @classmethod
    def of(cls, settings: FinetuneSettings, watch: Watch) -> FinetuneMaterial:
        """Read the recipe, both splits, and every image once.

        Pairs of images that cannot be read are left out, and told of. Raises InputError for a
        recipe that cannot be fine-tuned and data that are not there, GeoAwareError where no pair
        is left.
        """
        recipe = recipe_files.load(settings.recipe)
        if settings.frame:
            recipe = recipe_files.at_side(recipe, settings.frame)
        backbone_of(recipe)
        found = gather(settings.data, settings.validation, watch)
        keys = _keys(found.images, watch)
        return cls(recipe, found.readable(keys), keys)

    def settled(self, settings: FinetuneSettings) -> FinetuneSettings:
        """The settings with every value that was left to the backbone or to the data."""
        family = family_of(backbone_of(self.recipe))
        epoch = max(1, len(self.pairs.train) // settings.batch.pairs)
        fitting = settings.fitting.lasting(epoch)
        chosen = {"blocks": family.blocks, "temperature": family.temperature}
        asked = {name: getattr(settings, name) for name in chosen}
        chosen |= {name: value for name, value in asked.items() if value is not None}
        return settings.model_copy(update={**chosen, "fitting": fitting})


def _keys(paths: Sequence[Path], watch: Watch) -> dict[Path, Key]:
    """The keys of the images that can be read."""

    def key_of(path: Path) -> Key | str:
        try:
            images.load(path)
            return Key.of(path)
        except (GeoAwareError, OSError) as error:
            return str(error)

    keys, problems = {}, []
    with watch.stage("images", len(paths), "images") as advance:
        for path, key in in_threads(key_of, paths, default_workers()):
            if isinstance(key, Key):
                keys[path] = key
            else:
                problems.append(Problem(str(path), key))
            advance(1)
    if problems:
        watch.problems(sorted(problems, key=lambda problem: problem.where))
    return keys
