"""The checkerboard score, on images whose score is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, interpolate

from aecli.evaluation.checkerboard import checkerboard, high_pass

ROWS, COLUMNS = torch.meshgrid(torch.arange(24.0), torch.arange(28.0), indexing="ij")
CHEQUERS = (-1) ** (ROWS + COLUMNS)


def image(*channels: Tensor) -> Tensor:
    """One image, (1, C, H, W)."""
    return torch.stack(channels).unsqueeze(0)


@pytest.mark.parametrize(
    ("pattern", "period"),
    [
        (CHEQUERS, 2),
        ((-1) ** ROWS, 2),
        ((-1) ** COLUMNS, 2),
        ((ROWS % 2 == 0) & (COLUMNS % 2 == 0), 2),  # a bed of nails
        (ROWS % 3 == 1, 3),
        ((ROWS % 4 < 2) ^ (COLUMNS % 4 < 2), 4),
        (CHEQUERS, 4),  # every fourth pixel is every second one too
    ],
    ids="chequers rows columns nails thirds large-chequers chequers-in-four".split(),
)
def test_a_pattern_of_the_grid_scores_one(pattern: Tensor, period: int) -> None:
    for contrast in (1.0, 0.1):
        score = checkerboard(image(0.5 + contrast * pattern.float()), period)
        assert score == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("period", [2, 3, 4])
@pytest.mark.parametrize(
    "picture",
    [
        torch.full((24, 28), 0.3),
        0.1 + 0.02 * ROWS - 0.01 * COLUMNS,  # a slope has another mean in every phase
        torch.exp(-((ROWS - 12) ** 2 + (COLUMNS - 11) ** 2) / 50),
        torch.cos(2 * math.pi * ROWS / 24),
    ],
    ids="constant slope blob wave".split(),
)
def test_smooth_images_score_zero(picture: Tensor, period: int) -> None:
    assert checkerboard(image(picture), period) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("stripe", "period", "height"), [([1, 1, 0, 0], 2, 26), ([1, 0], 3, 28), ([1, 0, 0], 2, 26)]
)
def test_another_grid_is_not_counted(stripe: list[int], period: int, height: int) -> None:
    # 24 rows without the border: as many whole stripes as whole cells
    rows = torch.tensor(stripe * height)[:height].float()
    stripes = rows.unsqueeze(1).expand(height, 28)
    assert checkerboard(image(stripes), period) == pytest.approx(0, abs=1e-9)


def test_the_score_is_the_share_of_the_energy() -> None:
    # A wave of amplitude a has the energy a^2 / 2, chequers of amplitude b have b^2.
    wave = torch.sin(2 * math.pi * COLUMNS / 28)
    score = checkerboard(image(0.5 + 0.3 * wave + 0.1 * CHEQUERS), 2)
    assert score == pytest.approx(0.1**2 / (0.3**2 / 2 + 0.1**2), rel=1e-5)
    # Half of the channels have it; the brightness of a channel is no energy.
    score = checkerboard(image(0.5 + 0.1 * CHEQUERS, 0.2 + 0.3 * wave), 2)
    assert score == pytest.approx(0.1**2 / (0.3**2 / 2 + 0.1**2), rel=1e-5)


def test_the_score_is_never_above_one() -> None:
    # Chequers within a frame of the mean brightness, which adds pixels and no variance.
    framed = torch.nn.functional.pad(CHEQUERS[:20, :20], [1] * 4)
    assert checkerboard(image(0.5 + 0.1 * framed), 2) == 1


def test_details_at_varying_places_are_not_a_grid() -> None:
    # Each image has chequers, but half of them have black where the others have white.
    images = torch.cat([image(0.5 + 0.1 * sign * CHEQUERS) for sign in (1, -1, 1, -1)])
    assert checkerboard(images, 2) == pytest.approx(0, abs=1e-9)
    assert checkerboard(images[::2], 2) == pytest.approx(1, abs=1e-4)


def test_details_of_many_images_cancel() -> None:
    noise = torch.rand(400, 1, 24, 28, generator=torch.Generator().manual_seed(0))
    single, many = checkerboard(noise[:1], 2), checkerboard(noise, 2)
    assert single is not None and many is not None
    # Three of the four phases' means are free, of 22 x 26 pixels; then 400 images share that.
    assert many == pytest.approx(3 / (22 * 26) / 400, rel=1)
    assert single > 20 * many


def test_uneven_overlap_scores_and_even_overlap_does_not() -> None:
    # A transposed convolution of ones: its output counts the kernel positions. Inside, kernel 3
    # counts 1, 2, 1, 2, ... along each axis and kernel 4 counts 2, 2, 2, ...
    ones = torch.ones(1, 1, 12, 12)
    scores = {
        kernel: checkerboard(conv_transpose2d(ones, torch.ones(1, 1, kernel, kernel), stride=2), 2)
        for kernel in (2, 3, 4)
    }
    assert scores[2] == pytest.approx(0, abs=1e-9)
    assert scores[3] is not None and scores[3] > 0.7
    assert scores[4] is not None and scores[4] < 0.01  # its border is uneven


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_enlarging_by_interpolation_leaves_no_grid(mode: str) -> None:
    small = torch.rand(1, 1, 12, 14, generator=torch.Generator().manual_seed(0))
    score = checkerboard(interpolate(small, scale_factor=2, mode=mode), 2)
    assert score == pytest.approx(0, abs=1e-3)


def test_the_high_pass_of_a_slope_is_nothing_and_of_chequers_everything() -> None:
    slope, chequers = (high_pass(image(each), 2) for each in (ROWS + 2 * COLUMNS, CHEQUERS))
    assert slope.abs().max() == 0
    assert torch.equal(chequers, image(CHEQUERS[1:-1, 1:-1]))


@pytest.mark.parametrize(("side", "period", "is_scored"), [(4, 2, True), (3, 2, False)])
def test_images_smaller_than_a_cell_have_no_score(side: int, period: int, is_scored: bool) -> None:
    images = torch.rand(3, 1, side, 20)
    assert (checkerboard(images, period) is not None) == is_scored
