"""The files of TensorBoard's projector: a point, a thumbnail and a line for each image."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig
from torch import Tensor

from aecli.runs import projector
from aecli.runs.projector import projector_files


def images_of(count: int, *shape: int) -> Tensor:
    """Images of one level each, by their number."""
    return torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, *shape)


def embedding(files: dict[str, bytes]) -> EmbeddingInfo:
    config = text_format.Parse(files["projector_config.pbtxt"].decode(), ProjectorConfig())
    (found,) = config.embeddings
    return found


def sprite(files: dict[str, bytes]) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(files[embedding(files).sprite.image_path])))


def test_the_configuration_names_files_in_its_folder() -> None:
    files = projector_files(
        {"codes": torch.zeros(3, 4)}, images_of(3, 1, 5, 5), {"image": ["0", "1", "2"]}
    )
    found = embedding(files)
    named = {found.tensor_path, found.metadata_path, found.sprite.image_path}
    assert set(files) == {"projector_config.pbtxt", *named} and len(named) == 3
    assert not any(Path(path).is_absolute() or ".." in path for path in named)


def test_several_kinds_of_points_share_thumbnails_and_names() -> None:
    points = {"codes": torch.zeros(2, 4), "pca_codes": torch.ones(2, 3)}
    files = projector_files(points, images_of(2, 1, 5, 5), {"image": ["0", "1"]}, "embed/")
    config = text_format.Parse(files["projector_config.pbtxt"].decode(), ProjectorConfig())
    first, second = config.embeddings
    assert (first.tensor_name, second.tensor_name) == ("codes", "pca_codes")
    assert first.metadata_path == second.metadata_path == "embed/projector/metadata.tsv"
    assert first.sprite == second.sprite
    assert files[second.tensor_path.removeprefix("embed/")] == b"1\t1\t1\n1\t1\t1\n"


def test_every_code_is_a_line_and_short_ones_are_padded() -> None:
    codes = torch.tensor([[0.5, -1.25, 3e-9, 4.0], [1.0, 2.0, 1 / 3, 1e9]])
    for size, expected in (
        (4, "0.5\t-1.25\t3e-09\t4\n1\t2\t0.333333\t1e+09\n"),
        (2, "0.5\t-1.25\t0\n1\t2\t0\n"),
        (1, "0.5\t0\t0\n1\t0\t0\n"),
    ):
        files = projector_files(
            {"codes": codes[:, :size]}, images_of(2, 1, 2, 2), {"image": ["a", "b"]}
        )
        assert files[embedding(files).tensor_path].decode() == expected


def test_a_name_never_breaks_a_line_and_only_several_columns_have_a_header() -> None:
    columns = {"class": ["cats\tand\ndogs", "Ä b"], "image": ["1.png", "2.png"]}
    files = projector_files({"codes": torch.zeros(2, 3)}, images_of(2, 1, 2, 2), columns)
    lines = files[embedding(files).metadata_path].decode().splitlines()
    assert lines == ["class\timage", "cats and dogs\t1.png", "Ä b\t2.png"]
    del columns["class"]
    files = projector_files({"codes": torch.zeros(2, 3)}, images_of(2, 1, 2, 2), columns)
    assert files[embedding(files).metadata_path] == b"1.png\n2.png\n"


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 6, 3), (3, 2, 5)], ids=str)
def test_thumbnails_are_tiled_row_by_row_in_a_square(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    names = {"image": [str(number) for number in range(7)]}
    files = projector_files({"codes": torch.zeros(7, 3)}, images_of(7, *shape), names)
    assert list(embedding(files).sprite.single_image_dim) == [width, height]
    sheet = sprite(files)
    assert sheet.shape == (3 * height, 3 * width) + ((3,) if channels == 3 else ())
    middles = sheet.reshape(3, height, 3, width, -1)[:, height // 2, :, width // 2, 0]
    assert middles.tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]


def test_many_thumbnails_are_downscaled_to_fit_the_sprite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projector, "SPRITE_SIDE", 20)
    names = {"image": [str(number) for number in range(10)]}
    files = projector_files({"codes": torch.zeros(10, 3)}, images_of(10, 1, 8, 16), names)
    assert list(embedding(files).sprite.single_image_dim) == [5, 2]  # four a side
    sheet = sprite(files)
    assert sheet.shape == (8, 20)
    assert sheet[::2, ::5].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0], [0, 0, 0, 0]]
