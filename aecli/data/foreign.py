"""Images of another data set than the one that a run was trained on."""

from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from aecli.config import FOLDER, DataConfig
from aecli.data import DATASETS, load_data
from aecli.data.images import fit_pixels
from aecli.data.split import Split
from aecli.errors import DataError, UsageError
from aecli.errors.text import invalid_choice, shape_text


class ForeignImages(NamedTuple):
    """Images that a model was not trained for."""

    name: str
    """Name of the data set, or of the user's own images, for titles."""
    split: Split


def load_foreign(
    name: str, data_dir: Path, image_shape: tuple[int, int, int], resize: bool
) -> ForeignImages:
    """Load the test images of another data set, as for training, onto the CPU.

    Args:
        name: its key in `DATASETS`.
        data_dir: folder that holds the data sets.
        image_shape: channels, height and width that the model takes.
        resize: allow images of another shape, which `fit_to` converts.

    Raises:
        UsageError: there is no such data set.
        DataError: it cannot be loaded, or its images have another shape, and `resize` is false.
    """
    valid = [each for each in DATASETS if each != FOLDER]
    if name == FOLDER:
        raise UsageError(f"data={name} is not valid: for images of your own give images=...")
    if name not in valid:
        raise UsageError(invalid_choice("data", name, valid))
    split = load_data(DataConfig(name=name, val_size=None), data_dir, torch.device("cpu")).test
    shape = tuple(split.images.shape[1:])
    if shape != image_shape and not resize:
        raise DataError(
            f"data={name} has {shape_text(shape)} images, but the run takes "
            f"{shape_text(image_shape)}: resize=true crops, resizes and converts them"
        )
    return ForeignImages(name, split)


def fit_to(images: Tensor, image_shape: tuple[int, int, int]) -> Tensor:
    """uint8 images (N, C, H, W), greyscale or RGB, as images of `image_shape`: cropped, resized and
    converted as image files are."""
    channels, height, width = image_shape
    if tuple(images.shape[1:]) == image_shape:
        return images
    rows = images.permute(0, 2, 3, 1).squeeze(3).cpu().numpy()  # (N, H, W) or (N, H, W, 3)
    return torch.stack(
        [fit_pixels(Image.fromarray(row), channels, (height, width)) for row in rows]
    )
