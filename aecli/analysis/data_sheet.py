"""What a data set holds: its classes, the statistics of its pixels, and a sheet of its images.

And how well a linear code does on it, which says what a network has to beat.
"""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import interpolate

from aecli.baselines.pca import pca_of
from aecli.config.choices import SPLITS, TEST, TRAIN, VALIDATION
from aecli.config.limits import read_integers
from aecli.data import Data, Split
from aecli.data.batches import ordered_batches, to_pixels
from aecli.data.images import NO_FOLDER
from aecli.errors.text import counted
from aecli.evaluation.metrics import evaluation_batch, image_mse
from aecli.figures import Row, image_grid

PER_CLASS = 10  # images in a row of the sheet
MAX_CLASSES = 20  # rows; more could not be taken in at a glance
GRID = 8, 12  # rows and columns of a sheet without classes
MAX_SIDE = 128  # pixels; larger images are shrunk, as they are in the figure anyway
BATCH = 2**22  # pixel values that are counted at a time
LEVELS = 256
LEARNT = f"{TRAIN} + {VALIDATION}"
"""All images but the test images; published means and deviations refer to these."""


@dataclass(frozen=True)
class PixelStatistics:
    """The mean and the standard deviation of pixels in [0, 1]."""

    images: int
    mean: float
    std: float
    by_channel: list[tuple[float, float]]
    """The mean and the deviation of each channel."""


def pixel_statistics(data: Data) -> dict[str, PixelStatistics]:
    """The statistics of each split that has images, and of training and validation together."""
    counts = {name: count_levels(getattr(data, name)) for name in SPLITS}
    sizes = {name: len(getattr(data, name)) for name in SPLITS}
    counts[LEARNT] = counts[TRAIN] + counts[VALIDATION]
    sizes[LEARNT] = sizes[TRAIN] + sizes[VALIDATION]
    shown = [name for name in (TRAIN, VALIDATION, LEARNT, TEST) if sizes[name]]
    return {name: _statistics(sizes[name], counts[name]) for name in shown}


def count_levels(split: Split) -> Tensor:
    """How often each of the levels 0 to 255 occurs in each channel: (C, 256) int64.

    Whatever the number of images, the sums are exact.
    """
    channels = split.images.shape[1]
    offsets = LEVELS * torch.arange(channels, device=split.images.device).reshape(-1, 1, 1)
    total = torch.zeros(channels * LEVELS, dtype=torch.int64, device=split.images.device)
    for images in split.images.split(
        max(1, BATCH // split.images[:1].numel() if len(split) else 1)
    ):
        total += torch.bincount((images + offsets).flatten(), minlength=channels * LEVELS)
    return total.reshape(channels, LEVELS).cpu()


def _statistics(images: int, counts: Tensor) -> PixelStatistics:
    mean, std = _moments(counts.sum(0))
    return PixelStatistics(images, mean, std, [_moments(channel) for channel in counts])


def _moments(counts: Tensor) -> tuple[float, float]:
    levels = torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)
    weights = counts / counts.sum(dtype=torch.float64)
    mean = weights @ levels
    return float(mean), float((weights @ (levels - mean) ** 2).sqrt())


def class_counts(data: Data) -> dict[str, dict[str, int]]:
    """Class -> split -> its images; empty if the data set has no classes."""
    splits = {name: getattr(data, name) for name in SPLITS}
    labels = {name: split.labels.bincount().tolist() for name, split in splits.items()}
    classes = max(map(len, labels.values()))
    counts = {
        label: {name: found[label] if label < len(found) else 0 for name, found in labels.items()}
        for label in range(classes)
    }
    present = {label: each for label, each in counts.items() if any(each.values())}
    if [data.train.classes[label : label + 1] for label in present] in ([()], [(NO_FOLDER,)]):
        return {}
    return {_class_name(data.train, label): each for label, each in present.items()}


def _class_name(split: Split, label: int) -> str:
    name = split.class_name(label)
    return "in no folder" if name == NO_FOLDER else name


@dataclass(frozen=True)
class PCAError:
    """The error of PCA on the test images, fitted to the training images; see `Score`."""

    mse: float
    """Without clipping, as the literature reports it."""
    sse: float
    mse_clipped: float
    """With the reconstructions clipped to [0, 1], as in every comparison of aecli."""
    sse_clipped: float


def read_sizes(text: str, data: Data) -> list[int]:
    """`2,4,8` as ascending numbers of components without duplicates.

    Raises:
        UsageError: they are not whole numbers from 1 to the number of pixels of an image, or of
            the training images.
    """
    most = min(data.train.images[0].numel(), len(data.train))
    return read_integers("pca", text, most, "2,4,8", "numbers of components")


@torch.inference_mode()
def pca_errors(data: Data, sizes: list[int]) -> dict[int, PCAError]:
    """Number of components -> the error of PCA on the test images."""
    pca, pixels_per_image = pca_of(data.train, max(sizes)), data.train.images[0].numel()
    errors: dict[int, list[Tensor]] = {size: [] for size in sizes}
    for pixels in ordered_batches(data.test.images, evaluation_batch(data.test.images)):
        codes = pca.encode(pixels, max(sizes))
        for size, found in errors.items():
            outputs = pca.decode_linearly(codes[:, :size]).reshape(pixels.shape)
            both = (image_mse(pixels, outputs), image_mse(pixels, outputs.clamp(0, 1)))
            found.append(torch.stack(both))
    means = {size: torch.cat(each, 1).double().mean(1).tolist() for size, each in errors.items()}
    return {
        size: PCAError(mse, mse * pixels_per_image, clipped, clipped * pixels_per_image)
        for size, (mse, clipped) in means.items()
    }


def sheet_figure(data: Data) -> Figure:
    """The first training images of each class in a row of its own; without classes, a grid."""
    labels = data.train.labels.unique().tolist()
    if len(labels) == 1:
        rows, columns = GRID
        shown = data.train.images[: rows * columns]
        grid = [Row("", _pixels(row)) for row in shown.split(columns)]
        return image_grid(f"{data.name}: the first {len(shown):,} training images", grid)
    by_class = []
    for label in labels[:MAX_CLASSES]:
        (members,) = (data.train.labels == label).nonzero(as_tuple=True)
        count = counted(len(members), "image")
        name = f"{_class_name(data.train, label)}\n{count}"
        by_class.append(Row(name, _pixels(data.train.images[members[:PER_CLASS]])))
    part = (
        f"{MAX_CLASSES} of {len(labels):,} classes" if len(labels) > MAX_CLASSES else "each class"
    )
    return image_grid(f"{data.name}: the first training images of {part}", by_class)


def _pixels(images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) as pixels in [0, 1], shrunk if they are large."""
    pixels, longest = to_pixels(images), max(images.shape[2:])
    if longest <= MAX_SIDE:
        return pixels
    size = [max(1, side * MAX_SIDE // longest) for side in images.shape[2:]]
    return interpolate(pixels, size, mode="area")
