"""What is measured, on images whose error is known."""

import math

import pytest
import torch
from torch import Tensor

from aecli.metrics import EVALUATION_BATCH, Score, measure, psnr

GENERATOR = torch.Generator()


def test_psnr_is_in_decibels_with_peak_one() -> None:
    assert psnr(1.0) == 0
    assert psnr(0.01) == pytest.approx(20)
    assert psnr(0.001) == pytest.approx(30)
    assert psnr(0.0) == math.inf


def test_sse_is_the_sum_over_the_pixels_of_an_image() -> None:
    score = Score.from_mse(0.01, pixels_per_image=3 * 4 * 5)
    assert score.sse == pytest.approx(0.6)
    assert score.psnr == pytest.approx(20)


def test_a_perfect_reconstruction_has_no_error() -> None:
    images = torch.randint(0, 256, (7, 1, 4, 5), dtype=torch.uint8)
    assert measure(lambda pixels: pixels, images, None, GENERATOR) == Score(0, 0, math.inf)


def test_an_error_known_by_hand() -> None:
    # half the images black, half white, and a grey answer: every pixel is off by 1/2
    images = torch.cat([torch.zeros(3, 1, 4, 5), torch.full((3, 1, 4, 5), 255)]).to(torch.uint8)
    score = measure(lambda pixels: torch.full_like(pixels, 0.5), images, None, GENERATOR)
    assert score.mse == pytest.approx(0.25)
    assert score.sse == pytest.approx(0.25 * 20)


def test_images_count_the_same_whatever_the_batches() -> None:
    # one white image among black ones, in a last batch of one: a mean of means would be off
    images = torch.zeros(EVALUATION_BATCH + 1, 1, 2, 2, dtype=torch.uint8)
    images[-1] = 255
    score = measure(torch.zeros_like, images, None, GENERATOR)
    assert score.mse == pytest.approx(1 / (EVALUATION_BATCH + 1))


def test_a_corruption_damages_the_input_and_not_the_target() -> None:
    images = torch.full((4, 1, 2, 2), 255, dtype=torch.uint8)
    seen: list[Tensor] = []

    def reconstruct(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return torch.ones_like(pixels)

    score = measure(reconstruct, images, lambda pixels, _: pixels * 0.5, GENERATOR)
    assert score.mse == 0
    assert seen[0].unique().tolist() == [0.5]
