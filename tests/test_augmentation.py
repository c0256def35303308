"""Augmentation moves images as its options say, and depends on seed, epoch and step alone."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aecli.cli.compose import compose
from aecli.config import AugmentConfig
from aecli.data.augmentation import augment
from aecli.errors import UsageError
from aecli.training.preflight import check_shift
from tests.test_training import trained, weights


def augmented(pixels: Tensor, config: AugmentConfig, seed: int = 0) -> Tensor:
    return augment(pixels, config, torch.Generator().manual_seed(seed))


def dots(row: int, column: int, shape: tuple[int, int] = (15, 15), count: int = 400) -> Tensor:
    """Images with one white pixel, all the same."""
    pixels = torch.zeros(count, 1, *shape)
    pixels[:, :, row, column] = 1
    return pixels


def centres(pixels: Tensor) -> Tensor:
    """The centre of mass of each image (B, C, H, W), from its middle: rows and columns, (B, 2)."""
    weights = pixels.sum(1) / pixels.sum((1, 2, 3)).reshape(-1, 1, 1)
    rows, columns = (torch.arange(side) - (side - 1) / 2 for side in pixels.shape[-2:])
    return torch.stack([(weights.sum(2) * rows).sum(1), (weights.sum(1) * columns).sum(1)], 1)


def test_a_shift_moves_by_whole_pixels_up_to_the_limit() -> None:
    moved = augmented(dots(7, 7), AugmentConfig(shift=2))
    torch.testing.assert_close(moved.amax((1, 2, 3)), torch.ones(400), rtol=0, atol=1e-5)
    torch.testing.assert_close(moved.sum((1, 2, 3)), torch.ones(400), rtol=0, atol=1e-5)
    found = {tuple(each) for each in centres(moved).round().int().tolist()}
    assert found == {(row, column) for row in range(-2, 3) for column in range(-2, 3)}


def test_pixels_shifted_out_are_lost_and_black_comes_in() -> None:
    moved = augmented(torch.ones(400, 1, 3, 5), AugmentConfig(shift=1))
    whites = {int(each) for each in moved.sum((1, 2, 3)).round().tolist()}
    assert whites == {15, 10, 12, 8}  # none, a row, a column, or both have moved out


@pytest.mark.parametrize("shape", [(21, 21), (11, 31), (31, 11)], ids=str)
def test_a_rotation_turns_about_the_middle_in_pixels(shape: tuple[int, int]) -> None:
    middle = [(side - 1) // 2 for side in shape]
    pixels = dots(middle[0] - 4, middle[1], shape)  # 4 pixels above the middle
    turned = centres(augmented(pixels, AugmentConfig(rotate=40)))
    distances = turned.square().sum(1).sqrt()
    assert (distances - 4).abs().max() < 0.35  # a dot between pixels is spread over four
    angles = torch.atan2(turned[:, 1], -turned[:, 0]) * 180 / math.pi
    assert angles.abs().max() < 42
    assert angles.min() < -35 and angles.max() > 35
    assert abs(angles.mean()) < 4


def test_one_image_in_two_is_mirrored() -> None:
    image = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    found = augmented(image.expand(400, -1, -1, -1), AugmentConfig(flip=True))
    same = (found - image).abs().amax((1, 2, 3)) < 1e-5
    mirrored = (found - image.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_pixels_stay_between_0_and_1() -> None:
    image = torch.rand(50, 1, 9, 9, generator=torch.Generator().manual_seed(1)).round()
    found = augmented(image, AugmentConfig(shift=3, rotate=180, flip=True))
    assert 0 <= found.min() and found.max() <= 1


def test_a_seed_repeats_and_resumes_to_the_bit_and_changes_the_training(tmp_path: Path) -> None:
    line = ["model=fc", "epochs=2", "augment=shift", "augment.rotate=10"]
    first, second, plain = (
        weights(trained(tmp_path / name, *own)[0])
        for name, own in (("a", line), ("b", line), ("c", line[:2]))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, plain)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("augment=shft", "augment=shft: did you mean shift"),
        ("augment.shift=-1", "augment.shift=-1 is not valid"),
        ("augment.rotate=181", "augment.rotate=181"),
        ("augment.flip=maybe", "augment.flip=maybe is not valid"),
    ],
)
def test_invalid_values_are_named(line: str, message: str) -> None:
    from aecli.cli.override_checks import check_overrides

    with pytest.raises(UsageError, match=message):
        check_overrides([line], multirun=False)
        compose([line])


def test_a_shift_leaves_something_of_the_image() -> None:
    check_shift(compose(["augment.shift=27"]), (1, 28, 40))
    with pytest.raises(UsageError, match="28x40 pixels, so give at most 27"):
        check_shift(compose(["augment.shift=28"]), (1, 28, 40))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (["augment=shift"], "conv-z25-shift2"),
        (["augment=flip"], "conv-z25-flip"),
        (["model=fc", "augment.rotate=5"], "fc-z25-rotate5"),
    ],
)
def test_a_run_is_named_after_its_augmentation(line: list[str], name: str) -> None:
    assert compose(line).name == name
