"""Show how numbers or pictures are enlarged without training.

usage: aecli upsample input=... | images=... | data=... [key=value ...]

With input, prints the numbers of a small image and of what each method makes of it, and where they
come from: the weights of bilinear and bicubic interpolation, written out; the pooling whose maxima
max-unpooling puts back; the channels that a pixel shuffle interleaves. Draws them, and the kernels.

With images or data, enlarges pictures, side by side; and makes each smaller, enlarges it again, and
measures the error. Saves the enlarged pictures, figures (PNG and SVG) and the numbers (JSON).

examples:
  aecli upsample input=2
  aecli upsample input=4 method=bicubic b=0.3333 c=0.3333
  aecli upsample "input=[[1,2,6,3],[3,5,2,1],[1,2,2,1],[7,3,4,8]]" method=max_unpool
  aecli upsample images=photo.png factor=3 method=nearest,bicubic
"""

# Annotations are not postponed: those of `Options` are looked up, and must not be strings.
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aecli.cli import console
from aecli.cli.number_grids import MAX_DRAWN, NOT_DRAWN, number_grids
from aecli.cli.options import parse_options
from aecli.cli.upsampling import (
    Section,
    bed_of_nails_section,
    input_cells,
    interpolated,
    shuffled,
    unpooled,
)
from aecli.convolution.arrays import Array
from aecli.convolution.interpolation import BILINEAR, NEAREST, Kernel
from aecli.convolution.upsampling_options import (
    channels_to_shuffle,
    read_bicubic,
    read_factors,
    read_small_image,
)
from aecli.errors import UsageError
from aecli.errors.text import shape_text
from aecli.files.places import OUTPUTS
from aecli.runs.file_set import check_file_set, file_set

if TYPE_CHECKING:
    from aecli.analysis.pictures import Picture, Pictures, Pixels
    from aecli.analysis.upsample import Enlarge, Restored
    from aecli.runs.results import Results


class Method(Enum):
    """Ways to enlarge an image."""

    nearest = "nearest"
    bed_of_nails = "bed_of_nails"
    bilinear = "bilinear"
    bicubic = "bicubic"
    max_unpool = "max_unpool"
    pixel_shuffle = "pixel_shuffle"


DEFAULT_METHODS = [Method.nearest, Method.bed_of_nails, Method.bilinear, Method.bicubic]


@dataclass
class Options:
    """What to enlarge, and how."""

    input: str | None = None
    """A small image: a size such as 2x3 (rows x columns) or 4x2x3 (channels first), which is
    filled with 1, 2, 3, ... row by row; a list such as [[1,2,3],[4,5,6]], or with channels; or a
    file: .json, .csv, .txt (one row per line) or .npy."""

    images: list[str] = field(default_factory=list)
    """Pictures: a file, or a folder of files of any size. May be given several times."""

    data: str | None = None
    """The test images of a data set, such as mnist, instead of images."""

    method: list[Method] = field(default_factory=list)
    """One, or several with commas between; none given: nearest, bed_of_nails, bilinear and bicubic.
    With images, max_unpool only shows in the pictures that are made smaller and enlarged again."""

    factor: str | None = None
    """How many times as high and as wide, a whole number up to 8; with images also several, as in
    2,3. null: 2, or with images 2,3."""

    a: float | None = None
    """bicubic: the parameter of Keys' kernel; null: -0.75, as in torch. Keys (1981) has -0.5, which
    reproduces parabolas."""

    b: float | None = None
    """bicubic: Mitchell and Netravali's B (1988), instead of a. b=0 c=0.5 is Catmull-Rom's spline,
    b=1 c=0 the B-spline, and b=0.3333 c=0.3333 what the two recommend."""

    c: float | None = None
    """bicubic: Mitchell and Netravali's C, used with b."""

    values: str | None = None
    """max_unpool: the numbers to put back instead of the maxima, as in a decoder; a list or a file
    as for input, one number for each cell."""

    count: int = 3
    """Number of pictures to draw and to save enlarged: the first of each class, then others; errors
    are measured on all."""

    data_dir: str | None = None
    """Folder that holds the data sets; null: data, or AECLI_DATA."""

    output: str | None = None
    """Folder for the results; null: one below outputs/upsample, named after the input."""


FIGURE, KERNELS = "upsampled", "kernels"  # file names, without suffix
MEANINGS = {
    "nearest": "each pixel is repeated",
    "bed_of_nails": "each pixel in the corner of its cell, zeros elsewhere",
    "bilinear": "weighted means of the 4 nearest pixels",
    "bicubic": "sums of the 16 nearest pixels with the weights of a cubic kernel, clipped",
    "max_unpool": "made smaller by max-pooling; each maximum back in its place, zeros elsewhere",
}
"""Meanings of the methods for pictures."""


def main(arguments: list[str]) -> None:
    """Enlarge what the command line names by each method, and show how.

    Raises:
        UsageError: an option is not valid, or the image is too large.
        DataError, StorageError: images or files cannot be used.
    """
    options = parse_options("upsample", Options, arguments)
    given = [f"{key}=" for key in ("input", "images", "data") if getattr(options, key)]
    if len(given) != 1:
        raise UsageError(
            "upsample needs input=2, a small image of numbers, or images=photo.png, or data=mnist: "
            f"one of the three, not {' and '.join(given) or 'none'}"
        )
    methods = [each.name for each in dict.fromkeys(options.method or DEFAULT_METHODS)]
    factors = read_factors(options.factor or ("2" if options.input else "2,3"))
    cubic = read_bicubic(methods, a=options.a, b=options.b, c=options.c)
    kernels = {"nearest": NEAREST, "bilinear": BILINEAR, "bicubic": cubic}
    used = {method: kernels[method] for method in methods if method in kernels}
    if options.input is None:
        _enlarge_pictures(options, methods, factors, used)
    else:
        _show_numbers(options, options.input, methods, factors, used)


def _show_numbers(
    options: Options, text: str, methods: list[str], factors: list[int], kernels: dict[str, Kernel]
) -> None:
    """Print and draw what each method makes of a small image of numbers."""
    if len(factors) > 1:
        raise UsageError(f"factor={options.factor} is for pictures: with input give one number")
    if options.values is not None and "max_unpool" not in methods:
        raise UsageError("values= are the numbers that max_unpool puts back: add method=max_unpool")
    (factor,) = factors
    image = read_small_image(text, factor)
    sections = [_section(method, options, image, factor, kernels) for method in methods]
    size = shape_text(image.shape[1:])
    folder = Path(options.output or Path(OUTPUTS, "upsample", f"{size}-x{factor}"))
    is_drawn = max(image.shape[1:]) * factor <= MAX_DRAWN
    names = [FIGURE, KERNELS] if kernels else [FIGURE]
    if is_drawn:
        check_file_set(folder, [f"{name}{suffix}" for name in names for suffix in (".png", ".svg")])
    title = f"{size}, factor {factor}"
    console.facts({"upsampling": title, "parameters": "none: nothing in these methods is trained"})
    for section in sections:
        _print_section(section)
    figure = NOT_DRAWN
    if is_drawn:
        with file_set(folder, [FIGURE, KERNELS]) as target:
            _draw(title, image, sections, kernels, target)
        figure = "\n".join(str(folder / f"{name}.png") for name in names)
    console.out.print()
    console.facts({"figure": figure})


def _section(
    method: str, options: Options, image: Array, factor: int, kernels: dict[str, Kernel]
) -> Section:
    if method in kernels:
        return interpolated(image, factor, kernels[method])
    if method == "bed_of_nails":
        return bed_of_nails_section(image, factor)
    if method == "max_unpool":
        return unpooled(image, factor, options.values)
    return shuffled(channels_to_shuffle(str(options.input), image, factor), factor)


def _print_section(section: Section) -> None:
    console.out.print()
    console.out.print(section.heading, style="bold")
    console.paragraph(section.explanation)
    number_grids(*section.grids)
    console.out.print()
    console.facts(section.facts)


def _draw(
    title: str, image: Array, sections: list[Section], kernels: dict[str, Kernel], folder: Path
) -> None:
    """Draw the numbers and, of the methods that interpolate, the kernels."""
    # Imported here, so that the numbers need not wait for matplotlib.
    from aecli.figures import NumberPanel, kernel_curves, number_panels, save

    groups = [section.cells for section in sections]
    if [section.heading for section in sections] != ["pixel_shuffle"]:
        groups.insert(0, input_cells(image))
    save(
        number_panels(title, [[NumberPanel(*each) for each in group] for group in groups]),
        folder / FIGURE,
    )
    if kernels:
        curves = {kernel.name: kernel.weight for kernel in kernels.values()}
        save(kernel_curves(curves), folder / KERNELS)


def _enlarge_pictures(
    options: Options, methods: list[str], factors: list[int], kernels: dict[str, Kernel]
) -> None:
    """Enlarge pictures, restore them after shrinking them, and save the results."""
    if options.values is not None:
        raise UsageError(
            "values= are for a small image of numbers: give input=..., or leave it out"
        )

    from aecli.analysis import pictures as sources
    from aecli.analysis import upsample as analysis
    from aecli.config import default_data_dir
    from aecli.evaluation.examples import check_example_count
    from aecli.figures import kernel_curves
    from aecli.runs.results import Results
    from aecli.runtime.status import show_status

    check_example_count(options.count)
    enlarge = analysis.enlargers(methods, kernels)
    pictures: Pictures
    if options.data is None:
        pictures = sources.open_own(options.images, factors)
    else:
        data_dir = Path(options.data_dir or default_data_dir())
        pictures = sources.open_data_set(options.data, data_dir, factors)
    folder = Path(options.output or Path(OUTPUTS, "upsample", pictures.folder))
    with Results(folder, "upsample") as results:
        restored = analysis.measure(pictures.batches(), methods, enlarge, factors)
        show_status("enlarging ...")
        for picture in pictures.examples(options.count):
            _save_pictures(results, picture, methods, enlarge, factors)
        if kernels:
            curves = {kernel.name: kernel.weight for kernel in kernels.values()}
            results.figure(KERNELS, kernel_curves(curves))
        results.numbers(_numbers(restored, kernels))
    for notice in pictures.notices:
        console.warn(notice)
    console.table(_table(pictures.title, restored))
    console.facts({**{method: MEANINGS[method] for method in methods}, "results": str(folder)})


def _save_pictures(
    results: "Results",
    picture: "Picture",
    methods: list[str],
    enlarge: "dict[str, Enlarge]",
    factors: list[int],
) -> None:
    """Save the enlargements of a picture, and two figures of it."""
    import torch

    from aecli.analysis.upsample import enlarged_figure, restored_figure
    from aecli.figures import as_png

    def keep(name: str, pixels: "Pixels") -> None:
        path = PurePosixPath(picture.folder, f"{name}.png")
        results.file(str(path), as_png(torch.from_numpy(pixels)))

    if enlarge:
        title = f"{picture.title}, enlarged"
        figure = enlarged_figure(title, picture, enlarge, factors, keep)
        results.figure(str(PurePosixPath(picture.folder, "enlarged")), figure)
    title = f"{picture.title}, made smaller and enlarged again"
    figure = restored_figure(title, picture, methods, enlarge, factors)
    results.figure(str(PurePosixPath(picture.folder, "restored")), figure)


def _numbers(restored: list["Restored"], kernels: dict[str, Kernel]) -> dict[str, Any]:
    """The mse and psnr of each method and factor at the top level, then everything."""
    return {
        **{f"mse_{each.method}_x{each.factor}": each.mse for each in restored},
        **{f"psnr_{each.method}_x{each.factor}": each.psnr for each in restored},
        "n": restored[0].n,
        "kernels": {method: kernel.name for method, kernel in kernels.items()},
        "restored": [asdict(each) for each in restored],
    }


def _table(title: str, restored: list["Restored"]) -> Table:
    """A row for each factor and method: the error of pictures that were made smaller before."""
    n, has_intervals = restored[0].n, restored[0].interval is not None
    table = console.new_table(f"{title}, made smaller and enlarged again (n = {n:,})")
    for heading in ("factor", "method"):
        table.add_column(heading, no_wrap=True)
    for heading in ("mse", *(["95 % interval"] if has_intervals else []), "psnr (dB)"):
        table.add_column(heading, justify="right")
    for factor in dict.fromkeys(each.factor for each in restored):
        table.add_section()
        for each in (each for each in restored if each.factor == factor):
            low_high = [f"{low:.6f} to {high:.6f}" for low, high in filter(None, [each.interval])]
            cells = [f"{each.mse:.6f}", *low_high, f"{each.psnr:.2f}"]
            table.add_row(str(factor), each.method, *cells)
    return table
