"""PCA and the mean image, on images with a known answer and on MNIST."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aecli.baselines import pca as baselines
from aecli.baselines.pca import PCA, fit_pca, pca_of
from aecli.config import DataConfig
from aecli.data import Split, load_data
from aecli.data.synthetic import synthetic_digits
from aecli.evaluation.metrics import corrupted_batches, mse_of_each

GENERATOR = torch.Generator()


def plane() -> Tensor:
    """Grey images that differ along two directions only: a stripe up or down, another too."""
    images = torch.full((4, 1, 3, 4), 100, dtype=torch.uint8)
    images[0, :, 0] += 50
    images[1, :, 0] -= 50
    images[2, :, 1] += 20
    images[3, :, 1] -= 20
    return images


def mse(images: Tensor, latent: int) -> float:
    return error(fit_pca(images), images, latent)


def error(pca: PCA, images: Tensor, latent: int) -> float:
    reconstruct = partial(pca.reconstruct, latent=latent)
    batches = corrupted_batches(images, None, GENERATOR)
    errors = mse_of_each((pixels, reconstruct(inputs)) for pixels, inputs in batches)
    return errors.double().mean().item()


def test_two_components_are_enough_for_images_that_differ_in_two_ways() -> None:
    assert mse(plane(), 2) == pytest.approx(0, abs=1e-10)


def test_the_first_component_takes_the_larger_difference() -> None:
    # left over: the stripe of 20, in 4 of 12 pixels of 2 of 4 images
    assert mse(plane(), 1) == pytest.approx((20 / 255) ** 2 * 4 / 12 * 2 / 4, rel=1e-4)


def test_no_component_is_the_mean_image() -> None:
    images = plane()
    assert fit_pca(images).mean.tolist() == pytest.approx([100 / 255] * 12)
    # stripes of 4 in 12 pixels: of 50 in two images of four, of 20 in the other two
    assert mse(images, 0) == pytest.approx((50**2 + 20**2) / 255**2 * 4 / 12 * 2 / 4, rel=1e-4)


def test_a_code_larger_than_the_image_is_perfect() -> None:
    images = torch.randint(0, 256, (50, 1, 3, 4), dtype=torch.uint8)
    assert mse(images, 1000) == pytest.approx(0, abs=1e-10)


def test_components_are_orthonormal_and_those_of_the_singular_value_decomposition() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (300, 2, 3, 4), dtype=torch.uint8, generator=generator)
    pca = fit_pca(images)
    rows = images.flatten(1).numpy() / 255
    expected = np.linalg.svd(rows - rows.mean(0))[2]
    products = pca.components.numpy() @ expected.T  # the sign of a component is free
    assert np.abs(products) == pytest.approx(np.eye(24), abs=1e-3)


def test_fewer_images_than_pixels_are_enough() -> None:
    # strokes on black: most pixels never vary, and most eigenvalues are zero
    images, _ = synthetic_digits(256, seed=0)
    assert mse(images, 784) == pytest.approx(0, abs=1e-9)
    assert mse(images, 255) == pytest.approx(0, abs=1e-9)
    assert mse(images, 100) > 1e-4


def test_the_fit_is_kept_for_the_same_images() -> None:
    split = Split(plane(), torch.zeros(len(plane()), dtype=torch.int64))
    assert pca_of(split) is pca_of(split)
    assert pca_of(split[:]) is not pca_of(split)


# Published and computed for MNIST with pixels in [0, 1]: PCA fitted on the 60,000 training images,
# reconstructions clipped to [0, 1], mean squared error on the 10,000 test images.
MNIST = {2: 0.055474, 5: 0.043870, 8: 0.036412, 25: 0.018623, 32: 0.015207, 125: 0.003509}


def test_pca_of_mnist_is_the_published_one(mnist_dir: Path) -> None:
    data = load_data(DataConfig("mnist"), mnist_dir, torch.device("cpu"))
    pca = fit_pca(data.train.images)
    for latent, expected in MNIST.items():
        assert error(pca, data.test.images, latent) == pytest.approx(expected, rel=0.01)
    assert error(pca, data.test.images, 0) == pytest.approx(0.06747, rel=0.001)  # the mean image


def test_few_large_images_have_the_components_of_the_singular_value_decomposition() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 8, 9), dtype=torch.uint8, generator=generator)
    pca = fit_pca(images)
    rows = images.flatten(1).numpy() / 255
    expected = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:19]  # 20 less the mean
    assert pca.components.shape == (19, 3 * 8 * 9)
    products = pca.components.numpy() @ expected.T  # the sign of a component is free
    assert np.abs(products) == pytest.approx(np.eye(19), abs=1e-3)
    assert mse(images, 18) > 1e-5 and mse(images, 19) == pytest.approx(0, abs=1e-10)


def test_identical_images_have_no_components() -> None:
    images = torch.full((3, 1, 8, 8), 200, dtype=torch.uint8)
    assert len(fit_pca(images).components) == 0
    assert mse(images, 5) == pytest.approx(0, abs=1e-10)


def test_many_large_images_have_their_leading_components(
    mnist_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(DataConfig("mnist", train_size=20_000), mnist_dir, torch.device("cpu"))
    exact = fit_pca(data.train.images)
    monkeypatch.setattr(baselines, "MAX_EXACT", 100)
    monkeypatch.setattr(baselines, "MIN_LEADING", 32)
    for latent, count in ((8, 32), (40, 40)):
        pca = fit_pca(data.train.images, latent)
        assert pca.components.shape == (count, 784)
        products = pca.components @ pca.components.T
        assert torch.allclose(products, torch.eye(count), atol=1e-4)
        for size in (0, 1, 8, 25, count):
            ours, theirs = (error(each, data.test.images, size) for each in (pca, exact))
            assert ours == pytest.approx(theirs, rel=1e-3)
    assert fit_pca(data.train.images, 8) is not exact


def test_bright_images_of_little_contrast_have_their_best_components() -> None:
    # Grey levels of 230 with a standard deviation of about one, in eight directions, and rounding.
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(3000, 8, generator=generator) * torch.linspace(1, 0.2, 8)
    directions = torch.randn(8, 256, generator=generator)
    noise = 0.3 * torch.randn(3000, 256, generator=generator)
    images = (230 + codes @ directions / 2 + noise).round().to(torch.uint8).reshape(-1, 1, 16, 16)
    deviations = np.linalg.svd(images.flatten(1).numpy() / 255 - fit_pca(images).mean.numpy())[1]
    for latent in (4, 8, 64):
        # What the other components leave: the squares of their singular values.
        left_over = (deviations[latent:] ** 2).sum() / (3000 * 256)
        assert mse(images, latent) == pytest.approx(left_over, rel=1e-4)
