"""Synthetic digits: the same bytes everywhere, and as hard for PCA as MNIST."""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from aecli.data import synthetic
from aecli.data.synthetic import SIZE, synthetic_digits

TRAIN, TEST = 12_000, 2_000
# MNIST's mean squared test error with the mean image alone and with d principal components.
MNIST_ERROR = {0: 0.0675, 5: 0.0445, 25: 0.0203, 125: 0.00433}
# sha256 of the images of synthetic_digits(1000, 2024) followed by the labels as bytes. Must hold on
# every machine; change it only together with how the digits are meant to look.
CHECKSUM = "fe9524345a64a8590c6145cfb30f322c22c64a3492132dfb9ddf522659ab55b2"


@pytest.fixture(scope="module")
def train() -> tuple[Tensor, Tensor]:
    return synthetic_digits(TRAIN, 0)


@pytest.fixture(scope="module")
def held_out() -> tuple[Tensor, Tensor]:
    return synthetic_digits(TEST, 1)


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pixels(images: Tensor) -> Tensor:
    """Pixels in [0, 1], float64 (n, 784)."""
    return images.reshape(len(images), -1).double() / 255


def test_shapes_and_types() -> None:
    images, labels = synthetic_digits(37, 0)
    assert images.shape == (37, 1, SIZE, SIZE) == (37, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert labels.shape == (37,)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("count", [1, 10, 1003])
def test_classes_are_balanced(count: int) -> None:
    images, labels = synthetic_digits(count, 3)
    numbers = labels.bincount(minlength=10)
    assert len(images) == count and len(numbers) == 10
    assert numbers.max() - numbers.min() <= 1


def test_classes_are_shuffled() -> None:
    _, labels = synthetic_digits(2000, 3)
    repeats = (labels[1:] == labels[:-1]).double().mean()
    assert 0.05 < repeats < 0.15  # a tenth by chance; none or nearly all in a regular order
    assert labels[:1000].bincount(minlength=10).min() > 60


def test_same_seed_same_bytes() -> None:
    one, two = synthetic_digits(300, 5), synthetic_digits(300, 5)
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_other_seed_other_images() -> None:
    one, two = synthetic_digits(300, 5), synthetic_digits(300, 6)
    assert not torch.equal(one[1], two[1])
    same = (one[0] == two[0]).flatten(1).all(1)
    assert not same.any()


def test_images_of_one_set_all_differ(train: tuple[Tensor, Tensor]) -> None:
    images = {image.numpy().tobytes() for image in train[0]}
    assert len(images) == TRAIN


def test_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    one = synthetic_digits(20, 5)[0]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert torch.equal(synthetic_digits(20, 5)[0], one)


def test_threads_do_not_change_bytes() -> None:
    with threads(1):
        one, labels_one = synthetic_digits(2000, 7)
    with threads(2):
        two, labels_two = synthetic_digits(2000, 7)
    assert torch.equal(one, two) and torch.equal(labels_one, labels_two)


@pytest.mark.parametrize("chunk", [1, 77, 1000])
def test_chunks_do_not_change_bytes(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    expected = synthetic_digits(400, 7)[0]
    monkeypatch.setattr(synthetic, "CHUNK", chunk)
    assert torch.equal(synthetic_digits(400, 7)[0], expected)


def test_default_dtype_does_not_change_bytes() -> None:
    expected = synthetic_digits(50, 7)[0]
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(synthetic_digits(50, 7)[0], expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_checksum() -> None:
    images, labels = synthetic_digits(1000, 2024)
    content = images.numpy().tobytes() + labels.to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(content).hexdigest() == CHECKSUM


def test_no_operation_that_rounds_differently_on_other_machines() -> None:
    # The checksum proves it for the machines it ran on. Some builds of torch round even sqrt badly.
    inexact = set("sin cos tan exp log pow sqrt rsqrt hypot randn normal addcmul lerp".split())
    inexact |= set("sum mean matmul mm bmm einsum cdist norm".split())
    tree = ast.parse(inspect.getsource(synthetic))
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & inexact
    assert not any(isinstance(node, ast.Pow | ast.MatMult) for node in ast.walk(tree))


@pytest.mark.parametrize("count", [0, -5])
def test_bad_count_is_named(count: int) -> None:
    with pytest.raises(ValueError, match=f"count.* {count}$"):
        synthetic_digits(count, 0)


def test_every_template_is_drawn_and_within_its_box() -> None:
    assert len(synthetic.GLYPHS) == 10
    for digit in synthetic.GLYPHS:
        assert len(digit) >= 3
        points = [point for glyph in digit for stroke in glyph for point in stroke]
        assert all(0 <= x <= 80 and 0 <= y <= 100 for x, y in points)
        assert all(len(stroke) >= 2 for glyph in digit for stroke in glyph)


def test_weights_of_a_spline_sum_to_one_and_reach_its_points() -> None:
    templates = synthetic._templates()
    assert torch.allclose(templates.weight.sum(-1), torch.ones(()))
    assert synthetic._catmull_rom(0.0) == [0, 1, 0, 0]
    assert synthetic._catmull_rom(1.0) == [0, 0, 1, 0]
    assert templates.number.sum() == len(templates.points)


def test_ink_and_border(train: tuple[Tensor, Tensor]) -> None:
    images = train[0][:, 0].double() / 255
    assert 0.11 < images.mean() < 0.15  # MNIST: 0.13
    per_image = images.mean((1, 2))
    assert per_image.min() > 0.01 and per_image.max() < 0.45
    assert images.amax((1, 2)).min() > 0.7  # every digit has a clear stroke
    inner = images[:, 1:-1, 1:-1]
    border = (images.sum() - inner.sum()) / (len(images) * 4 * (SIZE - 1))
    assert border < 0.001  # MNIST: 0.0002


def test_edges_are_soft_but_narrow(train: tuple[Tensor, Tensor]) -> None:
    images = pixels(train[0])
    between = ((images > 0.05) & (images < 0.95)).double().mean()
    assert 0.07 < between < 0.16  # MNIST: 0.10; 0 without antialiasing
    assert images.eq(0).double().mean() > 0.6  # paper is black, without noise


def test_digits_are_centred(train: tuple[Tensor, Tensor]) -> None:
    ink = train[0][:, 0].double()
    place = torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2
    total = ink.sum((1, 2))
    for centre in ((ink.sum(1) * place).sum(1) / total, (ink.sum(2) * place).sum(1) / total):
        assert centre.mean().abs() < 1
        assert 0.4 < centre.std() < 2.5  # px


def test_nearest_mean_classifies_most_digits(
    train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]
) -> None:
    images, labels = pixels(train[0][:5000]), train[1][:5000]
    means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
    guess = torch.cdist(pixels(held_out[0][:1000]), means).argmin(1)
    right = guess == held_out[1][:1000]
    assert 0.65 < right.double().mean() < 0.92  # MNIST: 0.77
    for digit in range(10):
        assert right[held_out[1][:1000] == digit].double().mean() > 0.45


def test_nearest_neighbour_classifies_the_digits(
    train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]
) -> None:
    distance = torch.cdist(pixels(held_out[0][:1000]).float(), pixels(train[0]).float())
    guess = train[1][distance.argmin(1)]
    assert 0.92 < (guess == held_out[1][:1000]).double().mean() < 0.99  # MNIST: 0.92


def test_pca_error_is_like_mnist(
    train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]
) -> None:
    images, others = pixels(train[0]), pixels(held_out[0])
    mean = images.mean(0)
    images, others = images - mean, others - mean
    directions = torch.linalg.eigh(images.T @ images).eigenvectors.flip(1)  # by falling variance
    for d, mnist in MNIST_ERROR.items():
        kept = others @ directions[:, :d]
        error = (others.square().sum() - kept.square().sum()).item() / others.numel()
        assert 0.8 < error / mnist < 1.25, f"{d} components: {error:.5f}, MNIST {mnist}"
