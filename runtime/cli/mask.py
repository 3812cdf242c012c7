"""`georun mask`: which pixels of a photograph belong to an object."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import click

from .options import chosen_device, device_option, opened_bundles

if TYPE_CHECKING:
    from PIL import Image

    from ..engines import Device
    from ..manifest import Manifest
    from ..segmenter import InstanceMask

SCHEMA_VERSION = 1


@click.command()
@click.argument("image")
@click.option("--box", metavar="L,T,R,B", help="Left, top, right and bottom of the object.")
@click.option("--point", "on", multiple=True, metavar="X,Y", help="A point on the object.")
@click.option("--background", "off", multiple=True, metavar="X,Y", help="A point beside it.")
@click.option(
    "--bundle", default="sam-b-masks", show_default=True, metavar="NAME|DIR", help="Bundle to use."
)
@device_option
@click.option("--out", metavar="PNG", help="Write the mask: white on black, of IMAGE's size.")
@click.option("--draw", metavar="PNG", help="Draw the mask and the prompt on IMAGE.")
@click.option("--json", "to_stdout", is_flag=True, help="Print JSON.")
def mask(
    image: str,
    box: str | None,
    on: tuple[str, ...],
    off: tuple[str, ...],
    bundle: str,
    device: Device,
    out: str | None,
    draw: str | None,
    to_stdout: bool,
) -> None:
    """Find the object of IMAGE that a box or points show.

    Coordinates are original-image pixels from the top left corner, x to the right, y down. A
    single point may mean a part or the whole: the best of three masks is taken.
    """
    from ..images import load
    from ..segmenter import Segmenter

    _check_outputs(image, out, draw)
    prompt: dict[str, Any] = {
        "box": None if box is None else _numbers(box, "--box", "40,20,300,260"),
        "points": [_numbers(each, "--point", "120,80") for each in on]
        + [_numbers(each, "--background", "120,80") for each in off],
        "labels": [1] * len(on) + [0] * len(off),
    }
    if box is None and not on:
        raise click.UsageError("a mask needs --box, or a --point on the object")
    picture = load(image)
    [opened] = opened_bundles([bundle])
    segmenter = Segmenter(opened, chosen_device(device, [opened]))
    started = time.perf_counter()
    embedding = segmenter.embed(picture)
    encoded = time.perf_counter()
    found = segmenter.mask_of(embedding, **prompt)
    timings = {"embed": encoded - started, "mask": time.perf_counter() - encoded}
    _write(picture, found, prompt, out, draw)
    report = _report(image, segmenter.bundle.manifest, found, prompt, timings)
    click.echo(json.dumps(report) if to_stdout else _line(report))


def _check_outputs(image: str, out: str | None, draw: str | None) -> None:
    from ..files import check_writable

    taken = {os.path.realpath(image)}
    for path in filter(None, (out, draw)):
        check_writable(path)
        if os.path.realpath(path) in taken:
            raise click.UsageError(f"{path}: would replace the image or another output")
        taken.add(os.path.realpath(path))


def _numbers(text: str, option: str, example: str) -> list[float]:
    """The numbers of "x,y", or of as many as the example has."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != example.count(",") + 1:
        raise click.UsageError(f"{option}: {text!r} is not like {example}")
    return numbers


def _write(
    picture: Image.Image,
    found: InstanceMask,
    prompt: dict[str, Any],
    out: str | None,
    draw: str | None,
) -> None:
    from PIL import Image

    from ..files import replacing
    from ..mask_drawing import draw_mask

    if out:
        with replacing(out) as file:
            Image.fromarray(found.mask).save(file, "PNG")
    if draw:
        with replacing(draw) as file:
            draw_mask(picture, found.mask, **prompt).save(file, "PNG")


def _report(
    image: str,
    manifest: Manifest,
    found: InstanceMask,
    prompt: dict[str, Any],
    timings: dict[str, float],
) -> dict[str, Any]:
    """The JSON object of a mask; coordinates are original-image pixels."""
    height, width = found.mask.shape
    return {
        "schema_version": SCHEMA_VERSION,
        "image": {"path": image, "width": width, "height": height},
        "bundle": {
            "name": manifest.name,
            "hash": manifest.hash(),
            "precision": manifest.precision,
        },
        "prompt": prompt,
        "score": round(found.score, 5),
        "pixels": int(found.mask.sum()),
        "timings_ms": {name: round(1000 * seconds, 2) for name, seconds in timings.items()},
    }


def _line(report: dict[str, Any]) -> str:
    image = report["image"]
    share = report["pixels"] / (image["width"] * image["height"])
    return f"{image['path']}: {report['pixels']} pixels ({share:.1%}), score {report['score']:.3f}"
