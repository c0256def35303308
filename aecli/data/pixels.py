"""From an image as Pillow opens it to upright 8-bit pixels without transparency.

Pillow keeps only the upper byte of 16-bit colours, and ignores some tags of a TIFF. So the lower
byte is read here, and these tags are respected or refused.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

# Without libtiff, Pillow reads 16-bit colours in separate planes as if they had 8 bits.
TiffImagePlugin.READ_LIBTIFF = True

# Largest value of the modes with more than 8 bits. Pillow does not have a mode for every type: it
# reads some 16-bit files as 32-bit integers; floats are assumed to be pixels in [0, 1].
MAX_VALUES = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
MAX_16_BITS, MAX_12_BITS, MAX_8_BITS = 65535, 4095, 255
GREY_MODES = {"1", "L", "LA", "La", *MAX_VALUES}
NOT_PLANAR = ": save it with interleaved samples"
BACKGROUND = "white"  # for transparent images
# Pillow's names for big-endian samples, and for the same in this machine's order.
NATIVE_ORDER = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
# Unpacked in the other byte order, the lower half of 16 bits stands for the upper one.
OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


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
    _check_layout(image, white)
    colours = _colours_of_16_bits(image)
    if colours is not None:
        opaque = _as_image(_opaque(image, colours, white))
        if image.format != "TIFF":  # Pillow has turned these
            opaque.getexif().update(image.getexif())
        return ImageOps.exif_transpose(opaque)
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
    if image.mode in MAX_VALUES:
        return (
            MAX_12_BITS if _tag(image, "BitsPerSample", (0,)) == (12,) else MAX_VALUES[image.mode]
        )
    return MAX_16_BITS if ";16" in _raw_mode(image) else MAX_8_BITS


def largest_value(image: ImageFile) -> float:
    """The largest value of all pixels and colours, before any scaling."""
    colours = _colours_of_16_bits(image)
    if colours is not None:
        return float(colours[..., :3].max())
    if image.mode in MAX_VALUES:
        _expect_native_order(image)
        return float(np.asarray(image).max())
    return float(np.asarray(image.convert("RGB")).max())


def _check_layout(image: ImageFile, white: float | None) -> None:
    """Refuse what Pillow would silently read as noise."""
    if image.mode == "L" and max(_tag(image, "SampleFormat", (1,))) == 2:
        raise BrokenImageError("its values are signed 8-bit integers, which are not read")
    if _tag(image, "PlanarConfiguration", 1) == 1 or _tag(image, "SamplesPerPixel", 1) == 1:
        return
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        raise BrokenImageError(f"its {image.mode} samples are in separate planes{NOT_PLANAR}")
    if white is not None and max_value(image) > MAX_8_BITS:
        raise BrokenImageError(f"its 16-bit planes cannot be read with scale={white:g}{NOT_PLANAR}")


def _expect_native_order(image: ImageFile) -> None:
    """Have Pillow take what libtiff decompresses in this machine's byte order without swapping
    bytes."""
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


def _raw_mode(image: ImageFile) -> str:
    """Pillow's name for how the samples are stored in the file, such as `RGB;16B`."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _colours_of_16_bits(image: ImageFile) -> NDArray[np.uint16] | None:
    """The samples (H, W, S) of a 16-bit image with several, as stored; None for other images."""
    samples, separator, order = _raw_mode(image).partition(";16")
    if not separator or samples not in ("RGB", "RGBX", "RGBA", "RGBa", "LA"):
        return None
    if samples == "LA":  # of as many bytes as RGBA
        halves = _unpacked(image, "RGBA")
        return _joined(halves[..., ::2], halves[..., 1::2])
    samples = samples.upper()  # RGBa, by which Pillow divides
    upper = _unpacked(image, f"{samples};16{order}")
    if _tag(image, "PlanarConfiguration", 1) == 2:  # then Pillow ignores the order
        return _joined(upper, upper)
    return _joined(upper, _unpacked(image, f"{samples};16{OTHER_ORDER[order]}"))


def _joined(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return upper.astype(np.uint16) * np.uint16(256) + lower


def _unpacked(image: ImageFile, raw_mode: str) -> NDArray[np.uint8]:
    """Decode the file of `image` once more, with its samples unpacked as `raw_mode`."""
    assert image.fp is not None and image.format is not None
    start = image.fp.tell()
    image.fp.seek(0)
    again = Image.open(image.fp, formats=[image.format])
    arguments = again.tile[0].args
    if isinstance(arguments, tuple):
        again.tile = [again.tile[0]._replace(args=(raw_mode, *arguments[1:]))]
    else:
        again.tile = [again.tile[0]._replace(args=raw_mode)]
    pixels = np.asarray(again)
    image.fp.seek(start)
    return pixels


def _opaque(
    image: ImageFile, samples: NDArray[np.uint16], white: float | None
) -> NDArray[np.float64]:
    """16-bit samples (H, W, S) as shares of white (H, W, 1 or 3), over the background."""
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
