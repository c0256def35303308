"""Every option of a run: its name, type, default, unit and limits."""

import math
import os
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from aecli.config.choices import (
    CorruptionKind,
    Precision,
    Schedule,
    Upsampling,
)
from aecli.config.limits import check_not_negative, check_positive_integer, check_valid
from aecli.errors import UsageError

# A run's name becomes a folder, so it holds nothing that a shell or a URL would have to quote.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DEVICE_PATTERN = re.compile(r"auto|cpu|cuda|cuda:\d+|mps")


@dataclass
class DataConfig:
    """Which images, and how they are split and scaled."""

    name: str = MISSING
    """A key of the table in `aecli/data`, or auto."""

    path: str | None = None
    """Folder with the images of data=folder."""

    image_size: str | None = None
    """What the images of data=folder are resized to; null: they are not resized."""

    channels: int | None = None
    """Of the images of data=folder; null: those that they have."""

    classes: list[str] | None = None
    """Classes to keep, by name, as in [3,5] or [cat,dog]; null: all."""

    exclude_classes: list[str] | None = None
    """Classes to leave out, by name; null: none."""

    train_size: int | None = None
    """Images to train on; null: all but the validation split."""

    val_size: int | None = 5000
    """Images at the end of the training set that are kept for validation; null, as with
    data=folder: a tenth of them, or those that its folder val holds."""

    test_size: int | None = None
    """Images of the test set to measure on; null: all."""

    mean: float = 0.0
    """Subtracted from every pixel, which lies in [0, 1], before the model sees it."""

    std: float = 1.0
    """Every pixel is divided by it after the subtraction."""

    image_shape: list[int] | None = None
    """Channels, height and width that the images must have; null: whatever they have."""

    def __post_init__(self) -> None:
        for key in ("train_size", "val_size", "test_size"):
            size = getattr(self, key)
            if size is not None:
                check_positive_integer(f"data.{key}", size)
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
            check_valid(
                self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)"
            )
        if self.image_shape is not None:
            check_valid(
                len(self.image_shape) == 3 and min(self.image_shape) >= 1,
                "data.image_shape",
                self.image_shape,
                "channels, height and width, as in [1,32,32]",
            )
        check_valid(math.isfinite(self.mean), "data.mean", self.mean, "a finite number")
        check_valid(
            self.std > 0 and math.isfinite(self.std), "data.std", self.std, "a number above 0"
        )


@dataclass
class UpsampleConfig:
    """How a convolutional decoder goes from a small map to a large one."""

    name: Upsampling = Upsampling.transposed
    """The method."""

    kernel: int | None = None
    """Height and width of the kernel where it enlarges, in pixels; null: as in the encoder.
    A transposed convolution overlaps evenly where the stride divides it."""

    def __post_init__(self) -> None:
        if self.kernel is not None:
            check_positive_integer("upsample.kernel", self.kernel)


COMMON_FACTOR = 2  # of downsampling, unless another is asked for


@dataclass
class CorruptionConfig:
    """What is done to an image before the encoder sees it; the loss compares with the clean one."""

    name: CorruptionKind = CorruptionKind.none
    """The kind of damage."""

    noise_std: float = 0.1
    """Standard deviation of Gaussian noise, in pixel units; the result is clipped to [0, 1]."""

    example_noise_std: float | None = None
    """Standard deviation in the reconstructions that are shown; null: the same as in training."""

    rate: float = 0.25
    """Fraction of the pixels that masking or salt_and_pepper hits, drawn anew for every image."""

    factor: int | None = None
    """By how much downsampling makes an image smaller in both directions."""

    def __post_init__(self) -> None:
        if self.name is CorruptionKind.downsample and self.factor is None:
            self.factor = COMMON_FACTOR
        if self.factor is not None:
            check_valid(self.factor >= 2, "factor", self.factor, "a whole number of at least 2")
        check_valid(0 <= self.rate <= 1, "corruption.rate", self.rate, "a number from 0 to 1")
        check_not_negative("corruption.noise_std", self.noise_std)
        if self.example_noise_std is not None:
            check_not_negative("corruption.example_noise_std", self.example_noise_std)


@dataclass
class OptimizerConfig:
    """Adam, and what is done with its step size and its gradients."""

    schedule: Schedule = Schedule.constant
    """Course of the learning rate after the warm-up: constant, or cosine down to zero."""

    warmup_epochs: float = 0.0
    """Epochs over which the learning rate rises from zero to `lr`."""

    clip_norm: float | None = None
    """Gradients are scaled down to this Euclidean norm; null: left as they are."""

    def __post_init__(self) -> None:
        check_not_negative("optimizer.warmup_epochs", self.warmup_epochs)
        if self.clip_norm is not None:
            check_valid(
                self.clip_norm > 0, "optimizer.clip_norm", self.clip_norm, "a number above 0"
            )


@dataclass
class CheckpointConfig:
    """How much training an interruption may cost."""

    epochs: int = 1
    """Epochs between checkpoints; the last epoch always leaves one."""

    minutes: float = 10.0
    """Minutes between checkpoints, within an epoch too."""

    def __post_init__(self) -> None:
        check_positive_integer("checkpoint.epochs", self.epochs)
        check_not_negative("checkpoint.minutes", self.minutes)


@dataclass
class TrainConfig:
    """One training run."""

    latent: int = 25
    """Size of the code: numbers per image between encoder and decoder."""

    epochs: int = 25
    """Passes over the training images."""

    batch_size: int = 128
    """Images per step."""

    lr: float = 1e-3
    """Adam's learning rate."""

    # The lectures' value, and no ornament: without it a third of the ReLU codes of model=fc die.
    weight_decay: float = 1e-5
    """Adam's L2 penalty on the weights."""

    seed: int = 0
    """Of the weights, the order of the images and the noise; 0 to 4294967295."""

    device: str = "auto"
    """auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, mps."""

    precision: Precision = Precision.float32
    """Of the arithmetic of a training step. bf16 is faster with wide layers and many channels,
    where the processor or the GPU has it, and slower with small ones such as those of fc and conv
    with 25."""

    deterministic: bool = True
    """Whether a GPU takes the same seed to the same bits; false allows the fastest algorithms for
    training steps, which matters for model=deep."""

    compile: bool = False
    """Have torch.compile write code for the training step, which takes a while at the start and a
    C++ compiler."""

    val_every: int = 1
    """Epochs between validations; the first and the last epoch are always validated."""

    patience: int | None = None
    """Stop after so many validations without improvement; null: never stop early."""

    min_delta: float = 0.0
    """What the validation loss must fall by to count as an improvement."""

    name: str = MISSING
    """Of the run and its folder under output_dir; if not given, model and latent: conv-z25."""

    output_dir: str = "outputs"
    """Folder that holds the run folders."""

    path: str | None = None
    """data=folder: the folder with your images, nested as they are; folders in it are classes,
    unless they are called train, val and test."""

    image_size: str | None = None
    """data=folder: rows and columns to which images are cropped and resized, as in 64 or 48x64;
    null: they are not, and must have one size."""

    channels: int | None = None
    """data=folder: 1 for grey or 3 for colour; null: grey if all of them are."""

    factor: int | None = None
    """corruption=downsample: by how much images are made smaller in both directions; null: 2."""

    data_dir: str = field(default_factory=lambda: os.environ.get("AECLI_DATA", "data"))
    """Folder that holds the data sets, or will; the environment variable AECLI_DATA sets it too."""

    data: DataConfig = field(default_factory=DataConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    upsample: UpsampleConfig = field(default_factory=UpsampleConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    model: Any = MISSING

    def __post_init__(self) -> None:
        for key in ("latent", "epochs", "batch_size", "val_every"):
            check_positive_integer(key, getattr(self, key))
        check_valid(
            self.lr > 0 and math.isfinite(self.lr), "lr", self.lr, "a finite number above 0"
        )
        check_not_negative("weight_decay", self.weight_decay)
        check_not_negative("min_delta", self.min_delta)
        for key in ("patience", "channels"):
            if getattr(self, key) is not None:
                check_positive_integer(key, getattr(self, key))
        check_valid(
            0 <= self.seed < 2**32, "seed", self.seed, "a whole number from 0 to 4294967295"
        )
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


def check_unread_keys(config: TrainConfig) -> None:
    """What one data set or one corruption reads must not be given beside another.

    Raises:
        UsageError: it is.
    """
    if config.factor is not None and config.corruption.factor is None:
        raise UsageError(
            f"factor={config.factor} is for images that lose resolution: add corruption=downsample"
        )
    for key in ("path", "image_size", "channels"):
        value = getattr(config, key)
        if value is not None and getattr(config.data, key) is None:
            raise UsageError(
                f"{key}={value} is for images of your own: add data=folder, "
                f"or leave it out with data={config.data.name}"
            )
