"""Show a network layer by layer: sizes, parameters, multiply-adds.

usage: aecli shapes [key=value ...]

Shows the network that aecli train would build from the same arguments, layer by layer, without
training it or loading images: kernel, stride, padding and output padding, the output size with its
formula filled in, parameters, and multiply-adds per image. If a layer does not fit, the layers
before it are shown.

image_size and channels, if given, replace those of any data set. figure=true also draws the network
to scale, as SVG and PNG: the image, the encoder, the bottleneck, the decoder, the output and the
loss; output=FOLDER says where.

examples:
  aecli shapes model=conv latent=25 data=cifar10
  aecli shapes model=deep image_size=64 channels=3
  aecli shapes model=conv upsample=max_unpool image_size=27x31
  aecli shapes model=conv latent=25 data=mnist figure=true
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aecli.cli.compose import compose
from aecli.cli.naming import default_name
from aecli.cli.options import pop_value
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import read_arguments
from aecli.cli.own_config import pop_config_dir
from aecli.config import ConvConfig, LayerConfig, TrainConfig, Upsampling
from aecli.config.limits import expand_user
from aecli.convolution.arithmetic import (
    conv_input_sizes,
    conv_output_size,
    kernel_extent,
    overlap_counts,
    unread_pixels,
)
from aecli.convolution.arrays import read_image_size
from aecli.errors import UsageError
from aecli.errors.text import shape_text, shortened
from aecli.files.places import OUTPUTS
from aecli.runs.file_set import check_file_set, file_set

if TYPE_CHECKING:
    from aecli.models import Layer

FIGURE = "network"  # file name, without suffix


def main(arguments: list[str]) -> None:
    """Show the network that the command line describes.

    Raises:
        UsageError: the network cannot be built; the encoder layers that fit have been shown.
    """
    wants_figure, folder = _pop_figure(arguments)
    own = pop_config_dir(arguments)
    overrides = [*own, *read_arguments(arguments)]
    check_overrides(overrides, multirun=False)
    config = compose(overrides)
    shape = _image_shape(config)

    from aecli.cli import console
    from aecli.models import MisfitError, build_outline, describe, describe_fitting

    console.facts({"model": console.describe_model(config), "images": shape_text(shape)})
    try:
        layers = describe(build_outline(config, shape))
    except MisfitError as error:
        console.shape_table(describe_fitting(config.model, config.upsample, error))
        raise
    console.shape_table(layers, shape, console.describe_loss(config))
    if isinstance(config.model, ConvConfig):
        _, height, width = shape
        sides = {"": height} if height == width else {"height, ": height, "width, ": width}
        pools = config.upsample.name is Upsampling.max_unpool
        console.bullets(_about_strides(config.model.layers, sides, pools))
    if wants_figure:
        target = Path(folder or Path(OUTPUTS, "shapes", _folder_name(config, shape)))
        check_file_set(target, [f"{FIGURE}.png", f"{FIGURE}.svg"])
        with file_set(target, [FIGURE]) as new:
            _draw(config, layers, shape, new)
        console.facts({"figure": str(target / f"{FIGURE}.svg")})


def _pop_figure(arguments: list[str]) -> tuple[bool, str | None]:
    """Remove figure=... and output=... from `arguments`; return their values.

    Raises:
        UsageError: figure is neither true nor false, or there is nothing to put into a folder.
    """
    wanted, folder = pop_value(arguments, "figure"), pop_value(arguments, "output")
    if wanted not in (None, "true", "false"):
        raise UsageError(f"figure={shortened(wanted)} is not valid: give true or false")
    if folder == "":
        raise UsageError("output= has no value: give a folder, or leave output= out")
    if folder is not None and wanted != "true":
        raise UsageError(f"output={shortened(folder)} is where a figure goes: give figure=true too")
    return wanted == "true", None if folder is None else expand_user("output", folder)


def _folder_name(config: TrainConfig, shape: tuple[int, int, int]) -> str:
    """For example `conv-z25-transposed-1x28x28`."""
    name = default_name(str(config.model.name), config.latent)
    upsampling = [config.upsample.name.value] * isinstance(config.model, ConvConfig)
    return "-".join([name, *upsampling, shape_text(shape)])


def _draw(
    config: TrainConfig, layers: list[Layer], shape: tuple[int, int, int], folder: Path
) -> None:
    """Draw the network."""
    # Imported here, so that the table need not wait for matplotlib.
    from aecli.cli.console import describe_loss, describe_model
    from aecli.figures import Stage, network_figure, save
    from aecli.models.description import stages

    drawn = [Stage(part, size, operations) for part, size, operations in stages(layers, shape)]
    figure = network_figure(describe_model(config), drawn, f"loss: {describe_loss(config)}")
    save(figure, folder / FIGURE)


def _image_shape(config: TrainConfig) -> tuple[int, int, int]:
    """Channels, height and width; those not given are taken from the data set.

    Raises:
        UsageError: one of them is invalid or unknown.
    """
    fixed, size = config.data.image_shape, config.data.image_size
    if fixed is None and (size is None or config.data.channels is None):
        raise UsageError(
            f"data={config.data.name} has no image shape of its own: give image_size=... and "
            f"channels=..."
        )
    channels, *sides = fixed or (0, 0, 0)
    height, width = sides if size is None else read_image_size(size)
    return config.data.channels or channels, height, width


def _about_strides(layers: list[LayerConfig], sides: dict[str, int], pools: bool) -> list[str]:
    """Sentences on what the strides, or the poolings that replace them, do to the sizes.

    `sides`: the beginning of each sentence -> pixels along that side of the image.
    """
    sentences = []
    for beginning, size in sides.items():
        for number, layer in enumerate(layers, start=1):
            extent = kernel_extent(layer.kernel, layer.dilation)
            settings = extent, layer.stride, layer.padding
            output = conv_output_size(size, *settings)
            if layer.stride > 1:
                others = [n for n in conv_input_sizes(output, *settings) if n > 0 and n != size]
                # The last pooling window may extend past the edge, so no pixel is unread.
                unread = 0 if pools else unread_pixels(size, *settings)
                ignored = f"the last {unread} are" if unread > 1 else "the last one is"
                counts = overlap_counts(
                    output, size, layer.kernel, layer.stride, layer.padding, layer.dilation
                )
                if counts.count(0) > unread and not pools:  # there are gaps, too
                    unread = counts.count(0)
                    ignored = f"{unread} of them are"
                sentences.append(
                    f"{beginning}layer {number}: {size} pixels become {output}"
                    + (f", as {' or '.join(map(str, others))} would" if others else "")
                    + (f"; {ignored} read by no kernel position" if unread else "")
                    + f"; the decoder goes back to {size}."
                )
            size = output
    return sentences
