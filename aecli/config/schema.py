"""Every option of a run: name, type, default, unit and valid range."""

import math
import os
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from aecli.config.augment import AugmentConfig
from aecli.config.choices import (
    CorruptionKind,
    Keep,
    Loss,
    Precision,
    RegularizerKind,
    Schedule,
    Target,
    TrackerKind,
    Upsampling,
)
from aecli.config.limits import (
    MAX_EPOCHS,
    MAX_FLOAT,
    MAX_IMAGES,
    MAX_LEVEL,
    MAX_MINUTES,
    MAX_PIXELS,
    MAX_UNITS,
    check_integer,
    check_number,
    check_path,
    check_seed,
    check_valid,
    expand_user,
)
from aecli.config.objective import RegularizerConfig
from aecli.config.optimization import CheckpointConfig, OptimizerConfig
from aecli.files.places import OUTPUTS

# A run's name is also its folder's, so it contains nothing that needs quoting in a shell or a URL.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FOLDER = "folder"
"""The data set of a person's own images."""
FOLDER_KEYS = ("path", "image_size", "channels", "scale", "splits")
"""The keys of `DataConfig` that only this data set reads."""

SHORT_NAMES = {
    "factor": "corruption.factor",
    "beta": "regularizer.beta",
    "tied": "model.tied",
}
SHORT_KEYS = {key: f"data.{key}" for key in FOLDER_KEYS} | SHORT_NAMES
"""Short key -> the full key that it stands for."""

DEVICE_PATTERN = re.compile(r"auto|cpu|cuda|cuda:\d+|mps")


def default_data_dir() -> str:
    """The folder for the data sets where none is given."""
    return expand_user("AECLI_DATA", os.environ.get("AECLI_DATA", "data"))


@dataclass
class DataConfig:
    """The data set, its splits and its normalisation."""

    name: str = MISSING
    """A key of `DATASETS` in `aecli/data`, or auto."""

    path: str | None = None
    """data=folder: the folder with your images, at any depth; its subfolders are classes, unless
    they are called train, val and test."""

    image_size: str | None = None
    """data=folder: rows x columns to which images are cropped and resized, as in 64 or 48x64;
    null: not resized, all images must have the same size."""

    channels: int | None = None
    """data=folder: 1 for greyscale or 3 for RGB; null: 1 if all images are grey, else 3."""

    scale: float | None = None
    """data=folder: pixel value that counts as white, as in 4095 for 12 bits in 16-bit files; null:
    the largest of each file's type."""

    splits: bool | None = None
    """data=folder: true if the folders in path are the splits, false if they are classes; null:
    splits if they are named train, val and test or the like, and refused where that is unclear."""

    classes: list[str] | None = None
    """Classes to keep, by name, as in [3,5] or [cat,dog]; null: all."""

    exclude_classes: list[str] | None = None
    """Classes to exclude, by name; null: none."""

    train_size: int | None = None
    """Number of images to train on; null: all but the validation split."""

    val_size: int | None = 5000
    """Images at the end of the training set used for validation; 0: none, all are trained on, which
    needs keep=last; null, as with data=folder: a tenth of them, or the images in its folder val."""

    test_size: int | None = None
    """Number of test images to evaluate on; null: all."""

    mean: float = 0.0
    """Subtracted from every pixel in [0, 1] before the model sees it."""

    std: float = 1.0
    """Divides every pixel after the subtraction."""

    image_shape: list[int] | None = None
    """Required channels, height and width; null: any."""

    def __post_init__(self) -> None:
        for key in ("train_size", "val_size", "test_size"):
            size = getattr(self, key)
            if size is not None:
                minimum = 0 if key == "val_size" else 1
                check_integer(f"data.{key}", size, MAX_IMAGES, minimum)
        check_valid(self.path != "", "path", "", "the folder with the images")
        if self.path is not None:
            check_path("path", self.path)
            self.path = os.path.expanduser(self.path)
        for key in ("classes", "exclude_classes"):
            names = getattr(self, key)
            check_valid(
                names is None or names, f"data.{key}", "[]", "classes, as in [3,5], or null"
            )
        check_valid(
            self.classes is None or self.exclude_classes is None,
            "data.exclude_classes",
            f"[{','.join(self.exclude_classes or [])}]",
            "either data.classes or data.exclude_classes",
        )
        if self.channels is not None:
            check_integer("channels", self.channels, MAX_UNITS)
            check_valid(
                self.name != FOLDER or self.channels in (1, 3),
                "channels",
                self.channels,
                "1 (grey) or 3 (colour)",
            )
        if self.scale is not None:
            valid = "the pixel value that counts as white, as in 4095"
            check_valid(1 / MAX_FLOAT <= self.scale <= MAX_FLOAT, "scale", self.scale, valid)
        if self.image_shape is not None:
            check_valid(
                len(self.image_shape) == 3 and all(0 < n <= MAX_PIXELS for n in self.image_shape),
                "data.image_shape",
                self.image_shape,
                "channels, height and width, as in [1,32,32]",
            )
        check_number("data.mean", self.mean, MAX_LEVEL, -MAX_LEVEL)
        check_number("data.std", self.std, MAX_LEVEL, 1 / MAX_LEVEL)

    @property
    def has_validation(self) -> bool:
        """Whether images are set apart for validation."""
        return self.val_size != 0


@dataclass
class UpsampleConfig:
    """How a convolutional decoder upsamples its feature maps."""

    name: Upsampling = Upsampling.transposed
    """The method."""

    kernel: int | None = None
    """Height and width of the kernel of upsampling layers, in pixels; null: as in the encoder.
    A transposed convolution overlaps evenly if the stride divides the kernel."""

    def __post_init__(self) -> None:
        if self.kernel is not None:
            check_integer("upsample.kernel", self.kernel, MAX_PIXELS)


DEFAULT_FACTOR = 2  # for downsampling


@dataclass
class CorruptionConfig:
    """Corruption of the encoder's input."""

    name: CorruptionKind = CorruptionKind.none
    """The kind of corruption."""

    noise_std: float = 0.1
    """Standard deviation of Gaussian noise on pixels in [0, 1]; the result is clipped."""

    example_noise_std: float | None = None
    """Standard deviation in the example reconstructions; null: as in training."""

    rate: float = 0.25
    """Probability that masking or salt_and_pepper affects a pixel, drawn anew for every image."""

    factor: int | None = None
    """corruption=downsample: factor by which height and width are reduced; null: 2."""

    target: Target = Target.clean
    """Image that the loss compares the output with: the clean one, or the corrupted input. Every
    other error compares with the clean one."""

    def __post_init__(self) -> None:
        if self.name is CorruptionKind.downsample and self.factor is None:
            self.factor = DEFAULT_FACTOR
        if self.factor is not None:
            check_integer("factor", self.factor, MAX_PIXELS, minimum=2)
        check_valid(0 <= self.rate <= 1, "corruption.rate", self.rate, "a number from 0 to 1")
        check_number("corruption.noise_std", self.noise_std, MAX_LEVEL)
        if self.example_noise_std is not None:
            check_number("corruption.example_noise_std", self.example_noise_std, MAX_LEVEL)


@dataclass
class TrainConfig:
    """One training run."""

    latent: int = 25
    """Size of the latent code, in numbers per image."""

    epochs: int = 25
    """Passes over the training set."""

    steps: int | None = None
    """Optimiser steps, in place of epochs: as many epochs as reach them; null: epochs decides."""

    minutes: float | None = None
    """Minutes of training, after which the current epoch is the last; null: no limit."""

    batch_size: int = 128
    """Images per step."""

    lr: float = 1e-3
    """Adam's learning rate."""

    loss: Loss = Loss.mse
    """What is minimised: the mean over the pixels of the squared error (mse), of the absolute error
    (l1), both in the units that the model is trained in, or of the binary cross-entropy in nats
    (bce), which needs pixels and outputs in [0, 1]. Results are measured alike for all of them."""

    # The lectures' value. Without it a third of the units of a ReLU code, as in lecture_fc, die.
    weight_decay: float = 1e-5
    """Adam's L2 penalty on the weights."""

    seed: int = 0
    """Random seed for weights, image order and noise, 0 to 4294967295."""

    device: str = "auto"
    """auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, mps."""

    precision: Precision = Precision.float32
    """Precision of training steps. bf16 is faster with wide layers and many channels on hardware
    that supports it, and slower with small ones such as fc and conv with latent=25."""

    deterministic: bool = True
    """On a GPU, the same seed gives bit-identical results; false allows faster algorithms for
    training steps, which matters for model=deep."""

    compile: bool = False
    """Compile the training step with torch.compile, which needs a C++ compiler and some time at
    the start."""

    val_every: int = 1
    """Epochs between validations; the first and last epochs are always validated."""

    patience: int | None = None
    """Early stopping: validations without improvement before training stops; null: never."""

    min_delta: float = 0.0
    """Minimum decrease of the validation loss that counts as an improvement."""

    init: str | None = None
    """A finished run of the same layers whose weights the training starts from: its folder, the
    beginning of its name, or latest; null: drawn from the seed."""

    keep: Keep = Keep.best
    """Weights that the run keeps: best, of the epoch with the lowest validation loss, or last."""

    tracker: TrackerKind = TrackerKind.none
    """Where curves, images and results are also logged: wandb (Weights & Biases) or mlflow, each an
    extra; its own environment variables name the project and the server."""

    name: str = MISSING
    """Name of the run and of its folder in output_dir; default: model and latent, as in conv-z25,
    and what differs from the defaults, as in conv-z25-kmnist-nearest-s1."""

    output_dir: str = OUTPUTS
    """Folder for the run folders."""

    data_dir: str = field(default_factory=lambda: default_data_dir())
    """Folder for the data sets; the environment variable AECLI_DATA sets its default."""

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    upsample: UpsampleConfig = field(default_factory=UpsampleConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    regularizer: RegularizerConfig = field(default_factory=RegularizerConfig)
    model: Any = MISSING

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_validation()
        for key in ("output_dir", "data_dir"):
            check_path(key, getattr(self, key))
            setattr(self, key, os.path.expanduser(getattr(self, key)))
        check_valid(
            DEVICE_PATTERN.fullmatch(self.device) is not None,
            "device",
            self.device,
            "auto, cpu, cuda, cuda:1 or mps",
        )
        check_valid(
            NAME_PATTERN.fullmatch(self.name) is not None,
            "name",
            self.name,
            "letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )

    def _check_numbers(self) -> None:
        check_integer("latent", self.latent, MAX_UNITS)
        check_integer("epochs", self.epochs, MAX_EPOCHS)
        if self.steps is not None:
            check_integer("steps", self.steps, MAX_EPOCHS)
        if self.minutes is not None:
            check_number("minutes", self.minutes, MAX_MINUTES, above=True)
            check_valid(
                self.optimizer.schedule is Schedule.constant,
                "minutes",
                self.minutes,
                f"optimizer.schedule=constant as well, since {self.optimizer.schedule.name} "
                f"must know the last epoch",
            )
        check_integer("batch_size", self.batch_size, MAX_IMAGES)
        check_integer("val_every", self.val_every, MAX_EPOCHS)
        check_number("lr", self.lr, MAX_FLOAT, above=True)
        check_number("weight_decay", self.weight_decay, MAX_FLOAT)
        check_number("min_delta", self.min_delta, MAX_FLOAT)
        check_seed(self.seed)

    def _check_validation(self) -> None:
        """Check that there are validation images for what needs them."""
        if self.patience is not None:
            check_integer("patience", self.patience, MAX_EPOCHS)
            check_valid(
                self.data.has_validation,
                "patience",
                self.patience,
                "a data.val_size above 0, whose images tell when to stop, or patience=null",
            )
        check_valid(
            self.data.has_validation or self.keep is Keep.last,
            "data.val_size",
            0,
            "keep=last as well, since only validation images tell which weights are the best",
        )

    @property
    def has_gaussian_code(self) -> bool:
        """Whether the encoder gives a distribution of codes: a mean and a variance each."""
        return self.regularizer.name is RegularizerKind.vae

    def steps_per_epoch(self, images: int) -> int:
        """Number of batches in which `images` training images are seen once; the last batch may be
        smaller."""
        return math.ceil(images / self.batch_size)


def short_key(key: str) -> str:
    """The short form of a key, if it has one."""
    return next((short for short, full in SHORT_KEYS.items() if full == key), key)
