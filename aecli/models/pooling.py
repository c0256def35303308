"""Pooling that remembers where its maxima were, and unpooling that puts them back there.

Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, who call these
places switches; Noh et al., "Learning deconvolution network for semantic segmentation", 2015, who
train a decoder with them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Switches = list[Tensor]
"""Of each pooling, the last one last: where in the flattened map its maxima were, (B, C, h, w)."""


class MaxPool(nn.Module):
    """The maximum of each cell: (B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor, switches: Switches) -> Tensor:
        """Pool `maps`, and add the places of the maxima to `switches`."""
        pooled, places = F.max_pool2d(maps, self.stride, ceil_mode=True, return_indices=True)
        switches.append(places)
        return gather_maxima(maps, places) if _is_deterministic() else pooled


class MaxUnpool(nn.Module):
    """Each pixel where the pooling found it, zeros elsewhere: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, maps: Tensor, switches: Switches) -> Tensor:
        """Undo the last pooling of `switches`, and take it out of them.

        A code that no image has been encoded to has no switches: each pixel then goes to the
        corner of its cell.
        """
        if not switches:
            return zero_insert(maps, self.size, self.stride)
        if _is_deterministic():
            return scatter_maxima(maps, switches.pop(), self.size)
        stride = [self.stride, self.stride]
        return F.max_unpool2d(maps, switches.pop(), stride, output_size=self.size)


def _is_deterministic() -> bool:
    """Whether the same bits are asked for every time, as they are wherever a GPU is used.

    torch then refuses its own pooling and unpooling, on the CPU as well: they allow for windows
    that overlap, and add in any order. These cells do not overlap.
    """
    return torch.are_deterministic_algorithms_enabled()


def gather_maxima(maps: Tensor, places: Tensor) -> Tensor:
    """The pixels of `maps` (B, C, H, W) at `places` (B, C, h, w): (B, C, h, w)."""
    return maps.flatten(2).gather(2, places.flatten(2)).view_as(places)


def scatter_maxima(maps: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """The pixels of `maps` (B, C, h, w) at `places`, zeros elsewhere: (B, C, *size)."""
    batch, channels = maps.shape[:2]
    flat = maps.new_zeros(batch, channels, size[0] * size[1])
    return flat.scatter(2, places.flatten(2), maps.flatten(2)).view(batch, channels, *size)


def zero_insert(maps: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Each pixel in the upper left corner of a cell of zeros: (B, C, h, w) -> (B, C, *size)."""
    batch, channels, height, width = maps.shape
    cells = maps.new_zeros(batch, channels, height * stride, width * stride)
    cells[:, :, ::stride, ::stride] = maps
    return crop_or_pad(cells, size)


def crop_or_pad(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """`maps` (B, C, h, w) with rows and columns cut off or zeros added at the lower right."""
    height, width = maps.shape[2:]
    return F.pad(maps, (0, size[1] - width, 0, size[0] - height))


def run(layers: nn.Sequential, maps: Tensor, switches: Switches) -> Tensor:
    """Send `maps` through `layers`, of which some leave switches and some take them."""
    for layer in layers:
        maps = layer(maps, switches) if isinstance(layer, MaxPool | MaxUnpool) else layer(maps)
    return maps
