"""Images from a density over the codes: beside what was trained on, and at a measured distance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from aecli.cli import console
from aecli.cli.options import Density
from aecli.config import Upsampling
from aecli.data import Data
from aecli.data.batches import ordered_batches, to_pixels
from aecli.errors import UsageError
from aecli.evaluation.metrics import EVALUATION_BATCH, nearest_image
from aecli.figures import Row, image_grid
from aecli.latent.density import (
    Mixture,
    fit_diagonal,
    fit_full,
    fit_mixture,
    frechet_distance,
    gaussian,
)
from aecli.latent.linear_probe import LinearClassifier, fit_to_pixels, has_classes
from aecli.runs.results import Results
from aecli.runs.trained import Trained

COMMAND = "sample"
MAX_IMAGES = 64  # that can be seen in one figure
MAX_COMPONENTS = 100  # that can be fitted within a minute
FEW_IMAGES = 1000  # whose mean and covariance are rather those of these images than of their kind
COLUMNS = 8  # of images in it
WITHOUT_PLACES = (
    "the decoder unpools, and a sampled code brings no places of maxima: each pixel goes to the "
    "corner of its cell, so the images are worse than the codes"
)
WITHOUT_CLASSES = (
    "no Frechet distance: it is measured by a classifier, and the images are all of one class"
)


@dataclass(frozen=True)
class Drawn:
    """Images of drawn codes, and what is nearest to them."""

    pixels: Tensor  # (N, C, H, W) in [0, 1]
    nearest: Tensor  # (N, C, H, W) in [0, 1]: of the training images
    numbers: Tensor  # (N,): which these are
    mse: Tensor  # (N,): between the two


def sample(trained: Trained, n: int, density: Density, components: int, seed: int) -> None:
    """Decode codes that are drawn from a density, and hold the images against real ones.

    Raises:
        UsageError: no image or too many to be seen, or a mixture that cannot be.
    """
    config, data = trained.config, trained.data()
    if not 1 <= n <= MAX_IMAGES:
        raise UsageError(f"n={n} is not valid: give 1 to {MAX_IMAGES}")
    most = min(MAX_COMPONENTS, len(data.train))
    if density is Density.gmm and not 1 <= components <= most:
        raise UsageError(f"components={components} is not valid: give 1 to {most}")
    fitted = fit(trained.codes(data.train.images), density, components, seed)
    generator = torch.Generator().manual_seed(seed)
    # As many as there are real images, to be measured; the first of them are shown.
    codes = fitted.draw(max(n, len(data.test)), generator).to(trained.device)
    drawn = beside_nearest(trained, codes[:n], data)
    distances = frechet_distances(trained, codes[: len(data.test)], data)
    unseen, _ = nearest_image(to_pixels(data.test.images[:n]), data.train.images)
    near = {"samples": drawn.mse.mean().item(), "test": unseen.mean().item()}
    title = f"{config.name} on {data.name}: samples, {_name(density, components)}"
    with Results(trained.run, COMMAND) as results:
        results.figure("samples", _grid(title, drawn))
        how = {"density": density.value, "components": len(fitted.components), "seed": seed}
        results.numbers({**how, **_numbers(drawn, distances, near)})
    console.table(_table(title, trained.images_kind, distances, near))
    for word in _words(trained, data):
        console.warn(word)
    console.facts({"results": str(results.folder)})


def _name(density: Density, components: int) -> str:
    mixture = density is Density.gmm
    return f"mixture of {components} Gaussians" if mixture else f"{density.value} Gaussian"


def fit(codes: Tensor, density: Density, components: int, seed: int) -> Mixture:
    """What `density` asks for, fitted to `codes` (N, D).

    Raises:
        UsageError: its library is not installed.
    """
    fits: dict[Density, Callable[[], Mixture]] = {
        Density.diagonal: lambda: fit_diagonal(codes),
        Density.full: lambda: fit_full(codes),
        Density.gmm: lambda: fit_mixture(codes, components, seed),
    }
    return fits[density]()


@torch.inference_mode()
def beside_nearest(trained: Trained, codes: Tensor, data: Data) -> Drawn:
    """The images of `codes` (N, D), each with the training image that is nearest to it.

    A decoder that has learned images by heart would draw what it has seen.
    """
    pixels = trained.decode(codes)
    mse, numbers = nearest_image(pixels, data.train.images)
    return Drawn(pixels, to_pixels(data.train.images[numbers]), numbers.cpu(), mse.cpu())


@torch.inference_mode()
def frechet_distances(trained: Trained, codes: Tensor, data: Data) -> dict[str, float]:
    """How far images are from the real ones, in the space of the classifier of `aecli probe`.

    Of the images of `codes`; of the reconstructions of the test images, which are the best that
    this decoder could draw; and of as many training images, which are as near as real images come.

    The features are the logits of the linear classifier of all training images' pixels. It knows
    nothing of the run, so distances are comparable between densities and between all runs on the
    same images. Logits are sums over many pixels, and nearer to the Gaussians that the distance is
    between than class probabilities, most of which are 0 or 1. Without classes there is none.
    """
    if not has_classes(data.train):
        return {}
    with torch.inference_mode(False):  # it is trained here
        classifier = fit_to_pixels(data.train)
    real = list(ordered_batches(data.test.images, EVALUATION_BATCH))
    test = gaussian(_logits(classifier, iter(real)))
    rivals: dict[str, Iterator[Tensor]] = {
        "samples": (trained.decode(each) for each in codes.split(EVALUATION_BATCH)),
        "reconstructions": (trained.reconstruct(pixels) for pixels in real),
        "training": ordered_batches(data.train.images[: len(data.test)], EVALUATION_BATCH),
    }
    return {
        name: frechet_distance(gaussian(_logits(classifier, batches)), test)
        for name, batches in rivals.items()
    }


def _logits(classifier: LinearClassifier, batches: Iterator[Tensor]) -> Tensor:
    """Of all images, (N, K)."""
    return torch.cat([classifier.logits(pixels.flatten(1)) for pixels in batches])


def _words(trained: Trained, data: Data) -> list[str]:
    """What must be known of the images and the numbers."""
    words = []
    if trained.config.upsample.name is Upsampling.max_unpool:
        words.append(WITHOUT_PLACES)
    if not has_classes(data.train):
        words.append(WITHOUT_CLASSES)
    elif trained.own and len(data.test) < FEW_IMAGES:
        words.append(f"the Frechet distance is to {len(data.test):,} images: so few make it large")
    return words


def _grid(title: str, drawn: Drawn) -> Figure:
    rows = []
    for start in range(0, len(drawn.pixels), COLUMNS):
        some = slice(start, start + COLUMNS)
        captions = [f"{each:.3f}" for each in drawn.mse[some].tolist()]
        rows.append(Row("sample, and its mse to the", drawn.pixels[some], captions=captions))
        rows.append(Row("nearest training image", drawn.nearest[some]))
    return image_grid(title, rows)


def _numbers(drawn: Drawn, distances: dict[str, float], near: dict[str, float]) -> dict[str, Any]:
    """Everything that is printed and drawn."""
    return {
        **{f"frechet_{name}": each for name, each in distances.items()},
        **{f"nearest_mse_{name}": each for name, each in near.items()},
        "nearest": drawn.numbers.tolist(),
        "nearest_mse": drawn.mse.tolist(),
    }


def _table(title: str, real: str, distances: dict[str, float], near: dict[str, float]) -> Table:
    """The samples, and below them what their numbers are held against, such as `real` images."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("")
    table.add_column(f"Frechet distance\nto the {real}", justify="right")
    table.add_column("mse to the nearest\ntraining image", justify="right")
    rows = {
        "samples": "samples",
        "reconstructions": f"reconstructions of {real}",
        "training": "training images",
        "test": real,
    }
    for name, label in rows.items():
        cells = (
            f"{distances[name]:.3f}" if name in distances else "",
            f"{near[name]:.6f}" if name in near else "",
        )
        if any(cells):
            table.add_row(label, *cells, style="bold" * (name == "samples"))
    return table
