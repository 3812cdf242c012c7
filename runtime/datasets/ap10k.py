"""AP-10K: images of animals, and the lists of pairs that `ap10k_benchmark` draws from them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ..errors import GeoAwareError, InputError
from .coco import Animal, animals
from .inspector import Inspector
from .pair import AnnotatedImage, Listing, Pairing

LAYOUT = "AP-10K is a folder with annotations/ap10k-{train,val,test}-split1.json and data/*.jpg."
SOURCE = "Get it: https://github.com/AlexTheBad/AP-10K"

COLUMNS = ("source", "target", "category")


def read(root: Path, split: str, setting: str) -> Listing:
    """All pairs of a split; the category is the species, the family, or `all`, by setting.

    Raises InputError where a file is missing, GeoAwareError for a list or an annotation file that
    is damaged.
    """
    path = pair_list(root, setting, split)
    rows = list(_rows(path, root))
    inspector = Inspector()
    images = _Images(root, inspector)
    pairing = Pairing()
    for number, (source, target, category) in rows:
        found = images.both(f"{path}, line {number}", source, target)
        name = f"{Path(source).stem}-{Path(target).stem}"
        inspector.add(pairing.pair(name, category, *found) if found else None)
    return inspector.listing()


def pair_list(root: Path, setting: str, split: str) -> Path:
    """Where a list of pairs stands: file names of images, and the pair's category."""
    return root / "correspondence" / f"{setting}-{split}.csv"


def annotation_files(root: Path) -> list[Path]:
    """The annotation files of a dataset: those of split 1, or all there are.

    The other splits hold the same images, divided in another way. Files may also lie in the
    dataset's folder itself. Raises InputError where there is none, or one of split 1 is missing.
    """
    official = [
        root / "annotations" / f"ap10k-{split}-split1.json" for split in ("train", "val", "test")
    ]
    missing = [path for path in official if not path.is_file()]
    if not missing:
        return official
    if len(missing) < len(official):
        raise InputError(f"{missing[0]}: no such file; {LAYOUT} {SOURCE}")
    for folder in (root / "annotations", root):
        if files := sorted(folder.glob("[!.]*.json")):
            return files
    raise InputError(f"{root}: holds no annotations; {LAYOUT} {SOURCE}")


def _rows(path: Path, root: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """The lines of a list of pairs with their numbers."""
    again = f"georun data prepare ap10k --root {root}"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            if tuple(next(lines, ())) != COLUMNS:
                raise ValueError
            for source, target, category in lines:
                yield lines.line_num, (source, target, category)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run: {again}") from None
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error):
        raise GeoAwareError(
            f"{path}: is no list of {', '.join(COLUMNS)}; remove it and run: {again}"
        ) from None


class _Images:
    """The dataset's images, each held against its file once, however many pairs it is in."""

    def __init__(self, root: Path, inspector: Inspector) -> None:
        data = root / "data"
        self._folder = data if data.is_dir() else root
        self._inspector = inspector
        self._animals = {each.file_name: each for each in animals(annotation_files(root))}
        self._checked: dict[str, AnnotatedImage | None] = {}

    def both(
        self, where: str, source: str, target: str
    ) -> tuple[AnnotatedImage, AnnotatedImage] | None:
        """The images of a pair; None, and problems noted, where an image is not in order."""
        found = [self._animals.get(name) for name in (source, target)]
        for name, animal in zip((source, target), found, strict=True):
            if animal is None:
                self._inspector.problem(where, f"{name!r} is no annotated image of one animal")
        first, second = (self._check(animal) if animal else None for animal in found)
        return (first, second) if first and second else None

    def _check(self, animal: Animal) -> AnnotatedImage | None:
        name = animal.file_name
        if name not in self._checked:
            self._checked[name] = self._inspector.annotated(
                animal.annotation, self._folder / name, animal.points, animal.box, animal.size
            )
        return self._checked[name]
