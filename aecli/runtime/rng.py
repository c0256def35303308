"""Random numbers from generators keyed by seed, epoch and step.

Nothing draws from torch's global generator once the weights are made, so the numbers of an epoch or
of a step do not depend on what was drawn before: a resumed run draws those of an uninterrupted one.
"""

import torch

# An epoch that no run has: validation and test use the same noise every time.
EVALUATION = 0

_EPOCHS_PER_SEED = 2**24
_FIRST_32_BITS = 2**32 - 1


def generator_for(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    """A generator of its own for every pair of seed and epoch."""
    return torch.Generator(device).manual_seed(_folded(seed * _EPOCHS_PER_SEED + epoch))


def reseed(generator: torch.Generator, seed: int, epoch: int, step: int) -> None:
    """Have `generator` begin with the numbers of one step of one epoch."""
    key = _folded(seed * _EPOCHS_PER_SEED + epoch)
    generator.manual_seed(_folded((step + 1) * 0x9E3779B97F4A7C15 + key))


def _folded(number: int) -> int:
    """32 bits that depend on all of `number`: torch's generator on the CPU reads no more."""
    high, low = divmod(number, _FIRST_32_BITS + 1)
    return (low ^ (high * 0x9E3779B1)) & _FIRST_32_BITS
