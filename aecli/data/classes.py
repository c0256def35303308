"""Select images by class: data.classes and data.exclude_classes."""

import torch
from torch import Tensor

from aecli.config import DataConfig
from aecli.data.split import Split
from aecli.errors import DataError, UsageError
from aecli.errors.text import escaped, suggest


def select_classes(config: DataConfig, split: Split, name: str) -> Split:
    """The images of the split called `name` in the classes that `config` selects.

    Raises:
        UsageError: there is no such class.
        DataError: no images are left.
    """
    if config.classes is None and config.exclude_classes is None:
        return split
    chosen = split[class_mask(config, split)]
    if not len(chosen):
        raise DataError(
            f"data={config.name}{class_suffix(config)} has no images left in the {name} "
            f"split: choose more or other classes"
        )
    return chosen


def class_mask(config: DataConfig, split: Split) -> Tensor:
    """Boolean mask (N,) of the images of `split` that `config` selects.

    Raises:
        UsageError: there is no such class.
    """
    if config.classes is not None:
        return torch.isin(split.labels, _labels("classes", config.classes, split))
    return ~torch.isin(
        split.labels, _labels("exclude_classes", config.exclude_classes or [], split)
    )


def class_suffix(config: DataConfig) -> str:
    """The end of a title that names the selected classes; empty if all are used."""
    if config.classes is not None:
        return f" (only {escaped(', '.join(config.classes))})"
    if config.exclude_classes is not None:
        return f" (without {escaped(', '.join(config.exclude_classes))})"
    return ""


def _labels(key: str, names: list[str], split: Split) -> Tensor:
    """Look up the labels of classes by name."""
    known = {name: label for label, name in enumerate(split.classes)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"data.{key}=[{escaped(','.join(names))}] is not valid: there is no class "
                f"{name!r}: {suggest(name, map(escaped, known))}"
            )
    labels = [known[name] for name in names]
    return torch.tensor(labels, dtype=split.labels.dtype, device=split.labels.device)
