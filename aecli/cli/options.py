"""What the commands beside `train` take, and their grammar.

That is `key=value` as with `aecli train`; where a command looks at runs, a bare path stands for
run=PATH.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, get_origin

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aecli.config import explain
from aecli.errors import UsageError, suggest

if TYPE_CHECKING:
    from aecli.runs.trained import Trained


class SortKey(Enum):
    """What the table of a comparison can be sorted by."""

    model = "model"
    latent = "latent"
    mse = "mse"
    sse = "sse"
    psnr = "psnr"
    ssim = "ssim"
    checkerboard = "checkerboard"
    ratio = "ratio"
    parameters = "parameters"
    seconds = "seconds"


class Density(Enum):
    """What can be fitted to codes."""

    diagonal = "diagonal"
    full = "full"
    gmm = "gmm"


class ExportFormat(Enum):
    """What files a network can be written to."""

    onnx = "onnx"
    torch_export = "torch_export"
    both = "both"


class ExportPart(Enum):
    """What of a network can be written to files."""

    encoder = "encoder"
    decoder = "decoder"
    both = "both"


class MapKind(Enum):
    """How codes can be brought to a plane."""

    pca = "pca"
    tsne = "tsne"
    umap = "umap"


@dataclass
class CompareOptions:
    """What to compare, and how."""

    run: list[str] = field(default_factory=list)
    """A run folder, or one that holds runs at any depth, such as a sweep's. May be given several
    times; a bare path means the same."""

    sort: SortKey = SortKey.model
    """What the table is sorted by, the best first; model: by model, then by latent size."""

    output: str | None = None
    """Folder for the comparison; null: `compare` in the folder that is given or, where several are
    given, a new one below outputs/compare."""


@dataclass
class RunOptions:
    """What every command takes that uses one finished run."""

    run: list[str] = field(default_factory=list)
    """The folder of a finished run; a bare path means the same."""

    device: str = "auto"
    """Where the model is to work: auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, mps."""

    data_dir: str | None = None
    """Folder that holds the data sets; null: the one that the run was trained with."""

    images: list[str] = field(default_factory=list)
    """Images of your own in the place of the run's test images: a folder, in which folders are
    classes, or a file. May be given several times."""

    resize: bool = False
    """Images of another size are cropped and resized to that of the run; or they are refused."""


@dataclass
class EvaluateOptions(RunOptions):
    """What to measure."""


@dataclass
class ReconstructOptions(RunOptions):
    """What to reconstruct."""

    count: int = 10
    """Images in the figure: the first of each class, then others."""

    corrupt: bool = True
    """Damage them first, where the run was trained to undo damage; or they go in as they are."""


@dataclass
class InterpolateOptions(RunOptions):
    """Which images to go between, and how."""

    n: int | None = None
    """Pairs that are drawn where none are given; null: 6, or as many as there are."""

    pairs: str | None = None
    """Pairs of images by number, the first being 0, as in 3:7,12:40; null: drawn by seed."""

    steps: int = 12
    """Images in a row, the two ends among them."""

    seed: int = 0
    """Of the pairs that are drawn."""

    spherical: bool = False
    """Along an arc around the origin of the latent space, or along a straight line."""


@dataclass
class ProbeOptions(RunOptions):
    """How many labels the classifier is told."""

    labels: str | None = None
    """Labelled images of each class, as in 10,100; all are always tried as well. null: 10 and 100,
    where every class has as many."""

    draws: int = 5
    """Sets of labelled images for each number of them, of which mean and standard deviation are
    shown; at least 1."""

    seed: int = 0
    """Of the images that are drawn."""


@dataclass
class SampleOptions(RunOptions):
    """What is fitted to the training codes, and how much is drawn from it."""

    n: int = 16
    """Images that are shown, 1 to 64; the distance to real images is always of as many as there
    are test images."""

    density: Density = Density.diagonal
    """A Gaussian without correlations, one with all of them, or a mixture of several such
    (pip install 'aecli[uses]')."""

    components: int = 10
    """Gaussians in the mixture of density=gmm."""

    seed: int = 0
    """Of what is drawn, and of the first guess at a mixture."""


@dataclass
class ExportOptions(RunOptions):
    """Which files to write."""

    format: ExportFormat = ExportFormat.onnx
    """ONNX (pip install 'aecli[export]'), or .pt2 files of torch.export."""

    part: ExportPart = ExportPart.both
    """both: each in a file, and a third of the whole autoencoder."""


@dataclass
class EmbedOptions(RunOptions):
    """How the codes are mapped, and how many neighbours have a say."""

    map: MapKind | None = None
    """pca: their first two principal components; tsne (pip install 'aecli[uses]') or umap
    ('aecli[umap]'): so that neighbours stay neighbours. null: the codes themselves where latent=2,
    or pca."""

    n: int = 10_000
    """Images on the map and in the projector, drawn by seed where there are more."""

    k: int = 10
    """Nearest training images whose class an image is taken to be of."""

    seed: int = 0
    """Of umap, and of the images that are drawn."""


@dataclass
class AnomalyOptions(RunOptions):
    """Where normal ends."""

    fpr: float = 0.05
    """The false-positive rate: the share of normal images that may be called anomalous, above 0 and
    below 1. The threshold is the error that this share of the run's validation images exceeds."""

    seed: int = 0
    """Of the isolation forest."""


class Noise(Enum):
    """What can be laid over images to see how well it is removed."""

    gaussian = "gaussian"
    masking = "masking"
    salt_and_pepper = "salt_and_pepper"


@dataclass
class DenoiseOptions(RunOptions):
    """Which noise, and how much of it."""

    run: list[str] = field(default_factory=list)
    """The folder of a finished run, and of others to hold it against, such as one that was trained
    without noise; a bare path means the same."""

    noise: Noise | None = None
    """The kind; null: each of them."""

    strengths: str | None = None
    """Standard deviations of gaussian, or shares of the pixels that masking or salt_and_pepper
    hits, as in 0.1,0.5; null: several that suit each."""

    n: int = 500
    """Images that are measured, drawn by seed."""

    seed: int = 0
    """Of the images and of their noise."""


@dataclass
class SuperresOptions(RunOptions):
    """How much is shown."""

    count: int = 10
    """Images in the figure: the first of each class, then others; all images are measured."""


@dataclass
class ConvOptions:
    """One layer, and what it is given."""

    input: str = MISSING
    """The image: a size such as 2x3 (rows x columns), for one that holds 1, 2, 3, ... row by row; a
    list such as [[1,2,3],[4,5,6]], or [[[1,2],[3,4]],[[5,6],[7,8]]] with channels; or a file:
    .json, .csv, .txt (a row a line) or .npy."""

    kernel: str | None = None
    """Height and width of the kernel, in pixels, which then holds 1, 2, 3, ...; 3x1 is 3 rows of 1.
    Not needed beside weight."""

    stride: str = "1"
    """Step between kernel positions, in pixels; of a transposed convolution, between stamps."""

    padding: str = "0"
    """Zeros on each side of the input; of a transposed convolution, pixels cut off the output."""

    output_padding: str = "0"
    """Pixels that a transposed convolution has more of below and to the right."""

    dilation: str = "1"
    """Step between the weights of the kernel, in pixels."""

    transposed: bool = False
    """A transposed convolution, or a convolution."""

    weight: str | None = None
    """The kernel's weights, as a list or a file like input; with channels in torch's order: output,
    input, rows, columns, and of a transposed convolution input, output, rows, columns."""

    bias: str | None = None
    """A number that is added to the output, or a list of one for each output channel."""

    output: str | None = None
    """Folder for the figure; null: one below outputs/conv that is named after the layer."""


def taken_out(arguments: list[str], key: str) -> str | None:
    """The last value that `key` is given, all of which are removed from `arguments`."""
    value = None
    for argument in [each for each in arguments if each.startswith(f"{key}=")]:
        arguments.remove(argument)
        value = argument.partition("=")[2]
    return value


Options = TypeVar("Options")

PATHS = "run"
"""The field that collects paths: a list of strings."""


def parse_options(command: str, schema: type[Options], arguments: Sequence[str]) -> Options:
    """What stands behind `aecli command`, as a dataclass of which `run` collects the paths.

    Raises:
        UsageError: a flag, a key that there is not or that is missing, or a value that is not
            valid.
    """
    config = OmegaConf.structured(schema)
    known = fields(schema)  # type: ignore[arg-type]
    keys = [field.name for field in known]
    lists = [field.name for field in known if get_origin(field.type) is list]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if argument.startswith("-"):
            path = " or a path" if PATHS in keys else ""
            raise UsageError(f"{command} has no flag {argument}: give key=value{path}")
        if not equals or not key.isidentifier():
            if PATHS not in keys:
                raise UsageError(
                    f"{command} takes key=value, not {argument!r}: valid keys are {', '.join(keys)}"
                )
            key, value = PATHS, argument
        if key not in keys:
            raise UsageError(f"there is no key {key!r}: {suggest(key, keys)}")
        if "${" in value:  # OmegaConf would look up what it names
            raise UsageError(f"{key} is not valid: ${{...}} is not filled in here, give the value")
        try:
            if key in lists:
                config[key].append(value)
            else:
                config[key] = None if value == "null" else value
        except OmegaConfBaseException as error:
            raise UsageError(explain(error)) from error
    for key in OmegaConf.missing_keys(config):
        raise UsageError(f"{command} needs {key}=...: aecli {command} --help tells what that takes")
    return cast(Options, OmegaConf.to_object(config))


def one_run(command: str, options: RunOptions) -> Path:
    """The run that a command is about.

    Raises:
        UsageError: there is none, or more than one.
    """
    (path, *others) = some_runs(command, options)
    if others:
        raise UsageError(f"{command} takes the folder of one finished run, not {len(options.run)}")
    return path


def open_chosen(path: Path, options: RunOptions) -> "Trained":
    """The finished run in the folder `path`, with the images that a command is to work on.

    What has been done to images of a person's own is told in the terminal.

    Raises:
        UsageError: it is no run, or none that is finished.
        DataError, StorageError: images or files that cannot be used.
    """
    # A mistake in the line is told without waiting for torch.
    from aecli.cli import console
    from aecli.runs.trained import open_run

    trained = open_run(path, options.device, options.data_dir, options.images, options.resize)
    for notice in trained.own.notices if trained.own else []:
        console.warn(notice)
    return trained


def some_runs(command: str, options: RunOptions) -> list[Path]:
    """The runs that a command is about, one or more.

    Raises:
        UsageError: there is none.
    """
    if not options.run:
        raise UsageError(f"{command} takes the folder of one finished run, and none is given")
    return [Path(each) for each in options.run]
