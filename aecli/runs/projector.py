"""Files for TensorBoard's embedding projector: codes as points, with thumbnails and labels.

SummaryWriter.add_embedding writes such files too, but fails on images taller than wide, does not
strip line breaks from labels, and can write sprites too large for a browser to show.
"""

import math
from collections.abc import Iterable

from torch import Tensor
from torch.nn.functional import interpolate, pad

from aecli.errors.text import one_line
from aecli.figures import as_png

# In pixels. The projector accepts up to 8192, but not every graphics card can show more than this.
SPRITE_SIDE = 4096
MIN_DIMENSIONS = 3  # per point; with fewer, the projector fails to compute three components
FOLDER = "projector"
METADATA, THUMBNAILS = f"{FOLDER}/metadata.tsv", f"{FOLDER}/thumbnails.png"
# The file that TensorBoard looks for; paths in it are relative to its folder.
CONFIG = "projector_config.pbtxt"
EMBEDDING = """\
embeddings {{
  tensor_name: "{name}"
  tensor_path: "{points}"
  metadata_path: "{metadata}"
  sprite {{ image_path: "{thumbnails}" single_image_dim: {width} single_image_dim: {height} }}
}}
"""


def projector_files(
    points: dict[str, Tensor], images: Tensor, columns: dict[str, list[str]], folder: str = ""
) -> dict[str, bytes]:
    """The files that the projector reads from a TensorBoard log directory.

    Args:
        points: name, which is also that of a file -> one vector for each image, (N, D). The
            projector shows the first and offers the others.
        images: their thumbnails, uint8 (N, C, H, W); downscaled if the sprite would be too large.
        columns: name -> one value per point; the first column labels the points.
        folder: the path of all but `CONFIG` in the log directory, with a slash at its end.

    Returns:
        The path of each file, relative to `folder`, and its content; `CONFIG` belongs in the log
        directory itself.
    """
    sprite, (height, width) = _sprite(images)
    files = {name: f"{FOLDER}/{name}.tsv" for name in points}
    config = "".join(
        EMBEDDING.format(
            name=name,
            points=f"{folder}{file}",
            metadata=f"{folder}{METADATA}",
            thumbnails=f"{folder}{THUMBNAILS}",
            width=width,
            height=height,
        )
        for name, file in files.items()
    )
    return {
        CONFIG: config.encode(),
        **{file: _points_tsv(points[name]) for name, file in files.items()},
        METADATA: _metadata_tsv(columns),
        THUMBNAILS: sprite,
    }


def _points_tsv(points: Tensor) -> bytes:
    """One line per point. Padding with zeros changes no distance."""
    rows = pad(points, (0, max(0, MIN_DIMENSIONS - points.shape[1]))).tolist()
    lines = ("\t".join(f"{number:.6g}" for number in row) for row in rows)
    return _lines(lines)


def _metadata_tsv(columns: dict[str, list[str]]) -> bytes:
    """One line per point, below a header line unless there is only one column."""
    rows = list(zip(*columns.values(), strict=True))
    header = [tuple(columns)] if len(columns) > 1 else []
    return _lines("\t".join(map(one_line, row)) for row in header + rows)


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _sprite(images: Tensor) -> tuple[bytes, tuple[int, int]]:
    """All images tiled row by row in a square sheet, as PNG; the height and width of each tile."""
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
