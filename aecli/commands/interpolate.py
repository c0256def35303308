"""Go from one image to another through latent space.

usage: aecli interpolate RUN [key=value ...]

Goes from one test image to another along a line between their codes, compared with the line between
their pixels, as a figure and as an animation, and measures how far each step is from the nearest
training image. Draws the lines on a map of the codes, too: the codes themselves with latent=2,
otherwise their first two principal components.

examples:
  aecli interpolate outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli interpolate outputs/conv-z25/2026-11-21_10-15-00-123456 pairs=3:7,12:40 steps=9
  aecli interpolate outputs/conv-z25/2026-11-21_10-15-00-123456 pairs=class:5-6,8-9,6-0
  aecli interpolate outputs/conv-z25/2026-11-21_10-15-00-123456 n=4 spherical=true
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options
from aecli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from aecli.analysis.interpolate import MappedPaths


@dataclass
class Options(RunOptions):
    """Which images to go between, and how."""

    n: int | None = None
    """Number of random pairs if pairs is not given; null: 6, or as many as there are."""

    pairs: str | None = None
    """Pairs of images by number, the first being 0, as in 3:7,12:40; or by class, as in
    class:5-6,6-0, of which each takes the next image of its class; null: drawn by seed."""

    steps: int = 12
    """Images in a row, including the two ends."""

    seed: int = 0
    """Seed for drawing the pairs."""

    spherical: bool = False
    """true: along an arc around the origin of the latent space; false: along a straight line."""


def main(arguments: list[str]) -> None:
    """Interpolate between images in latent space and in pixel space, and save what is found.

    Raises:
        UsageError: the run is not finished, or pairs, steps or a number of pairs make no sense.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("interpolate", Options, arguments)
    path = one_run("interpolate", options)
    if options.pairs is not None and options.n is not None:
        raise UsageError(
            f"n={options.n} is how many pairs are drawn, and pairs= names them: leave one out"
        )

    from aecli.analysis.interpolate import (
        choose_pairs,
        distance_to_real,
        figure,
        interpolate,
        map_figure,
        map_paths,
        pair_names,
        to_gif,
    )
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "interpolate", options.output) as results:
        data = trained.data()
        pairs = choose_pairs(options.pairs, options.n, data.test, options.seed)
        paths = interpolate(trained, data.test, pairs, options.steps, options.spherical)
        distances = {
            "latent": distance_to_real(paths.latent, data.train.images),
            "pixel": distance_to_real(paths.pixel, data.train.images),
        }
        mapped = map_paths(trained, data, pairs, options.steps, options.spherical)
        title = f"{trained.config.name} on {trained.images_name}: from one to another"
        results.figure("interpolation", figure(title, paths, pair_names(data.test, pairs)))
        results.figure("map", map_figure(trained, mapped, data.test, pairs, options.spherical))
        results.file("interpolation.gif", to_gif(paths))
        labels = [[int(data.test.labels[each]) for each in pair] for pair in pairs]
        chosen = {"pairs": [list(pair) for pair in pairs], "labels": labels}
        shape = {"spherical": options.spherical}
        results.numbers(chosen | shape | _map_numbers(mapped) | _nearest(distances))
    console.table(_table(title, distances, options.spherical))
    console.facts({"results": str(results.folder)})


def _map_numbers(mapped: MappedPaths) -> dict[str, Any]:
    """The paths on the map."""
    paths = mapped.paths.tolist()
    return {"map": {"kind": mapped.map.kind, "variance": mapped.map.variance, "paths": paths}}


def _nearest(distances: dict[str, Tensor]) -> dict[str, Any]:
    """The mse of each step to the nearest training image, and its mean."""
    return {
        "nearest_mse": {name: mse.tolist() for name, mse in distances.items()},
        **{f"nearest_mse_{name}": float(mse.mean()) for name, mse in distances.items()},
    }


def _table(title: str, distances: dict[str, Tensor], along_arcs: bool) -> Table:
    """How near each step is to a real image."""
    table = console.new_table(f"{title}; mse to the nearest training image")
    line = "arc in latent space" if along_arcs else "line in latent space"
    for name in ("t", line, "line in pixel space"):
        table.add_column(name, justify="right")
    steps = len(distances["latent"])
    for number, (latent, pixel) in enumerate(zip(*distances.values(), strict=True)):
        table.add_row(f"{number / (steps - 1):.2f}", f"{latent:.6f}", f"{pixel:.6f}")
    return table
