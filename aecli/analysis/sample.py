"""Samples: images decoded from a density over the codes, and how close they are to real images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.config import TrainConfig, Upsampling
from aecli.data import Data
from aecli.data.batches import ordered_batches, to_pixels
from aecli.errors import UsageError
from aecli.evaluation.metrics import EVALUATION_BATCH
from aecli.figures import Row, image_grid
from aecli.latent.density import (
    Gaussian,
    Mixture,
    fit_diagonal,
    fit_full,
    fit_mixture,
    frechet_distance,
    gaussian,
    standard_normal,
)
from aecli.latent.linear_probe import LinearClassifier, fit_to_pixels, has_classes
from aecli.latent.neighbours import nearest_image
from aecli.runs.trained import Trained

MAX_IMAGES = 64  # that can be seen in one figure
MAX_COMPONENTS = 100  # that can be fitted within a minute
PRIOR = "prior"
COLUMNS = 8  # of images in the figure


@dataclass(frozen=True)
class Decoded:
    """N decoded images, each with the training image nearest to it."""

    pixels: Tensor  # (N, C, H, W) in [0, 1]
    nearest: Tensor  # (N, C, H, W) in [0, 1], training images
    indices: Tensor  # (N,), of these in the training set
    mse: Tensor  # (N,), between the two


@dataclass(frozen=True)
class Samples:
    """Images decoded from random codes, and how close they are to real images."""

    density: str
    """As in `sample`."""
    images: Decoded
    components: int
    """Gaussians in the density."""
    frechet: dict[str, float]
    """Fréchet distances to the test images, as in `frechet_distances`."""
    nearest_mse: dict[str, float]
    """Mean mse to the nearest training image: of the samples, and of as many test images."""


def sample(trained: Trained, n: int, density: str | None, components: int, seed: int) -> Samples:
    """Decode codes drawn from a density: the prior, or one that is fitted to the training codes.

    Args:
        trained: a finished run.
        n: images to return; the Fréchet distance is measured on as many as there are test images.
        density: "prior", or "diagonal", "full" or "gmm" as in `fit_density`; None for the prior if
            the code has one, otherwise "diagonal".
        components: Gaussians in a mixture; other densities ignore it.
        seed: of the draws, and of the initial mixture.

    Raises:
        UsageError: `n` or `components` is out of range, the code has no prior, or scikit-learn is
            not installed.
    """
    density = choose_density(trained, density)
    data = trained.data()
    if not 1 <= n <= MAX_IMAGES:
        raise UsageError(f"n={n} is not valid: give 1 to {MAX_IMAGES}")
    check_components(density, components, data)
    mixture = density_of(trained, data, density, components, seed)
    generator = torch.Generator().manual_seed(seed)
    codes = mixture.draw(max(n, len(data.test)), generator).to(trained.device)
    images = decode_with_nearest(trained, codes[:n], data)
    test_mse, _ = nearest_image(to_pixels(data.test.images[:n]), data.train.images)
    return Samples(
        density,
        images,
        len(mixture.components),
        frechet_distances(trained, codes[: len(data.test)], data),
        {"samples": images.mse.mean().item(), "test": test_mse.mean().item()},
    )


def check_components(density: str, components: int, data: Data) -> None:
    """Check the number of Gaussians, if the density is a mixture.

    Raises:
        UsageError: it is out of range.
    """
    most = min(MAX_COMPONENTS, len(data.train))
    if density == "gmm" and not 1 <= components <= most:
        raise UsageError(f"components={components} is not valid: give 1 to {most}")


def choose_density(trained: Trained, density: str | None) -> str:
    """The density to draw from: the one that is asked for, or the one that suits the code.

    Raises:
        UsageError: the code has no prior.
    """
    has_prior = trained.config.has_gaussian_code
    if density == PRIOR and not has_prior:
        raise UsageError(
            "density=prior is for variational autoencoders, whose codes are drawn to it: train one "
            "with regularizer=vae, or give density=diagonal, full or gmm"
        )
    return density or (PRIOR if has_prior else "diagonal")


def density_of(trained: Trained, data: Data, density: str, components: int, seed: int) -> Mixture:
    """The prior of the codes of `trained`, or a density that is fitted to those of the training
    images: see `fit_density`."""
    if density == PRIOR:
        return standard_normal(trained.config.latent)
    return fit_density(trained.codes(data.train.images), density, components, seed)


def fit_density(codes: Tensor, density: str, components: int, seed: int) -> Mixture:
    """Fit a density to `codes` (N, D): "diagonal", "full" or "gmm", a mixture of `components`.

    Raises:
        UsageError: "gmm" needs scikit-learn, which is not installed.
    """
    fits: dict[str, Callable[[], Mixture]] = {
        "diagonal": lambda: fit_diagonal(codes),
        "full": lambda: fit_full(codes),
        "gmm": lambda: fit_mixture(codes, components, seed),
    }
    return fits[density]()


@torch.inference_mode()
def decode_with_nearest(trained: Trained, codes: Tensor, data: Data) -> Decoded:
    """The images of `codes` (N, D), each with the nearest training image.

    A decoder that has memorised training images would reproduce them.
    """
    pixels = trained.decode(codes)
    mse, indices = nearest_image(pixels, data.train.images)
    return Decoded(pixels, to_pixels(data.train.images[indices]), indices.cpu(), mse.cpu())


@dataclass(frozen=True)
class RealImages:
    """The test images, to which others have a Fréchet distance.

    The features are the logits of a linear classifier trained on the pixels of all training images.
    It is independent of the run, so distances are comparable between densities and between all runs
    on the same images. Logits are sums over many pixels, and closer to the Gaussians that the
    distance assumes than class probabilities, most of which are close to 0 or 1.
    """

    classifier: LinearClassifier
    logits: Gaussian

    @classmethod
    def fit(cls, data: Data) -> Self:
        """Train the classifier on the training images of `data`, which are of several classes."""
        with torch.inference_mode(False):  # training needs gradients
            classifier = fit_to_pixels(data.train)
        test = ordered_batches(data.test.images, EVALUATION_BATCH)
        return cls(classifier, gaussian(_logits(classifier, test)))

    def distance(self, batches: Iterator[Tensor]) -> float:
        """The Fréchet distance of all images (B, C, H, W) in `batches`."""
        return frechet_distance(gaussian(_logits(self.classifier, batches)), self.logits)


@torch.inference_mode()
def frechet_distances(trained: Trained, codes: Tensor, data: Data) -> dict[str, float]:
    """Fréchet distances to the test images; none where the training images are of one class.

    Returns:
        The distances of three sets of images: "samples", decoded from `codes` (N, D);
        "reconstructions" of the test images, the best that this decoder could draw; and "training",
        as many training images as there are test images, to tell how close real images come.
    """
    if not has_classes(data.train):
        return {}
    real = RealImages.fit(data)
    test = ordered_batches(data.test.images, EVALUATION_BATCH)
    candidates: dict[str, Iterator[Tensor]] = {
        "samples": (trained.decode(batch) for batch in codes.split(EVALUATION_BATCH)),
        "reconstructions": (trained.reconstruct(pixels) for pixels in test),
        "training": ordered_batches(data.train.images[: len(data.test)], EVALUATION_BATCH),
    }
    return {name: real.distance(batches) for name, batches in candidates.items()}


def _logits(classifier: LinearClassifier, batches: Iterator[Tensor]) -> Tensor:
    """The logits (N, K) of all images in `batches`."""
    return torch.cat([classifier.logits(pixels.flatten(1)) for pixels in batches])


def decoding_caveats(config: TrainConfig) -> list[str]:
    """Reasons why images decoded from codes alone are worse than reconstructions."""
    if config.upsample.name is not Upsampling.max_unpool:
        return []
    return [
        "the decoder unpools, and a code alone has no positions of maxima: each value goes to the "
        "corner of its window, so the images are worse than the codes would allow"
    ]


def figure(title: str, images: Decoded) -> Figure:
    """Rows of samples with their mse, each above a row of the nearest training images."""
    rows = []
    for start in range(0, len(images.pixels), COLUMNS):
        part = slice(start, start + COLUMNS)
        captions = [f"{mse:.3f}" for mse in images.mse[part].tolist()]
        rows.append(Row("sample, and its mse to the", images.pixels[part], captions=captions))
        rows.append(Row("nearest training image", images.nearest[part]))
    return image_grid(title, rows)
