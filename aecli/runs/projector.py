"""The files of TensorBoard's projector: codes as points, with thumbnails and what they show.

SummaryWriter.add_embedding writes such files as well, but fails on images that are higher than
wide, and does not see to it that names have no line breaks and that a browser shows the sprite.
"""

import math
from collections.abc import Iterable

from torch import Tensor
from torch.nn.functional import interpolate, pad

from aecli.errors import one_line
from aecli.figures import as_png

# Pixels. The projector refuses more than 8192, but not every graphics card shows more than this.
SPRITE_SIDE = 4096
MIN_NUMBERS = 3  # of a point, without which it does not find its first three components
CODES, METADATA, THUMBNAILS = (
    f"projector/{name}" for name in ("codes.tsv", "metadata.tsv", "thumbnails.png")
)
# What TensorBoard looks for; its paths are relative to it.
CONFIG = "projector_config.pbtxt"
EMBEDDING = """\
embeddings {{
  tensor_name: "codes"
  tensor_path: "{codes}"
  metadata_path: "{metadata}"
  sprite {{ image_path: "{thumbnails}" single_image_dim: {width} single_image_dim: {height} }}
}}
"""


def projector_files(
    codes: Tensor, images: Tensor, columns: dict[str, list[str]]
) -> dict[str, bytes]:
    """What the projector reads in a folder of TensorBoard.

    Args:
        codes: (N, D).
        images: their thumbnails, uint8 (N, C, H, W); made smaller if there are so many.
        columns: name -> what it says of each point; the first is what a point is called.

    Returns:
        The path of each file, inside that folder, and what is in it.
    """
    sprite, (height, width) = _sprite(images)
    config = EMBEDDING.format(
        codes=CODES, metadata=METADATA, thumbnails=THUMBNAILS, width=width, height=height
    )
    return {
        CONFIG: config.encode(),
        CODES: _tensor(codes),
        METADATA: _metadata(columns),
        THUMBNAILS: sprite,
    }


def _tensor(codes: Tensor) -> bytes:
    """A line for each point; a further number of 0 changes no distance."""
    rows = pad(codes, (0, max(0, MIN_NUMBERS - codes.shape[1]))).tolist()
    lines = ("\t".join(f"{number:.6g}" for number in row) for row in rows)
    return _lines(lines)


def _metadata(columns: dict[str, list[str]]) -> bytes:
    """A line for each point, below one with the names of the columns unless there is only one."""
    rows = list(zip(*columns.values(), strict=True))
    header = [tuple(columns)] if len(columns) > 1 else []
    return _lines("\t".join(map(one_line, row)) for row in header + rows)


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _sprite(images: Tensor) -> tuple[bytes, tuple[int, int]]:
    """All images in one, row by row, in as many rows as columns; height and width of each."""
    count, channels, height, width = images.shape
    side = math.ceil(math.sqrt(count))
    scale = min(1.0, SPRITE_SIDE / side / max(height, width))
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    if size != (height, width):
        images = interpolate(images.cpu(), size, mode="bilinear", antialias=True)
    sheet = images.new_zeros(side * side, channels, *size)
    sheet[:count] = images
    tiles = sheet.reshape(side, side, channels, *size).permute(2, 0, 3, 1, 4)
    return as_png(tiles.reshape(channels, side * size[0], side * size[1]).float() / 255), size
