"""Codes as a map, as a plane of decoded images, and as features for nearest neighbours."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from aecli.analysis.probe import feature_functions, match_labels
from aecli.analysis.sample import decoding_caveats
from aecli.data import Data, Split
from aecli.errors import DataError, UsageError
from aecli.evaluation.metrics import EVALUATION_BATCH
from aecli.evaluation.variation import ActivityAccumulator, VariationAccumulator
from aecli.figures import Direction, image_plane, scatter_map
from aecli.figures.theme import categories
from aecli.latent.linear_probe import has_classes
from aecli.latent.neighbourhoods import MIN_POINTS, neighbour_ranks, trustworthiness
from aecli.latent.neighbours import neighbour_accuracy
from aecli.latent.projection import principal, t_sne, umap
from aecli.runs.trained import Trained

PLANE_STEPS = 20  # in each direction
PLANE_RANGE = (0.01, 0.99)  # quantiles of the training codes: a few lie far from all others
MAX_RANKED = 2000
"""Test images whose distances are ranked; time and memory are quadratic in them."""
# Names of the maps in titles.
MAP_NAMES = {
    "codes": "codes",
    "pca": "PCA of the codes",
    "tsne": "t-SNE of the codes",
    "umap": "UMAP of the codes",
}


@dataclass(frozen=True)
class Encoded:
    """The codes of a run's images, and a selection of test images to show."""

    data: Data
    """Its test images have the labels of the training set where their classes are known."""
    train_codes: Tensor  # (M, D)
    test_codes: Tensor  # (N, D)
    indices: Tensor  # (S,), ascending, on the CPU: the test images to show
    unlabelled: str
    """Why the classes of the test images cannot be predicted; "" if they can."""

    @property
    def shown(self) -> Split:
        """The test images to show."""
        return self.data.test[self.indices.to(self.test_codes.device)]

    @property
    def shown_codes(self) -> Tensor:
        """Their codes (S, D)."""
        return self.test_codes[self.indices.to(self.test_codes.device)]


@dataclass(frozen=True)
class Map:
    """Codes as points in a plane."""

    kind: str
    """A key of MAP_NAMES."""
    points: Tensor  # (N, 2), on the CPU
    directions: tuple[Direction, Direction]
    variance: list[float] | None = None
    """The share of the training codes' variance in each direction, if these are components."""

    @property
    def name(self) -> str:
        """The map's name in titles."""
        return MAP_NAMES[self.kind]


@dataclass(frozen=True)
class Neighbourhoods:
    """How well neighbours by code agree with neighbours by pixels, keyed by features as in
    `feature_names`."""

    images: int
    """Test images among which neighbours are looked for."""
    k: int
    """Neighbours of each."""
    trustworthiness: dict[str, float]
    continuity: dict[str, float]


def check_counts(n: int, k: int, data: Data) -> None:
    """Check `n`, the images to show, and `k`, the neighbours.

    Raises:
        UsageError: one of them is out of range.
    """
    if n < 1:
        raise UsageError(f"n={n} is not valid: give 1 or more")
    if not 1 <= k <= len(data.train):
        raise UsageError(f"k={k} is not valid: give 1 to {len(data.train):,}, of training images")


def encode(trained: Trained, data: Data, n: int, seed: int) -> Encoded:
    """Encode all images, and choose at most `n` test images to show."""
    test, reason = label_images(trained, data)
    return Encoded(
        data=replace(data, test=test),
        train_codes=trained.codes(data.train.images),
        test_codes=trained.codes(test.images),
        indices=choose_images(len(test), n, seed),
        unlabelled=reason,
    )


def label_images(trained: Trained, data: Data) -> tuple[Split, str]:
    """The test images, and why their classes cannot be predicted; "" if they can.

    The user's own images get the labels of the training set, if their folders are its classes.
    """
    if not has_classes(data.train):
        return data.test, f"the images of {data.name} are all of one class"
    if not trained.own:
        return data.test, ""
    try:
        return match_labels(data.test, data.train), ""
    except DataError as error:
        return data.test, str(error)


def choose_images(count: int, n: int, seed: int) -> Tensor:
    """`n` of `count` indices, ascending, or all if there are no more.

    At random, and not the first ones: a folder's images are sorted by class.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:n].sort().values


def image_columns(trained: Trained, encoded: Encoded) -> dict[str, list[str]]:
    """The class and the name of each image shown; no classes if all images have the same."""
    shown = encoded.shown
    columns = {"image": trained.image_names(encoded.indices.tolist())}
    if not has_classes(shown):
        return columns
    return {"class": [shown.class_name(label) for label in shown.labels.tolist()], **columns}


def projected_points(trained: Trained, encoded: Encoded) -> dict[str, Tensor]:
    """What the projector shows of the images: their codes (N, D), and those of PCA of the same
    size."""
    pca = feature_functions(trained, encoded.data)["pca"]
    return {"codes": encoded.shown_codes, "pca_codes": pca(encoded.shown.images)}


def thumbnails(encoded: Encoded) -> Tensor:
    """The images shown, uint8 (N, C, H, W); grey ones with their ink in the colour of their class.

    The projector colours its points only when it is asked to.
    """
    shown = encoded.shown
    if shown.images.shape[1] != 1 or not has_classes(shown):
        return shown.images
    labels, places = shown.labels.unique(return_inverse=True)
    colours = shown.images.new_tensor(
        [[round(255 * part) for part in colour[:3]] for colour in categories(len(labels))]
    )
    tinted = shown.images.float() * colours[places][:, :, None, None] / 255
    return tinted.round().to(torch.uint8)


def map_codes(codes: Tensor, training: Tensor, kind: str | None, seed: int) -> Map:
    """Map `codes` (N, D) to a plane by "pca", "tsne" or "umap".

    None means the codes themselves if D = 2, and "pca" otherwise. The components are those of the
    `training` codes (M, D), so that they do not depend on which images are shown.

    Raises:
        UsageError: a library is not installed, or there are too few codes.
    """
    if kind is None and codes.shape[1] == 2:
        return Map("codes", codes.cpu(), (Direction("code 1"), Direction("code 2")))
    if kind is None or kind == "pca":
        components = principal(codes, training)
        first, second = (
            Direction(f"PCA {number} ({share:.1%} of the variance)".replace("%", " %"))
            for number, share in enumerate(components.explained_variance_ratio, 1)
        )
        return Map("pca", components.points, (first, second), components.explained_variance_ratio)
    name = "t-SNE" if kind == "tsne" else "UMAP"
    points = t_sne(codes) if kind == "tsne" else umap(codes, seed)
    directions = (Direction(f"{name} 1", has_unit=False), Direction(f"{name} 2", has_unit=False))
    return Map(kind, points, directions)


def neighbour_accuracies(trained: Trained, encoded: Encoded, k: int) -> dict[str, float]:
    """Accuracy on the test images of a vote among the `k` nearest training images.

    Nearest by code, by PCA code and by pixels: see `feature_functions`. Empty if the classes of the
    test images cannot be predicted.
    """
    if encoded.unlabelled:
        return {}
    train, test = encoded.data.train, encoded.data.test

    def accuracy(test_features: Tensor, train_features: Tensor) -> float:
        return neighbour_accuracy(test_features, test.labels, train_features, train.labels, k)

    baselines = feature_functions(trained, encoded.data)
    del baselines["codes"]  # computed already
    return {
        "codes": accuracy(encoded.test_codes, encoded.train_codes),
        **{
            name: accuracy(features(test.images), features(train.images))
            for name, features in baselines.items()
        },
    }


def neighbourhoods(trained: Trained, encoded: Encoded, k: int, seed: int) -> Neighbourhoods | None:
    """Compare the neighbours by pixels of test images with those by code and by PCA code.

    Among at most `MAX_RANKED` images, drawn by `seed`. `k` is reduced if that is half of the
    images or more. None if they are too few.
    """
    indices = choose_images(len(encoded.test_codes), MAX_RANKED, seed)
    if len(indices) < MIN_POINTS:
        return None
    k = min(k, (len(indices) - 1) // 2)
    indices = indices.to(encoded.test_codes.device)
    images = encoded.data.test.images[indices]
    functions = feature_functions(trained, encoded.data)
    by_pixels = neighbour_ranks(functions["pixels"](images))
    ranks = {
        "codes": neighbour_ranks(encoded.test_codes[indices]),
        "pca": neighbour_ranks(functions["pca"](images)),
    }
    return Neighbourhoods(
        len(indices),
        k,
        {name: trustworthiness(by_pixels, each, k) for name, each in ranks.items()},
        {name: trustworthiness(each, by_pixels, k) for name, each in ranks.items()},
    )


def live_units(encoded: Encoded) -> int:
    """The units of the code that differ between two training images."""
    codes = encoded.train_codes
    units = VariationAccumulator((codes.shape[1],), codes.device)
    units.add(codes)
    return int(units.varies().sum())


def active_units(trained: Trained, encoded: Encoded) -> int | None:
    """The units of a Gaussian code whose means vary over the training images; None for others."""
    if not trained.config.has_gaussian_code:
        return None
    codes = encoded.train_codes  # the means
    units = ActivityAccumulator(codes.shape[1], codes.device)
    units.add(codes)
    return units.count(len(codes))


def figures(trained: Trained, encoded: Encoded, code_map: Map) -> dict[str, Figure]:
    """The map, coloured by class; with latent=2 also the plane of decoded images."""
    shown = encoded.shown
    part = "" if len(shown) == len(trained.images) else f"{len(shown):,} of "
    title = f"{trained.config.name}: {code_map.name} of {part}the {trained.images_name}"
    points = points_by_class(code_map.points, shown)
    by_name = {"map": scatter_map(title, code_map.directions, points)}
    if trained.config.latent == 2:
        by_name["plane"] = plane_figure(trained, encoded.train_codes)
    return by_name


def points_by_class(points: Tensor, shown: Split) -> dict[str, NDArray[np.float64]]:
    """The `points` (N, 2) of the images of each class that occurs, in the order of the labels."""
    labels = shown.labels.cpu()
    return {
        shown.class_name(label): points[labels == label].double().numpy()
        for label in labels.unique().tolist()
    }


def plane_figure(trained: Trained, training: Tensor) -> Figure:
    """Images decoded from a grid over the range of the `training` codes (M, 2)."""
    x, y = plane_axes(training)
    title = f"{trained.config.name}: images decoded from a plane of codes"
    return image_plane(title, x, y, decode_plane(trained, x, y))


def plane_axes(training: Tensor) -> tuple[list[float], list[float]]:
    """Equal steps over the range of the `training` codes (M, 2), along each of the two units."""
    limits = torch.quantile(training, training.new_tensor(PLANE_RANGE), dim=0)
    first, second = (_steps(low, high) for low, high in limits.T.tolist())
    return first, second


def _steps(low: float, high: float) -> list[float]:
    """From `low` to `high`; around them if they are equal because of a dead unit."""
    margin = 0.5 * (low == high)
    steps: list[float] = torch.linspace(low - margin, high + margin, PLANE_STEPS).tolist()
    return steps


@torch.inference_mode()
def decode_plane(trained: Trained, x: list[float], y: list[float]) -> Tensor:
    """The image of each code (x, y): (len(y), len(x), C, H, W) in [0, 1]."""
    codes = torch.cartesian_prod(torch.tensor(y), torch.tensor(x)).flip(1).to(trained.device)
    images = torch.cat([trained.decode(batch) for batch in codes.split(EVALUATION_BATCH)])
    return images.reshape(len(y), len(x), *images.shape[1:])


def plane_caveats(trained: Trained) -> list[str]:
    """Limitations of the images in the plane, which exists only with latent=2."""
    return decoding_caveats(trained.config) if trained.config.latent == 2 else []
