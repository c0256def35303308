"""Paired differences and their intervals, against values worked out by hand or by another way."""

import math
from pathlib import Path

import pytest
import torch

from aecli.comparison.results import RunGroup
from aecli.comparison.significance import (
    Difference,
    differences_between,
    differences_from_pca,
)
from aecli.runs.directory import RunDirectory
from tests.test_comparison_table import some_setting


def test_over_seeds_the_interval_is_that_of_students_t() -> None:
    setting = some_setting(0.010, 0.012, 0.017, pca_mse=0.01)  # differences 0, 0.002 and 0.007
    (found,) = differences_from_pca([setting])
    assert found is not None
    # Their mean is 0.003, their variance (9 + 1 + 16) / 2 * 1e-6; t is 4.302653 for two degrees of
    # freedom (a table of the distribution).
    half = 4.302653 * math.sqrt(13e-6 / 3)
    assert found.mean == pytest.approx(0.003)
    assert (found.low, found.high) == pytest.approx((0.003 - half, 0.003 + half))
    assert (found.seeds, found.is_lower, found.is_higher) == (3, False, False)


def test_settings_are_paired_by_seed() -> None:
    first = some_setting(0.01, 0.02, 0.03)
    shifted = some_setting(0.011, 0.021, 0.031)
    (found,) = differences_between(first, [shifted])
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((-0.001, -0.001, -0.001))
    assert found.is_lower and not found.is_higher


def with_errors(folder: Path, mses: list[float], **errors: torch.Tensor) -> RunGroup:
    run = RunDirectory(folder)
    run.save_image_errors(errors)
    run.save_summary({})
    return some_setting(*mses, path=folder)


def test_over_images_the_interval_is_that_of_the_mean(tmp_path: Path) -> None:
    """For many images, the bootstrap's interval is the mean ± 1.96 standard errors."""
    differences = torch.randn(4000, generator=torch.Generator().manual_seed(1)) * 0.01 + 0.0005
    pca = torch.full((4000,), 0.02)
    setting = with_errors(tmp_path, [0.02], model=pca + differences, pca=pca)
    (found,) = differences_from_pca([setting])
    assert found is not None
    half = 1.96 * differences.std().item() / math.sqrt(4000)
    assert found.mean == pytest.approx(differences.mean().item(), abs=1e-8)
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)
    assert found.seeds == 1
    assert differences_from_pca([setting]) == [found]  # always the same draws


def test_the_bootstrap_of_two_images_by_hand(tmp_path: Path) -> None:
    setting = with_errors(
        tmp_path, [0.02], model=torch.tensor([0.0, 0.4]), pca=torch.tensor([0.1, 0.1])
    )
    (found,) = differences_from_pca([setting])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-0.1, 0.3))


def test_networks_of_one_seed_are_paired_by_image(tmp_path: Path) -> None:
    base = torch.linspace(0.0, 0.1, 50)
    first = with_errors(tmp_path / "a", [0.05], model=base)
    second = with_errors(tmp_path / "b", [0.06], model=base + 0.01)
    (found,) = differences_between(first, [second])
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((-0.01,) * 3, abs=1e-7)
    assert differences_between(first, [some_setting(0.1, path=tmp_path / "c")]) == [None]


def test_no_difference_is_neither_lower_nor_higher() -> None:
    assert not (Difference(0, 0, 0, 2).is_lower or Difference(0, 0, 0, 2).is_higher)
