"""Part of a data set by what its images show: data.classes and data.without."""

import torch

from aecli.config import DataConfig
from aecli.data.split import Split
from aecli.errors import DataError, UsageError, suggest


def of_classes(config: DataConfig, split: Split) -> Split:
    """The images of `split` that are of the classes that the configuration asks for.

    Raises:
        UsageError: there is no such class, or none is left.
        DataError: there is no image of them.
    """
    if config.classes is None and config.without is None:
        return split
    if config.classes is not None:
        wanted = _labels("classes", config.classes, split)
    else:
        left_out = _labels("without", config.without or [], split)
        wanted = [label for label in split.labels.unique().tolist() if label not in left_out]
    chosen = split[torch.isin(split.labels, torch.tensor(wanted, dtype=split.labels.dtype))]
    if not len(chosen):
        raise DataError(
            f"data={config.name}{limits(config)} has no images left to train on, to validate with "
            f"or to test on: choose other classes"
        )
    return chosen


def limits(config: DataConfig) -> str:
    """What a title says of the classes; nothing where all are there."""
    if config.classes is not None:
        return f" (only {', '.join(config.classes)})"
    return "" if config.without is None else f" (without {', '.join(config.without)})"


def _labels(key: str, names: list[str], split: Split) -> list[int]:
    """The labels of classes that are given by name."""
    known = {name: label for label, name in enumerate(split.classes)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"data.{key}=[{','.join(names)}] is not valid: there is no class {name!r}: "
                f"{suggest(name, known)}"
            )
    return [known[name] for name in names]
