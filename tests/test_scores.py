"""Models and their baselines: which images each gets, and what is shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from aecli.baselines.contestants import Reconstruct, baselines
from aecli.cli.compose import compose
from aecli.config import TrainConfig
from aecli.data import Data, Split
from aecli.evaluation.examples import (
    ExampleImages,
    epochs_figure,
    example_images,
    followed_epochs,
    reconstruction_figure,
)
from aecli.evaluation.scores import (
    EXTREMES,
    SplitScores,
    checkerboard_period,
    make_reconstruct_fn,
    pca_curve_sizes,
    reference_scores,
    score_test_split,
)
from aecli.models import Autoencoder
from aecli.training.loop import new_model
from tests.scores import score
from tests.test_conf import some_data


def grey() -> Data:
    """Images of one grey, on which noise is not clipped."""
    images = torch.full((64, 1, 28, 28), 128, dtype=torch.uint8)
    split = Split(images, torch.zeros(64, dtype=torch.int64))
    return Data("grey", "grey", "grey", "a test", None, split, split, split)


class Constant(Autoencoder):
    """Answers one value, in the units that the model is trained in."""

    def __init__(self, value: float) -> None:
        super().__init__((1, 28, 28), latent=1)
        self.value = value

    def forward(self, images: Tensor) -> Tensor:
        return torch.full_like(images, self.value)


def test_outputs_are_mapped_back_to_pixels_and_clipped() -> None:
    config = compose(["data.mean=0.25", "data.std=0.5"])
    pixels = torch.zeros(2, 1, 28, 28)
    for value, expected in ((0.5, 0.5), (-2.0, 0.0), (5.0, 1.0)):  # value * 0.5 + 0.25, clipped
        output = make_reconstruct_fn(Constant(value), config)(pixels)
        assert output.unique().tolist() == [expected]


def test_a_model_is_evaluated_without_the_noise_of_batch_statistics() -> None:
    config, data = compose(["model=denoising", "corruption=none"]), some_data()
    reconstruct = make_reconstruct_fn(new_model(config, data).train(), config)
    alone = reconstruct(torch.full((1, 1, 28, 28), 0.3))
    together = reconstruct(torch.cat([torch.full((1, 1, 28, 28), 0.3), torch.rand(3, 1, 28, 28)]))
    assert torch.allclose(alone[0], together[0], atol=1e-6)


def test_the_corrupted_input_scores_the_variance_of_its_noise() -> None:
    config, data = compose(["corruption=gaussian", "corruption.noise_std=0.1"]), grey()
    rivals = baselines(config, data)
    assert set(rivals) == {"pca", "mean_image", "corrupted_input"}
    assert score(config, rivals["corrupted_input"], data.test).mse == pytest.approx(0.01, rel=0.02)
    # PCA of images that are all alike answers their mean, whatever it is shown
    assert score(config, rivals["mean_image"], data.test).mse == pytest.approx(0, abs=1e-9)


def test_without_a_corruption_there_is_no_corrupted_input() -> None:
    assert set(baselines(compose([]), some_data())) == {"pca", "mean_image"}


def test_the_noise_of_a_score_is_the_same_every_time() -> None:
    config, data = compose(["corruption=gaussian"]), some_data()
    identity = baselines(config, data)["corrupted_input"]
    assert score(config, identity, data.test) == score(config, identity, data.test)
    other = replace(config, seed=1)
    assert score(config, identity, data.test) != score(other, identity, data.test)


def test_reference_scores_are_on_the_validation_images() -> None:
    config, data = compose(["corruption=gaussian"]), some_data()
    found, rivals = reference_scores(config, data), baselines(config, data)
    assert list(found.mse) == ["pca", "mean_image", "corrupted_input"]
    for name, mse in found.mse.items():
        assert mse == score(config, rivals[name], data.validation).mse


def test_one_pass_finds_the_score_of_each_contestant() -> None:
    config, data = compose(["corruption=gaussian"]), some_data()
    rivals = {"model": lambda pixels: pixels / 2, **baselines(config, data)}
    found = score_test_split(config, data, rivals["model"])
    assert list(found.scores) == list(rivals)
    for name, each in found.scores.items():
        assert each == score(config, rivals[name], data.test)
    assert found.pca_curve == {}


def curve(config: TrainConfig, data: Data) -> dict[int, float]:
    """The mse of PCA on the test images at each size of its curve."""
    return score_test_split(config, data, torch.zeros_like, pca_curve_sizes(config, data)).pca_curve


def test_the_pca_curve_is_at_powers_of_two_below_the_image_size() -> None:
    config, data = compose(["latent=4"]), some_data((1, 4, 5))
    found = curve(config, data)
    assert list(found) == [1, 2, 4, 8, 16]
    pca = score(config, baselines(config, data)["pca"], data.test).mse
    assert found[4] == pytest.approx(pca, rel=1e-6)  # but for the order of sums
    assert sorted(found.values(), reverse=True) == list(found.values())
    assert 32 not in curve(config, some_data((1, 4, 8)))  # 32 numbers: nothing is left out


def test_the_curve_of_pca_ends_with_its_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aecli.baselines.pca.MAX_EXACT", 10)  # numbers in an image
    monkeypatch.setattr("aecli.baselines.pca.MIN_LEADING", 3)
    data = some_data((1, 4, 5))
    assert list(curve(compose(["latent=2"]), data)) == [1, 2]
    assert list(curve(compose(["latent=8"]), data)) == [1, 2, 4, 8]


def scored(images: Tensor, reconstruct: Reconstruct = torch.zeros_like) -> SplitScores:
    """The scores of a model on test images."""
    _, channels, height, width = images.shape
    test = Split(images, torch.zeros(len(images)))
    data = replace(some_data((channels, height, width)), test=test)
    return score_test_split(compose([]), data, reconstruct)


def test_the_best_and_the_worst_images_are_found_with_their_outputs() -> None:
    # image i has the grey i, and the answer is black: the error grows with i
    greys = torch.arange(250, dtype=torch.uint8)[torch.randperm(250)]
    images = greys.reshape(250, 1, 1, 1).expand(250, 1, 2, 2).repeat(3, 1, 1, 1)  # three batches
    seen = scored(images).extremes
    best, worst = seen.best, seen.worst
    assert (best.pixels[:, 0, 0, 0] * 255).round().tolist() == [0, 0, 0, 1, 1]
    assert (worst.pixels[:, 0, 0, 0] * 255).round().tolist() == [249, 249, 249, 248, 248]
    assert worst.mse[0].item() == pytest.approx((249 / 255) ** 2)
    assert worst.outputs.unique().tolist() == [0]


def test_the_mean_image_and_the_mean_of_the_outputs_are_over_all_images() -> None:
    # 501 images, the last one white in a batch of its own, and answers half as bright
    images = torch.zeros(501, 1, 2, 3, dtype=torch.uint8)
    images[-1] = 255
    seen = scored(images, lambda pixels: pixels / 2).extremes
    assert seen.mean.pixels.shape == seen.mean.outputs.shape == (1, 1, 2, 3)
    assert seen.mean.pixels.flatten().tolist() == pytest.approx([1 / 501] * 6)
    assert seen.mean.outputs.flatten().tolist() == pytest.approx([0.5 / 501] * 6)


@pytest.mark.parametrize(
    ("line", "period"),
    [
        ("model=fc", 2),  # the commonest stride
        ("model=deep", 2),
        ("model=conv model.layers.0.stride=3", 3),  # the outermost of the encoder
        ("model=conv model.layers.0.stride=1 model.layers.1.stride=4", 4),
        ("model=conv model.layers.1.stride=3", 2),
        ("model=conv model.layers=[]", 2),
    ],
)
def test_the_grid_is_that_of_the_last_upsampling_layer(line: str, period: int) -> None:
    assert checkerboard_period(compose(line.split()).model) == period


def test_the_originals_have_a_checkerboard_score_too() -> None:
    chequers = (torch.arange(12).unsqueeze(1) + torch.arange(12)) % 2 * 255
    images = chequers.to(torch.uint8).expand(501, 1, 12, 12)
    assert scored(images).checkerboard_of_originals == pytest.approx(1)


def test_there_may_be_fewer_images_than_extremes() -> None:
    images = torch.tensor([3, 1, 2], dtype=torch.uint8).reshape(3, 1, 1, 1)
    seen = scored(images).extremes
    best, worst = seen.best, seen.worst
    assert len(images) < EXTREMES
    assert (best.pixels.flatten() * 255).round().tolist() == [1, 2, 3]
    assert (worst.pixels.flatten() * 255).round().tolist() == [3, 2, 1]


def test_pictures_show_the_first_image_of_each_class() -> None:
    labels = torch.tensor([1, 1, 0, 2, 0, 2, 2, 1, 0, 1, 1, 1])
    images = torch.arange(12, dtype=torch.uint8).reshape(12, 1, 1, 1)
    shown = example_images(compose([]), Split(images, labels))
    expected = [2, 0, 3, 1, 4, 5, 6, 7, 8, 9]  # of 0, 1, 2, then the others in their order
    assert (shown.pixels.flatten() * 255).round().tolist() == expected
    assert not shown.are_corrupted


def test_example_images_have_the_noise_for_examples() -> None:
    line = ["corruption=gaussian", "corruption.noise_std=0", "corruption.example_noise_std=0.1"]
    shown = example_images(compose(line), grey().test)
    assert shown.are_corrupted
    assert (shown.inputs - shown.pixels).std().item() == pytest.approx(0.1, rel=0.05)


def labels_of(shown: ExampleImages) -> list[str]:
    figure = reconstruction_figure("title", shown, {"copy": shown.pixels})
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_picture_has_the_corruption_where_there_is_one_and_the_errors() -> None:
    pixels = torch.rand(3, 1, 8, 8)
    damaged = ExampleImages(pixels, pixels / 2)
    assert labels_of(damaged) == [
        "original", "corrupted", "copy, mse", "absolute error", "scale of errors",
    ]  # fmt: skip
    assert labels_of(ExampleImages(pixels, pixels)) == [
        "original", "copy, mse", "absolute error", "scale of errors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("epochs", "followed"),
    [
        ([1, 5, 10, 15, 20, 25], [5, 10, 15, 20, 25]),  # as in the lecture
        ([1, 5, 10, 15, 20, 25, 30, 40, 50], [10, 20, 30, 40, 50]),  # trained further
        ([1, 5, 10, 12], [1, 5, 10, 12]),  # stopped early, or closed
        ([1, 2, 4, 5, 6], [1, 2, 4, 5, 6]),
        ([1, 2], [1, 2]),
        ([1], [1]),
    ],
)
def test_epochs_are_followed_at_even_distances(epochs: list[int], followed: list[int]) -> None:
    assert followed_epochs(epochs) == followed


def test_inputs_are_above_the_outputs_of_each_epoch() -> None:
    clean = torch.linspace(0, 0.4, 10).reshape(10, 1, 1, 1).expand(10, 1, 8, 8)
    shown = ExampleImages(clean, clean + 0.5)
    outputs = {epoch: torch.full((10, 1, 8, 8), epoch / 100) for epoch in (1, 5, 10, 15, 20, 25)}
    figure = epochs_figure("title", shown, outputs)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [
        text for epoch in (5, 10, 15, 20, 25) for text in (f"epoch {epoch}: input", "output")
    ]
    pixels = np.asarray(axes.images[0].get_array())[..., 0]
    rows, columns = (np.array(pixels.shape) / 10).astype(int)  # of 8 pixels and their gap each
    assert (rows, columns) == (10, 9)
    for row, epoch in enumerate((5, 10, 15, 20, 25)):
        assert np.allclose(pixels[20 * row + 4, 4::10], clean[:9, 0, 0, 0] + 0.5)  # what goes in
        assert np.allclose(pixels[20 * row + 14, 4::10], epoch / 100)
