"""Images of objects seen from a known direction, in a folder: queries and template sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..images import images_below

DIRECTIONS = ("front", "back", "left", "right")


@dataclass(frozen=True)
class View:
    """An image of an object from one direction.

    name: its path below the folder it was found in. set: what it shares with the images of the
    same object from other directions.
    """

    path: Path
    name: str
    set: str
    direction: str


@dataclass(frozen=True)
class Templates:
    """Sets of templates: of each, one view from every direction.

    sets: views by set and direction. directions: those there are, in the order of DIRECTIONS.
    """

    sets: Mapping[str, Mapping[str, View]]
    directions: tuple[str, ...]

    @property
    def views(self) -> list[View]:
        """All templates."""
        return [view for views in self.sets.values() for view in views.values()]

    def without(self, query: View) -> Mapping[str, Mapping[str, View]]:
        """The sets that a query is no member of. Raises InputError where there is none."""
        others = {
            name: views
            for name, views in self.sets.items()
            if query.path not in {view.path for view in views.values()}
        }
        if not others:
            raise InputError(
                f"{query.path}: the only template set is its own; add another set, or name a "
                "folder of images to compare with it"
            )
        return others


def read_views(folder: Path) -> tuple[list[View], list[Path]]:
    """The views below a folder, and the images whose names tell no direction.

    The direction is the name of the subfolder, and the file's name without its ending the set;
    or the direction is the last word of the file's name, after an underscore, and the rest is
    the set: `left/cat.png` and `cat_left.png` say the same.

    Raises InputError where there is no such folder, or no view in it.
    """
    views, others = [], []
    for path in images_below(folder):
        view = _view(path, path.relative_to(folder))
        if view is None:
            others.append(path)
        else:
            views.append(view)
    if not views:
        raise InputError(
            f"{folder}: no image's name ends in _{', _'.join(DIRECTIONS)}, and none lies in a "
            "folder of such a name"
        )
    return views, others


def _view(path: Path, place: Path) -> View | None:
    folder, (rest, _, word) = place.parent.name.lower(), place.stem.rpartition("_")
    if folder in DIRECTIONS:
        return View(path, place.as_posix(), (place.parent.parent / place.stem).as_posix(), folder)
    if word.lower() in DIRECTIONS:
        return View(path, place.as_posix(), (place.parent / rest).as_posix(), word.lower())
    return None


def template_sets(views: Sequence[View]) -> Templates:
    """Views in sets.

    Raises InputError where all show one direction, and where a set has two views from one
    direction or none from one that others have.
    """
    sets: dict[str, dict[str, View]] = {}
    for view in views:
        other = sets.setdefault(view.set, {}).setdefault(view.direction, view)
        if other is not view:
            raise InputError(f"{other.path} and {view.path}: two templates of one set, {view.set}")
    directions = tuple(each for each in DIRECTIONS if any(each in views for views in sets.values()))
    if len(directions) == 1:
        raise InputError(f"{views[0].path}: all templates show the {directions[0]}; add others")
    for name, members in sets.items():
        if missing := [each for each in directions if each not in members]:
            raise InputError(
                f"{next(iter(members.values())).path}: its set, {name}, has no template from the "
                f"{missing[0]}; every set needs {', '.join(directions)}"
            )
    return Templates(sets, directions)
