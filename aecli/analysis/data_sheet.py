"""What a data set holds: its classes, the statistics of its pixels, and a sheet of its images."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import interpolate

from aecli.config.choices import SPLITS, TEST, TRAIN, VALIDATION
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.data.images import NO_FOLDER
from aecli.figures import Row, image_grid

PER_CLASS = 10  # images in a row of the sheet
MAX_CLASSES = 20  # rows; more would not be seen at a glance
GRID = 8, 12  # rows and columns of a sheet without classes
MAX_SIDE = 128  # pixels; larger images are shrunk, as they are in the figure anyway
BATCH = 2**22  # pixel values that are counted at a time
LEVELS = 256
LEARNT = f"{TRAIN} + {VALIDATION}"
"""All that is not for the test: the images of which published means and deviations are."""


@dataclass(frozen=True)
class PixelStatistics:
    """The mean and the standard deviation of pixels in [0, 1]."""

    images: int
    mean: float
    std: float
    by_channel: list[tuple[float, float]]
    """The two of each channel."""


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
        count = f"{len(members):,} image{'s' * (len(members) != 1)}"
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
