"""The contents of the summary of a finished run."""

import re
from typing import Any

from aecli.config import FOLDER
from aecli.config.choices import SPLITS
from aecli.errors import StorageError

MAX_NAME = 60  # characters of a data set's name in that of a folder

# The paths of the values in a summary that other code relies on, and their types in JSON.
SUMMARY_TYPES: dict[str, tuple[type, ...]] = {
    "test.mse": (int, float),
    "test.sse": (int, float),
    "test.psnr": (int, float, type(None)),
    "test.ssim": (int, float, type(None)),
    "test.checkerboard": (int, float, type(None)),
    "validation.mse": (int, float, type(None)),  # None without validation images
    "baselines.pca.mse": (int, float),
    "baselines.mean_image.mse": (int, float),
    "pca_curve": (dict,),
    "best_epoch": (int, type(None)),
    "epochs": (int,),
    "seconds": (int, float),
    "parameters": (int,),
    "data.name": (str,),
    "data.image_shape": (list,),
    "data.train": (int,),
    "data.test": (int,),
    "versions.aecli": (str,),
    "versions.torch": (str,),
}


def check_summary(summary: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the summary of a finished run if it holds what other code relies on.

    Raises:
        StorageError: a value is missing or of another type; names `source`, its file.
    """
    for path, types in SUMMARY_TYPES.items():
        value: Any = summary
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                raise StorageError(f"{source} is damaged: {path} is missing")
            value = value[key]
        if not isinstance(value, types):
            raise StorageError(f"{source} is damaged: {path} is {value!r:.40}")
    kept = image_fingerprints(summary)
    if kept is not None and not (isinstance(kept, dict) and {*SPLITS} <= kept.keys()):
        raise StorageError(f"{source} is damaged: data.fingerprints is {kept!r:.40}")
    if not isinstance(kept_epoch(summary), int):
        raise StorageError(f"{source} is damaged: kept_epoch is {kept_epoch(summary)!r:.40}")
    if not isinstance(closed_early(summary), str | None):
        raise StorageError(f"{source} is damaged: closed is {closed_early(summary)!r:.40}")
    return summary


def closed_early(summary: dict[str, Any]) -> str | None:
    """Why the training of a finished run ended before it was over: `interrupted`, or the reason of
    its failure; None if it was over."""
    reason: str | None = summary.get("closed")  # earlier versions closed no run
    return reason


def kept_epoch(summary: dict[str, Any]) -> int:
    """The epoch whose weights were kept: the best one in runs of earlier versions."""
    epoch: int = summary.get("kept_epoch", summary["best_epoch"])
    return epoch


def data_names(name: str, fingerprint: str | None = None) -> list[str]:
    """The values of `data=` that select runs on a data set.

    Args:
        name: of the data set in the summary, such as `folder:photos`.
        fingerprint: of its test images.

    Returns:
        As in `folder`, `folder:photos`, `photos`, and `photos-1a2b3c4d`, as a comparison calls it
        if there are others of its name.
    """
    plain = plain_name(name)
    return [name.partition(":")[0], name, plain, with_fingerprint(plain, fingerprint)]


def plain_name(name: str) -> str:
    """The name of a data set as that of a folder; `folder:photos` is `photos`."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removeprefix(f"{FOLDER}:"))
    return plain.strip(".-")[:MAX_NAME] or "images"


def with_fingerprint(plain: str, fingerprint: str | None) -> str:
    """A name that distinguishes the data set from others of the same name."""
    return f"{plain}-{plain_name(str(fingerprint or 'unknown'))[:8]}"


def image_fingerprints(summary: dict[str, Any]) -> dict[str, str] | None:
    """Split -> the fingerprint of its images; None if an earlier version of aecli, which kept none,
    trained the run."""
    kept: dict[str, str] | None = summary["data"].get("fingerprints")
    return kept
