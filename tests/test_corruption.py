"""Noise and lost resolution: strength, limits, and that a generator repeats the noise."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from aecli.config import CorruptionConfig, CorruptionKind, DataConfig
from aecli.data import load_data
from aecli.data.batches import to_pixels
from aecli.data.corruption import (
    LEVELS,
    NOISES,
    binarize,
    build_corruption,
    downsample,
    enlarge,
    gaussian_noise,
    masking_noise,
    noise_moments,
    salt_and_pepper_noise,
    shrink,
)

GREY = torch.full((20, 1, 50, 50), 0.5)


def noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gaussian_noise_has_the_strength_that_was_asked_for() -> None:
    damage = gaussian_noise(GREY, 0.1, noise(0)) - GREY
    # 50,000 pixels: the mean is within 5 standard errors of 0, the deviation within 2 %
    assert abs(damage.mean().item()) < 5 * 0.1 / math.sqrt(50_000)
    assert damage.std().item() == pytest.approx(0.1, rel=0.02)


def test_noisy_pixels_stay_between_black_and_white() -> None:
    noisy = gaussian_noise(GREY, 2.0, noise(0))
    assert noisy.min() == 0
    assert noisy.max() == 1


def test_a_generator_repeats_the_noise_and_another_does_not() -> None:
    once, again, other = (gaussian_noise(GREY, 0.1, noise(seed)) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_binarised_pixels_are_one_with_the_probability_of_their_value() -> None:
    levels = torch.tensor([0.0, 0.2, 0.7, 1.0])
    pixels = levels.repeat(20_000, 1).reshape(20_000, 1, 2, 2)
    drawn = binarize(pixels, noise(0))
    assert {*drawn.unique().tolist()} == {0.0, 1.0}
    # Of 20,000 draws the mean is within five standard errors, at most 0.0177, of the probability.
    assert torch.allclose(drawn.mean(0).flatten(), levels, atol=0.018)
    assert torch.equal(drawn.mean(0).flatten()[[0, 3]], levels[[0, 3]])
    assert not torch.equal(drawn, binarize(pixels, noise(1)))


@pytest.mark.parametrize("kind", NOISES, ids=lambda kind: kind.name)
def test_the_clean_images_are_left_as_they_are(kind: CorruptionKind) -> None:
    pixels = GREY.clone()
    NOISES[kind](pixels, 0.5, noise(0))
    assert torch.equal(pixels, GREY)


def shares(pixels: Tensor) -> list[float]:
    """Of the black, the untouched and the white pixels among grey ones."""
    return [(pixels == level).float().mean().item() for level in (0, 0.5, 1)]


def test_masking_makes_the_share_of_pixels_black() -> None:
    # 50,000 pixels: five standard errors of a share of 0.3 are 0.01
    assert shares(masking_noise(GREY, 0.3, noise(0))) == pytest.approx([0.3, 0.7, 0], abs=0.01)
    assert shares(masking_noise(GREY, 0, noise(0))) == [0, 1, 0]
    assert shares(masking_noise(GREY, 1, noise(0))) == [1, 0, 0]


def test_salt_and_pepper_are_equally_frequent() -> None:
    found = salt_and_pepper_noise(GREY, 0.3, noise(0))
    assert shares(found) == pytest.approx([0.15, 0.7, 0.15], abs=0.01)
    assert shares(salt_and_pepper_noise(GREY, 0, noise(0))) == [0, 1, 0]
    assert shares(salt_and_pepper_noise(GREY, 1, noise(0))) == pytest.approx(
        [0.5, 0, 0.5], abs=0.02
    )


@pytest.mark.parametrize("strength", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("kind", NOISES, ids=lambda kind: kind.name)
def test_the_moments_of_a_noise_are_those_of_noisy_pixels(
    kind: CorruptionKind, strength: float
) -> None:
    if kind is not CorruptionKind.gaussian:
        strength = min(strength, 1.0)
    draws = 20_000
    pixels = LEVELS.float().reshape(1, 1, 1, 256).repeat(draws, 1, 1, 1)
    made = NOISES[kind](pixels, strength, noise(1)).double().squeeze()
    mean, square = noise_moments(kind, strength)
    # A number from 0 to 1 has a standard deviation of 1/2 at most: six standard errors of the mean.
    limit = 6 * 0.5 / math.sqrt(draws) if strength else 1e-6
    assert (made.mean(0) - mean).abs().max() < limit
    assert (made.square().mean(0) - square).abs().max() < limit


def test_shrinking_is_the_mean_over_squares() -> None:
    pixels = torch.rand(3, 2, 8, 12, generator=noise(0))
    for factor in (2, 4):
        assert torch.allclose(shrink(pixels, factor), F.avg_pool2d(pixels, factor), atol=1e-6)
    assert shrink(pixels, 5).shape == (3, 2, 2, 3)


def test_enlarging_is_the_bicubic_interpolation_of_pillow() -> None:
    pixels = 0.2 + 0.6 * torch.rand(7, 5, generator=noise(0))  # so that nothing is clipped
    image = Image.fromarray(pixels.numpy())
    theirs = torch.from_numpy(np.array(image.resize((11, 14), Image.Resampling.BICUBIC)))
    ours = enlarge(pixels.reshape(1, 1, 7, 5), (14, 11))
    assert torch.allclose(ours.squeeze(), theirs.clamp(0, 1), atol=1e-5)


def test_uniform_areas_survive_downsampling_and_chequers_do_not() -> None:
    assert torch.allclose(downsample(GREY, 2), GREY, atol=1e-6)
    chequers = (torch.arange(8).unsqueeze(0) + torch.arange(8).unsqueeze(1)) % 2
    lost = downsample(chequers.float().reshape(1, 1, 8, 8), 2)
    assert torch.allclose(lost, torch.full((1, 1, 8, 8), 0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(CorruptionKind.masking, [0.3, 0.7, 0]), (CorruptionKind.salt_and_pepper, [0.15, 0.7, 0.15])],
)
def test_the_share_is_that_of_the_configuration(
    kind: CorruptionKind, expected: list[float]
) -> None:
    corrupt = build_corruption(CorruptionConfig(kind, rate=0.3))
    assert corrupt is not None
    assert shares(corrupt(GREY, noise(0))) == pytest.approx(expected, abs=0.01)


def test_the_factor_is_that_of_the_configuration() -> None:
    pixels = torch.rand(2, 1, 8, 8, generator=noise(0))
    for factor, expected in ((None, 2), (4, 4)):
        corrupt = build_corruption(CorruptionConfig(CorruptionKind.downsample, factor=factor))
        assert corrupt is not None
        assert torch.equal(corrupt(pixels, noise(0)), downsample(pixels, expected))


def test_bicubic_on_mnist_is_as_good_as_the_lectures_say(mnist_dir: Path) -> None:
    data = load_data(DataConfig("mnist"), mnist_dir, torch.device("cpu"))
    pixels = to_pixels(data.test.images)
    assert (downsample(pixels, 2) - pixels).square().mean().item() == pytest.approx(
        0.0102, abs=5e-5
    )


def test_noise_of_one_half_on_mnist_is_as_strong_as_the_lectures_say(mnist_dir: Path) -> None:
    data = load_data(DataConfig("mnist"), mnist_dir, torch.device("cpu"))
    pixels = to_pixels(data.test.images)
    noisy = gaussian_noise(pixels, 0.5, noise(0))
    assert (noisy - pixels).square().mean().item() == pytest.approx(0.1155, abs=5e-4)


def test_no_corruption_is_built_for_none() -> None:
    assert build_corruption(CorruptionConfig()) is None


def test_examples_may_be_noisier_than_training_images() -> None:
    config = CorruptionConfig(CorruptionKind.gaussian, noise_std=0.05, example_noise_std=0.2)
    for for_examples, std in ((False, 0.05), (True, 0.2)):
        corrupt = build_corruption(config, for_examples=for_examples)
        assert corrupt is not None
        assert (corrupt(GREY, noise(0)) - GREY).std().item() == pytest.approx(std, rel=0.03)
    config.example_noise_std = None
    corrupt = build_corruption(config, for_examples=True)
    assert corrupt is not None
    assert (corrupt(GREY, noise(0)) - GREY).std().item() == pytest.approx(0.05, rel=0.03)
