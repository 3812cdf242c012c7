"""Runs against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.evaluation.comparison import Difference, compare
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.evaluation.statistics import bootstrap_means, interval

from .synthetic import many, outcome, run


def difference(folders: Sequence[Path], alpha: str = "0.10") -> Difference:
    """Of the second run to the first, by protocol box."""
    standings = compare(folders).overall.standings[alpha]
    assert standings[0].difference is None
    assert standings[1].difference is not None
    return standings[1].difference


def runs(tmp_path: Path, *outcomes: list[Outcome]) -> list[Path]:
    return [run(tmp_path / name, each) for name, each in zip("ABC", outcomes, strict=False)]


def test_a_difference_is_that_of_the_means_per_image(tmp_path: Path):
    """At 0.10 of a box of 100 a keypoint 10 pixels off is correct and one 11 pixels off is not."""
    half = [outcome("a", [10, 11]), outcome("b", [11, 3])]
    more = [outcome("a", [9, 9]), outcome("b", [99, 1])]
    folders = runs(tmp_path, half, more)
    comparison = compare(folders)
    assert [each.mean for each in comparison.overall.standings["0.10"]] == [50, 75]
    assert difference(folders).mean == 25
    assert comparison.overall.pairs == 2
    assert [each.name for each in comparison.runs] == ["A", "B"]
    assert comparison.formula == "distance <= alpha x longer side of the target's box"


def test_the_interval_is_of_the_paired_differences(tmp_path: Path):
    """Pairs vary far more than the runs differ on any of them: only pairing shows which is better.

    Of ten keypoints the second run finds one more in every second pair.
    """
    shares = np.random.default_rng(1).integers(0, 10, 60)
    gains = np.arange(60) % 2
    first, second = (
        [outcome(f"{n:02d}", [1] * found + [99] * (10 - found)) for n, found in enumerate(each)]
        for each in (shares, shares + gains)
    )
    found = difference(runs(tmp_path, first, second))
    low, high = interval(bootstrap_means(10.0 * gains[:, None]))
    assert found.mean == pytest.approx(5)
    assert found.low == pytest.approx(low[0])
    assert found.high == pytest.approx(high[0])
    assert found.better == 100
    assert found.verdict == "better"
    assert difference([tmp_path / "B", tmp_path / "A"]).verdict == "worse"
    assert difference([tmp_path / "B", tmp_path / "A"]).better == 0


def test_runs_that_differ_by_chance_are_not_told_apart(tmp_path: Path):
    found = difference(runs(tmp_path, many(60, 8, seed=1), many(60, 8, seed=2)))
    assert found.low < 0 < found.high
    assert found.verdict == "no clear difference"
    assert 1 < found.better < 99


def test_equal_runs_do_not_differ(tmp_path: Path):
    outcomes = many(12, 8)
    assert difference(runs(tmp_path, outcomes, outcomes)) == Difference(
        0, 0, 0, 0, "no clear difference"
    )


def test_only_pairs_that_all_runs_have_are_compared(tmp_path: Path):
    """Pair c, and d of the second run, count for nobody."""
    first = [outcome("a", [1]), outcome("b", [99]), outcome("c", [99])]
    second = [outcome("d", [99]), outcome("b", [1]), outcome("a", [1])]
    comparison = compare(runs(tmp_path, first, second, first[:2]))
    assert comparison.overall.pairs == 2
    assert [each.left_out for each in comparison.runs] == [1, 1, 0]
    assert [each.mean for each in comparison.overall.standings["0.10"]] == [50, 100, 50]


def test_categories_are_compared_by_themselves(tmp_path: Path):
    first = [outcome("a", [1], "cat"), outcome("b", [99], "dog"), outcome("c", [99], "dog")]
    second = [outcome("a", [99], "cat"), outcome("b", [1], "dog"), outcome("c", [1], "dog")]
    cat, dog = compare(runs(tmp_path, first, second)).categories.values()
    assert (cat.pairs, dog.pairs) == (1, 2)
    few = "too few pairs"  # for a verdict, whatever the interval
    assert cat.standings["0.10"][1].difference == Difference(-100, -100, -100, 0, few)
    assert dog.standings["0.10"][1].difference == Difference(100, 100, 100, 100, few)


def test_the_protocol_is_the_first_that_all_runs_have(tmp_path: Path):
    outcomes = many(6, 8)
    folders = [
        run(tmp_path / "A", outcomes, protocols=("box", "image", "keypoint-box")),
        run(tmp_path / "B", outcomes, protocols=("keypoint-box", "image")),
    ]
    comparison = compare(folders)
    assert comparison.protocol == "image"
    assert comparison.alphas == (0.05, 0.1, 0.2)
    assert compare(folders, "keypoint-box").protocol == "keypoint-box"
    with pytest.raises(InputError, match=r"B has no protocol 'box'; .* image, keypoint-box"):
        compare(folders, "box")


def test_alphas_can_be_chosen(tmp_path: Path):
    folders = runs(tmp_path, many(6, 8), many(6, 9))
    assert list(compare(folders, alphas=[0.2]).overall.standings) == ["0.20"]
    with pytest.raises(InputError, match=r"alpha 0.3 of protocol box .* 0.05, 0.10, 0.20"):
        compare(folders, alphas=[0.3])


def test_runs_go_by_their_folders_names_where_those_differ(tmp_path: Path):
    outcomes = many(3, 8)
    same = [run(tmp_path / name / "run", outcomes) for name in "xy"]
    assert [each.name for each in compare(same).runs] == [str(path) for path in same]


def test_runs_that_share_nothing_are_not_compared(tmp_path: Path):
    one, other, image, small = (
        run(tmp_path / "one", [outcome("a", [1])]),
        run(tmp_path / "other", [outcome("b", [1])]),
        run(tmp_path / "image", [outcome("a", [1])], protocols=("image",)),
        run(tmp_path / "small", [outcome("a", [1])]),
    )
    text = (small / "results.json").read_text("utf-8")
    (small / "results.json").write_text(text.replace('"large"', '"small"'), "utf-8")
    for folders, message in {
        (one,): "a comparison needs two or more runs",
        (one, one / ".." / "one"): "one: named twice",
        (one, other): "one, other: have no pair in common",
        (one, image): "one, image: have no protocol in common",
        (one, small): "small was evaluated on SPair-71k test, small, one on .* large",
        (one, tmp_path / "none"): "none: no such folder",
        (one, tmp_path): "holds no results.json; name the folder of an evaluation that finished",
    }.items():
        with pytest.raises(InputError, match=message):
            compare(folders)


DAMAGED = {
    "results cut": ("results.json", lambda text: text[:300], "damaged (Invalid JSON"),
    "results of a newer version": (
        "results.json",
        lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
        "of another schema than this version reads; upgrade geoaware",
    ),
    "another file": ("results.json", lambda _: json.dumps([1]), "damaged ("),
    "results without an alpha": (
        "results.json",
        lambda text: text.replace('"0.10"', '"0.11"', 1),
        "damaged (numbers are missing)",
    ),
    "pairs missing": (
        "per_pair.csv",
        lambda text: "".join(text.splitlines(keepends=True)[:-1]),
        "per_pair.csv has 5 pairs, results.json 6",
    ),
    "row cut": ("per_pair.csv", lambda text: text[:-9], "damaged (rows are cut off)"),
    "no rows": ("per_pair.csv", lambda text: text.splitlines()[0], "damaged (rows are cut off)"),
    "empty": ("per_pair.csv", lambda _: "", "damaged (no column 'pair')"),
    "no column": (
        "per_pair.csv",
        lambda text: text.replace("box@0.20", "box@0.21"),
        "damaged (no column 'box@0.20')",
    ),
    "no number": (
        "per_pair.csv",
        lambda text: text.replace(",1.0\n", ",much\n", 1),
        "damaged (could not convert string to float",
    ),
    "pair twice": (
        "per_pair.csv",
        lambda text: text.replace("000001", "000000"),
        "damaged (a pair twice)",
    ),
    "no share": (
        "per_pair.csv",
        lambda text: text.replace(",1.0\n", ",1.5\n", 1),
        "damaged (PCK outside 0 to 1)",
    ),
    "not a number": (
        "per_pair.csv",
        lambda text: text.replace(",1.0\n", ",nan\n", 1),
        "damaged (PCK outside 0 to 1)",
    ),
    "open quote": ("per_pair.csv", lambda text: text + '"', "damaged ("),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_runs_are_said_to_be(name: str, tmp_path: Path):
    folders = [run(tmp_path / each, many(6, 2), protocols=("box",)) for each in "AB"]
    file, damage, message = DAMAGED[name]
    path = folders[1] / file
    before = path.read_text("utf-8")
    path.write_text(damage(before), "utf-8")
    assert path.read_text("utf-8") != before
    with pytest.raises(GeoAwareError) as raised:
        compare(folders)
    assert message in str(raised.value)
    assert str(folders[1]) in str(raised.value)
    assert raised.value.exit_code == 1


def test_bytes_that_are_no_text_are_damage(tmp_path: Path):
    folders = runs(tmp_path, many(6, 8), many(6, 8))
    (folders[1] / "per_pair.csv").write_bytes(b"\xff\xfe\x00pair")
    with pytest.raises(GeoAwareError, match=r"per_pair.csv: damaged \('utf-8' codec"):
        compare(folders)
    (folders[1] / "per_pair.csv").unlink()
    with pytest.raises(GeoAwareError, match=r"per_pair.csv: cannot be read: No such file"):
        compare(folders)
