"""A finished run, ready for use: its model with the weights that were kept."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from aecli.config import TrainConfig
from aecli.data import Data, Split
from aecli.data.batches import Normalisation, ordered_batches
from aecli.data.classes import class_mask
from aecli.data.loaded import load_cached_data, relocate
from aecli.data.own_images import OwnImages, load_own_images
from aecli.errors import DataError, StorageError, UsageError
from aecli.errors.text import escaped, one_line
from aecli.evaluation.metrics import evaluation_batch
from aecli.evaluation.scores import make_reconstruct_fn
from aecli.models import Autoencoder, build_network
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import is_sweep
from aecli.runs.known_images import KnownImages, used_in_training, used_notices
from aecli.runs.lock import is_held
from aecli.runs.lookup import not_a_run
from aecli.runs.summary import check_summary
from aecli.runs.sweep_plan import SWEEP_FILE
from aecli.runtime.device import open_device


@dataclass(frozen=True)
class Trained:
    """One finished run."""

    run: RunDirectory
    config: TrainConfig
    """As saved with the run; the current conf/ has no influence."""
    model: Autoencoder
    """In evaluation mode, on `device`."""
    device: torch.device
    own: OwnImages | None = None
    """The user's images, which replace the run's test images."""
    warn: Callable[[str], None] = warnings.warn
    """Receives a message if the images are not those of the run."""

    @property
    def images(self) -> Split:
        """The images to work on: the run's test images, or the user's own.

        Raises:
            DataError: they cannot be loaded, or the run was trained on some of the test images.
        """
        return self.own.split if self.own else self._test

    @property
    def examples(self) -> Split:
        """Some images for which the data set is not needed: the user's own, or test images that are
        kept in the run."""
        if self.own:
            return self.own.split
        kept = self.run.load_images()
        names = ("original", "best/original", "worst/original")
        pixels = torch.cat([kept[name] for name in names]).to(self.device)
        return Split((pixels * 255).round().to(torch.uint8), torch.zeros(len(pixels)).long())

    @property
    def images_kind(self) -> str:
        """Their name in tables."""
        return self.own.name if self.own else "test images"

    @property
    def images_name(self) -> str:
        """Their name in titles."""
        source = "" if self.own else f" of {self._known.data.name}"
        return f"{len(self.images):,} {self.images_kind}{source}"

    def image_names(self, numbers: list[int]) -> list[str]:
        """Names in tables of the images at `numbers`: file names, or indices in the test set."""
        own = self.own
        return [escaped(str(own.files[number])) if own else str(number) for number in numbers]

    @cached_property
    def used_in_training(self) -> dict[str, list[int]]:
        """`train` and `validation` -> the numbers of the user's images that are in that split."""
        return used_in_training(self.run, self.own) if self.own else {}

    @property
    def notices(self) -> list[str]:
        """Messages about the user's images that were left out, converted or used in training."""
        if self.own is None:
            return []
        return [*self.own.notices, *used_notices(self.used_in_training, self.own)]

    def reconstruct(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> reconstructions, clipped to [0, 1]."""
        return make_reconstruct_fn(self.model, self.config)(pixels)

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> codes (B, D)."""
        return self.model.encode(self.normalisation.apply(pixels))

    @torch.inference_mode()
    def codes(self, images: Tensor) -> Tensor:
        """uint8 images (N, C, H, W) -> codes (N, D), in batches, so that memory stays bounded."""
        return torch.cat(
            [self.encode(pixels) for pixels in ordered_batches(images, evaluation_batch(images))]
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, D) -> pixels (B, C, H, W), clipped to [0, 1]."""
        return self.normalisation.invert(self.model.decode(codes))

    def data(self) -> Data:
        """The data set that the run was trained on, with its splits; `test` is `images`.

        Raises:
            DataError: it cannot be loaded, its training or validation images have changed, or the
                run was trained on some of its test images.
        """
        self._known.check_training_images()
        return replace(self._known.data, test=self.images)

    @cached_property
    def has_training_images(self) -> bool:
        """Whether the training and validation images are those that the run was trained on; if not,
        a warning is given once."""
        known = self._known
        if self.own and not known.has_training_images:  # the warning about test images says it, too
            self.warn(known.warning_without_training_images)
        return known.has_training_images

    @cached_property
    def _known(self) -> KnownImages:
        data_dir = self.config.data_dir
        is_given = data_dir != self.run.load_config().data_dir
        # A download would create the folder, and so would synthetic digits.
        if is_given and not Path(data_dir).is_dir():
            raise DataError(
                f"data_dir={data_dir} is not a folder: give the one with {self.config.data.name}"
            )
        return KnownImages(self.run, load_cached_data(self.config))

    @cached_property
    def _test(self) -> Split:
        """The test images; a warning is given once if they may not be those of the run."""
        warning = self._known.check_test_images()
        if warning is not None:
            self.warn(warning)
        return self._known.data.test

    def test_of_other_classes(self) -> Split:
        """Test images of the classes that the run was not trained on, as many as `data.test_size`
        allows of its own; may be empty.

        Images that it was nevertheless trained on, in one of its own classes, are left out.
        """
        known = self._known  # before another selection of the images is loaded
        data = replace(self.config.data, classes=None, exclude_classes=None, test_size=None)
        test = load_cached_data(replace(self.config, data=data)).test
        others = test[~class_mask(self.config.data, test)]
        seen = known.seen(others)
        if seen.any():
            self.warn(
                f"{int(seen.sum()):,} of the {len(others):,} test images of other classes were "
                f"trained on and are left out"
            )
            others = others[(~seen).to(others.images.device)]
        return others[: self.config.data.test_size]

    @property
    def normalisation(self) -> Normalisation:
        return Normalisation(self.config.data.mean, self.config.data.std)


def open_run(
    path: Path,
    device: str = "auto",
    data_dir: str | None = None,
    images: Sequence[str] = (),
    resize: bool = False,
    path_of_images: str | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Trained:
    """Open the finished run at `path`, and load the images to work on.

    Args:
        path: a run directory.
        device: device for the model, as in `resolve_device`.
        data_dir: folder with the data sets; None for the one used in training.
        images: image files or folders that replace the run's test images.
        resize: crop and resize these images to the run's image size instead of rejecting others.
        path_of_images: folder with the images of data=folder; None for the one used in training.
        warn: receives a message if the images are not those of the run.

    Raises:
        UsageError: it is not a run, or not finished.
        StorageError: one of its files is damaged.
        DataError: the given images cannot be used.
    """
    run = RunDirectory(path)
    if not run.config_file.exists():
        raise UsageError(not_a_run(path))
    if run.status is not Status.finished:
        raise UsageError(_unfinished_message(run))
    check_summary(run.load_summary(), str(run.summary_file))
    config = relocate(replace(run.load_config(), device=device), data_dir, path_of_images)
    torch_device = open_device(device)
    channels, height, width = config.data.image_shape or (0, 0, 0)
    model = build_network(config, (channels, height, width)).to(torch_device)
    try:
        run.load_weights(model)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(f"{run.weights_file} cannot be used: {one_line(error)}") from error
    own = None
    if images:
        shape = (channels, height, width)
        own = load_own_images(images, shape, resize, config.data.scale).to(torch_device)
    return Trained(run, config, model.eval(), torch_device, own, warn)


def _unfinished_message(run: RunDirectory) -> str:
    """The error message for an unfinished run: its status and how to resume it."""
    if is_held(run.path):
        return f"{run.path} is not finished: it is being trained; wait until it has ended"
    if is_sweep(run.path.parent) and is_held(run.path.parent):
        return f"{run.path} is not finished: its sweep is being trained; wait until it has ended"
    reason = f" ({run.failure()})" if run.status is Status.failed else ""
    if (run.path.parent / SWEEP_FILE).exists():
        advice = f"resume its sweep with aecli train resume={run.path.parent}"
    else:
        advice = f"resume it with aecli train resume={run.path}"
    if run.finished_epochs():
        advice += f", or use it as it is: aecli train resume={run.path} finish=true"
    return f"{run.path} is not finished: {run.status.value}{reason}; {advice}"
