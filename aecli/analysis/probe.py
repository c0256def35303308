"""Linear probes: classifiers trained on frozen codes, PCA codes and pixels."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.baselines.pca import pca_of
from aecli.data import Data, Split
from aecli.data.images import NO_FOLDER
from aecli.errors import DataError, UsageError
from aecli.figures import Accuracy, accuracy_by_labels
from aecli.latent.linear_probe import (
    Standardizer,
    class_count,
    fit_classifier,
    flat_pixels,
    has_classes,
)
from aecli.runs.trained import Trained
from aecli.text import MAX_SHOWN, escaped, shortened

DEFAULT_LABELS = (10, 100)  # labelled images per class

Features = Callable[[Tensor], Tensor]
"""uint8 images (N, C, H, W) -> features (N, D)."""


@dataclass(frozen=True)
class Probe:
    """Accuracy of linear classifiers on the test images."""

    accuracies: dict[str, list[Accuracy]]
    """By features, as in `feature_functions`: one for each entry of `per_class`, then one with all
    labels."""
    per_class: list[int]
    """Labelled training images per class, ascending."""


def probe(trained: Trained, labels: str | None, draws: int, seed: int) -> Probe:
    """Train linear classifiers on the codes of a run, on PCA codes and on pixels.

    Args:
        trained: a finished run.
        labels: labelled images per class, as in "10,100"; None for `default_labels`.
        draws: random subsets for each of these numbers.
        seed: of the first subset; each further one takes the next seed.

    Raises:
        UsageError: `labels` or `draws` is not valid, or the training images are all of one class.
        DataError: the user's own images are of other classes than the training images.
    """
    data = trained.data()
    if draws < 1:
        raise UsageError(f"draws={draws} is not valid: give 1 or more")
    if not has_classes(data.train):
        raise UsageError(
            f"the images of {data.name} are all of one class, and a probe tells classes apart: "
            f"give a run on images with labels"
        )
    if trained.own:
        data = replace(data, test=match_labels(data.test, data.train))
    per_class = default_labels(data.train) if labels is None else read_labels(labels, data.train)
    subsets = [
        [draw_balanced(data.train, count, seed + draw) for draw in range(draws)]
        for count in per_class
    ]
    accuracies = {
        name: measure_accuracy(features, data, subsets)
        for name, features in feature_functions(trained, data).items()
    }
    return Probe(accuracies, per_class)


def match_labels(own: Split, train: Split) -> Split:
    """The user's `own` images, with the labels that their classes have in the training set.

    Raises:
        DataError: a folder is not named after a class of the training set.
    """
    labels = {name: label for label, name in enumerate(train.classes)}
    for name in own.classes:
        if name not in labels:
            where = "in no folder" if name == NO_FOLDER else f"in a folder {escaped(name)}"
            raise DataError(
                f"there are images {where}, which is no class that the run knows: put each into "
                f"a folder that is named after its class: {escaped(', '.join(labels))}"
            )
    new_labels = torch.tensor([labels[name] for name in own.classes], device=own.labels.device)
    return Split(own.images, new_labels[own.labels], train.classes)


def feature_functions(trained: Trained, data: Data) -> dict[str, Features]:
    """The codes, and the features to compare them with: as many PCA codes, and the pixels."""
    latent = trained.config.latent
    pca = pca_of(data.train, latent)
    return {
        "codes": trained.codes,
        "pca": lambda images: pca.codes(images, latent),
        "pixels": flat_pixels,
    }


def feature_names(latent: int) -> dict[str, str]:
    """Display names of the `feature_functions`."""
    return {"codes": f"codes, {latent}", "pca": f"PCA codes, {latent}", "pixels": "pixels"}


def default_labels(split: Split) -> list[int]:
    """The `DEFAULT_LABELS` that are fewer than the images of the smallest class of `split`."""
    smallest = int(_class_sizes(split).min())
    return [count for count in DEFAULT_LABELS if count < smallest]


def read_labels(text: str, split: Split) -> list[int]:
    """`10,100` as numbers of images per class, ascending and without duplicates.

    Raises:
        UsageError: it is not a list of positive numbers, or a class of `split` has fewer images.
    """
    smallest = int(_class_sizes(split).min())
    counts = set()
    for part in text.split(","):
        count = part.strip()
        if not count.isdecimal() or len(count) > MAX_SHOWN or int(count) == 0:
            raise UsageError(
                f"labels={shortened(text)} is not valid: give images of each class, as in 10,100"
            )
        if int(count) > smallest:
            raise UsageError(
                f"labels={text} is not valid: the smallest class has {smallest} training images"
            )
        counts.add(int(count))
    return sorted(counts)


def _class_sizes(split: Split) -> Tensor:
    """Images per class, of the classes that occur."""
    _, counts = split.labels.unique(return_counts=True)
    return torch.as_tensor(counts)


def draw_balanced(split: Split, per_class: int, seed: int) -> Tensor:
    """Indices of `per_class` different images of each of the K classes: (K per_class,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = split.labels.cpu()
    indices = []
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        indices.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    return torch.cat(indices).to(split.labels.device)


def measure_accuracy(features: Features, data: Data, subsets: list[list[Tensor]]) -> list[Accuracy]:
    """Accuracy on the test images of classifiers trained on subsets of the training images.

    Features are standardised on all training images in every case: that needs no labels.

    Args:
        features: what to classify by.
        data: training and test images.
        subsets: groups of index tensors, equally long within a group.

    Returns:
        Mean and standard deviation for each group, then the accuracy with all labels.
    """
    train, test = features(data.train.images), features(data.test.images)
    labels, units = data.train.labels, Standardizer.fit(train)
    classes = max(class_count(data.train), class_count(data.test))

    def accuracy(subset: Tensor | slice) -> float:
        classifier = fit_classifier(train[subset], labels[subset], classes, units)
        return classifier.accuracy(test, data.test.labels)

    with_all = Accuracy(len(train), accuracy(slice(None)), None)
    return [*(_summary([accuracy(each) for each in group], group) for group in subsets), with_all]


def _summary(accuracies: list[float], subsets: list[Tensor]) -> Accuracy:
    """Mean and standard deviation over several subsets."""
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return Accuracy(len(subsets[0]), statistics.fmean(accuracies), std)


def figure(title: str, accuracies: dict[str, list[Accuracy]], latent: int) -> Figure:
    """Accuracy by number of labels, a line for each kind of features."""
    names = feature_names(latent)
    return accuracy_by_labels(title, {names[kind]: each for kind, each in accuracies.items()})
