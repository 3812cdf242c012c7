"""Settings from a preset or a YAML file, changed by `--set key=value`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ..runtime.errors import InputError, first_line, first_problem

_FOLDER = files(__package__) / "presets"

Settings = TypeVar("Settings", bound=BaseModel)


def presets() -> list[str]:
    """The settings of `geotrain head` that ship."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir())


def preset(name: str) -> dict[str, Any]:
    """A preset's content. Raises InputError where there is none of that name."""
    if name not in presets():
        raise InputError(f"no preset {name!r}; there are {', '.join(presets())}")
    found: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    return found


def read(path: Path) -> dict[str, Any]:
    """The content of a YAML file of settings. Raises InputError where it holds none."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings; write `key: value` lines")
    return content


def settled(
    schema: type[Settings], content: dict[str, Any], changes: Sequence[str], where: str
) -> Settings:
    """The settings in `content` with changes such as `fitting.steps=200`, checked.

    Values are read as YAML: `[cat, dog]` is a list, `null` nothing. Raises InputError naming the
    key that is unknown or holds what it cannot, and the change it comes from.
    """
    for change in changes:
        _set(content, change)
    try:
        return schema.model_validate(_with_sections(schema, content))
    except ValidationError as error:
        raise InputError(_problem(schema, error, changes, where)) from None


def keys(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key of a schema: its dotted name, its default, what it means."""
    for name, field in schema.model_fields.items():
        key = prefix + (field.alias or name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{key}.")
        else:
            default = "" if field.is_required() else _written(field.default)
            yield key, default, field.description or ""


def _with_sections(schema: type[BaseModel], content: dict[str, Any]) -> dict[str, Any]:
    """The content with the sections it lacks and must have, empty: what lacks in them is named."""
    needed: dict[str, Any] = {
        name: {}
        for name, field in schema.model_fields.items()
        if field.is_required()
        and isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
    }
    return needed | content


def _problem(
    schema: type[BaseModel], error: ValidationError, changes: Sequence[str], where: str
) -> str:
    """The first thing a schema objects to, with the changes that it may come from."""
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    own = [change for change in changes if _within(key, change.partition("=")[0])]
    inside = [change for change in changes if _within(change.partition("=")[0], key)]
    if own:
        where = f"--set {own[-1]}"
    elif inside:
        where += " with --set " + " --set ".join(inside)
    if problem["type"] == "extra_forbidden":
        return f"{where}: {_no_such(schema, key, named=bool(own))}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing; see geotrain presets --keys"
    said = first_problem(error)
    exact = own and own[-1].startswith(f"{key}=")
    return f"{where}: {said.removeprefix(f'{key}: ') if exact else said}"


def _no_such(schema: type[BaseModel], key: str, named: bool) -> str:
    """What to say of an unknown key. named: whether it is read right before."""
    near = get_close_matches(key, [each for each, _, _ in keys(schema)], 1)
    said = "no such key" if named else f"{key}: no such key"
    return f"{said}{f' (nearest: {near[0]})' if near else ''}; see geotrain presets --keys"


def _within(key: str, section: str) -> bool:
    """Whether a dotted key is a section's, or its own name."""
    return f"{key}.".startswith(f"{section}.")


def _set(content: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *sections, last = key.split(".")
    if not equals or not all((*sections, last)):
        raise InputError(f"--set {change!r}: write KEY=VALUE, such as fitting.steps=200")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"--set {change!r}: the value is not YAML") from None
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {change!r}: {section} has no keys of its own")
    content[last] = value


def _written(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "all" if not value else ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
