"""Interpolation in latent space: pure functions on codes."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def straight(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points on the straight lines from `start` to `end`, including both.

    (1 - t) start + t end, for t from 0 to 1 in equal steps.

    Args:
        start, end: (K, ...) of the same shape: codes, or images.
        steps: at least 2.

    Returns:
        (K, steps, ...).
    """
    t = torch.linspace(0, 1, steps, device=start.device)
    t = t.reshape(1, steps, *[1] * (start.dim() - 1))
    return (1 - t) * start.unsqueeze(1) + t * end.unsqueeze(1)


def spherical(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points on the arcs from `start` to `end` around the origin.

    In the directions sin((1 - t) w) a + sin(t w) b, where a and b are `start` and `end` at length 1
    and w is the angle between them (Shoemake, "Animating rotation with quaternion curves", 1985;
    White, "Sampling generative networks", 2016). The length changes in equal steps: with a and b at
    their own lengths, an arc between almost opposite codes would lead far beyond both. Codes drawn
    from a Gaussian lie near a sphere, which a straight line leaves. If the angle is 0 or 180
    degrees, or a code is the origin, the arc is not unique and the line is straight.

    Args:
        start, end: codes (K, D).
        steps: at least 2.

    Returns:
        (K, steps, D).
    """
    first, last = (each.norm(dim=1).reshape(-1, 1, 1) for each in (start, end))
    a, b = (normalize(each, dim=1).unsqueeze(1) for each in (start, end))  # (K, 1, D)
    # The arc cosine of their product would be rounded where they are almost parallel.
    angle = 2 * torch.atan2((a - b).norm(dim=2), (a + b).norm(dim=2)).unsqueeze(2)  # (K, 1, 1)
    t = torch.linspace(0, 1, steps, device=start.device).reshape(1, steps, 1)
    directions = normalize(((1 - t) * angle).sin() * a + (t * angle).sin() * b, dim=2)
    arcs = ((1 - t) * first + t * last) * directions
    has_arc = (angle.sin() > PARALLEL_SINE) & (first > 0) & (last > 0)
    return torch.where(has_arc, arcs, straight(start, end, steps))


# Sine of the angle below which rounding would determine the arc.
PARALLEL_SINE = 1e-4
