"""What `aecli COMMAND --help` prints, read off conf/ and the dataclasses: it cannot fall behind."""

import textwrap
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any

import omegaconf
import yaml

from aecli.cli.options import (
    AnomalyOptions,
    CompareOptions,
    ConvOptions,
    DenoiseOptions,
    EmbedOptions,
    EvaluateOptions,
    ExportOptions,
    InterpolateOptions,
    ProbeOptions,
    ReconstructOptions,
    SampleOptions,
    SuperresOptions,
)
from aecli.config import (
    CONF_DIR,
    CheckpointConfig,
    ConvConfig,
    CorruptionConfig,
    DataConfig,
    FCConfig,
    LayerConfig,
    OptimizerConfig,
    TrainConfig,
    UpsampleConfig,
    config_groups,
    field_docs,
)

WIDTH = 100
INDENT = 34

TRAIN = """\
usage: aecli train [-m] [key=value ...]

Trains an autoencoder and leaves a run directory under output_dir. --cfg job prints the
configuration instead of running it. Flags may stand anywhere.

With -m (--multirun), lists of values such as latent=5,25,125 train one run for each combination,
and sweep=... brings lists of its own, which the line may change. Then:
{sweeps}

resume=FOLDER goes on with an interrupted run, or with all unfinished runs of a sweep, from the
newest checkpoint of each; epochs=... may be raised, for a finished run too.

Started by torchrun, its processes train one run together; batch_size is that of all of them.

What to choose (a file each under conf/, the default first):
{groups}

Keys, with their defaults:
{keys}

{sections}

examples:
  aecli train model=conv latent=25
  aecli train model=denoising latent=32 epochs=10 corruption.noise_std=0.3
  aecli train experiment=lecture_fc latent=125
  aecli train -m model=fc latent=5,25,125 seed=0,1,2
  aecli train -m sweep=latent hydra/launcher=joblib
  aecli train resume=outputs/latent/2026-11-21_10-15-00-123456
  torchrun --nproc_per_node=2 -m aecli train model=denoising
"""

SWEEPS = {
    "compare=true": "Compare the finished runs at the end, as aecli compare does; or false.",
    "hydra/launcher=basic": "One run after the other. joblib: as many at once as there are cores "
    "(pip install 'aecli[joblib]'); submitit_slurm, submitit_local: as jobs of a cluster, or like "
    "them ('aecli[slurm]').",
    "hydra/sweeper=basic": "Every combination. optuna: search for the smallest validation mse "
    "('aecli[optuna]'); sweep=search is an example.",
}

COMPARE = """\
usage: aecli compare FOLDER ... [key=value ...]

Puts runs side by side: runs that differ by their seed alone make one row, a mean with its standard
deviation. Prints the table, and writes it as CSV and Markdown, the figures as PNG and SVG, one
self-contained report.html, and all of it for TensorBoard.

Keys, with their defaults:
{keys}

examples:
  aecli compare outputs/latent/2026-11-21_10-15-00-123456
  aecli compare outputs/latent outputs/latent_conv sort=mse
"""

CONV = """\
usage: aecli conv input=... kernel=... [key=value ...]

The arithmetic of one convolution or transposed convolution, with all numbers: the size of its
output; the matrix that it multiplies by; the input with zeros between and around its pixels whose
convolution is the transposed convolution; how many kernel positions overlap at each pixel, and
which kernels would overlap evenly. Prints them, and draws the overlap as PNG and SVG.

Sizes are 3 or, as rows x columns, 3x1. Quote lists: brackets and blanks mean something to shells.

Keys, with their defaults:
{keys}

examples:
  aecli conv input=2 kernel=3 stride=2 transposed=true
  aecli conv "input=[[1,2,3],[4,5,6],[7,8,9]]" "weight=[[0,1],[2,3]]"
  aecli conv input=image.csv weight=weights.npy bias=0.5 padding=1
"""


SHAPES = """\
usage: aecli shapes [key=value ...]

Shows the network that aecli train would build from the same line, layer by layer, without training
it and without its images: kernel, stride, padding and output padding, the size of the output with
the formula filled in, parameters, and multiply-adds for one image. Where a layer does not fit, it
shows those in front of it.

The keys are those of aecli train; image_size and channels, where they are given, take the place of
those of any data set.

examples:
  aecli shapes model=conv latent=25 data=cifar10
  aecli shapes model=deep image_size=64 channels=3
  aecli shapes model=conv upsample=max_unpool image_size=27x31
"""

USE = """\
usage: aecli {command} RUN [key=value ...]

{about}

Keys, with their defaults:
{keys}

examples:
{examples}
"""

WHERE = (
    "Figures as PNG and SVG, their numbers as JSON, and both for TensorBoard lie in the folder "
    "{command} of the run, where they take the place of earlier ones."
)
A_RUN = "outputs/conv-z25/2026-11-21_10-15-00-123456"

# The commands that use a finished run: what they take, what they do, and examples.
USES: dict[str, tuple[type, str, list[str]]] = {
    "evaluate": (
        EvaluateOptions,
        "Measures a trained model on the test images, all of them and class by class, beside PCA "
        "of the same size, and shows the images that it reconstructs best and worst.",
        [""],
    ),
    "reconstruct": (
        ReconstructOptions,
        "Shows test images, their corruption where the run has one, what the model makes of them, "
        "and the error.",
        ["", "count=20"],
    ),
    "interpolate": (
        InterpolateOptions,
        "Goes from one test image to another along a line between their codes, beside the same "
        "line between their pixels, as a figure and as an animation, and measures how far each "
        "step is from the nearest training image.",
        ["", "pairs=3:7,12:40 steps=9", "n=4 spherical=true"],
    ),
    "sample": (
        SampleOptions,
        "Fits a density to the codes of the training images, decodes codes that are drawn from it, "
        "and shows each image above the training image that is nearest to it. Measures the Frechet "
        "distance to the test images between the logits of a linear classifier of pixels, which is "
        "the same for every density and every run on the same images.",
        ["", "density=full n=64", "density=gmm components=20"],
    ),
    "denoise": (
        DenoiseOptions,
        "Lays noise of several kinds and strengths over images and measures the psnr of what is "
        "left, beside doing nothing, the best linear denoiser (Wiener), a median filter and "
        "non-local means, whose settings are chosen on validation images. Of several runs, "
        "shows what the first gains over the others.",
        ["", "OTHER_RUN", "noise=gaussian strengths=0.1,0.3,0.5 n=2000"],
    ),
    "superres": (
        SuperresOptions,
        "Of a run that was trained with corruption=downsample: shows images, what is left of them "
        "at the lower resolution, bicubic interpolation and the output, and measures all of them, "
        "beside the best linear function of the small image.",
        ["", "count=12"],
    ),
    "probe": (
        ProbeOptions,
        "Trains a linear classifier on the codes, with few labels and with all, beside the same "
        "classifier on as many principal components and on pixels, and measures its accuracy on "
        "the test images.",
        ["", "labels=1,10,100,1000 draws=10"],
    ),
    "embed": (
        EmbedOptions,
        "Maps the codes of the test images as points, and puts them with thumbnails and classes "
        "into TensorBoard's projector. Measures how often the nearest training images tell the "
        "class of a test image, near by their codes, by as many principal components and by "
        "pixels. For latent=2 also shows what a plane of codes is decoded to.",
        ["", "map=tsne n=2000", "map=umap k=5"],
    ),
    "export": (
        ExportOptions,
        "Writes the network as files that need no aecli, for images of any number at once. The "
        "run's normalisation is in them: they take and give pixels in [0, 1]. Each file is read "
        "back, ONNX by onnxruntime, and has to give what the model gives on test images and their "
        "codes: pixels within 1e-4.",
        ["", "format=torch_export", "part=encoder format=both"],
    ),
    "anomaly": (
        AnomalyOptions,
        "Takes a large error for a sign of something unknown. Of a run that was trained on some "
        "classes, data.classes=[3] or data.exclude_classes=[3], it measures how well the error "
        "tells test images of each other class from normal ones, those of its own: AUROC; "
        "average precision (AP), which depends on how many there are; and the share that is "
        "found, being above the threshold. Beside it stand PCA of the same size and an isolation"
        " forest of the pixels (pip install 'aecli[uses]'). With images of your own, and by any "
        "run, it writes the error of each to scores.csv, and whether it is above the threshold. "
        "Images go in undamaged, whatever the run was trained with.",
        ["", "fpr=0.01", "images=photos resize=true"],
    ),
}

# The dataclasses behind the groups, with the prefix of their keys.
SECTIONS: dict[str, tuple[str, type]] = {
    "Images:": ("data.", DataConfig),
    "Corruption:": ("corruption.", CorruptionConfig),
    "Upsampling:": ("upsample.", UpsampleConfig),
    "Optimiser:": ("optimizer.", OptimizerConfig),
    "Checkpoints:": ("checkpoint.", CheckpointConfig),
    "Fully connected models (fc):": ("model.", FCConfig),
    "Convolutional models (all others):": ("model.", ConvConfig),
    "Each of a convolutional model's layers, as in model.layers.0.kernel=5:": ("", LayerConfig),
}
# Chosen by group=name, or by a short key.
CHOSEN_ELSEWHERE = {"name", "kind", "latent", "path", "image_size", "channels", "factor"}


def train_help() -> str:
    """The whole text."""
    groups = [_row(f"{group}=", ", ".join(choices)) for group, choices in _choices().items()]
    sections = [
        "\n".join([heading, *_rows(prefix, schema, CHOSEN_ELSEWHERE)])
        for heading, (prefix, schema) in SECTIONS.items()
    ]
    return TRAIN.format(
        sweeps="\n".join(_row(key, text) for key, text in SWEEPS.items()),
        groups="\n".join(groups),
        keys="\n".join(_rows("", TrainConfig)),
        sections="\n\n".join(sections),
    )


def compare_help() -> str:
    """The whole text."""
    return COMPARE.format(keys="\n".join(_rows("", CompareOptions)))


def shapes_help() -> str:
    """The whole text."""
    return SHAPES


def help_for(command: str) -> str:
    """The whole text of one command."""
    texts = {
        "train": train_help,
        "compare": compare_help,
        "shapes": shapes_help,
        "conv": conv_help,
    }
    return use_help(command) if command in USES else texts[command]()


def use_help(command: str) -> str:
    """The whole text of a command that uses a finished run."""
    schema, about, examples = USES[command]
    lines = (f"  aecli {command} {A_RUN} {rest}".rstrip() for rest in examples)
    return USE.format(
        command=command,
        about=textwrap.fill(f"{about} {WHERE.format(command=command)}", WIDTH),
        keys="\n".join(_rows("", schema)),
        examples="\n".join(lines),
    )


def conv_help() -> str:
    """The whole text."""
    return CONV.format(keys="\n".join(_rows("", ConvOptions)))


def _choices() -> dict[str, list[str]]:
    """Group -> its choices, the default first."""
    primary = yaml.safe_load((CONF_DIR / "train.yaml").read_text(encoding="utf-8"))
    defaults = {
        group: choice
        for entry in primary["defaults"]
        if isinstance(entry, dict)
        for group, choice in entry.items()
    }
    return {
        group: sorted(choices, key=lambda choice: choice != defaults.get(group))
        for group, choices in config_groups().items()
    }


def _rows(prefix: str, schema: type, left_out: Iterable[str] = ()) -> list[str]:
    """A row for each documented field of `schema`: its key, its default, its meaning."""
    docs = field_docs(schema)
    return [
        _row(f"{prefix}{field.name}={_default(field)}", docs[field.name] + _names(field))
        for field in fields(schema)
        if field.name in docs and field.name not in left_out
    ]


def _default(field: Field[Any]) -> str:
    """A field's default as a person would type it; nothing where the YAML decides."""
    value = field.default
    if field.default_factory is not MISSING:
        value = field.default_factory()
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value == omegaconf.MISSING else str(value)


def _names(field: Field[Any]) -> str:
    """The valid names, where a field takes one of several."""
    if isinstance(field.type, type) and issubclass(field.type, Enum):
        return f" One of {', '.join(choice.name for choice in field.type)}."
    return ""


def _row(key: str, text: str) -> str:
    gap = " " if len(key) >= INDENT - 2 else " " * (INDENT - 2 - len(key))
    text = " ".join(text.split())  # a docstring may be of several lines
    return textwrap.fill(
        f"  {key}{gap}{text}", WIDTH, subsequent_indent=" " * INDENT, break_long_words=False
    )
