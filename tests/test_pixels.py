"""Pixels of every type and layout, compared with the arrays that are written to the files."""

import struct
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image

from aecli.data.images import decode_image, read_header
from aecli.data.pixels import BrokenImageError

SHAPE = ROWS, COLUMNS = 7, 9
Shares = NDArray[np.float64]  # of white, (H, W, 1 or 3)


def samples(kind: str, count: int, top: float | None = None) -> NDArray[Any]:
    """Random samples (H, W, `count`) from 0 to `top`, or to the largest that `kind` holds."""
    random = np.random.default_rng(0).random((*SHAPE, count))
    if np.dtype(kind).kind == "f":
        return random.astype(kind)
    return np.floor(random * ((top or np.iinfo(kind).max) + 1)).astype(kind)


def over_white(colours: Shares, alpha: Shares) -> Shares:
    return colours * alpha + 1 - alpha


def levels(path: Path, scale: float | None = None) -> NDArray[np.float64]:
    """The decoded image (H, W, 3), which is the same in grey if it is grey."""
    header = read_header(path)
    colours = decode_image(path, 3, header.size, scale)
    if header.is_grey:
        assert torch.equal(decode_image(path, 1, header.size, scale).expand(3, -1, -1), colours)
    return colours.permute(1, 2, 0).double().numpy()


def check(path: Path, expected: Shares, scale: float | None = None, within: float = 0.51) -> None:
    error = np.abs(levels(path, scale) - 255 * np.broadcast_to(expected, (*SHAPE, 3))).max()
    assert error <= within, error
    assert read_header(path).is_grey == (expected.shape[2] == 1)


# Samples of a pixel, how they are stored, and what they show.
LAYOUTS: dict[str, tuple[int, dict[str, Any], Callable[[Shares], Shares]]] = {
    "grey": (1, {"photometric": "minisblack"}, lambda s: s),
    "white is zero": (1, {"photometric": "miniswhite"}, lambda s: 1 - s),
    "rgb": (3, {"photometric": "rgb"}, lambda s: s),
    "rgb planes": (3, {"photometric": "rgb", "planarconfig": "separate"}, lambda s: s),
    "rgba": (
        4,
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        lambda s: over_white(s[..., :3], s[..., 3:]),
    ),
    "rgba planes": (
        4,
        {"photometric": "rgb", "extrasamples": ["unassalpha"], "planarconfig": "separate"},
        lambda s: over_white(s[..., :3], s[..., 3:]),
    ),
    "rgbx": (
        4,
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        lambda s: s[..., :3],
    ),
    "cmyk": (4, {"photometric": "separated"}, lambda s: (1 - s[..., :3]) * (1 - s[..., 3:])),
    "grey with alpha": (
        2,
        {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
        lambda s: over_white(s[..., :1], s[..., 1:]),
    ),
    "grey with alpha, planes": (
        2,
        {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "separate"},
        lambda s: over_white(s[..., :1], s[..., 1:]),
    ),
    "cmyk planes": (
        4,
        {"photometric": "separated", "planarconfig": "separate"},
        lambda s: (1 - s[..., :3]) * (1 - s[..., 3:]),
    ),
}
KINDS = {"u1": 255, "i1": 127, "f2": 1, "f4": 1, "f8": 1}  # type -> white, if not that of 16 bits
# Of these, no byte order is refused.
ALWAYS_READ = {
    *product(["grey", "white is zero", "grey with alpha"], ["u1"]),
    *product(["grey"], ["u2", "i2", "i4", "f4"]),
    *product(["rgb", "rgb planes", "rgba", "rgba planes", "rgbx", "cmyk"], ["u1", "u2"]),
}


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiffs_are_read_correctly_or_refused(layout: str, kind: str, tmp_path: Path) -> None:
    count, options, to_shares = LAYOUTS[layout]
    stored = samples(kind, count, None if kind in ("u1", "i1") else 32767)
    expected = to_shares(stored / KINDS.get(kind, 65535))
    pixels = stored[..., 0] if count == 1 else stored
    if options.get("planarconfig") == "separate":
        pixels = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    for order, compression, tile in product("<>", (None, "zlib"), (None, (16, 16))):
        how: dict[str, Any] = {"byteorder": order, "compression": compression, "tile": tile}
        tifffile.imwrite(tmp_path / "a.tif", pixels, **how, **options)
        try:
            # Of 16-bit CMYK, and of planes, Pillow keeps the upper half.
            is_rough = kind == "u2" and ("cmyk" in layout or "planes" in layout)
            check(tmp_path / "a.tif", expected, within=2.1 if is_rough else 1.01)
        except BrokenImageError as error:
            assert (layout, kind) not in ALWAYS_READ, how
            assert "\n" not in str(error)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_premultiplied_colours_are_composited_over_white(
    compression: str | None, tmp_path: Path
) -> None:
    stored = samples("u2", 4)
    stored[..., :3] = stored[..., :3] * (stored[..., 3:] / 65535)
    options: dict[str, Any] = {
        "photometric": "rgb",
        "extrasamples": ["assocalpha"],
        "compression": compression,
    }
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    shares = stored / 65535
    check(tmp_path / "a.tif", shares[..., :3] + 1 - shares[..., 3:])


def test_12_bits_and_few_bits_are_read_by_their_own_range(tmp_path: Path) -> None:
    for bits in (1, 2, 4, 12):
        values = samples("u2", 1, 2**bits - 1)[..., 0]
        rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
        packed = b"".join(
            int(row.ljust(-len(row) % 8 + len(row), "0"), 2).to_bytes(-(-len(row) // 8))
            for row in rows
        )
        (tmp_path / "a.tif").write_bytes(tiff(packed, bits))
        check(tmp_path / "a.tif", values[..., None] / (2**bits - 1))


def tiff(content: bytes, bits: int) -> bytes:
    """A grey TIFF of one strip."""
    entries = {256: COLUMNS, 257: ROWS, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: ROWS,
               279: len(content)}  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    start = struct.pack("<2sHI", b"II", 42, 8 + len(content))
    return start + content + struct.pack("<H", len(entries)) + table + bytes(4)


PNG_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # samples of a pixel -> colour type


def png(stored: NDArray[np.uint16], *extra: bytes, adam7: bool = False) -> bytes:
    """A 16-bit PNG of samples (H, W, S), written as the specification says."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check_sum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check_sum

    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)] if adam7 else [(0, 0, 1, 1)]  # fmt: skip
    passes = (stored[row::down, column::right] for row, column, down, right in starts)
    rows = (b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    colour_type = PNG_KINDS[stored.shape[2]]
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, 16, colour_type, 0, 0, int(adam7))
    chunks = [chunk(b"IHDR", header), *(chunk(each[:4], each[4:]) for each in extra)]
    chunks += [chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("adam7", [False, True])
@pytest.mark.parametrize("count", PNG_KINDS)
def test_16_bit_pngs_are_read_in_every_colour_type(count: int, adam7: bool, tmp_path: Path) -> None:
    stored = samples("u2", count)
    (tmp_path / "a.png").write_bytes(png(stored, adam7=adam7))
    shares = stored / 65535
    if count in (2, 4):
        shares = over_white(shares[..., :-1], shares[..., -1:])
    check(tmp_path / "a.png", shares)
    scaled = np.minimum(stored[..., : count - 1 + count % 2] / 4095, 1)
    if count in (2, 4):
        scaled = over_white(scaled, stored[..., -1:] / 65535)
    check(tmp_path / "a.png", scaled, scale=4095)


@pytest.mark.parametrize("count", [1, 3])
def test_the_transparent_value_of_a_16_bit_png_is_white(count: int, tmp_path: Path) -> None:
    stored = samples("u2", count)
    stored[2, 3] = stored[2, 4] = 0x1234
    stored[2, 4, -1] += 1  # as good as the same with 8 bits
    transparent = b"tRNS" + struct.pack(">H", 0x1234) * count
    (tmp_path / "a.png").write_bytes(png(stored, transparent))
    shares = stored / 65535
    shares[2, 3] = 1
    check(tmp_path / "a.png", shares)


def test_16_bit_colours_are_rotated_upright(tmp_path: Path) -> None:
    stored = samples("u2", 3)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        content = exif.tobytes().removeprefix(b"Exif\0\0")
        (tmp_path / "a.png").write_bytes(png(stored, b"eXIf" + content))
        extra = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=extra)
        eight = Image.fromarray((stored >> 8).astype(np.uint8))
        eight.save(tmp_path / "b.png", exif=exif)
        upright = levels(tmp_path / "b.png")
        for name in ("a.png", "a.tif"):
            assert np.abs(levels(tmp_path / name) - upright).max() <= 1, (name, orientation)


def netpbm(kind: int, pixels: NDArray[Any], top: int, text: bool = False) -> bytes:
    limit = "" if kind in (1, 4) else f"{top}\n"
    header = f"P{kind}\n{COLUMNS} {ROWS}\n{limit}".encode()
    if text:
        return header + " ".join(map(str, pixels.flatten().tolist())).encode()
    if kind == 4:
        return header + np.packbits(pixels[..., 0].astype(bool), axis=1).tobytes()
    return header + pixels.astype(">u2" if top > 255 else "u1").tobytes()


@pytest.mark.parametrize("top", [1, 100, 255, 4095, 65535])
def test_pgm_and_ppm_are_read_by_their_stated_range(top: int, tmp_path: Path) -> None:
    for kind, count in ((5, 1), (6, 3)):
        pixels = samples("u2", count, top)
        for text in (False, True):
            content = netpbm(kind - 3 * text, pixels, top, text)
            (tmp_path / "a.pnm").write_bytes(content)
            check(tmp_path / "a.pnm", pixels / top, within=1.01)


def test_pbm_is_read_with_one_for_black(tmp_path: Path) -> None:
    pixels = samples("u1", 1, 1)
    for kind in (1, 4):
        (tmp_path / "a.pbm").write_bytes(netpbm(kind, pixels, 1, text=kind == 1))
        check(tmp_path / "a.pbm", 1.0 - pixels)


def test_the_first_frame_of_a_gif_is_read(tmp_path: Path) -> None:
    first, second = (Image.fromarray(samples("u1", 3)[..., ::turn]) for turn in (1, -1))
    frames = [each.quantize(64) for each in (first, second)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    check(tmp_path / "a.gif", np.asarray(frames[0].convert("RGB")) / 255)
    assert read_header(tmp_path / "a.gif").has_more


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "1"])
def test_scale_sets_the_value_that_is_white(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(samples("u1", 3)).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    plain = levels(path)
    assert np.abs(levels(path, 100) - np.minimum(plain * 2.55, 255)).max() <= 1.5


def test_scale_is_for_deep_images_and_floats_as_well(tmp_path: Path) -> None:
    deep = samples("u2", 1, 5000)
    tifffile.imwrite(tmp_path / "a.tif", deep[..., 0])
    check(tmp_path / "a.tif", np.minimum(deep / 4095, 1), scale=4095)
    colours = samples("u2", 3, 5000)
    tifffile.imwrite(tmp_path / "b.tif", colours, photometric="rgb")
    check(tmp_path / "b.tif", np.minimum(colours / 4095, 1), scale=4095)
    tifffile.imwrite(
        tmp_path / "p.tif",
        np.moveaxis(colours, 2, 0).copy(),
        photometric="rgb",
        planarconfig="separate",
    )
    with pytest.raises(BrokenImageError, match="16-bit planes cannot be read with scale=4095: sa"):
        levels(tmp_path / "p.tif", scale=4095)
    floats = 300 * samples("f4", 1)
    tifffile.imwrite(tmp_path / "c.tif", floats[..., 0])
    check(tmp_path / "c.tif", np.minimum(floats / 255, 1), scale=255)
    with pytest.raises(BrokenImageError, match="mode F is read as 0 to 1: scale= sets the value"):
        levels(tmp_path / "c.tif")
