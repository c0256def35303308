"""A finished run as something to use: its model, with the weights of its best epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from aecli.config import TrainConfig
from aecli.data import Data, Split
from aecli.data.batches import Normalisation, ordered_batches
from aecli.data.classes import is_of_classes
from aecli.data.loaded import load_cached_data
from aecli.data.own_images import OwnImages, load_own_images
from aecli.errors import StorageError, UsageError, one_line
from aecli.evaluation.examination import make_reconstruct_fn
from aecli.evaluation.metrics import evaluation_batch
from aecli.models import Autoencoder, build_model
from aecli.runs.directory import SWEEP_FILE, RunDirectory, Status, runs_below
from aecli.runtime.device import open_device


@dataclass(frozen=True)
class Trained:
    """One finished run."""

    run: RunDirectory
    config: TrainConfig
    """As it was saved; nothing of today's conf/ goes into it."""
    model: Autoencoder
    """In evaluation mode, on `device`."""
    device: torch.device
    own: OwnImages | None = None
    """Images that take the place of the run's test images."""

    @property
    def images(self) -> Split:
        """What a command works on: the test images of the run, or those that a person gives."""
        return self.own.split if self.own else self.data().test

    @property
    def images_kind(self) -> str:
        """What a table calls them."""
        return self.own.name if self.own else "test images"

    @property
    def images_name(self) -> str:
        """What a title calls them."""
        source = "" if self.own else f" of {self.data().name}"
        return f"{len(self.images):,} {self.images_kind}{source}"

    def image_names(self, numbers: list[int]) -> list[str]:
        """What a table calls some of `images`: their files, or their numbers in the test set."""
        own = self.own
        return [str(own.files[number]) if own else str(number) for number in numbers]

    def reconstruct(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> what the network makes of them, clipped to [0, 1]."""
        return make_reconstruct_fn(self.model, self.config)(pixels)

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> codes (B, D)."""
        return self.model.encode(self._normalisation.apply(pixels))

    @torch.inference_mode()
    def codes(self, images: Tensor) -> Tensor:
        """uint8 images (N, C, H, W) -> codes (N, D), in batches: nothing else grows with N."""
        return torch.cat(
            [self.encode(pixels) for pixels in ordered_batches(images, evaluation_batch(images))]
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, D) -> pixels (B, C, H, W), clipped to [0, 1]."""
        return self._normalisation.invert(self.model.decode(codes))

    def data(self) -> Data:
        """The data set that the run was trained on, with its split; `test` is `images`."""
        data = load_cached_data(self.config)
        return replace(data, test=self.own.split) if self.own else data

    def test_of_other_classes(self) -> Split:
        """The test images of the classes that the run was not trained on; there may be none."""
        data = replace(self.config.data, classes=None, exclude_classes=None)
        test = load_cached_data(replace(self.config, data=data)).test
        return test[~is_of_classes(self.config.data, test)]

    @property
    def _normalisation(self) -> Normalisation:
        return Normalisation(self.config.data.mean, self.config.data.std)


def open_run(
    path: Path,
    device: str = "auto",
    data_dir: str | None = None,
    images: Sequence[str] = (),
    resize: bool = False,
) -> Trained:
    """The finished run in the folder `path`, with the images that it is to work on.

    Args:
        path: a run directory.
        device: where the model is to work; as in `resolve_device`.
        data_dir: folder that holds the data sets; None: the one that the run was trained with.
        images: folders or files with images that take the place of the run's test images.
        resize: crop and resize these to the size of the run's, instead of refusing others.

    Raises:
        UsageError: it is no run, or none that is finished.
        StorageError: a file of it is damaged.
        DataError: images of one's own that cannot be used.
    """
    run = RunDirectory(path)
    if not run.config_file.is_file():
        raise UsageError(_no_run(path))
    if run.status is not Status.finished:
        raise UsageError(_unfinished(run))
    config = replace(run.load_config(), device=device)
    if data_dir is not None:
        config = replace(config, data_dir=data_dir)
    place = open_device(device)
    channels, height, width = config.data.image_shape or (0, 0, 0)
    model = build_model(config.model, config.upsample, (channels, height, width)).to(place)
    try:
        run.load_weights(model)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(f"{run.weights_file} cannot be used: {one_line(error)}") from error
    own = None
    if images:
        own = load_own_images(images, (channels, height, width), resize).to(place)
    return Trained(run, config, model.eval(), place, own)


def _no_run(path: Path) -> str:
    """What is wrong with a path at which there is no run."""
    if not path.is_dir():
        return f"{path} is no folder: give the folder of a finished run"
    try:
        inside = runs_below(path)
    except UsageError as error:
        return str(error)
    return f"{path} is no run, but holds {len(inside)}: give one of them, such as {inside[0].path}"


def _unfinished(run: RunDirectory) -> str:
    """How far a run is, and how it is brought to an end."""
    reason = f" ({run.failure()})" if run.status is Status.failed else ""
    if (run.path.parent / SWEEP_FILE).exists():
        cure = f"aecli train resume={run.path.parent} goes on with its sweep"
    else:
        cure = f"aecli train resume={run.path} goes on with it"
    return f"{run.path} is not finished: {run.status.value}{reason}; {cure}"
