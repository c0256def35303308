"""Interpolation in latent space: pure functions on codes."""

import torch
from torch import Tensor


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

    With the angle w between them, sin((1 - t) w) / sin(w) start + sin(t w) / sin(w) end (Shoemake,
    "Animating rotation with quaternion curves", 1985; White, "Sampling generative networks", 2016).
    Codes drawn from a Gaussian lie near a sphere, which a straight line leaves. If the angle is 0
    or 180 degrees, or a code is the origin, the arc is not unique and the line is straight.

    Args:
        start, end: codes (K, D).
        steps: at least 2.

    Returns:
        (K, steps, D).
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)
    angle = cosine.clamp(-1, 1).arccos().reshape(-1, 1, 1)  # (K, 1, 1)
    t = torch.linspace(0, 1, steps, device=start.device).reshape(1, steps, 1)
    arcs = (((1 - t) * angle).sin() * start.unsqueeze(1) + (t * angle).sin() * end.unsqueeze(1)) / (
        angle.sin()
    )
    has_arc = (angle.sin() > PARALLEL_SINE) & (start.norm(dim=1) > 0).reshape(-1, 1, 1)
    has_arc &= (end.norm(dim=1) > 0).reshape(-1, 1, 1)
    return torch.where(has_arc, arcs, straight(start, end, steps))


# Sine of the angle below which rounding would determine the arc.
PARALLEL_SINE = 1e-4
