"""Part of a data set by what its images show: data.classes and data.exclude_classes."""

import torch
from torch import Tensor

from aecli.config import DataConfig
from aecli.data.split import Split
from aecli.errors import DataError, UsageError, suggest


def of_classes(config: DataConfig, split: Split) -> Split:
    """The images of `split` that are of the classes that the configuration asks for.

    Raises:
        UsageError: there is no such class.
        DataError: there is no image of them.
    """
    if config.classes is None and config.exclude_classes is None:
        return split
    chosen = split[is_of_classes(config, split)]
    if not len(chosen):
        raise DataError(
            f"data={config.name}{limits(config)} has no images left to train on, to validate with "
            f"or to test on: choose other classes"
        )
    return chosen


def is_of_classes(config: DataConfig, split: Split) -> Tensor:
    """Which images of `split` these are: (N,) of bool.

    Raises:
        UsageError: there is no such class.
    """
    if config.classes is not None:
        return torch.isin(split.labels, _labels("classes", config.classes, split))
    return ~torch.isin(
        split.labels, _labels("exclude_classes", config.exclude_classes or [], split)
    )


def limits(config: DataConfig) -> str:
    """What a title says of the classes; nothing where all are there."""
    if config.classes is not None:
        return f" (only {', '.join(config.classes)})"
    return (
        "" if config.exclude_classes is None else f" (without {', '.join(config.exclude_classes)})"
    )


def _labels(key: str, names: list[str], split: Split) -> Tensor:
    """The labels of classes that are given by name."""
    known = {name: label for label, name in enumerate(split.classes)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"data.{key}=[{','.join(names)}] is not valid: there is no class {name!r}: "
                f"{suggest(name, known)}"
            )
    wanted = [known[name] for name in names]
    return torch.tensor(wanted, dtype=split.labels.dtype, device=split.labels.device)
