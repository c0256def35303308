"""Methods that put numbers into their places: torch's numbers, and the lectures' by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aecli.convolution.upsampling import (
    area_mean,
    bed_of_nails,
    max_pool,
    max_unpool,
    pixel_shuffle,
)
from aecli.data.corruption import shrink
from aecli.models.pooling import zero_insert

FACTORS = range(1, 5)


def test_the_bed_of_nails_of_autoencoders_on_mnist() -> None:
    assert bed_of_nails(np.array([[1, 2], [3, 4]]), 2).tolist() == [
        [1, 0, 2, 0],
        [0, 0, 0, 0],
        [3, 0, 4, 0],
        [0, 0, 0, 0],
    ]


@pytest.mark.parametrize("factor", FACTORS)
def test_the_bed_of_nails_is_that_of_the_decoder(factor: int) -> None:
    image = np.random.default_rng(0).random((2, 3, 4, 5))
    expected = zero_insert(torch.tensor(image), (4 * factor, 5 * factor), factor)
    assert (bed_of_nails(image, factor) == expected.numpy()).all()


def test_max_unpooling_by_hand() -> None:
    image = np.array([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]])
    pooled = max_pool(image, 2)
    assert pooled.maxima.tolist() == [[5, 6], [7, 8]]
    assert pooled.indices.tolist() == [[5, 2], [12, 15]]
    assert max_unpool(np.array([[1, 2], [3, 4]]), pooled.indices, 2).tolist() == [
        [0, 0, 2, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [3, 0, 0, 4],
    ]


@pytest.mark.parametrize("factor", FACTORS)
def test_max_unpooling_is_torchs_with_ties_too(factor: int) -> None:
    image = np.random.default_rng(0).integers(-2, 2, (2, 3, 3 * factor, 5 * factor)).astype(float)
    maxima, indices = F.max_pool2d(torch.tensor(image), factor, return_indices=True)
    pooled = max_pool(image, factor)
    assert (pooled.maxima == maxima.numpy()).all()
    assert (pooled.indices == indices.numpy()).all()
    values = np.random.default_rng(1).random(pooled.maxima.shape)
    expected = F.max_unpool2d(torch.tensor(values), indices, [factor, factor])
    assert (max_unpool(values, pooled.indices, factor) == expected.numpy()).all()


@pytest.mark.parametrize("factor", FACTORS)
def test_the_pixel_shuffle_is_torchs(factor: int) -> None:
    channels = np.random.default_rng(0).random((2 * factor**2, 3, 4))
    expected = nn.PixelShuffle(factor)(torch.tensor(channels))
    assert (pixel_shuffle(channels, factor) == expected.numpy()).all()


def test_the_pixel_shuffle_by_hand() -> None:
    channels = np.arange(1, 9).reshape(4, 1, 2)  # 1 2, 3 4, 5 6, 7 8
    assert pixel_shuffle(channels, 2).tolist() == [[[1, 3, 2, 4], [5, 7, 6, 8]]]


@pytest.mark.parametrize("factor", FACTORS)
def test_the_mean_of_cells_is_torchs_pooling(factor: int) -> None:
    image = np.random.default_rng(0).random((2, 1, 2 * factor, 3 * factor), np.float32)
    expected = F.avg_pool2d(torch.tensor(image), factor).numpy()
    assert np.allclose(area_mean(image, factor), expected)
    assert area_mean(image, factor).dtype == np.float32
    of_superres = shrink(torch.tensor(image), factor).numpy()
    assert np.allclose(area_mean(image, factor), of_superres, atol=1e-6)
