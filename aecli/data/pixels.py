"""From an image as Pillow opens it to upright 8-bit pixels without transparency.

Pillow reads most files. It keeps only the upper half of 16-bit colours, so torchvision and tifffile
read those; and it takes no notice of some of a TIFF's tags, which are heeded or refused here.
"""

import logging
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

# Largest value of the modes with more than 8 bits. Pillow does not have a mode for every type: it
# reads some 16-bit files as 32-bit integers; floats are assumed to be pixels in [0, 1].
MAX_VALUES = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
MAX_16_BITS, MAX_12_BITS, MAX_8_BITS = 65535, 4095, 255
GREY_MODES = {"1", "L", "LA", "La", *MAX_VALUES}
BACKGROUND = "white"  # for transparent images
PNG_COLOURS_16 = {"RGB;16B", "RGBA;16B", "LA;16B"}  # Pillow's names for 16-bit samples in a PNG
# Pillow's names for big-endian samples, and for the same in this machine's order.
NATIVE_ORDER = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it logs what it finds odd


class BrokenImageError(Exception):
    """An unusable file; the message is one line without the file name."""


def to_8_bits(image: ImageFile, white: float | None) -> Image.Image:
    """Convert `image` to upright 8-bit pixels without transparency.

    Args:
        image: just opened, with its file at the start of the pixels.
        white: the value that becomes 255, and so do larger ones; None for the largest of its type.

    Raises:
        BrokenImageError: its values are not pixels, or Pillow would read its layout wrongly.
    """
    _check_layout(image)
    colours = _colours_of_16_bits(image)
    if colours is not None:
        # Pillow reports the orientation; only what it decodes itself is turned already.
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return _as_image(_upright(_opaque(image, colours, white), orientation))
    _expect_native_order(image)
    limit, is_inverted = max_value(image), _tag(image, "PhotometricInterpretation", 1) == 0
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in MAX_VALUES:
        return _eight_bit_colours(upright, white, limit)
    shares = _shares(np.asarray(upright, np.float64), upright.mode, limit, white)
    shares = 1 - shares if is_inverted else shares
    transparent = upright.info.get("transparency")
    if isinstance(transparent, int):
        shares[np.asarray(upright) == transparent] = 1
    return _as_image(shares)


def is_grey(image: ImageFile) -> bool:
    """Whether an image is stored as greyscale."""
    has_grey_palette = False
    if image.mode == "P":
        colours = image.getpalette("RGB") or []
        has_grey_palette = colours[0::3] == colours[1::3] == colours[2::3]
    return image.mode in GREY_MODES or has_grey_palette or _raw_mode(image) == "LA;16B"


def max_value(image: ImageFile) -> int:
    """The largest value that the type of the pixels can hold."""
    if _raw_mode(image) in PNG_COLOURS_16:
        return MAX_16_BITS
    bits = max(_tag(image, "BitsPerSample", (8,)))
    if image.mode in MAX_VALUES:
        return MAX_12_BITS if bits == 12 else MAX_VALUES[image.mode]
    return MAX_16_BITS if bits == 16 else MAX_8_BITS


def largest_value(image: ImageFile) -> float:
    """The largest value of all pixels and colours, before any scaling."""
    colours = _colours_of_16_bits(image)
    if colours is not None:
        return float(colours[..., :3].max())
    if image.mode in MAX_VALUES:
        _expect_native_order(image)
        return float(np.asarray(image).max())
    return float(np.asarray(image.convert("RGB")).max())


def _check_layout(image: ImageFile) -> None:
    """Refuse what Pillow would read as noise without a word."""
    if not isinstance(image, TiffImageFile):
        return
    if image.mode == "L" and max(_tag(image, "SampleFormat", (1,))) == 2:
        raise BrokenImageError("its values are signed 8-bit integers, which are not read")
    is_planar = _tag(image, "PlanarConfiguration", 1) == 2
    readable = ("RGB", "RGBA") if max_value(image) > MAX_8_BITS else ("RGB", "RGBA", "CMYK")
    if is_planar and _tag(image, "SamplesPerPixel", 1) > 1 and image.mode not in readable:
        raise BrokenImageError(
            f"its {image.mode} samples are stored in separate planes, which are not read: save it "
            f"with interleaved samples"
        )


def _expect_native_order(image: ImageFile) -> None:
    """Have Pillow take what libtiff decompresses in this machine's byte order, as it is."""
    image.tile = [
        tile._replace(args=(NATIVE_ORDER.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]


def _tag(image: ImageFile, name: str, default: Any) -> Any:
    """The value of a TIFF's tag; `default` for other formats."""
    tag: int = ExifTags.Base[name]
    return image.tag_v2.get(tag, default) if isinstance(image, TiffImageFile) else default


def _raw_mode(image: ImageFile) -> str | None:
    """Pillow's name for the samples of a PNG in the file."""
    return str(image.tile[0].args) if image.format == "PNG" and image.tile else None


def _colours_of_16_bits(image: ImageFile) -> NDArray[np.uint16] | None:
    """The samples (H, W, S) of a 16-bit image with several, as stored; None for other images."""
    is_png = _raw_mode(image) in PNG_COLOURS_16
    is_tiff = _tag(image, "PhotometricInterpretation", 0) == 2 and max_value(image) == MAX_16_BITS
    if image.fp is None or not (is_png or is_tiff):
        return None
    start = image.fp.tell()
    try:
        image.fp.seek(0)
        return _png_samples(image.fp.read()) if is_png else _tiff_samples(image.fp)
    except Exception:  # each decoder raises its own kinds
        # tifffile lacks some kinds of compression; Pillow reads these, with 8 of the 16 bits.
        if image.info.get("compression") == "raw":
            raise
        return None
    finally:
        image.fp.seek(start)


def _png_samples(content: bytes) -> NDArray[np.uint16]:
    from torchvision.io import ImageReadMode, decode_image  # slow to import, and rarely needed

    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    samples = decode_image(encoded, ImageReadMode.UNCHANGED)  # (S, H, W)
    return np.asarray(samples.permute(1, 2, 0))


def _tiff_samples(file: IO[bytes]) -> NDArray[np.uint16]:
    from tifffile import TiffFile, TiffPage

    page = TiffFile(file).pages[0]
    assert isinstance(page, TiffPage)
    samples = page.asarray()
    return np.moveaxis(samples, 0, -1) if page.planarconfig == 2 else samples


def _opaque(
    image: ImageFile, samples: NDArray[np.uint16], white: float | None
) -> NDArray[np.float64]:
    """16-bit samples (H, W, S) as shares of white (H, W, 1 or 3), laid over the background."""
    colours = 3 if samples.shape[2] >= 3 else 1
    shares = _shares(samples[..., :colours].astype(np.float64), image.mode, MAX_16_BITS, white)
    transparent = image.info.get("transparency")
    kind = _tag(image, "ExtraSamples", (2,))[0]  # 0: no alpha, 1: multiplied with it, 2: not
    if isinstance(transparent, tuple):
        shares[(samples == transparent).all(2)] = 1
    elif samples.shape[2] > colours and kind != 0:
        alpha = samples[..., colours : colours + 1] / MAX_16_BITS
        shares = (shares if kind == 1 else shares * alpha) + 1 - alpha
    return shares


def _shares(
    values: NDArray[np.float64], mode: str, limit: int, white: float | None
) -> NDArray[np.float64]:
    """Pixel values as shares of white, 0 to 1."""
    low, high = values.min(), values.max()
    if not (low >= 0 and (white is not None or high <= limit)):  # also catches NaN
        raise BrokenImageError(
            f"its values range from {low:g} to {high:g}, but mode {mode} is read as 0 to "
            f"{limit}: scale= sets the value that counts as white"
        )
    return np.minimum(values / (white or limit), 1)


def _as_image(shares: NDArray[np.float64]) -> Image.Image:
    """Shares of white, (H, W) or (H, W, 1 or 3), as an image."""
    levels = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[2:] == (1,) else levels)


def _upright(pixels: NDArray[np.float64], orientation: int) -> NDArray[np.float64]:
    """Turn and mirror pixels (H, W, C) as an EXIF orientation says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def _eight_bit_colours(image: Image.Image, white: float | None, limit: int) -> Image.Image:
    """Colours of 8 bits, opaque, in mode L or RGB or another that Pillow converts to these."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode in ("1", "P") or (white is not None and image.mode != "L"):
        image = image.convert("RGB")  # pixels of 1 and P cannot be interpolated
    if white is not None:
        levels = [min(255, round(level * limit / white)) for level in range(256)]
        colours = 1 if image.mode == "L" else 3
        image = image.point(levels * colours + list(range(256)) * (image.mode == "RGBA"))
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
