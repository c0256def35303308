"""Linear probes: classifiers trained on frozen codes, PCA codes and pixels."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.analysis.denoise import names_with_noise
from aecli.baselines.pca import pca_of
from aecli.comparison.significance import over_pairs
from aecli.config.choices import TEST, TRAIN
from aecli.data import Data, Split
from aecli.data.images import NO_FOLDER
from aecli.errors import DataError, UsageError
from aecli.errors.text import MAX_SHOWN, counted, escaped, shape_text, shortened
from aecli.evaluation.proportions import CONFIDENCE, interval, mcnemar
from aecli.figures import Accuracy, accuracy_by_labels
from aecli.latent.linear_probe import (
    Standardizer,
    class_count,
    fit_classifier,
    flat_pixels,
    has_classes,
)
from aecli.runs.summary import image_fingerprints
from aecli.runs.trained import Trained

DEFAULT_LABELS = (10, 100)  # labelled images per class
MIN_P = 0.0001  # below which no p-value is shown

Features = Callable[[Tensor], Tensor]
"""uint8 images (N, C, H, W) -> features (N, D)."""


@dataclass(frozen=True)
class ProbeScores:
    """How well a linear classifier does on some features."""

    accuracies: list[Accuracy]
    """One for each number of labels per class, then one with all labels."""
    by_draw: list[list[float]]
    """For each number of labels per class the accuracy of each random set."""
    correct: Tensor  # (N,) bool: the test images that are classified correctly, with all labels


@dataclass(frozen=True)
class Probe:
    """Accuracy of linear classifiers on the test images."""

    measured: dict[str, ProbeScores]
    """By features, as in `feature_functions`."""
    per_class: list[int]
    """Labelled training images per class, ascending."""

    @property
    def accuracies(self) -> dict[str, list[Accuracy]]:
        """By features: one for each entry of `per_class`, then one with all labels."""
        return {name: each.accuracies for name, each in self.measured.items()}


def probe(
    trained: Trained, labels: str | None, draws: int, seed: int, others: Sequence[Trained] = ()
) -> Probe:
    """Train linear classifiers on the codes of a run and of `others`, on PCA codes and on pixels.

    Args:
        trained: a finished run.
        labels: labelled images per class, as in "10,100"; None for `default_labels`.
        draws: random subsets for each of these numbers.
        seed: of the first subset; each further one takes the next seed.
        others: finished runs on the same images; see `check_same_data`.

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
    measured = {
        name: measure(features, data, subsets)
        for name, features in feature_functions(trained, data, others).items()
    }
    return Probe(measured, per_class)


def check_same_data(models: Sequence[Trained]) -> None:
    """Check that all models were trained and tested on the images and labels of the first.

    Raises:
        UsageError: one of them was not; the message says what differs.
    """
    first, *others = [model.run.load_summary() for model in models]
    for model, other in zip(models[1:], others, strict=True):
        ours, theirs = _describe_data(first), _describe_data(other)
        reason = f"the first has {ours} and the second {theirs}"
        if ours == theirs:
            differing = _differing_splits(first, other)
            if not differing:
                continue
            reason = f"their {' and '.join(differing)} images, or the labels of these, differ"
        raise UsageError(
            f"{models[0].run.path} and {model.run.path} cannot be probed together, because "
            f"{reason}: give runs on the same images and classes"
        )


def _describe_data(summary: dict[str, Any]) -> str:
    """For example `55,000 training and 10,000 test images of mnist (1x28x28)`."""
    data = summary["data"]
    shape = shape_text(data["image_shape"])
    return (
        f"{data['train']:,} training and {data['test']:,} test images of {data['name']} ({shape})"
    )


def _differing_splits(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The splits that a probe uses and that differ, as far as the runs have kept fingerprints."""
    ours, theirs = image_fingerprints(first), image_fingerprints(other)
    if ours is None or theirs is None:
        return []
    names = {TRAIN: "training", TEST: "test"}
    return [name for split, name in names.items() if ours[split] != theirs[split]]


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
                f"there are images {where}, which is not a class that the run knows: put each into "
                f"a folder that is named after its class: {escaped(', '.join(labels))}"
            )
    new_labels = torch.tensor([labels[name] for name in own.classes], device=own.labels.device)
    return Split(own.images, new_labels[own.labels], train.classes)


def feature_functions(
    trained: Trained, data: Data, others: Sequence[Trained] = ()
) -> dict[str, Features]:
    """The codes of each model, and the features to compare them with: as many PCA codes, and the
    pixels; keyed as in `feature_names`."""
    models = [trained, *others]
    latents = [model.config.latent for model in models]
    functions: list[Features] = [model.codes for model in models]
    for latent in dict.fromkeys(latents):
        functions.append(partial(pca_of(data.train, latent).codes, latent=latent))
    return dict(zip(feature_names(*latents), [*functions, flat_pixels], strict=True))


def feature_names(latent: int, *others: int) -> dict[str, str]:
    """Display names of the `feature_functions` of models with codes of these sizes.

    Several models have numbers; PCA has one entry for each size.
    """
    codes = {"codes": "model 1"} if others else {"codes": f"codes, {latent}"}
    codes |= {f"codes_{number}": f"model {number}" for number in range(2, len(others) + 2)}
    pca = {
        "pca" if size == latent else f"pca_{size}": f"PCA codes, {size}"
        for size in dict.fromkeys((latent, *others))
    }
    return {**codes, **pca, "pixels": "pixels"}


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


def measure(features: Features, data: Data, subsets: list[list[Tensor]]) -> ProbeScores:
    """Test classifiers trained on subsets of the training images, and one trained on all of them.

    Features are standardised on all training images in every case: that needs no labels.

    Args:
        features: what to classify by.
        data: training and test images.
        subsets: groups of index tensors, equally long within a group.
    """
    train, test = features(data.train.images), features(data.test.images)
    labels, units = data.train.labels, Standardizer.fit(train)
    classes = max(class_count(data.train), class_count(data.test))

    def classify(subset: Tensor | slice) -> Tensor:
        classifier = fit_classifier(train[subset], labels[subset], classes, units)
        return classifier.correct(test, data.test.labels)

    by_draw = [[_share(classify(each)) for each in group] for group in subsets]
    correct = classify(slice(None))
    right = int(correct.sum())
    with_all = Accuracy(len(train), _share(correct), None, interval(right, len(correct)))
    summaries = [_summary(shares, group) for shares, group in zip(by_draw, subsets, strict=True)]
    return ProbeScores([*summaries, with_all], by_draw, correct)


def _share(correct: Tensor) -> float:
    return int(correct.sum()) / len(correct)


def _summary(accuracies: list[float], subsets: list[Tensor]) -> Accuracy:
    """Mean and standard deviation over several subsets."""
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return Accuracy(len(subsets[0]), statistics.fmean(accuracies), std)


def claims(result: Probe, count: int) -> list[str]:
    """Sentences on whether the first of `count` models is better than each of the others.

    With few labels the accuracies are paired by draw, and with all labels by test image; what they
    say holds for these networks, and not for others that are trained alike.
    """
    first, *others = [*result.measured.values()][:count]
    return [
        sentence
        for number, other in enumerate(others, 2)
        for sentence in _compare(first, other, f"model {number}", result.per_class)
    ]


def _compare(
    first: ProbeScores, other: ProbeScores, name: str, per_class: list[int]
) -> Iterator[str]:
    means = [
        (ours.mean, theirs.mean)
        for ours, theirs in zip(first.accuracies, other.accuracies, strict=True)
    ]
    pairs = zip(per_class, means, first.by_draw, other.by_draw, strict=False)
    for count, both, ours, theirs in pairs:
        labels = f"{counted(count, 'label')} per class"
        if len(ours) == 1:
            yield _verdict(labels, name, both, False, "there is a single draw")
            continue
        found = over_pairs([a - b for a, b in zip(ours, theirs, strict=True)])
        reason = (
            f"the difference is {found.mean:+.4f}, between {found.low:+.4f} and {found.high:+.4f} "
            f"with 95 % confidence over {len(ours)} draws"
        )
        yield _verdict(labels, name, both, found.is_lower or found.is_higher, reason)
    only = [int((a & ~b).sum()) for a, b in ((first.correct, other.correct),
                                             (other.correct, first.correct))]  # fmt: skip
    p = mcnemar(*only)
    chance = f"p = {p:.2g}" if p >= MIN_P else f"p < {MIN_P:g}"
    reason = (
        f"of the {len(first.correct):,} test images, {only[0]:,} are right with model 1 alone and "
        f"{only[1]:,} with {name} alone (McNemar's exact test, {chance})"
    )
    labels = f"all {first.accuracies[-1].labels:,} labels"
    yield _verdict(labels, name, means[-1], p < 1 - CONFIDENCE, reason)


def _verdict(
    labels: str, name: str, means: tuple[float, float], is_certain: bool, reason: str
) -> str:
    """A sentence on which of model 1 and the one called `name` classifies better."""
    ours, theirs = means
    verdict = f"it cannot be told whether model 1 or {name} classifies better"
    if is_certain:
        verdict = f"model 1 classifies {'better' if ours > theirs else 'worse'} than {name}"
    return f"With {labels}, {verdict}: {ours:.4f} against {theirs:.4f}; {reason}."


def figure(title: str, result: Probe, models: Sequence[Trained]) -> Figure:
    """Accuracy by number of labels, a line for each kind of features."""
    names = feature_names(*(model.config.latent for model in models))
    if len(models) > 1:
        names |= dict(zip(names, numbered_names(models), strict=False))
    accuracies = {names[kind]: each for kind, each in result.accuracies.items()}
    return accuracy_by_labels(title, accuracies, len(models))


def numbered_names(models: Sequence[Trained]) -> list[str]:
    """The models as they are numbered in tables, as in `1: conv-z25, no noise`."""
    return [f"{number}: {name}" for number, name in enumerate(names_with_noise([*models]), 1)]
