"""Interpolation between images: along a line in latent space, and along one in pixel space."""

import io
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.figures import Row, as_image, image_grid
from aecli.latent.interpolation import spherical, straight
from aecli.latent.neighbours import nearest_image
from aecli.runs.trained import Trained
from aecli.text import MAX_SHOWN, shortened

PAIRS = 6  # unless more or fewer are asked for
MAX_PAIRS, MAX_STEPS = 16, 24  # that can be seen in one figure
FRAME_MS = 120  # of the animation
GIF_SCALE = 3  # screen pixels for each pixel of an image


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
        UsageError: they make no sense, or there are not as many.
    """
    return draw_pairs(n, len(split), seed) if text is None else read_pairs(text, split)


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
                f"pairs={shortened(text)} is not valid: give two images for each, as in 3:7,12:40"
            )
        for number in (first, second):
            if int(number) >= len(split):
                raise UsageError(
                    f"pairs={text} is not valid: the images are numbered 0 to {len(split) - 1}"
                )
        pairs.append((int(first), int(second)))
    if len(pairs) > MAX_PAIRS:
        raise UsageError(f"pairs={text} are too many to be seen: give at most {MAX_PAIRS}")
    return pairs


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
        UsageError: a number of steps that makes no sense.
    """
    if not 2 <= steps <= MAX_STEPS:
        raise UsageError(f"steps={steps} is not valid: give 2 to {MAX_STEPS}")
    first, second = (to_pixels(split.images[list(each)]) for each in zip(*pairs, strict=True))
    line = spherical if is_spherical else straight
    codes = line(trained.encode(first), trained.encode(second), steps)  # (K, S, D)
    decoded = trained.decode(codes.flatten(0, 1))  # (K S, C, H, W)
    return Paths(decoded.unflatten(0, (len(pairs), steps)), straight(first, second, steps))


def distance_to_real(paths: Tensor, images: Tensor) -> Tensor:
    """For each step the mse to the nearest of `images` (N, C, H, W), averaged over the pairs: (S,).

    Small where a picture could be a real one. A mixture of two images is none.
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
    content = io.BytesIO()
    frames[0].save(
        content, "GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0
    )
    return content.getvalue()


def _frame(sheet: Tensor) -> Image.Image:
    """(C, H, W) in [0, 1], enlarged."""
    image = as_image(sheet)
    size = image.width * GIF_SCALE, image.height * GIF_SCALE
    return image.resize(size, Image.Resampling.NEAREST)


def pair_names(split: Split, pairs: list[tuple[int, int]]) -> list[str]:
    """Each pair by its classes, as in `7 to 2`; by its numbers if all images are of one class."""
    if len(split.labels.unique()) == 1:
        return [f"image {first} to {second}" for first, second in pairs]
    names = [[split.class_name(int(split.labels[each])) for each in pair] for pair in pairs]
    return [" to ".join(pair) for pair in names]


def figure(title: str, paths: Paths, names: list[str]) -> Figure:
    """Each pair as a row through latent space, above one through pixel space.

    Above the first row stands how far each step is along the way, from 0 to 1.
    """
    steps = paths.latent.shape[1]
    captions = [f"{step / (steps - 1):.2g}" for step in range(steps)]
    rows: list[Row] = []
    for name, latent, pixel in zip(names, paths.latent, paths.pixel, strict=True):
        rows.append(Row(f"{name}: latent space", latent, captions=() if rows else captions))
        rows.append(Row("pixel space", pixel))
    return image_grid(title, rows)
