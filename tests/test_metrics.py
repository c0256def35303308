"""What is measured, on images whose error is known."""

import math
from collections.abc import Iterator

import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from aecli.baselines.contestants import Reconstruct
from aecli.data.corruption import Corruption
from aecli.evaluation.metrics import (
    EVALUATION_BATCH,
    Score,
    SSIMWindows,
    corrupted_batches,
    image_mse,
    measure,
    psnr,
)
from aecli.latent.neighbours import nearest_image


def reconstructed_batches(
    reconstruct: Reconstruct,
    images: torch.Tensor,
    corrupt: Corruption | None,
    generator: torch.Generator,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Clean pixels with the reconstructions of the corrupted ones, as an evaluation has them."""
    for pixels, inputs in corrupted_batches(images, corrupt, generator):
        yield pixels, reconstruct(inputs)


def image_ssim(pixels: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor | None:
    windows = SSIMWindows.from_pixels(pixels)
    return None if windows is None else windows.similarity(outputs)


def score_of(reconstruct: Reconstruct, images: Tensor) -> Score:
    batches = reconstructed_batches(reconstruct, images, None, torch.Generator())
    return measure(batches, grid=2).score()


def test_psnr_is_in_decibels_with_peak_one() -> None:
    assert psnr(1.0) == 0
    assert psnr(0.01) == pytest.approx(20)
    assert psnr(0.001) == pytest.approx(30)
    assert psnr(0.0) == math.inf


def test_sse_is_the_sum_over_the_pixels_of_an_image() -> None:
    score = Score.from_images(torch.tensor([0.01]), None, None, pixels_per_image=3 * 4 * 5)
    assert score.sse == pytest.approx(0.6)
    assert score.psnr == pytest.approx(20)


def test_a_perfect_reconstruction_has_no_error() -> None:
    images = torch.randint(0, 256, (7, 1, 3, 5), dtype=torch.uint8)
    assert score_of(lambda pixels: pixels, images) == Score(0, 0, math.inf, None, None)


def test_an_error_known_by_hand() -> None:
    # half the images black, half white, and a grey answer: every pixel is off by 1/2
    images = torch.cat([torch.zeros(3, 1, 4, 5), torch.full((3, 1, 4, 5), 255)]).to(torch.uint8)
    score = score_of(lambda pixels: torch.full_like(pixels, 0.5), images)
    assert score.mse == pytest.approx(0.25)
    assert score.sse == pytest.approx(0.25 * 20)


def test_images_count_the_same_whatever_the_batches() -> None:
    # one white image among black ones, in a last batch of one: a mean of means would be off
    images = torch.zeros(EVALUATION_BATCH + 1, 1, 2, 2, dtype=torch.uint8)
    images[-1] = 255
    assert score_of(torch.zeros_like, images).mse == pytest.approx(1 / (EVALUATION_BATCH + 1))


def test_a_corruption_damages_the_input_and_not_the_target() -> None:
    images = torch.full((4, 1, 2, 2), 255, dtype=torch.uint8)
    seen: list[Tensor] = []

    def reconstruct(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return torch.ones_like(pixels)

    def half(pixels: Tensor, _: torch.Generator) -> Tensor:
        return pixels * 0.5

    batches = reconstructed_batches(reconstruct, images, half, torch.Generator())
    assert measure(batches, grid=2).score().mse == 0
    assert seen[0].unique().tolist() == [0.5]


def test_each_image_has_its_own_error() -> None:
    pixels = torch.zeros(2, 1, 2, 2)
    outputs = torch.stack([torch.full((1, 2, 2), 0.5), torch.tensor([[[1.0, 0], [0, 0]]])])
    assert image_mse(pixels, outputs).tolist() == pytest.approx([0.25, 0.25])


def noise(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# Of bright pixels that hardly differ, little is left when the square of the mean is subtracted.
PATTERNS = {
    "noise": lambda shape: (noise(shape) / 4 + 0.5).clamp(0, 1),
    "bright": lambda shape: (0.9 + 0.01 * noise(shape)).clamp(0, 1),
    "ink": lambda shape: (noise(shape) > 1).float(),
    "halves": lambda shape: (0.02 * noise(shape) + (torch.arange(shape[-1]) > 12)).clamp(0, 1),
    "grey": lambda shape: torch.full(shape, 0.7),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 33), (2, 11, 11)], ids=str)
def test_ssim_is_that_of_scikit_image_for_each_image(
    shape: tuple[int, int, int], pattern: str
) -> None:
    pixels = PATTERNS[pattern]((4, *shape))
    outputs = (pixels + torch.tensor([0.001, 0.01, 0.05, 0.2]).view(4, 1, 1, 1)
               * noise((5, *shape))[1:]).clamp(0, 1)  # fmt: skip
    expected = [
        structural_similarity(
            a.double().numpy(), b.double().numpy(), channel_axis=0, data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for a, b in zip(pixels, outputs, strict=True)
    ]  # fmt: skip
    channels_last = outputs.to(memory_format=torch.channels_last)
    found = image_ssim(pixels, channels_last)
    assert found is not None
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_constants_follows_from_its_formula() -> None:
    # without any variance only the luminance term is left: (2ab + c) / (a^2 + b^2 + c), c = 0.01^2
    a, b, c = 0.2, 0.6, 1e-4
    found = image_ssim(torch.full((1, 1, 16, 16), a), torch.full((1, 1, 16, 16), b))
    assert found is not None
    assert found.item() == pytest.approx((2 * a * b + c) / (a * a + b * b + c), rel=1e-4)


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    pixels = torch.rand(2, 1, 10, 30)
    assert image_ssim(pixels, pixels) is None
    assert image_ssim(torch.rand(2, 1, 11, 30), torch.rand(2, 1, 11, 30)) is not None


def test_the_checkerboard_is_that_of_the_outputs_on_the_grid_that_is_asked_for() -> None:
    images = torch.randint(0, 256, (3, 1, 10, 10), dtype=torch.uint8)
    stripes = (torch.arange(10) % 2).float().expand(1, 10, 10)
    for grid, expected in ((3, 0.0), (2, 1.0)):
        batches = reconstructed_batches(
            lambda pixels: stripes.expand_as(pixels), images, None, torch.Generator()
        )
        assert measure(batches, grid).checkerboard == pytest.approx(expected, abs=1e-4)


def test_the_nearest_of_many_images_is_found_whichever_batch_it_is_in() -> None:
    images = torch.zeros(10_002, 1, 2, 3, dtype=torch.uint8)
    images[4999], images[5000], images[10_001] = 255, 102, 51
    pixels = torch.tensor([1.0, 0.4, 0.35, 0.25, 0.0]).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    errors, numbers = nearest_image(pixels, images)
    assert numbers.tolist()[:4] == [4999, 5000, 5000, 10_001]
    assert numbers[4] not in (4999, 5000, 10_001)
    assert errors.tolist() == pytest.approx([0, 0, 0.0025, 0.0025, 0], abs=1e-6)
