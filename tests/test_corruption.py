"""Noise: its strength, its limits, and that a generator repeats it."""

import math

import pytest
import torch

from aecli.config import CorruptionConfig, CorruptionKind
from aecli.corruption import build_corruption, gaussian_noise

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


def test_the_clean_images_are_left_as_they_are() -> None:
    pixels = GREY.clone()
    gaussian_noise(pixels, 0.1, noise(0))
    assert torch.equal(pixels, GREY)


def test_no_corruption_is_none() -> None:
    assert build_corruption(CorruptionConfig()) is None


def test_what_is_shown_may_be_noisier_than_what_is_trained_on() -> None:
    config = CorruptionConfig(CorruptionKind.gaussian, noise_std=0.05, shown_noise_std=0.2)
    for shown, std in ((False, 0.05), (True, 0.2)):
        corrupt = build_corruption(config, shown=shown)
        assert corrupt is not None
        assert (corrupt(GREY, noise(0)) - GREY).std().item() == pytest.approx(std, rel=0.03)
    config.shown_noise_std = None
    corrupt = build_corruption(config, shown=True)
    assert corrupt is not None
    assert (corrupt(GREY, noise(0)) - GREY).std().item() == pytest.approx(0.05, rel=0.03)
