"""The configuration: the one home of every option's name, type, default, unit and limits.

YAML under `conf/` holds choices and differences; the dataclasses here hold the defaults. Hydra
composes the two (`composition.py`), `to_config` turns the result into a `TrainConfig` once, at the
edge, and from there on no other module sees anything but these dataclasses.
"""

import ast
import inspect
import math
import os
import re
import textwrap
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aecli.errors import UsageError, one_line, suggest

# A wheel carries the YAML inside the package; in a checkout it stands beside it.
_PACKAGE = Path(__file__).parent
CONF_DIR = next(
    folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir()
)

# A run's name becomes a folder, so it holds nothing that a shell or a URL would have to quote.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DEVICE_PATTERN = re.compile(r"auto|cpu|cuda|cuda:\d+|mps")


def _check(condition: bool, key: str, value: object, valid: str) -> None:
    if not condition:
        raise UsageError(f"{key}={value} is not valid: give {valid}")


def _check_positive_integer(key: str, value: int) -> None:
    _check(value >= 1, key, value, "a whole number of at least 1")


def _check_not_negative(key: str, value: float) -> None:
    _check(value >= 0 and math.isfinite(value), key, value, "a finite number of at least 0")


class Activation(Enum):
    """The function behind a layer."""

    identity = "identity"
    relu = "relu"
    leaky_relu = "leaky_relu"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Bottleneck(Enum):
    """How a convolutional encoder turns its last feature map into the code."""

    conv = "conv"
    """One convolution whose kernel is as large as the map."""

    linear = "linear"
    """A fully connected layer on the flattened map."""


class Upsampling(Enum):
    """How a convolutional decoder makes a small map large."""

    transposed = "transposed"
    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"
    bed_of_nails = "bed_of_nails"
    max_unpool = "max_unpool"
    pixel_shuffle = "pixel_shuffle"


class Schedule(Enum):
    """How the learning rate changes after the warm-up."""

    constant = "constant"
    cosine = "cosine"


class Precision(Enum):
    """The numbers that a training step computes with; validation and tests are always exact."""

    float32 = "float32"
    bf16 = "bf16"
    """Products of 16-bit numbers, where torch's autocast finds them good enough."""


class CorruptionKind(Enum):
    """What is done to an image before the encoder sees it."""

    none = "none"
    gaussian = "gaussian"
    """Noise on every pixel."""

    masking = "masking"
    """Pixels that become black."""

    salt_and_pepper = "salt_and_pepper"
    """Pixels that become black or white."""

    downsample = "downsample"
    """Less resolution: smaller, and as large again by bicubic interpolation."""


@dataclass
class FCConfig:
    """A fully connected autoencoder: image - widths - code - widths reversed - image."""

    name: str = MISSING
    """What the model is called in run names and tables."""

    kind: str = "fc"
    """Which class builds it: a key of the table in `aecli/models`."""

    latent: int = MISSING
    """Size of the code."""

    widths: list[int] = field(default_factory=list)
    """Units of each hidden layer between the image and the code; the decoder mirrors them."""

    activation: Activation = Activation.relu
    """Behind each hidden layer."""

    code_activation: Activation = Activation.relu
    """Behind the code."""

    output: Activation = Activation.sigmoid
    """Behind the last layer."""

    def __post_init__(self) -> None:
        _check(self.kind == "fc", "model.kind", self.kind, "fc, or choose another model=...")
        _check_positive_integer("latent", self.latent)
        for width in self.widths:
            _check_positive_integer("model.widths", width)


@dataclass
class LayerConfig:
    """One convolution of the encoder; the decoder mirrors it."""

    channels: int = MISSING
    """Output channels."""

    kernel: int = 3
    """Height and width of the kernel, in pixels."""

    stride: int = 1
    """Step between kernel positions, in pixels."""

    padding: int = 0
    """Zeros added on each side, in pixels."""

    def __post_init__(self) -> None:
        _check_positive_integer("model.layers channels", self.channels)
        _check_positive_integer("model.layers kernel", self.kernel)
        _check_positive_integer("model.layers stride", self.stride)
        _check_not_negative("model.layers padding", self.padding)


@dataclass
class ConvConfig:
    """A convolutional autoencoder: a list of convolutions, a bottleneck, and their mirror."""

    name: str = MISSING
    """What the model is called in run names and tables."""

    kind: str = "conv"
    """Which class builds it: a key of the table in `aecli/models`."""

    latent: int = MISSING
    """Size of the code."""

    layers: list[LayerConfig] = field(default_factory=list)
    """The encoder's convolutions in front of the bottleneck."""

    bottleneck: Bottleneck = Bottleneck.conv
    """From the last map to the code and back: one convolution over the whole map, or linear."""

    batch_norm: bool = False
    """Batch normalisation between each convolution and its activation."""

    activation: Activation = Activation.relu
    """Behind each convolution."""

    code_activation: Activation = Activation.identity
    """Behind the code."""

    output: Activation = Activation.sigmoid
    """Behind the last layer."""

    def __post_init__(self) -> None:
        _check(self.kind == "conv", "model.kind", self.kind, "conv, or choose another model=...")
        _check_positive_integer("latent", self.latent)


ModelConfig = FCConfig | ConvConfig

# Hydra composes a model's YAML onto the schema of its kind.
MODEL_CONFIGS: dict[str, type[ModelConfig]] = {"fc": FCConfig, "conv": ConvConfig}


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
    """What the images are to show, by name, as in [3,5] or [cat,dog]; null: whatever they do."""

    without: list[str] | None = None
    """What they are not to show; null: there is no such thing."""

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
                _check_positive_integer(f"data.{key}", size)
        for key in ("classes", "without"):
            names = getattr(self, key)
            _check(names is None or names, f"data.{key}", "[]", "classes, as in [3,5], or null")
        _check(
            self.classes is None or self.without is None,
            "data.without",
            f"[{','.join(self.without or [])}]",
            "it without data.classes, or those without it",
        )
        if self.channels is not None:
            _check(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)")
        if self.image_shape is not None:
            _check(
                len(self.image_shape) == 3 and min(self.image_shape) >= 1,
                "data.image_shape",
                self.image_shape,
                "channels, height and width, as in [1,32,32]",
            )
        _check(math.isfinite(self.mean), "data.mean", self.mean, "a finite number")
        _check(self.std > 0 and math.isfinite(self.std), "data.std", self.std, "a number above 0")


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
            _check_positive_integer("upsample.kernel", self.kernel)


COMMON_FACTOR = 2  # of downsampling, unless another is asked for


@dataclass
class CorruptionConfig:
    """What is done to an image before the encoder sees it; the loss compares with the clean one."""

    name: CorruptionKind = CorruptionKind.none
    """The kind of damage."""

    noise_std: float = 0.1
    """Standard deviation of Gaussian noise, in pixel units; the result is clipped to [0, 1]."""

    shown_noise_std: float | None = None
    """Standard deviation in the reconstructions that are shown; null: the same as in training."""

    share: float = 0.25
    """Share of the pixels that masking or salt_and_pepper hits, drawn anew for every image."""

    factor: int | None = None
    """By how much downsampling makes an image smaller in both directions."""

    def __post_init__(self) -> None:
        if self.name is CorruptionKind.downsample and self.factor is None:
            self.factor = COMMON_FACTOR
        if self.factor is not None:
            _check(self.factor >= 2, "factor", self.factor, "a whole number of at least 2")
        _check(0 <= self.share <= 1, "corruption.share", self.share, "a number from 0 to 1")
        _check_not_negative("corruption.noise_std", self.noise_std)
        if self.shown_noise_std is not None:
            _check_not_negative("corruption.shown_noise_std", self.shown_noise_std)


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
        _check_not_negative("optimizer.warmup_epochs", self.warmup_epochs)
        if self.clip_norm is not None:
            _check(self.clip_norm > 0, "optimizer.clip_norm", self.clip_norm, "a number above 0")


@dataclass
class CheckpointConfig:
    """How much training an interruption may cost."""

    epochs: int = 1
    """Epochs between checkpoints; the last epoch always leaves one."""

    minutes: float = 10.0
    """Minutes between checkpoints, within an epoch too."""

    def __post_init__(self) -> None:
        _check_positive_integer("checkpoint.epochs", self.epochs)
        _check_not_negative("checkpoint.minutes", self.minutes)


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

    delta: float = 0.0
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
            _check_positive_integer(key, getattr(self, key))
        _check(self.lr > 0 and math.isfinite(self.lr), "lr", self.lr, "a finite number above 0")
        _check_not_negative("weight_decay", self.weight_decay)
        _check_not_negative("delta", self.delta)
        for key in ("patience", "channels"):
            if getattr(self, key) is not None:
                _check_positive_integer(key, getattr(self, key))
        _check(0 <= self.seed < 2**32, "seed", self.seed, "a whole number from 0 to 4294967295")
        _check(
            DEVICE_PATTERN.fullmatch(self.device) is not None,
            "device",
            self.device,
            "auto, cpu, cuda, cuda:1 or mps",
        )
        _check(
            NAME_PATTERN.fullmatch(self.name) is not None,
            "name",
            self.name,
            "letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )


def refuse_unread_keys(config: TrainConfig) -> None:
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


def config_groups() -> dict[str, list[str]]:
    """The choices that have files: group -> the names that `group=name` accepts."""
    return {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in sorted(CONF_DIR.iterdir())
        if folder.is_dir() and folder.name != "hydra"  # Hydra's own groups are not ours to offer
    }


@cache
def field_docs(schema: type) -> dict[str, str]:
    """Field name -> the docstring that stands under it in the source of `schema` or its bases."""
    inherited = [field_docs(base) for base in schema.__bases__ if is_dataclass(base)]
    tree = ast.parse(textwrap.dedent(inspect.getsource(schema)))
    body = cast(ast.ClassDef, tree.body[0]).body
    own = {
        statement.target.id: following.value.value
        for statement, following in zip(body, body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    }
    return {name: doc for docs in (*inherited, own) for name, doc in docs.items()}


def to_config(composed: DictConfig) -> TrainConfig:
    """What Hydra composed, as a checked dataclass with every interpolation resolved.

    Raises:
        UsageError: a value is of the wrong type or outside its limits.
    """
    try:
        return cast(TrainConfig, OmegaConf.to_object(composed))
    except OmegaConfBaseException as error:
        raise UsageError(explain(error)) from error


def explain(error: OmegaConfBaseException) -> str:
    """What OmegaConf refused, in one line: the key, the value, and what would be valid."""
    reason = str(error.msg or error).splitlines()[0]
    wrong_type = re.match(r"Value '(.*?)' (?:of type|is not) .*\b(Integer|Float|bool)\b", reason)
    if wrong_type:
        value, kind = wrong_type.groups()
        return f"{error.full_key}={value} is not valid: give {_KINDS[kind]}"
    if "is not a ListConfig" in reason:
        return f"{error.full_key} is not valid: give a list in brackets, as in [3,5]"
    wrong_name = re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", reason)
    if wrong_name:
        value, names = wrong_name.groups()
        return f"{error.full_key}={value} is not valid: {suggest(value, names.split(', '))}"
    return f"{error.full_key}: {reason}" if error.full_key else reason


_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}


def plain(config: Any) -> Any:
    """A config dataclass as the dicts, lists, numbers and strings that YAML and JSON hold."""
    if is_dataclass(config):
        return {f.name: plain(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, list):
        return [plain(item) for item in config]
    return config.name if isinstance(config, Enum) else config


def to_yaml(config: TrainConfig) -> str:
    """The resolved configuration as `from_yaml` reads it back."""
    return yaml.safe_dump(plain(config), sort_keys=False)


def from_yaml(text: str) -> TrainConfig:
    """A saved configuration. It is read as plain data: nothing in it is resolved or imported.

    Raises:
        UsageError: it is not a configuration of this program.
    """
    try:
        saved = yaml.safe_load(text)
        if not isinstance(saved, dict) or "${" in text:
            raise UsageError("it is not a resolved configuration")
        schema = MODEL_CONFIGS[saved["model"]["kind"]]
        config = OmegaConf.structured(TrainConfig)
        config.model = OmegaConf.structured(schema)
        return to_config(cast(DictConfig, OmegaConf.merge(config, saved)))
    except OmegaConfBaseException as error:  # of which some are errors of the next kinds as well
        raise UsageError(explain(error)) from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(f"it is not a configuration of aecli: {one_line(error)}") from error
