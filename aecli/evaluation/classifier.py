"""A small convolutional classifier, trained in seconds, and the interval of its accuracy."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aecli.data import Split
from aecli.data.batches import gather
from aecli.evaluation.proportions import interval

CHANNELS = (16, 32, 64)  # each layer halves height and width
POOLED = 4  # rows and columns of the last map, whatever the size of the images
HIDDEN = 128
BATCH, LR = 128, 1e-3
EPOCHS, MAX_STEPS = 5, 1000  # whichever ends first


class AccuracyInterval(NamedTuple):
    """A share of images, and its confidence interval."""

    value: float
    low: float
    high: float


def step_count(images: int) -> int:
    """How many steps `train_classifier` takes on `images` images."""
    return min(MAX_STEPS, EPOCHS * math.ceil(images / BATCH))


def train_classifier(
    split: Split, classes: int, seed: int, on_step_end: Callable[[], None] = lambda: None
) -> nn.Module:
    """Train a classifier on images and their labels, by Adam; in evaluation mode at the end.

    Args:
        split: training images.
        classes: number of classes, K; labels run from 0 to K - 1.
        seed: of the weights and of the order of the images.
        on_step_end: called after each of `step_count` steps.
    """
    device, count = split.images.device, len(split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _network(split.images.shape[1:], classes).to(device)
    optimizer = torch.optim.Adam(model.parameters(), LR)
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(step_count(count)):
        if not len(order):
            order = torch.randperm(count, generator=generator)
        batch, order = order[:BATCH].to(device), order[BATCH:]
        loss = F.cross_entropy(model(gather(split.images, batch)), split.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step_end()
    return model.eval().requires_grad_(False)


class AveragePool(nn.Module):
    """The means of `cells` x `cells` parts of a map: (B, C, H, W) -> (B, C, cells, cells).

    What `nn.AdaptiveAvgPool2d` computes, as a product of matrices: that layer has no deterministic
    gradient on a GPU.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, cells: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", _shares(cells, height), persistent=False)
        self.register_buffer("columns", _shares(cells, width), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.rows @ maps @ self.columns.T


def _shares(cells: int, length: int) -> Tensor:
    """The weight of each position in the mean of each cell: (cells, length)."""
    shares = torch.zeros(cells, length)
    for cell in range(cells):
        first, end = cell * length // cells, math.ceil((cell + 1) * length / cells)
        shares[cell, first:end] = 1 / (end - first)
    return shares


def _network(shape: torch.Size, classes: int) -> nn.Module:
    """For images of a shape (C, H, W): (B, C, H, W) -> logits (B, K)."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for before, after in zip((channels, *CHANNELS), CHANNELS, strict=False):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return nn.Sequential(
        *layers,
        AveragePool(POOLED, height, width),
        nn.Flatten(),
        nn.Linear(CHANNELS[-1] * POOLED**2, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, classes),
    )


def accuracy_interval(correct: Tensor) -> AccuracyInterval:
    """The share of images that are classified correctly, from a mask (N,), with Wilson's
    interval."""
    right = int(correct.sum())
    share, (low, high) = right / len(correct), interval(right, len(correct))
    return AccuracyInterval(share, max(0.0, min(share, low)), min(1.0, max(share, high)))
