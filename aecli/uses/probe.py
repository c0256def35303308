"""A linear classifier on frozen codes, by few labels and by all; on PCA codes and on pixels."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from aecli.baselines.pca import fit_pca
from aecli.cli import console
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
from aecli.runs.results import Results
from aecli.runs.trained import Trained

COMMAND = "probe"
FEW = (10, 100)  # labelled images of each class, unless others are asked for

Features = Callable[[Tensor], Tensor]
"""uint8 images (N, C, H, W) -> what is classified (N, D)."""


def probe(trained: Trained, labels: str | None, draws: int, seed: int) -> None:
    """Tell the classes apart by the codes, and by what the codes are held against.

    Raises:
        UsageError: numbers of labels or of draws that make no sense, or images of one class.
    """
    config, data = trained.config, trained.data()
    if draws < 1:
        raise UsageError(f"draws={draws} is not valid: give 1 or more")
    if not has_classes(data.train):
        raise UsageError(
            f"the images of {data.name} are all of one class, and a probe tells classes apart: "
            f"give a run on images with labels"
        )
    if trained.own:
        data = replace(data, test=told_apart(data.test, data.train))
    few = few_labels(data.train) if labels is None else read_labels(labels, data.train)
    chosen = [[drawn(data.train, each, seed + draw) for draw in range(draws)] for each in few]
    accuracies = {
        kind: measured(features, data, chosen) for kind, features in kinds(trained, data).items()
    }
    title = f"{config.name}: linear classifier on the {trained.images_name}"
    with Results(trained.run, COMMAND) as results:
        results.figure("accuracy", _chart(title, accuracies, config.latent))
        results.numbers(_numbers(accuracies, config.latent, few, draws, seed))
    console.table(_table(title, accuracies, config.latent, few))
    console.facts({"results": str(results.folder)})


def told_apart(own: Split, trained_on: Split) -> Split:
    """`own` images with the labels that their classes have in the training set.

    Raises:
        DataError: a folder is no class of it.
    """
    labels = {name: label for label, name in enumerate(trained_on.classes)}
    for name in own.classes:
        if name not in labels:
            where = "in no folder" if name == NO_FOLDER else f"in a folder {name}"
            raise DataError(
                f"there are images {where}, which is no class that the run knows: put each into "
                f"a folder that is named after its class: {', '.join(labels)}"
            )
    numbers = torch.tensor([labels[name] for name in own.classes], device=own.labels.device)
    return Split(own.images, numbers[own.labels], trained_on.classes)


def kinds(trained: Trained, data: Data) -> dict[str, Features]:
    """What is classified: the codes, and what they are held against. `feature_names` names them."""
    latent = trained.config.latent
    pca = fit_pca(data.train.images, latent)
    return {
        "codes": trained.codes,
        "pca": lambda images: pca.codes(images, latent),
        "pixels": flat_pixels,
    }


def feature_names(latent: int) -> dict[str, str]:
    """What a person calls them."""
    return {"codes": f"codes, {latent}", "pca": f"PCA codes, {latent}", "pixels": "pixels"}


def few_labels(split: Split) -> list[int]:
    """As many of the usual numbers as every class of `split` has images, and not all of them."""
    smallest = int(_class_sizes(split).min())
    return [each for each in FEW if each < smallest]


def read_labels(text: str, split: Split) -> list[int]:
    """`10,100` as numbers of images of each class, rising.

    Raises:
        UsageError: it is something else, or a class of `split` has fewer.
    """
    smallest = int(_class_sizes(split).min())
    found = set()
    for part in text.split(","):
        number = part.strip()
        if not number.isdecimal() or int(number) == 0:
            raise UsageError(f"labels={text} is not valid: give images of each class, as in 10,100")
        if int(number) > smallest:
            raise UsageError(
                f"labels={text} is not valid: the smallest class has {smallest} training images"
            )
        found.add(int(number))
    return sorted(found)


def _class_sizes(split: Split) -> Tensor:
    """Of the classes that occur."""
    _, counts = split.labels.unique(return_counts=True)
    return torch.as_tensor(counts)


def drawn(split: Split, per_class: int, seed: int) -> Tensor:
    """Numbers of `per_class` images of each class of `split`, all different: (K per_class,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = split.labels.cpu()
    places = []
    for label in labels.unique():
        its = (labels == label).nonzero().squeeze(1)
        places.append(its[torch.randperm(len(its), generator=generator)[:per_class]])
    return torch.cat(places).to(split.labels.device)


def measured(features: Features, data: Data, few: list[list[Tensor]]) -> list[Accuracy]:
    """Accuracy on the test images for each group of sets in `few`, and at last with all labels.

    The units are those of all training images: to see an image needs no label.
    """
    rows, tested = features(data.train.images), features(data.test.images)
    labels, units = data.train.labels, Standardizer.fit(rows)
    classes = max(class_count(data.train), class_count(data.test))

    def accuracy(which: Tensor | slice) -> float:
        found = fit_classifier(rows[which], labels[which], classes, units)
        return found.accuracy(tested, data.test.labels)

    everything = Accuracy(len(rows), accuracy(slice(None)), None)
    return [*(_over_draws([accuracy(each) for each in sets], sets) for sets in few), everything]


def _over_draws(accuracies: list[float], sets: list[Tensor]) -> Accuracy:
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return Accuracy(len(sets[0]), statistics.fmean(accuracies), std)


def _chart(title: str, accuracies: dict[str, list[Accuracy]], latent: int) -> Figure:
    labels = feature_names(latent)
    return accuracy_by_labels(title, {labels[kind]: each for kind, each in accuracies.items()})


def _numbers(
    accuracies: dict[str, list[Accuracy]], latent: int, few: list[int], draws: int, seed: int
) -> dict[str, Any]:
    """What all labels give at the top, then everything."""
    return {
        **{f"accuracy_{kind}": each[-1].mean for kind, each in accuracies.items()},
        "latent": latent,
        "labels_per_class": few,
        "draws": draws,
        "seed": seed,
        "by_labels": {
            kind: [point._asdict() for point in each] for kind, each in accuracies.items()
        },
    }


def _table(title: str, accuracies: dict[str, list[Accuracy]], latent: int, few: list[int]) -> Table:
    """A row for each number of labels."""
    table = Table(
        title=f"{title}; accuracy", title_justify="left", title_style="bold", header_style="bold"
    )
    table.add_column("labels")
    for label in feature_names(latent).values():
        table.add_column(label, justify="right")
    words = [*(f"{each:,} a class" for each in few), "all"]
    for word, *points in zip(words, *accuracies.values(), strict=True):
        cells = (
            f"{each.mean:.4f}" if each.std is None else f"{each.mean:.4f} ± {each.std:.4f}"
            for each in points
        )
        table.add_row(f"{points[0].labels:,}: {word}", *cells, style="bold" * (word == "all"))
    return table
