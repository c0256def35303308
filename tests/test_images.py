"""Image files of every kind, found and decoded: pixels that are known."""

import io
import os
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from aecli.data.images import (
    Broken,
    Header,
    decode_image,
    decode_images,
    find_images,
    in_parallel,
    read_header,
)
from aecli.data.pixels import BrokenImageError
from aecli.errors import DataError, StorageError
from aecli.runtime.terminal import err

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# Luma of ITU-R 601: 0.299 R + 0.587 G + 0.114 B
RED_LUMA, GREEN_LUMA, BLUE_LUMA = 76, 150, 29


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def row(mode: str, *pixels: Any) -> Image.Image:
    """An image of one row."""
    image = Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    return image


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    """One row with a pixel of each colour of a palette."""
    image = row("P", *range(len(colours)))
    image.putpalette([value for colour in colours for value in colour])
    return image


def grey(path: Path) -> list[list[int]]:
    """The rows of a file's image, as one channel."""
    pixels: list[list[int]] = decode_image(path, 1, read_header(path).size)[0].tolist()
    return pixels


def colours(path: Path) -> list[tuple[int, ...]]:
    """The pixels of a file's first row, as three channels."""
    pixels = decode_image(path, 3, read_header(path).size)
    assert pixels.shape[0] == 3 and str(pixels.dtype) == "torch.uint8" and pixels.is_contiguous()
    return [tuple(each) for each in pixels[:, 0].T.tolist()]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_colours_are_kept_and_their_luma_is_their_grey(suffix: str, tmp_path: Path) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(row("RGB", RED, GREEN, BLUE), tmp_path / f"a.{suffix}", **options)
    assert colours(path) == [RED, GREEN, BLUE]
    assert grey(path) == [[RED_LUMA, GREEN_LUMA, BLUE_LUMA]]
    assert read_header(path) == Header((1, 3), is_grey=False)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_images_have_equal_channels_as_colour(suffix: str, tmp_path: Path) -> None:
    path = saved(row("L", 0, 7, 255), tmp_path / f"a.{suffix}")
    assert grey(path) == [[0, 7, 255]]
    assert colours(path) == [(0,) * 3, (7,) * 3, (255,) * 3]
    assert read_header(path).is_grey


def test_jpegs_are_nearly_what_they_were(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (16, 8), (200, 100, 50)), tmp_path / "a.JPG", quality=95)
    assert decode_image(path, 3, (8, 16)).float().mean((1, 2)).tolist() == pytest.approx(
        [200, 100, 50], abs=2
    )


def test_one_bit_is_black_or_white(tmp_path: Path) -> None:
    path = saved(row("1", 0, 255, 0), tmp_path / "a.png")
    assert grey(path) == [[0, 255, 0]] and read_header(path).is_grey


def test_palettes_are_looked_up(tmp_path: Path) -> None:
    path = saved(palette(BLUE, RED, GREEN), tmp_path / "a.png")
    assert colours(path) == [BLUE, RED, GREEN]
    assert grey(path) == [[BLUE_LUMA, RED_LUMA, GREEN_LUMA]]
    assert not read_header(path).is_grey
    assert read_header(saved(palette((9, 9, 9), (3, 3, 3)), tmp_path / "b.png")).is_grey


def test_transparent_pixels_show_the_white_behind_them(tmp_path: Path) -> None:
    half = 128 / 255
    path = saved(row("RGBA", (*RED, 255), (*RED, 0), (0, 0, 0, 128)), tmp_path / "a.png")
    assert colours(path) == [RED, WHITE, (round(255 * (1 - half)),) * 3]
    path = saved(row("LA", (10, 255), (10, 0), (0, 128)), tmp_path / "b.png")
    assert grey(path) == [[10, 255, round(255 * (1 - half))]] and read_header(path).is_grey
    path = tmp_path / "c.png"
    saved(palette(RED, GREEN, BLUE), path, transparency=bytes([255, 0, 255]))
    assert colours(path) == [RED, WHITE, BLUE]
    path = saved(row("RGB", RED, GREEN), tmp_path / "d.png", transparency=RED)
    assert colours(path) == [WHITE, GREEN]


def test_cmyk_is_what_the_inks_leave_of_white(tmp_path: Path) -> None:
    inks = row("CMYK", (0, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255), (255, 0, 0, 0))
    assert colours(saved(inks, tmp_path / "a.tiff")) == [WHITE, RED, (0, 0, 0), (0, 255, 255)]
    path = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg")
    assert colours(path)[0] == pytest.approx(RED, abs=2)


# 257 x 257 is 1 of 255 in 16 bits, and so on: none of them is clipped.
DEEP = np.array([[0, 257, 65535], [128 * 257, 200, 256 * 200]], np.uint16)
IN_8_BITS = [[0, 1, 255], [128, 1, 199]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_become_8_by_their_whole_range(suffix: str, tmp_path: Path) -> None:
    path = saved(Image.fromarray(DEEP), tmp_path / f"a.{suffix}")
    assert grey(path) == IN_8_BITS and read_header(path) == Header((2, 3), is_grey=True)
    assert colours(path)[1] == (1, 1, 1)


@pytest.mark.parametrize("kind", [">u2", "<u2", "<u4"])
def test_16_bits_are_read_in_either_order_and_in_wider_integers(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP.astype(kind), byteorder=">" if kind[0] == ">" else "<")
    assert grey(path) == IN_8_BITS


def test_floats_are_pixels_from_0_to_1(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[0, 0.25, 1]], np.float32))
    assert grey(path) == [[0, 64, 255]]


@pytest.mark.parametrize(
    ("values", "reach"),
    [
        (np.array([[0, 70000]], np.int32), "from 0 to 70000"),
        (np.array([[-1, 5]], np.int16), "from -1 to 5"),
        (np.array([[0, 200]], np.float32), "from 0 to 200"),
        (np.array([[0, np.nan]], np.float32), "from nan to nan"),
    ],
)
def test_values_of_an_unknown_range_are_refused(values: Any, reach: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(BrokenImageError, match=f"values range {reach}, but mode . is read as 0 to"):
        decode_image(tmp_path / "a.tif", 1, (1, 2))


# What each EXIF orientation makes of the stored rows [1 2 3], [4 5 6].
ORIENTATIONS = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_rotates_the_image(orientation: int, suffix: str, tmp_path: Path) -> None:
    stored = Image.fromarray(10 * np.array(ORIENTATIONS[1], np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(stored, tmp_path / f"a.{suffix}", exif=exif, **options)
    turned = (10 * np.array(ORIENTATIONS[orientation])).tolist()
    assert grey(path) == turned
    assert read_header(path).size == (len(turned), len(turned[0]))


def test_a_rotated_photograph_is_upright(tmp_path: Path) -> None:
    stored = Image.new("RGB", (64, 32), RED)  # its right half becomes the lower one
    stored.paste(BLUE, (32, 0, 64, 32))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = saved(stored, tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    image = decode_image(path, 3, (64, 32)).float()
    assert image[:, 16, 16].tolist() == pytest.approx(RED, abs=3)
    assert image[:, 48, 16].tolist() == pytest.approx(BLUE, abs=3)


def test_the_first_of_several_images_in_a_file_is_used(tmp_path: Path) -> None:
    first, second = row("RGB", RED, RED), row("RGB", BLUE, GREEN)
    for name, options in (("a.tif", {}), ("b.png", {}), ("c.webp", {"lossless": True})):
        path = saved(first, tmp_path / name, save_all=True, append_images=[second], **options)
        assert colours(path) == [RED, RED], name


def test_the_larger_sides_are_cut_equally_at_both_ends(tmp_path: Path) -> None:
    strip = np.repeat(np.array([10, 20, 20, 30], np.uint8), 4)  # columns of 4 pixels a value
    path = saved(Image.fromarray(np.tile(strip, (8, 1))), tmp_path / "a.png")
    assert decode_image(path, 1, (8, 8))[0, 0].tolist() == [20] * 8
    smaller = decode_image(path, 1, (2, 2))[0].flatten().tolist()
    assert smaller == pytest.approx([20] * 4, abs=1)  # the filter looks beyond the cut
    tall = saved(Image.fromarray(np.tile(strip, (8, 1)).T), tmp_path / "b.png")
    assert decode_image(tall, 1, (8, 8))[0].tolist() == [[20] * 8] * 8


def test_shrinking_mixes_pixels_instead_of_leaving_some_out(tmp_path: Path) -> None:
    chequers = np.indices((64, 64)).sum(0) % 2 * 255  # every second pixel is white
    path = saved(Image.fromarray(chequers.astype(np.uint8)), tmp_path / "a.png")
    assert decode_image(path, 1, (8, 8)).float().mean().item() == pytest.approx(127.5, abs=2)
    assert decode_image(path, 1, (8, 8)).float().std().item() < 10


def test_colours_of_a_palette_and_single_bits_are_mixed_as_well(tmp_path: Path) -> None:
    path = saved(palette(RED, BLUE), tmp_path / "a.png")
    assert decode_image(path, 3, (1, 1)).flatten().tolist() == pytest.approx([127, 0, 127], abs=1)
    path = saved(row("1", 0, 255), tmp_path / "b.png")
    assert decode_image(path, 1, (1, 1)).item() == pytest.approx(127, abs=1)


@pytest.mark.parametrize("side", [32, 64, 512])
def test_photographs_lose_nothing_by_being_decoded_at_a_smaller_size(
    side: int, tmp_path: Path
) -> None:
    fine = np.tile(np.arange(64) // 4 % 2 * 200, (64, 1)).astype(np.uint8)  # stripes of 4 pixels
    stored = Image.fromarray(fine).resize((side, side), Image.Resampling.BOX)
    path = saved(stored, tmp_path / "a.jpg", quality=95)
    expected = stored.resize((32, 32), Image.Resampling.BICUBIC)
    decoded = decode_image(path, 1, (32, 32))[0].float().numpy()
    assert np.abs(decoded - np.asarray(expected, np.float32)).mean() < 10


def bomb() -> bytes:
    """A small PNG whose header promises 100,000 x 100,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content + chunk(b"IEND", b"")


def some_png() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "png")
    return buffer.getvalue()


WHOLE = some_png()
DAMAGES = {
    "empty": (b"", "it is empty"),
    "text": (b"no image", "its format is not one of PNG, JPEG, BMP, WEBP, TIFF"),
    "script": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "its format is not one of"),
    "header cut": (WHOLE[:20], ""),
    "truncated": (WHOLE[: len(WHOLE) // 2], "image file is truncated"),
    "flipped": (WHOLE[:300] + bytes([WHOLE[300] ^ 255]) + WHOLE[301:], ""),
    "bomb": (bomb(), r"it has more than [\d,]+ pixels"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_a_reason(damage: str, tmp_path: Path) -> None:
    content, reason = DAMAGES[damage]
    broken, whole = tmp_path / "a.png", tmp_path / "b.png"
    broken.write_bytes(content)
    whole.write_bytes(WHOLE)
    first, second = decode_images([broken, whole], 1, (8, 8))
    assert isinstance(first, Broken) and first.path == broken
    assert first.reason and "\n" not in first.reason
    with pytest.raises(BrokenImageError, match=reason or None):
        decode_image(broken, 1, (8, 8))
    assert not isinstance(second, Broken) and second.shape == (1, 8, 8)


def test_a_huge_image_is_refused_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Above the limit Pillow warns, and only above twice the limit it refuses.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        (image,) = decode_images([path], 1, (8, 8))
    assert image == Broken(path, "it has more than 1,000 pixels")
    assert capsys.readouterr() == ("", "")


def test_a_missing_file_is_broken(tmp_path: Path) -> None:
    (image,) = decode_images([tmp_path / "a.png"], 1, (8, 8))
    assert image == Broken(tmp_path / "a.png", "No such file or directory")


def test_results_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = [saved(row("L", number), tmp_path / f"{number}.png") for number in range(100)]
    images = decode_images(paths, 1, (1, 1))
    assert [image.item() for image in images if not isinstance(image, Broken)] == [*range(100)]


class Counted(list[Path]):
    """Counts how many of its paths have been taken."""

    taken = 0

    def __iter__(self) -> Iterator[Path]:
        for path in super().__iter__():
            self.taken += 1
            yield path


def test_few_files_are_decoded_ahead_and_none_after_the_consumer_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aecli.data.images._usable_cores", lambda: 2)
    may_go_on = threading.Event()
    begun: list[str] = []

    def wait(path: Path) -> str:
        begun.append(path.name)
        if path.name != "0":
            may_go_on.wait(timeout=1)
        return path.name

    paths = Counted(Path(str(number)) for number in range(1000))
    results = in_parallel(wait, paths, "waiting")
    assert next(results) == "0"
    assert paths.taken < 20
    threading.Timer(0.2, may_go_on.set).start()
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 4  # the first, and those that the two workers were at


def test_the_progress_bar_is_for_terminals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(row("L", 1), tmp_path / "a.png")
    list(decode_images([path], 1, (1, 1)))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(err, "is_interactive", True)  # as the console finds when it is made
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(decode_images([path], 1, (1, 1)))
    assert "decoding" in capsys.readouterr().err


def names(folder: Path, found: list[Path]) -> list[str]:
    return [str(path.relative_to(folder)) for path in found]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_images_are_found_at_any_depth_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "10.png", "9.JPG", "b/2/x.webp", "b/10/x.tiff", "a.jpeg", "1.bmp", "1²3.tif")
    touch(tmp_path, "notes.txt", ".hidden.png", ".git/a.png", "png", "b/.DS_Store")
    assert names(tmp_path, find_images([tmp_path]).images) == [
        "1.bmp", "1²3.tif", "9.JPG", "10.png", "a.jpeg", "b/2/x.webp", "b/10/x.tiff",
    ]  # fmt: skip


def test_links_that_lead_back_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "set/a/1.png", "elsewhere/2.png")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set" / "a")
    found = find_images([tmp_path / "set"]).images
    assert names(tmp_path, found) == ["set/a/1.png", "set/b/2.png"]


def test_links_to_nothing_are_kept_and_pipes_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "b.png")
    assert names(tmp_path, find_images([tmp_path]).images) == ["a.png"]


def test_files_and_folders_may_be_given_together(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b.dat")
    paths = [tmp_path / "b.dat", tmp_path / "a", tmp_path / "a" / "1.png"]
    assert names(tmp_path, find_images(paths).images) == ["b.dat", "a/1.png"]
    with pytest.raises(DataError, match="there is no file or folder .*missing"):
        find_images([tmp_path / "missing"])


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(StorageError, match=f"{tmp_path} cannot be read: Permission denied"):
        find_images([tmp_path])
