"""Batches: exact pixels, every image once, and the way back from a model's units."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aecli.data.batches import (
    IDENTITY,
    Normalisation,
    gather,
    ordered_batches,
    to_pixels,
)


def numbered(count: int) -> Tensor:
    """Images (count, 1, 2, 3) whose pixels all are the image's number, at most 255 of them."""
    numbers = torch.arange(count, dtype=torch.uint8)
    return numbers.reshape(-1, 1, 1, 1).expand(count, 1, 2, 3).contiguous()


def numbers(batch: Tensor) -> list[int]:
    """Which images a batch of `numbered` ones holds."""
    return [round(value * 255) for value in batch[:, 0, 0, 0].tolist()]


def test_pixels_are_exact() -> None:
    images = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).reshape(1, 1, 2, 2)
    expected = torch.tensor([0.0, 0.2, 0.4, 1.0]).reshape(1, 1, 2, 2)
    assert torch.equal(to_pixels(images), expected)


def test_pixels_keep_their_place_in_channels_last_layout() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    pixels = to_pixels(images)
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, images / 255)
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_batches_leave_the_images_as_they_are() -> None:
    images = numbered(7)
    list(ordered_batches(images, 3))
    gather(images, torch.tensor([6, 0]))
    assert torch.equal(images, numbered(7))


def test_images_are_gathered_as_pixels_in_the_order_that_is_asked_for() -> None:
    images = torch.randint(256, (9, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    chosen = torch.tensor([7, 0, 7, 3])
    batch = gather(images, chosen)
    assert torch.equal(batch, images[chosen] / 255)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_ordered_batches_contain_the_images_in_order() -> None:
    batches = [numbers(batch) for batch in ordered_batches(numbered(7), 3)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_normalisation_subtracts_then_divides() -> None:
    pixels = torch.tensor([0.0, 0.5, 1.0])
    assert Normalisation(0.5, 0.25).apply(pixels).tolist() == [-2.0, 0.0, 2.0]
    assert Normalisation(0.5, 0.25).invert(torch.tensor([-2.0, 0.0, 2.0])).tolist() == [0, 0.5, 1]


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(0.05, 10))
def test_normalisation_can_be_undone(mean: float, std: float) -> None:
    normalisation = Normalisation(mean, std)
    pixels = torch.linspace(0, 1, 256)
    torch.testing.assert_close(
        normalisation.invert(normalisation.apply(pixels)), pixels, atol=1e-6, rtol=0
    )


def test_outputs_beyond_the_pixels_are_clipped() -> None:
    outputs = torch.tensor([-3.0, -2.0, 2.0, 3.0])
    assert Normalisation(0.5, 0.25).invert(outputs).tolist() == [0, 0, 1, 1]
    assert IDENTITY.invert(torch.tensor([-0.5, 0.25, 1.5])).tolist() == [0, 0.25, 1]


@pytest.mark.parametrize("normalisation", [IDENTITY, Normalisation(0.5, 0.25)])
def test_normalisation_leaves_its_input_as_it_is(normalisation: Normalisation) -> None:
    outputs = torch.tensor([-3.0, 0.25, 3.0])
    normalisation.invert(outputs)
    normalisation.apply(outputs)
    assert outputs.tolist() == [-3.0, 0.25, 3.0]


def test_identity_changes_no_pixel() -> None:
    pixels = torch.tensor([0.0, 0.2, 1.0])
    assert torch.equal(IDENTITY.apply(pixels), pixels)
