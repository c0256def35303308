"""Batch normalisation that accepts any batch."""

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` for batches of one image as well, even on a map of one pixel.

    A channel with a single value has no variance, and torch refuses it. Such a batch, the last of
    an epoch or the shard of one process, is normalised by the running statistics instead, and
    leaves them as they are.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        if self.training and maps.numel() == self.num_features:
            mean, var = self.running_mean, self.running_var
            return F.batch_norm(maps, mean, var, self.weight, self.bias, eps=self.eps)
        return super().forward(maps)
