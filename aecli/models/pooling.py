"""Max-pooling that records the positions of its maxima, and unpooling that restores them there.

Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, call these
positions switches; Noh et al., "Learning deconvolution network for semantic segmentation", 2015,
train a decoder with them.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Switches = list[Tensor]
"""One tensor (B, C, h, w) per pooling layer, in order: indices of its maxima in the flat map."""


class MaxPool(nn.Module):
    """Max-pooling: (B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor, switches: Switches) -> Tensor:
        """Pool `maps` and append the indices of the maxima to `switches`."""
        pooled, indices = F.max_pool2d(maps, self.stride, ceil_mode=True, return_indices=True)
        switches.append(indices)
        return gather_maxima(maps, indices) if _is_deterministic() else pooled


class MaxUnpool(nn.Module):
    """Put each pixel back where it was pooled, zeros elsewhere: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, maps: Tensor, switches: Switches) -> Tensor:
        """Undo the last pooling in `switches` and remove it from the list.

        Without switches, as for a code that does not come from an image, each pixel goes to the
        upper left corner of its cell.
        """
        if not switches:
            return zero_insert(maps, self.size, self.stride)
        if _is_deterministic():
            return scatter_maxima(maps, switches.pop(), self.size)
        stride = [self.stride, self.stride]
        return F.max_unpool2d(maps, switches.pop(), stride, output_size=self.size)


def _is_deterministic() -> bool:
    """Whether deterministic algorithms are required: on a GPU, unless deterministic=false.

    torch then refuses its own pooling and unpooling, also on the CPU, because they support
    overlapping windows and add in any order. These cells do not overlap.
    """
    return torch.are_deterministic_algorithms_enabled()


def gather_maxima(maps: Tensor, indices: Tensor) -> Tensor:
    """Gather the pixels of `maps` (B, C, H, W) at `indices` (B, C, h, w): (B, C, h, w)."""
    return maps.flatten(2).gather(2, indices.flatten(2)).view_as(indices)


def scatter_maxima(maps: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Scatter the pixels of `maps` (B, C, h, w) to `indices`, zeros elsewhere: (B, C, *size)."""
    batch, channels = maps.shape[:2]
    flat = maps.new_zeros(batch, channels, size[0] * size[1])
    return flat.scatter(2, indices.flatten(2), maps.flatten(2)).view(batch, channels, *size)


def zero_insert(maps: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Put each pixel in the upper left corner of a cell of zeros: (B, C, h, w) -> (B, C, *size)."""
    batch, channels, height, width = maps.shape
    cells = maps.new_zeros(batch, channels, height * stride, width * stride)
    cells[:, :, ::stride, ::stride] = maps
    return crop_or_pad(cells, size)


def crop_or_pad(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop or zero-pad `maps` (B, C, h, w) at the bottom and right: (B, C, *size)."""
    height, width = maps.shape[2:]
    return F.pad(maps, (0, size[1] - width, 0, size[0] - height))


def apply_layers(layers: Iterable[nn.Module], maps: Tensor, switches: Switches) -> Tensor:
    """Apply `layers` to `maps`; pooling layers push switches and unpooling layers pop them."""
    for layer in layers:
        maps = layer(maps, switches) if isinstance(layer, MaxPool | MaxUnpool) else layer(maps)
    return maps
