"""Compression in bits: rate against error, for networks, PCA, JPEG and PNG."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.analysis.subset import draw, image_count
from aecli.baselines.codecs import SUPPORTED_CHANNELS, Encoded, as_jpeg, as_png
from aecli.baselines.pca import pca_of
from aecli.comparison.significance import MIN_IMAGES, TOO_FEW, bootstrap_over_images
from aecli.config import Upsampling
from aecli.config.limits import read_integers
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.errors.text import distinct, listed
from aecli.evaluation.metrics import EVALUATION_BATCH, image_mse, psnr
from aecli.figures import RateCurve, Row, image_grid, rate_distortion
from aecli.latent.quantisation import MAX_BITS, Quantiser
from aecli.runs.trained import Trained

QUALITIES = (1, 5, 10, 20, 30, 50, 75, 90, 95)
"""JPEG qualities; above 95 only the file size grows."""
JPEG, PNG = "JPEG", "PNG"
DEFAULT_IMAGES, MAX_VALUES = 1000, 2**23  # fewer than so many if they have more values than this
SHOWN = 10  # images in the figure


@dataclass(frozen=True)
class Rate:
    """One way to store the images: how many bits they take, and how much is lost."""

    number: int
    """The setting of the method: bits per number of a code, or a quality."""
    stored_bits: float
    """Per image: of the packed codes, or of a whole file."""
    coded_bits: float
    """Per image: of the entropy-coded codes, at best, or of a file without headers and tables."""
    errors: Tensor
    """The mse of each image, (N,)."""
    outputs: Tensor
    """The first images, (K, C, H, W) in [0, 1]."""

    @property
    def mse(self) -> float:
        return self.errors.mean().item()

    @property
    def psnr(self) -> float:
        """In dB; infinite if nothing is lost."""
        return psnr(self.mse)


@dataclass(frozen=True)
class Compressed:
    """The images, and every way to store them."""

    originals: Tensor  # (K, C, H, W): the first images, in [0, 1]
    pixels: int
    """In an image, C x H x W."""
    count: int
    """The number of images."""
    bits: list[int]
    """Per number of a code."""
    rates: dict[str, list[Rate]]
    """Method -> its settings by increasing size."""
    models: dict[str, str]
    """Methods that are networks -> PCA with the same code size."""


class _Codec(NamedTuple):
    """An encoder, and the decoder that turns its codes into images."""

    encode: Callable[[Tensor], Tensor]  # uint8 images (N, C, H, W) -> codes (N, D)
    decode: Callable[[Tensor], Tensor]  # codes (B, D) -> pixels (B, C, H, W)


def read_bits(text: str) -> list[int]:
    """`2,4,6,8` as ascending numbers of bits without duplicates.

    Raises:
        UsageError: they are not whole numbers from 1 to `MAX_BITS`.
    """
    return read_integers("bits", text, MAX_BITS, "2,4,6,8")


def check_codes(models: list[Trained]) -> None:
    """Check that the decoders need nothing but the code.

    Raises:
        UsageError: one of them does not.
    """
    for model in models:
        if model.config.upsample.name is Upsampling.max_unpool:
            raise UsageError(
                f"the decoder of {model.run.path} also needs the positions of the maxima, which "
                f"are not in the code: give a run without upsample=max_unpool"
            )


def method_count(models: list[Trained], bits: list[int]) -> int:
    """How many settings `compress` measures."""
    channels = models[0].model.image_shape[0]
    files = len(QUALITIES) + 1 if channels in SUPPORTED_CHANNELS else 0
    return 2 * len(models) * len(bits) + files


@torch.inference_mode()
def compress(
    models: list[Trained],
    bits: list[int],
    n: int | None,
    seed: int,
    on_setting_end: Callable[[], None] = lambda: None,
) -> Compressed:
    """Store images of the first model by all models, by PCA of the same sizes, as JPEG and as PNG.

    Args:
        models: runs on the same images.
        bits: bits per number of a code.
        n: number of images; None for `DEFAULT_IMAGES`, or fewer if they are large.
        seed: for drawing them.
        on_setting_end: called when a setting has been measured.

    Raises:
        UsageError: `n` is less than 1.
        DataError: the images are not those of the run.
    """
    test = models[0].data().test
    images = draw(test, image_count(n, test, DEFAULT_IMAGES, MAX_VALUES), seed).images
    names = {
        name: f"PCA, {model.config.latent} components"
        for name, model in zip(model_names(models), models, strict=True)
    }
    rates: dict[str, list[Rate]] = {}
    for (name, pca_name), model in zip(names.items(), models, strict=True):
        train = model.data().train.images
        codecs = {name: _Codec(model.codes, model.decode), pca_name: _pca_codec(model)}
        for method, codec in codecs.items():
            rates[method] = []
            training_codes, codes = codec.encode(train), codec.encode(images)
            for each in bits:
                quantiser = Quantiser.fit(training_codes, each)
                rates[method].append(_rate_of_codes(images, codes, codec.decode, quantiser, each))
                on_setting_end()
    if images.shape[1] in SUPPORTED_CHANNELS:
        rates[JPEG] = []
        for quality in QUALITIES:
            rates[JPEG].append(_rate_of_files(images, as_jpeg(images, quality), quality))
            on_setting_end()
        rates[PNG] = [_rate_of_files(images, as_png(images), 0)]
        on_setting_end()
    shown = to_pixels(images[:SHOWN])
    return Compressed(shown, images[0].numel(), len(images), bits, rates, names)


def model_names(models: list[Trained]) -> list[str]:
    """Distinct names of the models."""
    return distinct([model.config.name for model in models])


def _pca_codec(model: Trained) -> _Codec:
    """PCA with as many components as the model's code has numbers."""
    pca, latent = pca_of(model.data().train, model.config.latent), model.config.latent
    shape = model.model.image_shape
    return _Codec(
        lambda images: pca.codes(images, latent),
        lambda codes: pca.decode(codes).reshape(-1, *shape),
    )


def _rate_of_codes(
    images: Tensor,
    codes: Tensor,
    decode: Callable[[Tensor], Tensor],
    quantiser: Quantiser,
    bits: int,
) -> Rate:
    """Store uint8 `images` (N, C, H, W) as their quantised `codes` (N, D)."""
    levels = quantiser.quantise(codes)
    batches = quantiser.restore(levels).split(EVALUATION_BATCH)
    outputs = torch.cat([decode(batch) for batch in batches])
    coded = quantiser.entropy_coded_bits(levels).mean().item()
    return _rate(images, outputs, bits, float(bits * codes.shape[1]), coded)


def _rate_of_files(images: Tensor, encoded: Encoded, number: int) -> Rate:
    stored, coded = (each.mean().item() for each in (encoded.file_bits, encoded.data_bits))
    return _rate(images, to_pixels(encoded.images), number, stored, coded)


def _rate(images: Tensor, outputs: Tensor, number: int, stored: float, coded: float) -> Rate:
    errors = image_mse(to_pixels(images), outputs).cpu().double()
    return Rate(number, stored, coded, errors, outputs[:SHOWN])


def findings(result: Compressed) -> list[str]:
    """For each model, a sentence on JPEG and one on PCA: where one of them takes fewer bits and
    has a lower error."""
    if result.count < MIN_IMAGES:
        return [TOO_FEW]
    sentences = []
    for name, pca in result.models.items():
        for other in (JPEG, pca):
            if other in result.rates:
                ours, theirs = result.rates[name], result.rates[other]
                sentences.append(
                    f"{name} takes fewer bits and has a lower mse than {other} "
                    f"{_settings(other, beaten(ours, theirs))}; the reverse holds "
                    f"{_settings(name, beaten(theirs, ours))}"
                )
    return sentences


def beaten(ours: list[Rate], theirs: list[Rate]) -> list[int]:
    """The settings of `theirs` that take more coded bits than one of `ours` whose mse is lower,
    with 95 % confidence over the images."""
    found = []
    for rate in theirs:
        smaller = [each.errors - rate.errors for each in ours if each.coded_bits < rate.coded_bits]
        if smaller and any(each.is_lower for each in bootstrap_over_images(torch.stack(smaller))):
            found.append(rate.number)
    return found


def _settings(method: str, numbers: list[int]) -> str:
    """Settings of a method in a sentence."""
    if not numbers:
        return "at no setting"
    return (
        f"at quality {listed(numbers)}" if method == JPEG else f"at {listed(numbers)} bits a number"
    )


def rates_figure(title: str, result: Compressed) -> Figure:
    """The psnr of every method by the bits that it takes."""
    curves = []
    for name, pca in result.models.items():
        for method in (name, pca):
            rates = result.rates[method]
            marks = [str(rate.number) for rate in rates] if method == name else []
            curves.append(_curve(method, rates, False, marks, name, is_baseline=method == pca))
    if JPEG in result.rates:
        curves.append(_curve(f"{JPEG} without headers", result.rates[JPEG], False, []))
        curves.append(_curve(f"{JPEG} files", result.rates[JPEG], True, []))
    lossless = {}
    for rate in result.rates.get(PNG, []):
        lossless = {f"{PNG} without headers": rate.coded_bits, f"{PNG} files": rate.stored_bits}
    return rate_distortion(title, curves, lossless, result.pixels)


def _curve(
    label: str,
    rates: list[Rate],
    is_stored: bool,
    marks: list[str],
    model: str | None = None,
    is_baseline: bool = False,
) -> RateCurve:
    """The settings with an error; what loses nothing has no psnr."""
    kept = [rate for rate in rates if rate.mse > 0]
    bits = [rate.stored_bits if is_stored else rate.coded_bits for rate in kept]
    return RateCurve(label, bits, [rate.psnr for rate in kept], marks, model, is_baseline)


def images_figure(title: str, result: Compressed) -> Figure:
    """Images at about the same size in bits: the models and PCA at the middle number of bits, and
    for each model the JPEG that comes closest to it in bits."""
    rows, nearest = [Row("original", result.originals)], {}
    for name, pca in result.models.items():
        for method in (name, pca):
            rate = result.rates[method][(len(result.bits) - 1) // 2]
            rows.append(_row(f"{method}, {rate.number} bits a number", rate, result))
            if method == name and JPEG in result.rates:
                jpeg = min(result.rates[JPEG], key=partial(_distance, rate))
                nearest[jpeg.number] = jpeg
    for quality, jpeg in sorted(nearest.items()):
        rows.append(_row(f"{JPEG}, quality {quality}", jpeg, result))
    return image_grid(f"{title}, psnr of each in dB", rows)


def _distance(first: Rate, second: Rate) -> float:
    return abs(first.coded_bits - second.coded_bits)


def _row(method: str, rate: Rate, result: Compressed) -> Row:
    errors = image_mse(result.originals, rate.outputs).tolist()
    captions = ["exact" if error == 0 else f"{psnr(error):.1f}" for error in errors]
    return Row(f"{method}: {rate.coded_bits:,.0f} bits", rate.outputs, captions=captions)


def as_json(result: Compressed) -> dict[str, Any]:
    """The rates of every method, and what they support."""
    methods = {
        name: [
            {
                "number": rate.number,
                "stored_bits": rate.stored_bits,
                "coded_bits": rate.coded_bits,
                "bits_per_pixel": rate.coded_bits / result.pixels,
                "mse": rate.mse,
                "psnr": rate.psnr,
            }
            for rate in rates
        ]
        for name, rates in result.rates.items()
    }
    first = result.rates[next(iter(result.models))]
    flat: dict[str, Any] = {f"coded_bits_{rate.number}": rate.coded_bits for rate in first}
    flat |= {f"psnr_{rate.number}": rate.psnr for rate in first}
    return {**flat, "n": result.count, "methods": methods, "findings": findings(result)}
