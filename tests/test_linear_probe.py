"""The linear classifier: scikit-learn's solution, and what it can and cannot tell apart."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from aecli.data import Split
from aecli.data.synthetic_cache import load_synthetic
from aecli.latent import linear_probe
from aecli.latent.density import frechet_distance, gaussian
from aecli.latent.linear_probe import (
    PENALTY,
    LinearClassifier,
    Standardizer,
    fit_classifier,
    fit_to_pixels,
    flat_pixels,
    has_classes,
)


def clouds(count: int = 400, apart: float = 1.5) -> tuple[Tensor, Tensor]:
    """Three overlapping clouds in four dimensions."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    features = torch.randn(count, 4, generator=generator)
    features[:, :3] += apart * torch.eye(3)[labels]
    return features * torch.tensor([1.0, 10.0, 0.5, 3.0]) + 5, labels


def test_the_solution_is_that_of_scikit_learn() -> None:
    features, labels = clouds()
    units = Standardizer.fit(features)
    found = fit_classifier(features, labels, 3, units)
    rows = ((features - units.mean) / units.deviation).double().numpy()
    theirs = LogisticRegression(C=1 / (len(rows) * PENALTY), tol=1e-8, max_iter=1000)
    theirs.fit(rows, labels.numpy())
    expected = torch.from_numpy(theirs.predict_proba(rows)).float()
    assert torch.allclose(found.logits(features).softmax(1), expected, atol=2e-3)
    assert torch.allclose(
        found.weights * units.deviation, torch.from_numpy(theirs.coef_).float(), atol=0.02
    )


@pytest.mark.parametrize("count", [30, 41])
def test_fewer_rows_than_features_have_the_same_solution(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(count, 40, generator=generator) + 2, torch.arange(count) % 3
    units = Standardizer.fit(features)
    found = fit_classifier(features, labels, 3, units)
    rows = ((features - units.mean) / units.deviation).double().numpy()
    theirs = LogisticRegression(C=1 / (len(rows) * PENALTY), tol=1e-8, max_iter=10_000)
    theirs.fit(rows, labels.numpy())
    assert torch.allclose(
        found.weights * units.deviation, torch.from_numpy(theirs.coef_).float(), atol=0.01
    )


def test_large_images_are_fitted_in_as_few_numbers_as_there_are_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[int] = []
    lbfgs = torch.optim.LBFGS

    def recorded(parameters: list[Tensor], **options: Any) -> torch.optim.LBFGS:
        fitted.extend(each.shape[1] for each in parameters)
        return lbfgs(parameters, **options)

    monkeypatch.setattr(torch.optim, "LBFGS", recorded)
    features = torch.rand(6, 3 * 512 * 512, generator=torch.Generator().manual_seed(0))
    fit_classifier(features, torch.arange(6) % 2, 2, Standardizer.fit(features))
    assert fitted == [6, 1]


def test_linearly_separable_clouds_are_classified() -> None:
    features, labels = clouds(apart=20)
    assert (
        fit_classifier(features, labels, 3, Standardizer.fit(features)).accuracy(features, labels)
        == 1
    )


def test_clouds_separated_by_a_curve_are_not_classified() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    found = fit_classifier(corners, torch.tensor([0, 0, 1, 1]), 2, Standardizer.fit(corners))
    assert torch.allclose(found.logits(corners).softmax(1), torch.tensor(0.5), atol=1e-3)


def test_without_information_the_class_frequencies_are_predicted() -> None:
    labels = torch.tensor([0, 1, 1, 1])
    found = fit_classifier(torch.ones(4, 2), labels, 2, Standardizer.fit(torch.ones(4, 2)))
    logits = found.logits(torch.ones(1, 2))
    assert (logits[0, 1] - logits[0, 0]).item() == pytest.approx(math.log(3), abs=1e-2)


def test_the_largest_linear_function_wins() -> None:
    found = LinearClassifier(torch.tensor([[1.0], [-1.0]]), torch.tensor([0.0, 1.0]))
    features = torch.tensor([[0.0], [0.4], [0.6], [2.0]])
    assert found.logits(features)[1].tolist() == pytest.approx([0.4, 0.6])
    assert found.accuracy(features, torch.tensor([1, 1, 0, 1])) == 0.75


def test_standardising_makes_scale_and_offset_irrelevant() -> None:
    features, labels = clouds()
    other = features * torch.tensor([100.0, 100.0, 100.0, 100.0]) - 7
    first = fit_classifier(features, labels, 3, Standardizer.fit(features)).logits(features)
    second = fit_classifier(other, labels, 3, Standardizer.fit(other)).logits(other)
    assert torch.allclose(first, second, atol=0.02)


def test_a_feature_that_hardly_varies_is_not_blown_up() -> None:
    features = torch.zeros(200, 2)
    features[::2, 0], features[0, 1] = 2.0, 2.0  # the second is on once
    units = Standardizer.fit(features)
    # Its deviation is 2 sqrt(199) / 200, which is more than a tenth of the other's.
    assert units.mean.tolist() == pytest.approx([1, 0.01])
    assert units.deviation.tolist() == pytest.approx([1, 2 * math.sqrt(199) / 200], rel=1e-4)
    features[0, 1] = 0.1  # now a twentieth of that, and counted as a tenth of the mean of both
    assert Standardizer.fit(features).deviation[1].item() == pytest.approx(
        0.1 * math.sqrt(0.5), rel=1e-4
    )


def test_the_pixels_of_a_split_are_classified() -> None:
    levels = torch.tensor([0, 255, 10, 250], dtype=torch.uint8).reshape(4, 1, 1, 1)
    images = levels.expand(4, 3, 2, 5).clone()
    images[0, 2, 1, 4] = 51
    assert flat_pixels(images).shape == (4, 30)
    assert flat_pixels(images)[0, -1].item() == pytest.approx(0.2)  # C, H, W: the last of all
    found = fit_to_pixels(Split(images, torch.tensor([0, 1, 0, 1])))
    assert found.logits(flat_pixels(images)).argmax(1).tolist() == [0, 1, 0, 1]


def test_a_single_class_needs_no_classifier() -> None:
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    assert has_classes(Split(images, torch.tensor([0, 4, 4])))
    assert not has_classes(Split(images, torch.tensor([4, 4, 4])))


def test_the_fit_ends_where_distances_between_logits_no_longer_change(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = load_synthetic(data_dir).train[:2000]
    pixels = flat_pixels(split.images)
    torch.manual_seed(0)
    noisy = (pixels + 0.2 * torch.randn(pixels.shape)).clamp(0, 1)

    def distance() -> float:
        classifier = fit_to_pixels(split)
        return frechet_distance(*(gaussian(classifier.logits(each)) for each in (pixels, noisy)))

    found = distance()
    monkeypatch.setattr(linear_probe, "GRADIENT_TOLERANCE", 2e-7)
    assert found == pytest.approx(distance(), rel=1e-2)
