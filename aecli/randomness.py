"""Random numbers from generators keyed by seed and epoch.

Nothing draws from torch's global generator once the weights are made, so an epoch's numbers do not
depend on what was drawn before it.
"""

import torch

# An epoch that no run has: validation and test use the same noise every time.
EVALUATION = 0

_EPOCHS_PER_SEED = 2**24


def generator_for(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    """A generator of its own for every pair of seed and epoch."""
    return torch.Generator(device).manual_seed(seed * _EPOCHS_PER_SEED + epoch)
