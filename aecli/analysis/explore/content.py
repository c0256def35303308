"""What a page about finished runs shows: networks, images, PCA and the directions of the codes."""

import base64
import zlib
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.colors import to_hex
from torch import Tensor

from aecli.analysis.anomaly import error_detector
from aecli.analysis.denoise import check_same_images, noise_name
from aecli.analysis.embed import choose_images, label_images
from aecli.analysis.explore.layers import resize_matrices
from aecli.analysis.explore.network import HALF, MARGIN, SINGLE, TOLERANCE, Arrays, network
from aecli.analysis.sample import decoding_caveats
from aecli.analysis.subset import draw, image_count
from aecli.baselines.pca import PCA, pca_of
from aecli.config import CorruptionKind, Target, TrainConfig
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.data.corruption import downsample, noise_strength
from aecli.errors import UsageError
from aecli.figures.theme import ERROR_COLOURS, categories
from aecli.latent.linear_probe import has_classes
from aecli.latent.projection import principal_directions
from aecli.runs.trained import Trained

DEFAULT_IMAGES, MAX_VALUES = 400, 2**19  # fewer if they have more values than this together
MAX_IMAGES, MAX_RUNS = 2000, 12
CHECKED = 100  # images on which precisions are compared
TRAINING_IMAGES = 10_000  # images whose codes determine the directions
VALIDATION_IMAGES = 2000  # images whose errors show which error is usual
DIRECTIONS = 8
PLANE = 2  # numbers of a code that is a point in a plane
MAX_NOISE = 1.0  # of a slider


@dataclass
class Content:
    """All that a page needs."""

    arrays: Arrays = field(default_factory=Arrays)
    values: dict[str, Any] = field(default_factory=dict)
    """As JSON; an array is given by its place in `arrays`."""

    @property
    def block(self) -> str:
        """The arrays, compressed (zlib), in base64."""
        return base64.b64encode(zlib.compress(bytes(self.arrays.content), 9)).decode()


def check_count(n: int | None) -> None:
    """Raise a UsageError unless `n` images can be in a page."""
    if n is not None and not 2 <= n <= MAX_IMAGES:
        raise UsageError(f"n={n} is not valid: give 2 to {MAX_IMAGES:,}")


def check_runs(models: list[Trained]) -> None:
    """Check that the runs fit into one page.

    Raises:
        UsageError: there are too many, or they are on different images.
    """
    if len(models) > MAX_RUNS:
        raise UsageError(
            f"{len(models)} runs are too many for a page: give at most {MAX_RUNS}, by their folders"
        )
    check_same_images(models)


@torch.inference_mode()
def describe(models: list[Trained], n: int | None, seed: int) -> Content:
    """Describe finished runs on the same test images; PCA is that of the training images of the
    first.

    Args:
        n: number of images to show, drawn by `seed`; None for a number that suits their size.

    Raises:
        UsageError: a network has a layer that cannot be described.
    """
    content = Content()
    first = models[0]
    data = first.data()
    test, _ = label_images(first, data)
    count = image_count(n, test, DEFAULT_IMAGES, MAX_VALUES)
    indices = choose_images(len(test), count, seed)
    pca = pca_of(data.train, max(model.config.latent for model in models))
    shown = test[indices.to(test.images.device)]
    content.values = {
        "images": _images(first, shown, indices, content.arrays),
        "errors": content.arrays.add(_error_colours(), "uint8"),
        "pca": _pca(models, pca, shown, content.arrays),
        "runs": [_run(model, model.data(), pca, shown, content.arrays, seed) for model in models],
    }
    return content


def _images(trained: Trained, shown: Split, indices: Tensor, arrays: Arrays) -> dict[str, Any]:
    """The images that can be picked, with their classes and names."""
    labels = shown.labels.unique().tolist() if has_classes(shown) else []
    places = {label: place for place, label in enumerate(labels)}
    return {
        "shape": [*shown.images.shape[1:]],
        "pixels": arrays.add(shown.images.contiguous(), "uint8"),
        "classes": [shown.class_name(label) for label in labels],
        "colours": [to_hex(colour) for colour in categories(len(labels))],
        "labels": [places[label] for label in shown.labels.tolist()] if labels else [],
        "names": trained.image_names(indices.tolist()),
        "kind": "image" if trained.own else "test image",
    }


def _error_colours() -> Tensor:
    """Red, green and blue of 256 errors from 0 to 1, as in the figures."""
    colours = matplotlib.colormaps[ERROR_COLOURS](np.arange(256))[:, :3]
    return torch.from_numpy(colours * 255).round().to(torch.uint8)


def _pca(models: list[Trained], pca: PCA, shown: Split, arrays: Arrays) -> dict[str, Any]:
    """The components that the networks are compared with.

    A code as large as the image loses nothing, so the components for such codes are left out, but
    for those of two numbers, which are drawn over the plane of the components.
    """
    latents = [model.config.latent for model in models]
    size = shown.images[0].numel()
    needed = [latent for latent in latents if latent < size or latent == PLANE]
    components = pca.components[: max(needed, default=0)]
    kind = HALF if _halves(PCA(pca.mean, components), shown) else SINGLE
    return {
        "mean": arrays.add(pca.mean),
        "components": arrays.add(components.contiguous(), kind),
        "count": len(components),
    }


def _halves(pca: PCA, shown: Split) -> bool:
    """Whether components rounded to half precision give the same images, nearly."""
    rounded = PCA(pca.mean, pca.components.half().float())
    pixels = to_pixels(shown.images[:CHECKED])
    one, other = (each.reconstruct(pixels, len(pca.components)) for each in (pca, rounded))
    return (one - other).abs().max().item() <= TOLERANCE / MARGIN


def _run(
    trained: Trained, data: Data, pca: PCA, shown: Split, arrays: Arrays, seed: int
) -> dict[str, Any]:
    """One run: its network, its numbers, and where the codes of the images lie."""
    config, summary = trained.config, trained.run.load_summary()
    scale = trained.normalisation
    checked = scale.apply(to_pixels(shown.images[:CHECKED])).cpu()
    codes = trained.codes(draw(data.train, TRAINING_IMAGES, seed).images)
    return {
        "name": config.name,
        "model": config.model.name,
        "latent": config.latent,
        "data": data.name,
        "mse": summary["test"]["mse"],
        "pca_mse": summary["baselines"]["pca"]["mse"],
        "network": network(trained.model, scale.mean, scale.std, checked, arrays),
        **_positions(trained, data, pca, codes, shown, arrays, seed),
        "corruption": _corruption(config, arrays),
        "usual": _usual_errors(trained, data, seed),
        "caveats": decoding_caveats(trained.config),
    }


def _positions(
    trained: Trained,
    data: Data,
    pca: PCA,
    codes: Tensor,
    shown: Split,
    arrays: Arrays,
    seed: int,
) -> dict[str, Any]:
    """The directions of largest variance of the training codes (M, D), and where along them the
    codes of the images lie; codes of two values are points already."""
    found = principal_directions(codes, DIRECTIONS)
    shown_codes = trained.codes(shown.images).cpu().double()
    positions: dict[str, Any] = {
        "mean": arrays.add(found.mean),
        "vectors": arrays.add(found.vectors.contiguous()),
        "deviations": found.deviations.tolist(),
        "shares": found.explained_variance_ratio,
        "unit_deviations": arrays.add(codes.std(0, correction=0)),
        "points": arrays.add((shown_codes - found.mean) @ found.vectors[:2].T),
    }
    if trained.config.latent == PLANE:
        positions["points"] = arrays.add(shown_codes)
        positions["to_pca"] = _to_pca(codes, draw(data.train, TRAINING_IMAGES, seed).images, pca)
    return positions


def _to_pca(codes: Tensor, images: Tensor, pca: PCA) -> list[list[float]]:
    """The affine map (2, 3) from the codes (M, 2) of images to their first two principal
    components, by least squares."""
    targets = pca.codes(images, PLANE).cpu().double()
    rows = torch.cat([codes.cpu().double(), torch.ones(len(codes), 1, dtype=torch.float64)], 1)
    # The smallest of all solutions, if a unit is dead.
    weights = torch.linalg.lstsq(rows, targets, driver="gelsd").solution
    mapped: list[list[float]] = weights.T.tolist()
    return mapped


def _corruption(config: TrainConfig, arrays: Arrays) -> dict[str, Any] | None:
    """The corruption of the encoder's input in training; None if there was none."""
    corruption, shape = config.corruption, config.data.image_shape
    if corruption.name is CorruptionKind.none:
        return None
    common = {"kind": corruption.name.name, "restores": corruption.target is Target.clean}
    if corruption.name is CorruptionKind.binarize:
        return common
    if corruption.name is CorruptionKind.downsample:
        factor = corruption.factor or 1
        assert shape is not None, "a finished run has it"

        # Around a mid grey, where nothing is clipped.
        def resize(maps: Tensor) -> Tensor:
            return (downsample(0.5 + maps / 10, factor) - 0.5) * 10

        sizes = {"from": shape, "to": shape}
        matrices = resize_matrices(resize, shape[1:], arrays.add)
        return {**common, "factor": factor, **sizes, **matrices}
    return {
        **common,
        "name": noise_name(corruption.name),
        "strength": noise_strength(corruption),
        "largest": max(MAX_NOISE, noise_strength(corruption)),
    }


def _usual_errors(trained: Trained, data: Data, seed: int) -> list[float] | None:
    """The percentiles 0 to 100 of the mse of validation images; None if there are none."""
    if not trained.config.data.has_validation:
        return None
    images = draw(data.validation, VALIDATION_IMAGES, seed)
    errors = error_detector(trained, trained.reconstruct)(images)
    quantiles = torch.quantile(errors.double(), torch.linspace(0, 1, 101, dtype=torch.float64))
    listed: list[float] = quantiles.tolist()
    return listed
