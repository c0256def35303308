"""Interpolation between images: along a line in latent space, and along one in pixel space."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aecli.analysis.embed import Map, choose_images, map_codes, points_by_class
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.errors.text import MAX_SHOWN, escaped, shortened
from aecli.figures import LabelledPath, Row, as_gif, as_image, image_grid, scatter_map
from aecli.files.storage import natural_key
from aecli.latent.interpolation import spherical, straight
from aecli.latent.neighbours import nearest_image
from aecli.runs.trained import Trained

PAIRS = 6  # unless more or fewer are asked for
MAX_PAIRS, MAX_STEPS = 16, 24  # that can be seen in one figure
FRAME_MS = 120  # of the animation
GIF_SCALE = 3  # screen pixels for each pixel of an image
BY_CLASS = "class:"
"""The prefix of pairs of classes; without it, pairs are numbers of images."""
NO_BREAK = "\N{NO-BREAK SPACE}"
MAPPED = 10_000  # test images on the map


@dataclass(frozen=True)
class Paths:
    """Images between K pairs in S steps, (K, S, C, H, W) in [0, 1] each."""

    latent: Tensor
    """Decoded from points between the two codes."""
    pixel: Tensor
    """Mixtures of the two images."""


def choose_pairs(text: str | None, n: int | None, split: Split, seed: int) -> list[tuple[int, int]]:
    """The pairs of images of `split` that `text` names, or `n` that are drawn by `seed`.

    Raises:
        UsageError: `text` is not valid, or there are too few images for `n` pairs.
    """
    if text is None:
        return draw_pairs(n, len(split), seed)
    pairs = read_class_pairs(text, split) if text.startswith(BY_CLASS) else read_pairs(text, split)
    if len(pairs) > MAX_PAIRS:
        raise UsageError(f"pairs={text} are too many to be seen: give at most {MAX_PAIRS}")
    return pairs


def read_pairs(text: str, split: Split) -> list[tuple[int, int]]:
    """`3:7,12:40` as numbers of images of `split`.

    Raises:
        UsageError: it is something else, or there are no such images.
    """
    pairs = []
    for part in text.split(","):
        first, colon, second = part.strip().partition(":")
        if not (colon and first.isdecimal() and second.isdecimal()) or len(part) > MAX_SHOWN:
            raise UsageError(
                f"pairs={shortened(text)} is not valid: give two images for each, as in 3:7,12:40, "
                f"or two classes, as in {BY_CLASS}5-6,8-9"
            )
        for number in (first, second):
            if int(number) >= len(split):
                raise UsageError(
                    f"pairs={text} is not valid: the images are numbered 0 to {len(split) - 1}"
                )
        pairs.append((int(first), int(second)))
    return pairs


def read_class_pairs(text: str, split: Split) -> list[tuple[int, int]]:
    """`class:5-6,6-0` as numbers of images of `split`.

    A class stands for its first image, and each time that it comes again for its next one, so that
    no two pairs begin or end at the same image; after the last image of a class comes its first.

    Raises:
        UsageError: it is something else, or there are no images of such classes.
    """
    members = _images_by_class(split)
    taken: Counter[str] = Counter()
    pairs = []
    for part in text.removeprefix(BY_CLASS).split(","):
        first, second = (
            _next_image(name, members, taken) for name in _read_classes(text, part.strip(), members)
        )
        pairs.append((first, second))
    return pairs


def _images_by_class(split: Split) -> dict[str, list[int]]:
    """The name of each class that occurs, as it is typed, and the numbers of its images."""
    members: dict[str, list[int]] = {}
    for number, label in enumerate(split.labels.tolist()):
        name = split.classes[label] if split.classes else str(label)
        members.setdefault(name, []).append(number)
    return members


def _read_classes(text: str, pair: str, names: Collection[str]) -> tuple[str, str]:
    """The two class names in `pair`, with a hyphen between them.

    A name may itself have hyphens: `t-shirt-dress` is split where both parts are classes.
    """
    words = pair.split("-")
    halves = [("-".join(words[:end]), "-".join(words[end:])) for end in range(1, len(words))]
    readings = [each for each in halves if set(each) <= set(names)]
    if not readings:
        raise UsageError(
            f"pairs={shortened(escaped(text))} is not valid: {shortened(escaped(pair))!r} is not "
            f"two classes with a hyphen between them; the images are of the classes "
            f"{escaped(', '.join(sorted(names, key=natural_key)))}"
        )
    if len(readings) > 1:
        ways = " and ".join(escaped(f"{first} to {second}") for first, second in readings)
        raise UsageError(
            f"pairs={shortened(escaped(text))} is not valid: {escaped(pair)!r} can be read as "
            f"{ways}: give two images by number, as in 3:7"
        )
    return readings[0]


def _next_image(name: str, members: dict[str, list[int]], taken: Counter[str]) -> int:
    taken[name] += 1
    return members[name][(taken[name] - 1) % len(members[name])]


def draw_pairs(n: int | None, images: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of different images.

    Raises:
        UsageError: there are not as many.
    """
    most = min(MAX_PAIRS, images // 2)
    if most < 1:
        raise UsageError(f"there is nothing to go between: give 2 images or more, not {images}")
    if n is None:
        n = min(PAIRS, most)
    if not 1 <= n <= most:
        raise UsageError(f"n={n} is not valid: give 1 to {most} pairs")
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))[: 2 * n].tolist()
    return list(zip(order[:n], order[n:], strict=True))


@torch.inference_mode()
def interpolate(
    trained: Trained, split: Split, pairs: list[tuple[int, int]], steps: int, is_spherical: bool
) -> Paths:
    """Images between the first image of each pair and the second.

    Raises:
        UsageError: the number of steps is out of range.
    """
    if not 2 <= steps <= MAX_STEPS:
        raise UsageError(f"steps={steps} is not valid: give 2 to {MAX_STEPS}")
    first, second = (to_pixels(split.images[list(each)]) for each in zip(*pairs, strict=True))
    codes = codes_between(trained, first, second, steps, is_spherical)
    decoded = trained.decode(codes.flatten(0, 1))  # (K S, C, H, W)
    return Paths(decoded.unflatten(0, (len(pairs), steps)), straight(first, second, steps))


@torch.inference_mode()
def codes_between(
    trained: Trained, first: Tensor, second: Tensor, steps: int, is_spherical: bool
) -> Tensor:
    """Codes between those of the pixels `first` and `second`, (K, C, H, W) each: (K, S, D)."""
    line = spherical if is_spherical else straight
    return line(trained.encode(first), trained.encode(second), steps)


def distance_to_real(paths: Tensor, images: Tensor) -> Tensor:
    """For each step the mse to the nearest of `images` (N, C, H, W), averaged over the pairs: (S,).

    It is small for a picture that could be real, which a mixture of two images could not.
    """
    errors, _ = nearest_image(paths.flatten(0, 1), images)
    by_pair: Tensor = errors.unflatten(0, paths.shape[:2])  # (K, S)
    return by_pair.mean(0).cpu()


def to_gif(paths: Paths) -> bytes:
    """An endless GIF: a line for each pair, latent space on the left, pixel space on the right."""
    sides = torch.cat([paths.latent, paths.pixel], dim=-1)  # (K, S, C, H, 2 W)
    sheets = sides.permute(1, 2, 0, 3, 4).flatten(2, 3)  # (S, C, K H, 2 W)
    forth = [_frame(sheet) for sheet in sheets]
    frames = [*forth, *forth[-2:0:-1]]
    return as_gif(frames, FRAME_MS)


def _frame(sheet: Tensor) -> Image.Image:
    """(C, H, W) in [0, 1], enlarged."""
    image = as_image(sheet)
    size = image.width * GIF_SCALE, image.height * GIF_SCALE
    return image.resize(size, Image.Resampling.NEAREST)


def pair_names(split: Split, pairs: list[tuple[int, int]]) -> list[str]:
    """Each pair by its classes and numbers, as in `7 (image 3) to 2 (image 7)`; if all images are
    of one class, as in `image 3 to 7`."""
    if len(split.labels.unique()) == 1:
        return [f"image {first} to {second}" for first, second in pairs]
    return [" to ".join(image_name(split, number) for number in pair) for pair in pairs]


def image_name(split: Split, number: int) -> str:
    """An image by its class, if there are several, and its number: `7 (image 3)` or `image 3`.

    No line ends before the number.
    """
    name = f"image{NO_BREAK}{number}"
    if len(split.labels.unique()) == 1:
        return name
    return f"{split.class_name(int(split.labels[number]))}{NO_BREAK}({name})"


@dataclass(frozen=True)
class MappedPaths:
    """The codes on K paths of S steps each, on a map of the codes of test images."""

    map: Map
    """Of the test images only."""
    shown: Split
    """These images."""
    paths: Tensor  # (K, S, 2), on the CPU


def map_paths(
    trained: Trained, data: Data, pairs: list[tuple[int, int]], steps: int, is_spherical: bool
) -> MappedPaths:
    """The codes of the test images as `embed` maps them, with those between the two of each pair:
    the codes themselves if there are two numbers in each, otherwise two principal components."""
    first, second = (to_pixels(data.test.images[list(each)]) for each in zip(*pairs, strict=True))
    between = codes_between(trained, first, second, steps, is_spherical)  # (K, S, D)
    chosen = choose_images(len(data.test), MAPPED, seed=0).to(trained.device)
    shown = data.test[chosen]
    codes = torch.cat([trained.codes(shown.images), between.flatten(0, 1)])
    mapped = map_codes(codes, trained.codes(data.train.images), kind=None, seed=0)
    points, paths = mapped.points[: len(shown)], mapped.points[len(shown) :]
    return MappedPaths(replace(mapped, points=points), shown, paths.reshape(len(pairs), steps, 2))


def map_figure(
    trained: Trained,
    mapped: MappedPaths,
    split: Split,
    pairs: list[tuple[int, int]],
    is_spherical: bool,
) -> Figure:
    """The map coloured by class, with the path of each pair of `split` and the names of its
    ends."""
    paths = [
        LabelledPath(path.double().numpy(), image_name(split, first), image_name(split, second))
        for path, (first, second) in zip(mapped.paths, pairs, strict=True)
    ]
    line = "arcs" if is_spherical else "lines"
    part = "" if len(mapped.shown) == len(split) else f"{len(mapped.shown):,} of "
    return scatter_map(
        f"{trained.config.name}: {line} between codes, on a map of {part}the "
        f"{trained.images_name} ({mapped.map.name})",
        mapped.map.directions,
        points_by_class(mapped.map.points, mapped.shown),
        paths,
    )


def figure(title: str, paths: Paths, names: list[str]) -> Figure:
    """Each pair as a row through latent space, above one through pixel space.

    Above the first row stands how far each step is along the way, from 0 to 1.
    """
    steps = paths.latent.shape[1]
    captions = [f"{step / (steps - 1):.2g}" for step in range(steps)]
    rows: list[Row] = []
    for name, latent, pixel in zip(names, paths.latent, paths.pixel, strict=True):
        rows.append(Row(f"{name}:\nlatent space", latent, captions=() if rows else captions))
        rows.append(Row("pixel space", pixel))
    return image_grid(title, rows)
