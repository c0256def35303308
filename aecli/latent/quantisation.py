"""Codes as whole numbers of a few bits, and how many bits these take."""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_BITS = 12
"""Most bits of a quantised number; a table of probabilities has 2^bits entries for each unit of a
code."""


@dataclass(frozen=True)
class Quantiser:
    """A uniform quantiser for each unit of a code, and the probability of each of its levels.

    Both are fitted to training codes. The quantiser is part of the codec, like the network: sender
    and receiver have it before any image is sent.
    """

    low: Tensor  # (D,): the smallest training code
    step: Tensor  # (D,): 0 for a unit that never varies
    lengths: Tensor  # (D, L): -log2 of the probability of each level, in double precision

    @property
    def levels(self) -> int:
        """Number of levels, L."""
        return self.lengths.shape[1]

    @classmethod
    def fit(cls, codes: Tensor, bits: int) -> "Quantiser":
        """Fit 2^bits levels between the extremes of each unit of training `codes` (N, D).

        The probability of a level is its share of the training codes, with one code more on each
        level, so that none is impossible (Laplace's rule of succession).
        """
        levels, units = 2**bits, codes.shape[1]
        low = codes.amin(0)
        step = (codes.amax(0) - low) / levels
        fitted = cls(low, step, torch.zeros(units, levels, dtype=torch.float64))
        index = fitted.quantise(codes).cpu() + levels * torch.arange(units)
        counts = torch.bincount(index.flatten(), minlength=units * levels).reshape(units, levels)
        probabilities = (counts + 1).double() / (len(codes) + levels)
        return cls(low, step, -probabilities.log2())

    def quantise(self, codes: Tensor) -> Tensor:
        """Codes (N, D) -> levels (N, D), whole numbers from 0; beyond the training codes, the
        nearest."""
        steps = (codes - self.low) / self.step.where(self.step > 0, torch.inf)
        return steps.floor().clamp(0, self.levels - 1).long()

    def restore(self, levels: Tensor) -> Tensor:
        """Levels (N, D) -> the middle of each, as codes (N, D)."""
        return self.low + (levels + 0.5) * self.step

    def entropy_coded_bits(self, levels: Tensor) -> Tensor:
        """The bits that the codes of each image take at best: levels (N, D) -> (N,).

        That is -log2 of their probability (Shannon, "A mathematical theory of communication",
        1948). An arithmetic coder that knows the probabilities needs at most two bits more, for
        all images together.
        """
        return self.lengths.T.gather(0, levels.cpu()).sum(1)
