"""The model card of a model in a folder of its own, as Hugging Face's hub shows it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from aecli import __version__
from aecli.api.model import Model
from aecli.config import CorruptionKind, TrainConfig, Upsampling, settings
from aecli.errors import AecliError
from aecli.errors.text import escape_markdown
from aecli.evaluation.scores import UNPOOLING_BYPASSES_CODE
from aecli.files.documents import InvalidDocumentError, parse_yaml
from aecli.files.storage import read_file
from aecli.runs.directory import HYDRA
from aecli.runs.summary import closed_early


@dataclass(frozen=True)
class Source:
    """Where a data set comes from."""

    title: str
    license: str
    url: str


SOURCES = {
    "mnist": Source(
        "MNIST (LeCun, Cortes and Burges)",
        "CC BY-SA 3.0, according to Keras's documentation of it",
        "https://keras.io/api/datasets/mnist/",
    ),
    "fashion_mnist": Source(
        "Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)",
        "MIT",
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    "kmnist": Source(
        "Kuzushiji-MNIST (Clanuwat et al., 2018)",
        "CC BY-SA 4.0",
        "https://github.com/rois-codh/kmnist",
    ),
    "cifar10": Source(
        "CIFAR-10 (Krizhevsky, 2009)",
        "none is stated by its authors",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "synthetic": Source("digits drawn by aecli", "MIT, as aecli", ""),
    "curve": Source("points on a curve, drawn by aecli", "MIT, as aecli", ""),
}
"""Key of a data set -> where it comes from; a person's own images have no entry."""


def model_card(model: Model) -> str:
    """The model card, in Markdown."""
    shape, sizes = (sign.join(map(str, model.image_shape)) for sign in ("x", ", "))
    return f"""\
---
library_name: aecli
tags: [autoencoder, image-feature-extraction]
---

# {escape_markdown(model.name)}

An autoencoder of {shape} images: {escape_markdown(model.config.model.name)}, with a code of
{model.latent} numbers and {model.summary["parameters"]:,} parameters.
Trained with aecli {__version__}.

## Use

```python
import aecli

model = aecli.load("path/to/this/folder")
# images: (N, {sizes}), uint8 or floats in [0, 1]
codes = model.encode(images)  # (N, {model.latent})
outputs = model.decode(codes)
```

{_results(model)}
## Training

{_training(model)}

## Data

{_source(model)}
"""


def _results(model: Model) -> str:
    """The test errors next to those of PCA, and the images that they were measured on."""
    config = model.config
    test, pca = model.summary["test"], model.summary["baselines"]["pca"]
    data, noise, caveat = model.summary["data"], "", ""
    if config.corruption.name is not CorruptionKind.none:
        kind = config.corruption.name.name.replace("_", "-")
        noise = f", reconstructed from corrupted inputs ({kind})"
    if config.upsample.name is Upsampling.max_unpool:
        caveat = f"\nBeside PCA: {UNPOOLING_BYPASSES_CODE}.\n"
    return f"""\
## Results

On the {data["test"]:,} test images of {escape_markdown(data["name"])}, pixels in [0, 1]{noise}:

| | mse | psnr (dB) | ssim |
| --- | ---: | ---: | ---: |
| this model | {_scores(test)} |
| PCA with {model.latent} components | {_scores(pca)} |
{caveat}"""


def _scores(scores: dict[str, float | None]) -> str:
    digits = {"mse": 6, "psnr": 2, "ssim": 4}
    cells = [(scores[name], count) for name, count in digits.items()]
    return " | ".join("" if number is None else f"{number:.{count}f}" for number, count in cells)


def _training(model: Model) -> str:
    """How it was trained: the command, if it needs no other run and still gives the same
    configuration with today's `conf/`."""
    summary, epochs = model.summary, str(model.summary["epochs"])
    if closed_early(summary) is not None:
        epochs += f" of {model.config.epochs} (closed early)"
    facts = (
        f"{summary['data']['train']:,} images, epochs: {epochs}, "
        f"{summary['seconds']:,.0f} s on {summary['device']}. `config.json` has every setting."
    )
    if model.config.init is not None:
        begun = escape_markdown(Path(model.config.init).name)
        return f"{facts} It began with the weights of another run, {begun}."
    line = training_line(model.path, model.config)
    return facts if line is None else f"```\n{line}\n```\n\n{facts}"


def training_line(folder: Path, config: TrainConfig) -> str | None:
    """The command that trains a run again, without the folders of this machine; None if the run has
    no record of it, or the choices that it names have changed since."""
    from aecli.cli.compose import compose  # Hydra takes a while

    try:
        overrides = parse_yaml(read_file(folder / HYDRA / "overrides.yaml"))
        if not isinstance(overrides, list) or not all(isinstance(each, str) for each in overrides):
            return None
        is_same = settings(compose(overrides)) == settings(config)
    except (AecliError, InvalidDocumentError):
        return None
    if not is_same:
        return None
    shown = [each for each in overrides if not each.startswith(("data_dir=", "output_dir="))]
    named = ["path=FOLDER" if each.startswith("data.path=") else each for each in shown]
    return shlex.join(["aecli", "train", *named])


def _source(model: Model) -> str:
    source = SOURCES.get(model.config.data.name)
    if source is None:
        return "Images of the author's own. Their licence is not known to aecli: state it here."
    link = f" {source.url}" if source.url else ""
    return f"{source.title}. Licence: {source.license}.{link}"
