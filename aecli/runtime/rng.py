"""Random numbers from generators keyed by seed, epoch and step.

Once the weights are initialised, nothing draws from torch's global generator. So the numbers of an
epoch or step do not depend on earlier draws, and a resumed run draws the same ones as an
uninterrupted run.
"""

import torch

# Epoch 0 does not occur in training: validation and test use the same noise every time.
EVALUATION = 0

_EPOCHS_PER_SEED = 2**24
_MASK_32_BITS = 2**32 - 1


def generator_for(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    """A generator keyed by seed and epoch."""
    return torch.Generator(device).manual_seed(_hash_32_bits(seed * _EPOCHS_PER_SEED + epoch))


def reseed(generator: torch.Generator, seed: int, epoch: int, step: int) -> None:
    """Reseed `generator` for one step of one epoch."""
    key = _hash_32_bits(seed * _EPOCHS_PER_SEED + epoch)
    generator.manual_seed(_hash_32_bits((step + 1) * 0x9E3779B97F4A7C15 + key))


def _hash_32_bits(number: int) -> int:
    """Hash `number` to 32 bits, because torch's CPU generator uses only 32 bits of its seed."""
    high, low = divmod(number, _MASK_32_BITS + 1)
    return (low ^ (high * 0x9E3779B1)) & _MASK_32_BITS
