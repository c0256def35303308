"""Handwriting-like digits drawn from a seed: a substitute for MNIST that needs no download.

Every digit consists of a few pen strokes. A stroke is a Catmull-Rom spline through control points;
the points are jittered, bent, slanted, rotated and scaled to the image, and a pixel's brightness
depends on its distance from the curve.

The same seed gives the same bytes on every machine. Therefore the random numbers are plain uniforms
(normal ones need logarithms and cosines, whose last bit depends on the machine), tensors use only
+ - * / min max, which IEEE 754 defines exactly (the square root too, but torch may take it from a
library that rounds differently), and sums are written out term by term instead of as a reduction.
"""

from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

SIZE = 28  # px, side of an image
CLASSES = 10
SAMPLES = 96  # points along all strokes of a glyph, about half a pixel apart: no visible beads
CHUNK = 256  # images drawn at once: the distances (28 * 28 * 256 floats) fit in the cache
TERMS = 3  # uniforms summed for one bell-shaped number

Point = tuple[int, int]
Stroke = tuple[Point, ...]
Glyph = tuple[Stroke, ...]

# The templates of each digit, equally likely: a template is a tuple of strokes, a stroke a tuple of
# points (x, y) in hundredths of the glyph's height, x to the right and y down from 0 (top) to 100.
# Equal points of a template move together: two strokes that share a point meet in a corner there.
MIDDLE: Point = (30, 50)  # the point about which a glyph is bent and rotated
# fmt: off
GLYPHS: tuple[tuple[Glyph, ...], ...] = (
    (  # 0: closed, curled in, wide, narrow
        (((34, 2), (14, 14), (4, 48), (12, 84), (32, 98), (52, 82), (60, 46), (48, 12), (28, 3)),),
        (((50, 10), (26, 4), (6, 30), (4, 70), (28, 98), (58, 76), (62, 34), (44, 8), (30, 16)),),
        (((26, 6), (4, 34), (8, 76), (36, 98), (66, 80), (76, 42), (56, 6), (28, 2), (16, 10)),),
        (((38, 0), (20, 20), (10, 56), (16, 90), (32, 98), (48, 78), (54, 42), (50, 12), (36, 4)),),
    ),
    (  # 1: plain, bent, with a flag, with flag and base
        (((30, 0), (30, 50), (30, 100)),),
        (((34, 0), (29, 52), (28, 100)),),
        (((20, 20), (28, 12), (34, 0)), ((34, 0), (33, 50), (32, 100))),
        (((16, 24), (32, 0)), ((32, 0), (32, 50), (32, 100)), ((8, 100), (32, 100), (56, 98))),
    ),
    (  # 2: with a corner, with a loop, wide, curled
        (((6, 22), (20, 4), (44, 4), (54, 24), (42, 52), (24, 76), (4, 96)),
         ((4, 96), (32, 96), (62, 94))),
        (((8, 20), (26, 2), (48, 8), (50, 34), (36, 64), (16, 92), (3, 90), (8, 76), (26, 80),
          (44, 95), (66, 88)),),
        (((2, 16), (26, 3), (52, 8), (56, 30), (36, 58), (8, 94)),
         ((8, 94), (40, 90), (76, 94))),
        (((10, 30), (10, 10), (32, 0), (52, 16), (44, 48), (22, 78), (8, 96), (34, 92), (60, 96)),),
    ),
    (  # 3: two bowls, flat top, small upper bowl, with a loop in the middle
        (((6, 14), (22, 1), (44, 6), (46, 28), (20, 46)),
         ((20, 46), (46, 52), (56, 74), (38, 97), (14, 98), (0, 84))),
        (((6, 4), (32, 3), (54, 2)),
         ((54, 2), (40, 20), (24, 40)),
         ((24, 40), (48, 50), (56, 74), (36, 97), (4, 92))),
        (((10, 10), (30, 0), (46, 14), (38, 34), (20, 40)),
         ((20, 40), (50, 44), (62, 68), (46, 94), (18, 100), (2, 88))),
        (((4, 12), (26, 0), (48, 12), (40, 36), (22, 50), (20, 42), (44, 48), (58, 70), (42, 96),
          (6, 94)),),
    ),
    (  # 4: open, closed, round, with a short stem
        (((16, 2), (12, 30), (6, 56)), ((6, 56), (34, 55), (66, 52)),
         ((50, 6), (46, 52), (44, 100))),
        (((44, 0), (24, 32), (2, 64)), ((2, 64), (34, 64), (68, 62)),
         ((44, 0), (44, 50), (42, 100))),
        (((10, 2), (4, 34), (14, 54), (34, 52), (54, 40)), ((58, 0), (52, 48), (46, 100))),
        (((24, 0), (14, 34), (2, 64)), ((2, 64), (32, 62), (64, 62)),
         ((44, 30), (42, 64), (40, 100))),
    ),
    (  # 5: angular, in one stroke, with a long bar, narrow
        (((56, 2), (36, 2), (16, 4)), ((16, 4), (14, 22), (10, 44)),
         ((10, 44), (34, 36), (56, 56), (48, 86), (22, 99), (0, 88))),
        (((62, 2), (40, 2), (20, 8), (16, 30), (34, 46), (48, 62), (44, 86), (22, 98), (2, 88)),),
        (((18, 8), (14, 26), (12, 46)), ((16, 6), (40, 6), (66, 0)),
         ((12, 46), (38, 44), (54, 64), (44, 90), (20, 99), (2, 92))),
        (((50, 0), (34, 2), (20, 4)), ((20, 4), (14, 24), (18, 40)),
         ((18, 40), (40, 52), (48, 74), (34, 96), (8, 96))),
    ),
    (  # 6: curved stem, straight stem, wide loop, small loop
        (((46, 2), (24, 18), (8, 48), (8, 80), (28, 99), (50, 86), (48, 62), (28, 58), (10, 76)),),
        (((36, 0), (22, 28), (10, 60), (14, 90), (34, 99), (52, 80), (40, 62), (14, 76)),),
        (((50, 4), (26, 8), (6, 40), (4, 76), (30, 99), (60, 82), (54, 54), (28, 50), (8, 66)),),
        (((40, 0), (18, 30), (6, 68), (18, 96), (40, 94), (48, 74), (30, 62), (12, 78)),),
    ),
    (  # 7: plain, with a bar, with a serif, with a wavy top
        (((4, 6), (30, 5), (56, 3)), ((56, 3), (42, 34), (30, 66), (20, 100))),
        (((4, 6), (30, 4), (58, 2)), ((58, 2), (44, 34), (32, 66), (24, 100)),
         ((18, 54), (38, 50), (60, 50))),
        (((4, 22), (8, 4)), ((8, 4), (34, 4), (58, 4)), ((58, 4), (44, 40), (36, 70), (34, 100))),
        (((2, 18), (14, 4), (36, 8), (60, 2), (52, 30), (36, 62), (26, 100)),),
    ),
    (  # 8: in one stroke, open at the top, two rings, narrow
        (((46, 12), (28, 1), (10, 16), (20, 40), (44, 60), (50, 86), (28, 99), (6, 84), (16, 58),
          (42, 38), (50, 16)),),
        (((56, 8), (34, 2), (12, 14), (20, 38), (44, 58), (46, 86), (22, 99), (4, 82), (16, 58),
          (40, 36), (60, 10)),),
        (((30, 44), (10, 26), (28, 2), (50, 20), (30, 44)),
         ((30, 44), (6, 62), (8, 90), (32, 99), (56, 86), (54, 60), (30, 44))),
        (((40, 8), (24, 2), (14, 20), (26, 44), (40, 66), (38, 92), (20, 98), (10, 78), (24, 54),
          (42, 30), (44, 10)),),
    ),
    (  # 9: straight tail, hooked tail, in one stroke, tail bent to the right
        (((52, 10), (28, 3), (6, 20), (10, 44), (30, 50), (50, 32), (52, 10)),
         ((52, 10), (50, 40), (46, 70), (44, 100))),
        (((50, 12), (28, 2), (6, 18), (10, 42), (34, 46), (50, 12)),
         ((50, 12), (52, 50), (46, 84), (26, 99), (6, 90))),
        (((46, 14), (28, 2), (4, 22), (12, 46), (38, 40), (52, 10), (46, 40), (36, 72),
          (24, 100)),),
        (((50, 12), (30, 0), (8, 12), (8, 38), (32, 46), (50, 12)),
         ((50, 12), (46, 46), (44, 76), (52, 100))),
    ),
)
# fmt: on

# How handwriting varies: mean and standard deviation of each trait; the distribution is bell-shaped
# and ends three standard deviations from the mean.
TRAITS: dict[str, tuple[float, float]] = {
    "slant": (0.20, 0.20),  # horizontal shift per unit of height
    "turn": (0.0, 0.06),  # tangent of half the angle of rotation
    "width": (1.0, 0.14),  # scale of the glyph's width
    "bow": (0.0, 0.04),  # horizontal bend of vertical strokes, heights
    "sag": (0.0, 0.04),  # downward bend of horizontal strokes, heights
    "taper": (0.0, 0.12),  # increase in width from top to bottom, per unit of height
    "waist": (0.0, 0.05),  # vertical shift of the middle, heights
    "extent": (18.6, 0.8),  # longer side of the bounding box of the strokes, px
    "left": (0.0, 0.7),  # horizontal shift of the digit, px
    "down": (0.0, 0.7),  # vertical shift of the digit, px
    "pen": (1.20, 0.34),  # half the width of a stroke, px
    "nib": (1.0, 0.08),  # how much wider vertical strokes are than horizontal ones
    "edge": (0.9, 0.1),  # width of the transition from ink to paper, px
    "ink": (1.0, 0.06),  # brightness of a stroke, clipped at 1
}
JITTER = 0.028  # standard deviation of each control point's jitter, heights
MIN_HALF_WIDTH = 0.6  # px, minimum half width: a thinner stroke would look grey, not thin


class _Templates(NamedTuple):
    """All glyphs as tensors: T templates, at most K control points, P samples."""

    first: Tensor  # (10,) index of each digit's first template
    number: Tensor  # (10,) number of templates of each digit
    points: Tensor  # (T, K, 2) control points, heights relative to the middle of the box
    source: Tensor  # (T, P, 4) indices of the control points of each sample
    weight: Tensor  # (T, P, 4) and their weights


def synthetic_digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw `count` digits: ten classes of equal size (to within one), in random order.

    Returns images uint8 (count, 1, 28, 28), 0 for paper and 255 for full ink, and labels int64
    (count,).
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    generator = torch.Generator("cpu").manual_seed(seed)
    order = torch.randperm(count, generator=generator, device="cpu")
    labels = order % CLASSES
    images = torch.empty(count, 1, SIZE, SIZE, dtype=torch.uint8, device="cpu")
    templates = _templates()
    for start in range(0, count, CHUNK):
        chunk = labels[start : start + CHUNK]
        images[start : start + CHUNK, 0] = _draw(chunk, templates, generator)
    return images, labels


def _draw(labels: Tensor, templates: _Templates, generator: torch.Generator) -> Tensor:
    """Draw images uint8 (n, 28, 28) of the digits `labels` (n,)."""
    n, k = len(labels), templates.points.shape[1]
    # One row per image, so that the images do not depend on the chunk size.
    draws = 1 + TERMS * (len(TRAITS) + 2 * k)
    uniform = torch.rand(n, draws, generator=generator, dtype=torch.float32, device="cpu")
    number = templates.number[labels]
    which = templates.first[labels] + (uniform[:, 0] * number).long()  # (n,)
    bell = _bell(uniform[:, 1:].reshape(n, TERMS, -1))  # (n, traits + 2 K)
    traits = {
        name: mean + deviation * bell[:, i : i + 1]  # (n, 1)
        for i, (name, (mean, deviation)) in enumerate(TRAITS.items())
    }
    jitter = JITTER * bell[:, len(TRAITS) :].reshape(n, k, 2)
    x, y = _bend(templates.points[which] + jitter, traits)  # (n, K) each
    source, weight = templates.source[which], templates.weight[which]  # (n, P, 4)
    x, y = _fit(_spline(x, source, weight), _spline(y, source, weight), traits)  # (n, P) each
    return _ink(x, y, traits)


def _bell(uniform: Tensor) -> Tensor:
    """Bell-shaped numbers (n, m) with mean 0 and deviation 1, within +-3, from (n, 3, m)."""
    return (uniform[:, 0] + uniform[:, 1] + uniform[:, 2]) * 2.0 - 3.0


def _bend(points: Tensor, traits: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Apply the traits to control points (n, K, 2): x and y, (n, K) each, in heights."""
    x, y = points[..., 0], points[..., 1]  # y from -0.5 (top) to 0.5
    middle = 1.0 - 4.0 * y * y  # 0 at top and bottom, 1 halfway
    x, y = (
        x * traits["width"] * (1.0 + traits["taper"] * y) + traits["bow"] * middle,
        y + traits["waist"] * middle + traits["sag"] * (4.0 * x * x),
    )
    x = x - traits["slant"] * y
    t = traits["turn"]
    scale = 1.0 + t * t
    cos, sin = (1.0 - t * t) / scale, (t + t) / scale
    return cos * x - sin * y, sin * x + cos * y


def _spline(values: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """Interpolate control values (n, K) into samples (n, P)."""
    a, b, c, d = (values.gather(1, source[..., i]) * weight[..., i] for i in range(4))
    return (a + b) + (c + d)


def _fit(x: Tensor, y: Tensor, traits: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Scale and shift sampled strokes (n, P) from heights to pixels."""
    left, right = x.amin(1, keepdim=True), x.amax(1, keepdim=True)  # (n, 1)
    top, bottom = y.amin(1, keepdim=True), y.amax(1, keepdim=True)
    scale = traits["extent"] / torch.maximum(right - left, bottom - top)
    centre = (SIZE - 1) / 2
    x = (x - (left + right) * 0.5) * scale + (centre + traits["left"])
    y = (y - (top + bottom) * 0.5) * scale + (centre + traits["down"])
    return x, y


def _ink(x: Tensor, y: Tensor, traits: dict[str, Tensor]) -> Tensor:
    """Images uint8 (n, 28, 28) of strokes through the points (n, P), in pixels."""
    # The image index is the last axis: it is the longest, so the inner loops use whole vectors.
    pixel = torch.arange(SIZE, dtype=torch.float32, device="cpu").reshape(1, SIZE, 1)
    dx = pixel - x.t().unsqueeze(1)  # (P, 28, n)
    dy = (pixel - y.t().unsqueeze(1)) * traits["nib"].t()
    dx2, dy2 = (dx * dx).unsqueeze(1), (dy * dy).unsqueeze(2)  # (P, 1, 28, n), (P, 28, 1, n)
    nearest = dx2[0] + dy2[0]  # (28, 28, n) squared distance
    candidate = torch.empty_like(nearest)
    for p in range(1, len(dx2)):
        torch.add(dx2[p], dy2[p], out=candidate)
        torch.minimum(nearest, candidate, out=nearest)
    pen, edge, ink = (traits[name].t() for name in ("pen", "edge", "ink"))  # (1, n)
    pen, half = pen.clamp(min=MIN_HALF_WIDTH), edge * 0.5
    # From full ink at `full` to none at `none`, in squared distance to avoid an inexact root.
    full, none = (pen - half).clamp(min=0.0), pen + half
    full, none = full * full, none * none
    light = ((none - nearest) / (none - full)).clamp(0.0, 1.0) * ink.clamp(max=1.0)
    return (light * 255.0 + 0.5).to(torch.uint8).permute(2, 0, 1)


def _templates() -> _Templates:
    glyphs = [glyph for digit in GLYPHS for glyph in digit]
    number = torch.tensor([len(digit) for digit in GLYPHS], device="cpu")
    points = [list(dict.fromkeys(p for stroke in glyph for p in stroke)) for glyph in glyphs]
    longest = max(len(own) for own in points)
    padded = [own + [MIDDLE] * (longest - len(own)) for own in points]  # no sample uses the padding
    samples = [_samples(glyph, own) for glyph, own in zip(glyphs, points, strict=True)]
    return _Templates(
        first=number.cumsum(0) - number,
        number=number,
        points=(_floats(padded) - _floats(MIDDLE)) / 100.0,
        source=torch.tensor([[source for source, _ in own] for own in samples], device="cpu"),
        weight=_floats([[weight for _, weight in own] for own in samples]),
    )


def _floats(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device="cpu")


def _samples(glyph: Glyph, points: list[Point]) -> list[tuple[list[int], list[float]]]:
    """Space P samples evenly along the strokes: four indices into `points` and their weights."""
    segments: list[tuple[list[int], float]] = []  # four points and chord length of each segment
    for stroke in glyph:
        own = [points.index(p) for p in stroke]
        own = [own[0], *own, own[-1]]  # repeat the end points for the outer segments
        for i, ((ax, ay), (bx, by)) in enumerate(pairwise(stroke)):
            chord = sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
            segments.append((own[i : i + 4], chord))
    total = sum(chord for _, chord in segments)
    samples: list[tuple[list[int], list[float]]] = []
    segment, start = 0, 0.0  # start: path length before the segment
    for p in range(SAMPLES):
        along = (p + 0.5) / SAMPLES * total
        while along > start + segments[segment][1]:
            start += segments[segment][1]
            segment += 1
        source, chord = segments[segment]
        samples.append((source, _catmull_rom((along - start) / chord)))
    return samples


def _catmull_rom(t: float) -> list[float]:
    """Weights of four control points at `t` in [0, 1] between the second and the third."""
    return [
        0.5 * t * (t * (2.0 - t) - 1.0),
        0.5 * (t * t * (3.0 * t - 5.0) + 2.0),
        0.5 * t * (t * (4.0 - 3.0 * t) + 1.0),
        0.5 * t * t * (t - 1.0),
    ]
