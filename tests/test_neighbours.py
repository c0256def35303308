"""The nearest neighbours: those that scikit-learn finds, and the class that most of them are of."""

from pathlib import Path

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from aecli.config import DataConfig
from aecli.data import load_data
from aecli.latent import neighbours
from aecli.latent.linear_probe import flat_pixels
from aecli.latent.neighbours import majority, nearest_neighbours, neighbour_accuracy


def clouds(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two overlapping clouds in five dimensions, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    return torch.randn(count, 5, generator=generator) + labels.unsqueeze(1) + 1000, labels


def test_neighbours_on_a_line_are_found_with_the_nearest_first() -> None:
    others = torch.tensor([[0.0], [10.0], [4.0], [7.0]])
    found = nearest_neighbours(torch.tensor([[3.0], [9.0], [-5.0]]), others, 3)
    assert found.tolist() == [[2, 0, 3], [1, 3, 2], [0, 2, 3]]


def test_the_neighbours_and_their_vote_are_those_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "CHUNK_NUMBERS", 7 * 300)  # seven rows at a time
    (known, known_labels), (rows, labels) = clouds(300, 0), clouds(100, 1)
    for k in (1, 9, 300):
        theirs = KNeighborsClassifier(k).fit(known.double().numpy(), known_labels.numpy())
        places = torch.from_numpy(theirs.kneighbors(rows.double().numpy(), return_distance=False))
        found = nearest_neighbours(rows, known, k)
        assert (found == places).double().mean() > 0.99  # single precision may swap two
        expected = theirs.score(rows.double().numpy(), labels.numpy())
        assert neighbour_accuracy(rows, labels, known, known_labels, k) == pytest.approx(expected)
    assert 0.7 < neighbour_accuracy(rows, labels, known, known_labels, 9) < 1


def test_the_majority_wins_and_a_tie_goes_to_the_nearest() -> None:
    votes = torch.tensor([[3, 1, 1, 2], [2, 1, 1, 2], [1, 2, 2, 1], [0, 5, 4, 3], [7, 7, 7, 7]])
    assert majority(votes).tolist() == [1, 2, 1, 0, 7]


def test_separate_classes_are_classified_and_overlapping_ones_guessed() -> None:
    known = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.0, 5.1]])
    labels = torch.tensor([4, 4, 2, 2])
    rows = torch.tensor([[0.0, 0.1], [4.9, 5.0], [0.2, 0.0], [5.0, 4.0]])
    assert neighbour_accuracy(rows, torch.tensor([4, 2, 4, 2]), known, labels, 2) == 1
    assert neighbour_accuracy(rows, torch.tensor([4, 4, 4, 2]), known, labels, 2) == 0.75


def test_three_neighbours_in_pixels_are_as_good_as_published(mnist_dir: Path) -> None:
    # 97.05 % of all 10,000 test images by all 60,000 training images; this rule, in which the
    # nearest decides a tie, has 97.17 %, and 96.5 % of the first thousand.
    data = load_data(DataConfig("mnist", val_size=0), mnist_dir, torch.device("cpu"))
    test = data.test[:1000]
    pixels = flat_pixels(data.train.images)
    found = neighbour_accuracy(flat_pixels(test.images), test.labels, pixels, data.train.labels, 3)
    assert len(pixels) == 60_000 and found == pytest.approx(0.965, abs=0.0005)
