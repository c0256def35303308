"""The images of a run as they are now, compared with those that it was trained on."""

from functools import cached_property

import torch

from aecli.config import FOLDER
from aecli.config.choices import SPLITS, TEST, TRAIN, VALIDATION
from aecli.data import Data, Split
from aecli.data.images import MAX_LISTED
from aecli.data.own_images import OwnImages
from aecli.errors import DataError
from aecli.errors.text import escaped, listed
from aecli.runs.directory import RunDirectory
from aecli.runs.summary import image_fingerprints


def used_in_training(run: RunDirectory, own: OwnImages) -> dict[str, list[int]]:
    """`train` and `validation` -> the numbers of the user's images that are, pixel for pixel, among
    those of that split; empty if the run has kept no fingerprints."""
    if image_fingerprints(run.load_summary()) is None:
        return {}
    keys = own.split.image_keys
    found = {name: torch.isin(keys, seen) for name, seen in run.load_seen_images().items()}
    return {name: mask.nonzero().flatten().tolist() for name, mask in found.items()}


def used_notices(used: dict[str, list[int]], own: OwnImages) -> list[str]:
    """A message about which of the user's images were used in training, if any."""
    numbers = sorted({number for numbers in used.values() for number in numbers})
    if not numbers:
        return []
    files = [escaped(str(own.files[number])) for number in numbers[:MAX_LISTED]]
    more = f" and {len(numbers) - MAX_LISTED:,} more" if len(numbers) > MAX_LISTED else ""
    return [
        f"of these {len(own.files):,} images, the run was trained on {len(used[TRAIN]):,} and "
        f"validated on {len(used[VALIDATION]):,}, so their errors are not those of new images: "
        f"{', '.join(files)}{more}"
    ]


class KnownImages:
    """Detects which splits have changed, and refuses uses that would then be wrong."""

    def __init__(self, run: RunDirectory, data: Data) -> None:
        self._run, self.data = run, data
        self._fingerprints = image_fingerprints(run.load_summary())

    @cached_property
    def differing(self) -> list[str]:
        """The splits whose images have changed; empty if the run has kept no fingerprints."""
        if self._fingerprints is None:
            return []
        present = self.data.fingerprints
        return [name for name in SPLITS if self._fingerprints[name] != present[name]]

    @property
    def has_training_images(self) -> bool:
        """Whether the training and validation images are the ones the run used."""
        return not {TRAIN, VALIDATION} & {*self.differing}

    def check_training_images(self) -> None:
        """Check that the training and validation images are the ones the run used.

        Raises:
            DataError: they have changed.
        """
        if not self.has_training_images:
            raise DataError(
                f"{self._difference}: {self._advice}, because this command needs the images that "
                f"the run was trained on"
            )

    def check_test_images(self) -> str | None:
        """A warning about the test images, if they may not be the ones of the run.

        Raises:
            DataError: the run was trained on some of them.
        """
        if self._fingerprints is None:
            return (
                f"{self._run.path} was trained by an earlier version of aecli and has kept no "
                f"fingerprints: whether its images are those in {self.data.source} is not known"
            )
        if not self.differing:
            return None
        if TEST in self.differing and self.seen(self.data.test).any():
            raise DataError(f"{self._difference}: {self._advice}, or images=... of your own")
        if self.has_training_images:
            return f"{self._difference}: scores are not those of its summary"
        return self.warning_without_training_images

    @property
    def warning_without_training_images(self) -> str:
        """A warning if training or validation images have changed, and are not needed."""
        return f"{self._difference}: what is fitted to training images is left out"

    def seen(self, split: Split) -> torch.Tensor:
        """Boolean mask (N,), on the CPU, of the images that were used in training: their pixels are
        those of a training or validation image."""
        if self._fingerprints is None:
            return torch.zeros(len(split), dtype=torch.bool)
        return torch.isin(split.image_keys, torch.cat([*self._run.load_seen_images().values()]))

    @property
    def _difference(self) -> str:
        test = self.data.test
        seen = self._run.load_seen_images()
        trained, validated = (
            int(torch.isin(test.image_keys, seen[name]).sum()) for name in (TRAIN, VALIDATION)
        )
        also = f", and {validated:,} used for validation" if validated else ""
        return (
            f"{self.data.source} holds other images than {self._run.path} was trained on: the "
            f"{listed(self.differing)} images differ, and {trained:,} of the {len(test):,} test "
            f"images were trained on{also}"
        )

    @property
    def _advice(self) -> str:
        key = "path" if self.data.key == FOLDER else "data_dir"
        return f"give {key}=... with the images of the run"
