"""A finished run as something to use: its model, with the weights of its best epoch."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.batches import Normalisation, ordered_batches
from aecli.device import resolve_device
from aecli.errors import StorageError, UsageError, one_line
from aecli.evaluation import reconstruction
from aecli.metrics import EVALUATION_BATCH
from aecli.models import Autoencoder, build_model
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
            [self.encode(pixels) for pixels in ordered_batches(images, EVALUATION_BATCH)]
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, D) -> pixels (B, C, H, W), clipped to [0, 1]."""
        return self._normalisation.invert(self.model.decode(codes))

    def data(self) -> Data:
        """The data set that the run was trained on, with its split."""
        return data_for(self.config)

    @property
    def _normalisation(self) -> Normalisation:
        return Normalisation(self.config.data.mean, self.config.data.std)


def open_run(path: Path, device: str = "auto", data_dir: str | None = None) -> Trained:
    """The finished run in the folder `path`.

    Args:
        device: where the model is to be; as `aecli train` takes it.
        data_dir: where the data set lies now; None: where it lay when the run was trained.

    Raises:
        UsageError: it is no run, or none that is finished.
        StorageError: a file of it is damaged.
    """
    run = RunDirectory(path)
    if not run.config_file.is_file():
        raise UsageError(_no_run(path))
    if run.status is not Status.finished:
        raise UsageError(_unfinished(run))
    config = replace(run.load_config(), device=device)
    if data_dir is not None:
        config = replace(config, data_dir=data_dir)
    place = resolve_device(device)
    channels, height, width = config.data.image_shape or (0, 0, 0)
    model = build_model(config.model, config.upsample, (channels, height, width)).to(place)
    try:
        run.load_weights(model)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(f"{run.weights_file} cannot be used: {one_line(error)}") from error
    return Trained(run, config, model.eval(), place)


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
        cure = f"aecli train -m resume={run.path.parent} goes on with its sweep"
    else:
        cure = "train it again, to its end"
    return f"{run.path} is not finished: {run.status.value}{reason}; {cure}"
