"""A finished run as something to use: its model, with the weights of its best epoch."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from aecli import console
from aecli.config import TrainConfig
from aecli.data import Data, Split
from aecli.data.batches import Normalisation, ordered_batches
from aecli.data.classes import is_of_classes
from aecli.data.own_images import OwnImages, load_own_images
from aecli.device import open_device
from aecli.errors import StorageError, UsageError, one_line
from aecli.evaluation import reconstruction
from aecli.metrics import evaluation_batch
from aecli.models import Autoencoder, build_model
from aecli.options import RunOptions
from aecli.preparation import data_for
from aecli.run import RunDirectory, Status, runs_below


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
        return reconstruction(self.model, self.config)(pixels)

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
        data = data_for(self.config)
        return replace(data, test=self.own.split) if self.own else data

    def test_of_other_classes(self) -> Split:
        """The test images of the classes that the run was not trained on; there may be none."""
        data = replace(self.config.data, classes=None, without=None)
        test = data_for(replace(self.config, data=data)).test
        return test[~is_of_classes(self.config.data, test)]

    @property
    def _normalisation(self) -> Normalisation:
        return Normalisation(self.config.data.mean, self.config.data.std)


def open_run(path: Path, options: RunOptions) -> Trained:
    """The finished run in the folder `path`, with the images that it is to work on.

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
    config = replace(run.load_config(), device=options.device)
    if options.data_dir is not None:
        config = replace(config, data_dir=options.data_dir)
    device = open_device(options.device)
    channels, height, width = config.data.image_shape or (0, 0, 0)
    model = build_model(config.model, config.upsample, (channels, height, width)).to(device)
    try:
        run.load_weights(model)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(f"{run.weights_file} cannot be used: {one_line(error)}") from error
    own = None
    if options.images:
        own = load_own_images(options.images, (channels, height, width), options.resize).to(device)
        for notice in own.notices:
            console.warn(notice)
    return Trained(run, config, model.eval(), device, own)


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
    from aecli.composition import SWEEP_FILE  # Hydra, which only this mistake needs

    reason = f" ({run.failure()})" if run.status is Status.failed else ""
    if (run.path.parent / SWEEP_FILE).exists():
        cure = f"aecli train resume={run.path.parent} goes on with its sweep"
    else:
        cure = f"aecli train resume={run.path} goes on with it"
    return f"{run.path} is not finished: {run.status.value}{reason}; {cure}"
