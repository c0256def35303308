"""Codes as a map and in TensorBoard's projector; whether those nearby are of the same class."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from aecli.cli import console
from aecli.cli.options import MapKind
from aecli.config import Upsampling
from aecli.data import Data, Split
from aecli.errors import DataError, UsageError
from aecli.evaluation.metrics import EVALUATION_BATCH
from aecli.figures import Direction, image_plane, scatter_map
from aecli.latent.linear_probe import has_classes
from aecli.latent.neighbours import neighbour_accuracy
from aecli.latent.projection import principal, t_sne, umap
from aecli.runs.projector import projector_files
from aecli.runs.results import Results
from aecli.runs.trained import Trained
from aecli.uses.probe import feature_names, kinds, told_apart
from aecli.uses.sample import WITHOUT_PLACES

COMMAND = "embed"
PLANE_STEPS = 20  # in each direction
PLANE_RANGE = (0.01, 0.99)  # of the training codes, of which a few lie far from all others
DIGITS = 5  # of coordinates that are kept: more than a figure can show
MANY = 2000  # codes, of which t-SNE and UMAP take more than a few seconds
# What a title calls each map.
MAPS = {
    "codes": "codes",
    "pca": "PCA of the codes",
    "tsne": "t-SNE of the codes",
    "umap": "UMAP of the codes",
}


@dataclass(frozen=True)
class Map:
    """Codes as points."""

    kind: str
    """A key of MAPS."""
    points: Tensor  # (N, 2), on the CPU
    directions: tuple[Direction, Direction]
    variance: list[float] | None = None
    """The share of the training codes' variance in each direction, where these are components."""


def embed(trained: Trained, kind: MapKind | None, n: int, k: int, seed: int) -> None:
    """Show where the codes lie, and measure whether those nearby are of the same class.

    Raises:
        UsageError: numbers that make no sense, or a map that cannot be.
    """
    config, data = trained.config, trained.data()
    if n < 1:
        raise UsageError(f"n={n} is not valid: give 1 or more")
    if not 1 <= k <= len(data.train):
        raise UsageError(f"k={k} is not valid: give 1 to {len(data.train):,}, of training images")
    images, reason = labelled(trained, data)
    training, all_codes = trained.codes(data.train.images), trained.codes(images.images)
    numbers = chosen(len(images), n, seed)
    shown, codes = images[numbers.to(trained.device)], all_codes[numbers.to(trained.device)]
    found = map_of(codes, training, kind, seed)
    data = replace(data, test=images)
    accuracies = {} if reason else neighbour_accuracies(trained, data, all_codes, training, k)
    columns = {**class_column(shown), "image": trained.image_names(numbers.tolist())}
    title = _title(trained, found, len(shown))
    how = {"k": k, "latent": config.latent, "n": len(shown), "seed": seed}
    with Results(trained.run, COMMAND) as results:
        results.figure("map", scatter_map(title, found.directions, by_class(found.points, shown)))
        if config.latent == 2:
            results.figure("plane", _plane(trained, training))
        for path, content in projector_files(codes, shown.images, columns).items():
            results.file(path, content)
        results.numbers({**_scores(accuracies), **how, **_numbers(found), **columns})
    if accuracies:
        console.table(_table(trained, accuracies, k))
    for word in _words(trained, reason):
        console.warn(word)
    console.facts({"map": MAPS[found.kind], "results": str(results.folder)})


def labelled(trained: Trained, data: Data) -> tuple[Split, str]:
    """The images that are shown, and why their classes are none to be guessed; "" if they are.

    A person's own are labelled as in the training set, if their folders are classes of it.
    """
    if not has_classes(data.train):
        return data.test, f"the images of {data.name} are all of one class"
    if not trained.own:
        return data.test, ""
    try:
        return told_apart(data.test, data.train), ""
    except DataError as error:
        return data.test, str(error)


def chosen(count: int, n: int, seed: int) -> Tensor:
    """`n` of `count` numbers, rising, or all if there are no more.

    Drawn, and not the first ones: a folder's images are sorted by class.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:n].sort().values


def class_column(shown: Split) -> dict[str, list[str]]:
    """What each image shows; no column where all show the same."""
    if not has_classes(shown):
        return {}
    return {"class": [shown.class_name(label) for label in shown.labels.tolist()]}


def map_of(codes: Tensor, training: Tensor, kind: MapKind | None, seed: int) -> Map:
    """`codes` (N, D) on a plane.

    The components are those of the `training` codes (M, D), so that they do not depend on which
    images are shown.

    Raises:
        UsageError: a library is not installed, or there are too few codes.
    """
    if kind is None and codes.shape[1] == 2:
        return Map("codes", codes.cpu(), (Direction("code 1"), Direction("code 2")))
    if kind is None or kind is MapKind.pca:
        found = principal(codes, training)
        first, second = (
            Direction(f"PCA {number} ({share:.1%} of the variance)".replace("%", " %"))
            for number, share in enumerate(found.shares, 1)
        )
        return Map("pca", found.points, (first, second), found.shares)
    name = "t-SNE" if kind is MapKind.tsne else "UMAP"
    if len(codes) > MANY:
        console.warn(f"{name} of {len(codes):,} codes takes a while: n={MANY} would be faster")
    points = t_sne(codes) if kind is MapKind.tsne else umap(codes, seed)
    directions = (Direction(f"{name} 1", has_unit=False), Direction(f"{name} 2", has_unit=False))
    return Map(kind.value, points, directions)


def by_class(points: Tensor, shown: Split) -> dict[str, NDArray[np.float64]]:
    """The points (N, 2) of the images of each class that there is, in the order of the labels."""
    labels = shown.labels.cpu()
    return {
        shown.class_name(label): points[labels == label].double().numpy()
        for label in labels.unique().tolist()
    }


def neighbour_accuracies(
    trained: Trained, data: Data, codes: Tensor, training: Tensor, k: int
) -> dict[str, float]:
    """How often the `k` nearest training images tell the class of a test image.

    Near by their codes, and by what these are held against: see `feature_names`.

    Args:
        codes: of the test images (N, D).
        training: codes of the training images (M, D).
    """

    def accuracy(rows: Tensor, known: Tensor) -> float:
        return neighbour_accuracy(rows, data.test.labels, known, data.train.labels, k)

    rivals = kinds(trained, data)
    del rivals["codes"]  # which there are already
    return {
        "codes": accuracy(codes, training),
        **{
            name: accuracy(features(data.test.images), features(data.train.images))
            for name, features in rivals.items()
        },
    }


def plane_of(training: Tensor) -> tuple[list[float], list[float]]:
    """Even steps over the range of the `training` codes (M, 2): of the first number, and of the
    second."""
    ends = torch.quantile(training, training.new_tensor(PLANE_RANGE), dim=0)
    first, second = (_steps(low, high) for low, high in ends.T.tolist())
    return first, second


def _steps(low: float, high: float) -> list[float]:
    """From `low` to `high`; around them, if a dead unit makes them the same."""
    aside = 0.5 * (low == high)
    steps: list[float] = torch.linspace(low - aside, high + aside, PLANE_STEPS).tolist()
    return steps


@torch.inference_mode()
def decoded_plane(trained: Trained, x: list[float], y: list[float]) -> Tensor:
    """The image of each code (x, y): (len(y), len(x), C, H, W) in [0, 1]."""
    codes = torch.cartesian_prod(torch.tensor(y), torch.tensor(x)).flip(1).to(trained.device)
    images = torch.cat([trained.decode(some) for some in codes.split(EVALUATION_BATCH)])
    return images.reshape(len(y), len(x), *images.shape[1:])


def _plane(trained: Trained, training: Tensor) -> Figure:
    x, y = plane_of(training)
    title = f"{trained.config.name}: images decoded from a plane of codes"
    return image_plane(title, x, y, decoded_plane(trained, x, y))


def _title(trained: Trained, found: Map, shown: int) -> str:
    some = "" if shown == len(trained.images) else f"{shown:,} of "
    return f"{trained.config.name}: {MAPS[found.kind]} of {some}the {trained.images_name}"


def _words(trained: Trained, reason: str) -> list[str]:
    """What must be known of the figures and the numbers."""
    words = []
    if trained.config.latent == 2 and trained.config.upsample.name is Upsampling.max_unpool:
        words.append(WITHOUT_PLACES)
    if reason:
        words.append(f"no nearest-neighbour accuracy: {reason}")
    return words


def _scores(accuracies: dict[str, float]) -> dict[str, float]:
    return {f"accuracy_{name}": accuracy for name, accuracy in accuracies.items()}


def _numbers(found: Map) -> dict[str, Any]:
    """The map, with its points in two columns."""
    x, y = ([float(f"{each:.{DIGITS}g}") for each in column] for column in found.points.T.tolist())
    return {"map": found.kind, "variance": found.variance, "x": x, "y": y}


def _table(trained: Trained, accuracies: dict[str, float], k: int) -> Table:
    """A single row: by what neighbours can be near, and how often they tell the class."""
    title = f"{trained.config.name}: nearest neighbours on the {trained.images_name}; accuracy"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("neighbours that vote")
    for label in feature_names(trained.config.latent).values():
        table.add_column(label, justify="right")
    table.add_row(f"{k:,}", *(f"{accuracy:.4f}" for accuracy in accuracies.values()))
    return table
