"""A trained autoencoder as a Python object."""

import html
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aecli.config import TrainConfig
from aecli.config.limits import expand_user
from aecli.data import Data
from aecli.data.batches import Normalisation, to_pixels
from aecli.errors import UsageError
from aecli.errors.text import one_line, shape_text
from aecli.evaluation.metrics import evaluation_batch
from aecli.evaluation.scores import make_reconstruct_fn
from aecli.models import Autoencoder

Array = TypeVar("Array", Tensor, NDArray[Any])
"""A numpy array gives a numpy array, and a torch tensor a tensor on its device."""


class Model:
    """A trained autoencoder, as `aecli.load` and `aecli.train` return it.

    Images are (N, C, H, W), uint8 or floats in [0, 1]; codes are (N, D). They may be numpy arrays
    or torch tensors. Large sets are computed in batches.
    """

    def __init__(
        self,
        path: Path,
        config: TrainConfig,
        summary: dict[str, Any],
        network: Autoencoder,
        load_data: Callable[[], Data],
    ) -> None:
        """Use `aecli.load` instead.

        Args:
            path: the folder that it was read from.
            config: how it was trained.
            summary: its results, as in `summary.json`.
            network: the network, on its device.
            load_data: loads the images that it was trained on.
        """
        self.path = path
        self.config = config
        self.summary = summary
        self.network = network.eval()
        self._load_data = load_data
        self._normalisation = Normalisation(config.data.mean, config.data.std)
        self._reconstruct = make_reconstruct_fn(self.network, config)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.config.name

    @property
    def latent(self) -> int:
        """The number of values in a code."""
        return self.network.latent

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.network.image_shape

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    def encode(self, images: Array) -> Array:
        """Encode images.

        Args:
            images: (N, C, H, W), uint8 or floats in [0, 1].

        Returns:
            The codes, (N, D) float32.

        Raises:
            AecliError: they are not such images.
        """
        return self._in_batches(images, self._pixels, self._encode)

    def decode(self, codes: Array) -> Array:
        """Decode codes.

        Args:
            codes: (N, D) floats.

        Returns:
            Images (N, C, H, W), float32 in [0, 1].

        Raises:
            AecliError: they are not such codes.
        """
        return self._in_batches(codes, self._codes, self._decode)

    def reconstruct(self, images: Array) -> Array:
        """Encode and decode images.

        Of a network with `upsample=max_unpool` this is more than `decode(encode(images))`: the
        positions of the maxima bypass the code.

        Args:
            images: (N, C, H, W), uint8 or floats in [0, 1].

        Returns:
            Images (N, C, H, W), float32 in [0, 1].

        Raises:
            AecliError: they are not such images.
        """
        return self._in_batches(images, self._pixels, self._reconstruct)

    def data(self) -> Data:
        """The images that it was trained on: `data().test.images` is (N, C, H, W) uint8, and
        `data().test.labels` (N,); likewise `train` and `validation`.

        Raises:
            AecliError: they are not on this machine and cannot be downloaded, or have changed.
        """
        return self._load_data()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Save weights, configuration and a model card, for `aecli.load` on any machine.

        Args:
            folder: a new one, or one in which this has been called before.

        Returns:
            The folder.

        Raises:
            AecliError: a file of somebody else is in the way, or the folder cannot be written.
        """
        from aecli.api.pretrained import save

        return save(self, Path(expand_user("folder", os.fspath(folder))))

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}: {value}" for name, value in self._facts().items())
        return f"<aecli.Model {self.name}: {facts}>"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        cells = "".join(
            f'<tr><th style="text-align: left">{html.escape(name)}</th>'
            f'<td style="text-align: left">{html.escape(value)}</td></tr>'
            for name, value in self._facts().items()
        )
        caption = f"<caption><b>{html.escape(self.name)}</b></caption>"
        return f"<table>{caption}{cells}</table>"

    def _facts(self) -> dict[str, str]:
        shape = shape_text(self.image_shape)
        test, pca = self.summary["test"]["mse"], self.summary["baselines"]["pca"]["mse"]
        return {
            "model": f"{self.config.model.name}, {shape} images to {self.latent} numbers",
            "test mse": f"{test:.6f} on {one_line(self.summary['data']['name'])}",
            "PCA": f"{pca:.6f} at the same latent size",
            "parameters": f"{self.summary['parameters']:,}",
        }

    def _in_batches(
        self,
        given: Array,
        checked: Callable[[Tensor], Tensor],
        function: Callable[[Tensor], Tensor],
    ) -> Array:
        """`function` of `given`, some rows at a time, as the same kind of array."""
        tensor = given if isinstance(given, Tensor) else _as_tensor(given)
        home = tensor.device
        size = evaluation_batch(torch.empty(1, *self.image_shape, device=self.device))
        with torch.inference_mode():
            found = [
                function(checked(_moved(rows, self.device))).to(home)
                for rows in _split(tensor, size)
            ]
        # In the usual layout, whatever the network computes in.
        result = torch.cat(found).clone(memory_format=torch.contiguous_format)
        return result if isinstance(given, Tensor) else result.numpy()

    def _encode(self, pixels: Tensor) -> Tensor:
        return self.network.encode(self._normalisation.apply(pixels))

    def _decode(self, codes: Tensor) -> Tensor:
        return self._normalisation.invert(self.network.decode(codes))

    def _pixels(self, images: Tensor) -> Tensor:
        """Images as float pixels in [0, 1]."""
        if tuple(images.shape[1:]) != self.image_shape:
            raise UsageError(
                f"images of shape {_shape(images)} are not valid: give "
                f"(N, {', '.join(map(str, self.image_shape))})"
            )
        if images.dtype == torch.uint8:
            return to_pixels(images)
        if not images.is_floating_point():
            raise UsageError(
                f"images of {images.dtype} are not valid: give uint8, or floats in [0, 1]"
            )
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            low, high = pixels.min().item(), pixels.max().item()
            raise UsageError(
                f"images with values from {low:g} to {high:g} are not valid: give floats in "
                f"[0, 1], or uint8"
            )
        return pixels

    def _codes(self, codes: Tensor) -> Tensor:
        if tuple(codes.shape[1:]) != (self.latent,):
            raise UsageError(
                f"codes of shape {_shape(codes)} are not valid: give (N, {self.latent})"
            )
        if not codes.is_floating_point():
            raise UsageError(f"codes of {codes.dtype} are not valid: give floats")
        return codes.to(torch.float32)


def _as_tensor(array: object) -> Tensor:
    """A numpy array, or anything that numpy can convert to one, as a tensor.

    Raises:
        UsageError: it holds something other than numbers.
    """
    try:
        # A copy, since torch accepts neither negative strides nor read-only arrays.
        return torch.from_numpy(np.array(array, order="C"))
    except (TypeError, ValueError) as error:
        kind = type(array).__name__
        raise UsageError(f"{kind} is not valid: give a numpy array or a tensor") from error


def _split(tensor: Tensor, size: int) -> tuple[Tensor, ...]:
    if tensor.ndim == 0:
        raise UsageError("a single number is not valid: give an array with a row for each image")
    rows: tuple[Tensor, ...] = tensor.split(size)
    return rows


def _moved(rows: Tensor, device: torch.device) -> Tensor:
    """On `device`, in single precision at most, because MPS has no double precision."""
    is_double = rows.dtype is torch.float64
    return rows.to(device, torch.float32 if is_double else rows.dtype)


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(['N', *map(str, tensor.shape[1:])])})"
