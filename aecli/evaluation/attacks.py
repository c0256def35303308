"""Attacks on a classifier: small changes of an image, found by gradients, that mislead it.

No pixel is changed by more than eps, and all stay in [0, 1].
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

PGD_STEPS = 20
# The sum of all steps, in eps: enough to go from one side of the allowed range to the other.
PGD_REACH = 2.5

Classify = Callable[[Tensor], Tensor]
"""Pixels (B, C, H, W) -> logits (B, K), differentiable."""


def fgsm(classify: Classify, pixels: Tensor, labels: Tensor, eps: float) -> Tensor:
    """The fast gradient sign method: one step of `eps` up the loss.

    (Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", 2015.)
    """
    return (pixels + eps * _loss_gradient(classify, pixels, labels).sign()).clamp_(0, 1)


def pgd(
    classify: Classify,
    pixels: Tensor,
    labels: Tensor,
    eps: float,
    generator: torch.Generator,
    steps: int = PGD_STEPS,
) -> Tensor:
    """Projected gradient descent: small steps up the loss from a random start.

    (Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018.)
    """
    noise = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    found = (pixels + eps * (2 * noise - 1)).clamp_(0, 1)
    for _ in range(steps):
        found = found + PGD_REACH * eps / steps * _loss_gradient(classify, found, labels).sign()
        found = torch.minimum(torch.maximum(found, pixels - eps), pixels + eps).clamp_(0, 1)
    return found


def _loss_gradient(classify: Classify, pixels: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the cross-entropy of each image with respect to its pixels."""
    with torch.enable_grad():
        inputs = pixels.detach().requires_grad_()
        loss = F.cross_entropy(classify(inputs), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    return gradient


def clip_straight_through(values: Tensor) -> Tensor:
    """Clip to [0, 1], with the gradient of the identity: where a pixel is clipped, the true
    gradient is zero, and an attacker who followed it would seem weaker than one can be.

    (Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", 2018.)
    """
    return values + (values.clamp(0, 1) - values).detach()
