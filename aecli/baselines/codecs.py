"""Image files, the everyday answer to compression: JPEG and PNG, by Pillow."""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SUPPORTED_CHANNELS = (1, 3)
"""Numbers of channels that both formats can store."""
_START_OF_SCAN = 0xDA
_PNG_SIGNATURE = 8  # bytes


class Encoded(NamedTuple):
    """Images that were stored as one file each, and read again."""

    images: Tensor  # (N, C, H, W) uint8
    file_bits: Tensor  # (N,): of each file
    data_bits: Tensor  # (N,): of its compressed pixels alone, without headers and tables


def as_jpeg(images: Tensor, quality: int) -> Encoded:
    """Store uint8 images (N, C, H, W) as JPEG, at a quality from 1 to 95.

    A file has the Huffman codes that make it smallest, and their tables. The size without headers
    and tables is that with the standard's codes, which every decoder knows. The images are the
    same.
    """
    standard = _stored(images, _jpeg_data, format="JPEG", quality=quality)
    smallest = _stored(images, _jpeg_data, format="JPEG", quality=quality, optimize=True)
    return smallest._replace(data_bits=standard.data_bits)


def as_png(images: Tensor) -> Encoded:
    """Store uint8 images (N, C, H, W) as PNG, which loses nothing."""
    return _stored(images, _png_data, format="PNG", optimize=True)


def _stored(images: Tensor, data_bytes: Callable[[bytes], int], **options: Any) -> Encoded:
    read, file_bytes, data = [], [], []
    for rows in images.permute(0, 2, 3, 1).cpu().numpy():  # (H, W, C)
        file = io.BytesIO()
        Image.fromarray(rows.squeeze(2) if rows.shape[2] == 1 else rows).save(file, **options)
        content = file.getvalue()
        file_bytes.append(len(content))
        data.append(data_bytes(content))
        with Image.open(file) as image:
            read.append(torch.from_numpy(np.array(image)).reshape(rows.shape).permute(2, 0, 1))
    bits = (8 * torch.tensor(each, dtype=torch.float64) for each in (file_bytes, data))
    return Encoded(torch.stack(read).to(images.device), *bits)


def _jpeg_data(content: bytes) -> int:
    """The bytes of a JPEG file after the header of its only scan, without the end marker."""
    position = 2  # after the start marker
    while True:
        marker, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4])
        position += 2 + length
        if marker == _START_OF_SCAN:
            return len(content) - 2 - position


def _png_data(content: bytes) -> int:
    """The bytes of the compressed pixels of a PNG file: the content of its IDAT chunks."""
    position, total = _PNG_SIGNATURE, 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4])
        if content[position + 4 : position + 8] == b"IDAT":
            total += length
        position += 12 + length  # length, name and checksum around the content
    return total
