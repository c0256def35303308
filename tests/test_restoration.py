"""Classical restoration, on cases with known answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aecli.baselines.restoration import (
    CUT_OFFS,
    ImageMoments,
    best_median,
    best_non_local_means,
    best_total_variation,
    fit_denoiser,
    fit_upscaler,
    level_from_mean,
    median,
    non_local_means,
)
from aecli.config import CorruptionKind, DataConfig
from aecli.data import load_data
from aecli.data.batches import to_pixels
from aecli.data.corruption import NOISES, downsample, noise_moments, shrink
from aecli.evaluation.metrics import psnr


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mse(one: Tensor, other: Tensor) -> float:
    return (one - other).double().square().mean().item()


def unchanged(pixels: Tensor) -> Tensor:
    return pixels


def smooth_images(count: int, seed: int) -> Tensor:
    """uint8 images (N, 1, 4, 5) with correlated pixels."""
    base = 128 + 30 * torch.randn(count, 1, 1, 1, generator=generator(seed))
    own = 15 * torch.randn(count, 1, 4, 5, generator=generator(seed + 1))
    return (base + own).clamp(0, 255).to(torch.uint8)


def test_the_weight_of_one_pixel_is_signal_over_signal_plus_noise() -> None:
    levels = 102 + 51 * torch.randint(0, 2, (1000, 1, 1, 1), generator=generator(0))  # 0.4 or 0.6
    images = levels.to(torch.uint8)
    signal = to_pixels(images).double().var(correction=0).item()
    # So small that nothing is clipped.
    found = fit_denoiser(ImageMoments(images), CorruptionKind.gaussian, 0.05)
    assert found.weights.item() == pytest.approx(signal / (signal + 0.05**2), rel=1e-4)
    assert found.mean.item() == pytest.approx(to_pixels(images).mean().item(), abs=1e-6)


@pytest.mark.parametrize("strength", [0.2, 0.6])
@pytest.mark.parametrize("kind", NOISES, ids=lambda kind: kind.name)
def test_no_linear_function_of_drawn_noise_is_better(kind: CorruptionKind, strength: float) -> None:
    images = smooth_images(500, 0)
    pixels = to_pixels(images).repeat(80, 1, 1, 1)
    noisy = NOISES[kind](pixels, strength, generator(3))
    rows = torch.cat([noisy.flatten(1), torch.ones(len(noisy), 1)], 1).double().numpy()
    weights, *_ = np.linalg.lstsq(rows, pixels.flatten(1).double().numpy(), rcond=None)
    other = torch.from_numpy(rows @ weights).reshape(pixels.shape)
    # 40,000 draws for 21 weights: theirs fits the drawn noise by about 21 in 40,000 too well.
    found = fit_denoiser(ImageMoments(images), kind, strength)(noisy)
    assert mse(found, pixels) == pytest.approx(mse(other, pixels), rel=0.005)


def test_without_noise_nothing_is_changed() -> None:
    images = smooth_images(500, 0)
    found = fit_denoiser(ImageMoments(images), CorruptionKind.gaussian, 1e-6)
    pixels = to_pixels(images[:10])
    assert torch.allclose(found(pixels), pixels, atol=1e-3)


def test_constant_pixels_are_handled() -> None:
    images = smooth_images(500, 0)
    images[:, :, 0] = 0
    found = fit_denoiser(ImageMoments(images), CorruptionKind.masking, 0.5)
    restored = found(to_pixels(images[:10]))
    assert restored.isfinite().all()
    assert restored[:, :, 0].abs().max() < 1e-4


def test_colours_are_restored_in_their_places() -> None:
    images = torch.randint(0, 256, (600, 3, 2, 2), dtype=torch.uint8, generator=generator(0))
    pixels = to_pixels(images[:5])
    restored = fit_denoiser(ImageMoments(images), CorruptionKind.salt_and_pepper, 1e-6)(pixels)
    assert torch.allclose(restored, pixels, atol=1e-3)


def test_images_that_are_linear_in_their_small_ones_come_back_exactly() -> None:
    small = torch.rand(200, 1, 3, 3, generator=generator(0))
    squares = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    images = (squares * 255).to(torch.uint8)
    pixels = to_pixels(images)
    upscaler = fit_upscaler(images, 2)
    assert torch.allclose(upscaler(shrink(pixels, 2)), pixels, atol=1e-3)
    assert mse(downsample(pixels, 2), pixels) > 0.001  # which bicubic interpolation cannot


def test_white_paper_and_few_images_are_handled() -> None:
    images = torch.full((30, 3, 8, 8), 255, dtype=torch.uint8)
    ink = torch.randint(0, 256, (30, 3, 4, 4), dtype=torch.uint8, generator=generator(0))
    images[:, :, 2:6, 2:6] = ink
    pixels = to_pixels(images)
    restored = fit_upscaler(images, 2)(shrink(pixels, 2))
    # Of 48 small numbers 12 vary, by which 30 images are not told exactly; but better than by none.
    assert mse(restored, pixels) < 0.5 * mse(pixels.mean(0).expand_as(pixels), pixels)
    assert torch.allclose(restored[..., 0, 0], torch.ones(30, 3), atol=1e-3)


def test_the_median_is_that_of_the_square_around_each_pixel() -> None:
    pixels = torch.zeros(1, 2, 5, 5)
    pixels[0, 0, 2, 2] = 1  # a single white pixel is salt
    pixels[0, 1, 1:4, 1:4] = 1  # of a white square, only the corners have more black around them
    filtered = median(pixels, 3)
    assert filtered[0, 0].sum() == 0
    expected = torch.zeros(5, 5)
    expected[1:4, 2] = expected[2, 1:4] = 1
    assert torch.equal(filtered[0, 1], expected)


def test_the_median_that_is_best_is_chosen() -> None:
    clean = torch.zeros(2, 1, 9, 9)
    noisy = clean.clone()
    noisy[:, :, 3:5, 3:6] = 1  # six pixels: most of 3 x 3, and a minority of 5 x 5
    assert mse(best_median(noisy, clean, unchanged)(noisy), clean) == 0
    assert mse(median(noisy, 3), clean) > 0


def test_non_local_means_finds_similar_patches() -> None:
    stripes = 0.3 + 0.4 * (torch.arange(20) // 2 % 2).expand(3, 1, 20, 20)  # nothing is clipped
    noisy = NOISES[CorruptionKind.gaussian](stripes, 0.1, generator(0))
    denoised = best_non_local_means(noisy, stripes, unchanged)(noisy)
    # The mean of n pixels that are alike leaves 1 / n of the noise; the own one has a say, though.
    assert mse(denoised, stripes) < 0.25 * mse(noisy, stripes)


def test_non_local_means_keeps_images_and_colours_apart() -> None:
    pixels = torch.rand(2, 3, 8, 9, generator=generator(0))
    assert torch.allclose(non_local_means(pixels, 1e-3, 3), pixels, atol=1e-3)
    one = pixels[:, :1]
    assert torch.allclose(non_local_means(one, 1e-3, 3), one, atol=1e-3)
    assert min(CUT_OFFS) > 1e-3  # at which all that is not alike counts as different


def test_total_variation_keeps_an_edge_and_no_noise() -> None:
    edge = torch.zeros(3, 2, 16, 16)
    edge[..., 8:] = 1
    edge = 0.25 + 0.5 * edge  # nothing is clipped
    noisy = NOISES[CorruptionKind.gaussian](edge, 0.05, generator(0))
    denoised = best_total_variation(noisy, edge, unchanged)(noisy)
    assert mse(denoised, edge) < 0.2 * mse(noisy, edge)


@pytest.mark.parametrize("kind", NOISES, ids=lambda kind: kind.name)
def test_the_mean_of_noisy_pixels_tells_their_level(kind: CorruptionKind) -> None:
    levels = torch.tensor([0.0, 0.2, 0.6, 1.0])
    pixels = levels.reshape(4, 1, 1, 1).expand(4, 1, 500, 500).contiguous()
    noisy = NOISES[kind](pixels, 0.5, generator(0)).mean((1, 2, 3))
    assert (noisy - levels).abs().max() > 0.1
    assert torch.allclose(level_from_mean(kind, 0.5)(noisy), levels, atol=0.02)


@pytest.mark.parametrize("kind", NOISES, ids=lambda kind: kind.name)
def test_levels_lost_to_noise_are_still_finite(kind: CorruptionKind) -> None:
    levels = level_from_mean(kind, 1.0)(torch.tensor([0.0, 0.4, 1.0]))
    assert levels.isfinite().all() and levels.min() >= 0 and levels.max() <= 1


def test_filters_are_corrected_where_that_is_better(mnist_dir: Path) -> None:
    # On the first 100 test images. Without the correction non-local means has 25.8 and 12.7 dB.
    data = load_data(DataConfig("mnist"), mnist_dir, torch.device("cpu"))
    clean, held_out = to_pixels(data.test.images[:100]), to_pixels(data.validation.images[:25])
    kind = CorruptionKind.gaussian
    at_least = {0.1: (21.5, 28.0, 26.3), 0.5: (14.5, 14.2, 15.3)}
    for strength, limits in at_least.items():
        noisy, tuned = (
            NOISES[kind](each, strength, generator(seed))
            for seed, each in enumerate((clean, held_out))
        )
        correct = level_from_mean(kind, strength)
        for best, limit in zip(
            (best_median, best_non_local_means, best_total_variation), limits, strict=True
        ):
            restore = best(tuned, held_out, correct)
            assert psnr(mse(restore(noisy), clean)) > limit


def test_the_best_linear_denoiser_of_mnist_is_as_good_as_the_lectures_say(mnist_dir: Path) -> None:
    data = load_data(DataConfig("mnist"), mnist_dir, torch.device("cpu"))
    order = torch.randperm(len(data.train), generator=generator(0))[:10_000]
    restore = fit_denoiser(ImageMoments(data.train.images[order]), CorruptionKind.gaussian, 0.5)
    pixels = to_pixels(data.test.images)
    noisy = NOISES[CorruptionKind.gaussian](pixels, 0.5, generator(1))
    # 0.0175 where the noise of the training images is drawn, and a little less where it is not.
    assert mse(restore(noisy), pixels) == pytest.approx(0.0174, abs=0.0002)


def test_missing_levels_do_not_count() -> None:
    mean, _ = noise_moments(CorruptionKind.gaussian, 0.5)
    images = torch.full((4, 1, 1, 1), 51, dtype=torch.uint8)
    found = fit_denoiser(ImageMoments(images), CorruptionKind.gaussian, 0.5)
    assert found.degraded_mean.item() == pytest.approx(mean[51].item(), rel=1e-6)
    assert found.weights.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("kind", NOISES)
def test_images_that_never_vary_have_a_linear_restoration(kind: CorruptionKind, value: int) -> None:
    images = torch.full((10, 1, 8, 8), value, dtype=torch.uint8)
    clean = images[:2] / 255
    for restore, degraded in [
        (fit_denoiser(ImageMoments(images), kind, 0.25), clean),
        (fit_upscaler(images, 2), clean[..., ::2, ::2]),
    ]:
        assert torch.allclose(restore(degraded), clean, atol=1e-3)


@pytest.mark.parametrize("strength", [0.001, 0.003])
def test_weak_noise_on_bright_images_of_little_contrast_is_removed_as_well_as_it_can_be(
    strength: float,
) -> None:
    codes = torch.randn(3000, 8, generator=generator(0)) * torch.linspace(3, 0.6, 8)
    directions = torch.randn(8, 256, generator=generator(1)) / 3
    own = 0.3 * torch.randn(3000, 256, generator=generator(2))
    images = (230 + codes @ directions + own).round().to(torch.uint8).reshape(-1, 1, 16, 16)
    clean = images.flatten(1).double().numpy() / 255
    covariance = np.cov(clean.T, bias=True)
    # Nothing is clipped. What is left of each eigenvalue v is v s^2 / (v + s^2).
    values = np.linalg.eigvalsh(covariance).clip(min=0)
    expected = (values * strength**2 / (values + strength**2)).mean()
    noisy = NOISES[CorruptionKind.gaussian](to_pixels(images), strength, generator(3))
    found = fit_denoiser(ImageMoments(images), CorruptionKind.gaussian, strength)
    assert mse(found(noisy), to_pixels(images)) == pytest.approx(expected, rel=0.01)
