"""`aecli shapes`: a network layer by layer, without training it and without images."""

from aecli.arithmetic import conv_input_sizes, conv_output_size, unread_pixels
from aecli.arrays import read_sizes
from aecli.composition import check_overrides, compose
from aecli.config import ConvConfig, LayerConfig, TrainConfig, Upsampling
from aecli.errors import UsageError
from aecli.options import taken_out


def main(arguments: list[str]) -> None:
    """Show the network that the command line describes.

    Raises:
        UsageError: there is no such network; what fits of its encoder has been shown.
    """
    overrides = list(arguments)
    size, channels = taken_out(overrides, "image_size"), taken_out(overrides, "channels")
    check_overrides(overrides, multirun=False)
    config = compose(overrides)
    shape = _image_shape(config, size, channels)

    # A mistake in the line is told without waiting for torch.
    import torch

    from aecli import console
    from aecli.models import MisfitError, build_model, describe, describe_fitting

    console.facts({"model": console.describe_model(config), "images": "x".join(map(str, shape))})
    try:
        with torch.device("meta"):  # no memory, no arithmetic: shapes alone
            layers = describe(build_model(config.model, config.upsample, shape))
    except MisfitError as error:
        console.shape_table(describe_fitting(config.model, config.upsample, error))
        raise
    console.shape_table(layers)
    if isinstance(config.model, ConvConfig):
        _, height, width = shape
        sides = {"": height} if height == width else {"height, ": height, "width, ": width}
        pools = config.upsample.name is Upsampling.max_unpool
        console.bullets(_about_strides(config.model.layers, sides, pools))


def _image_shape(
    config: TrainConfig, image_size: str | None, channels: str | None
) -> tuple[int, int, int]:
    """Channels, height and width: those of the data set where they are not given.

    Raises:
        UsageError: one of them is not valid, or not known.
    """
    own = config.data.image_shape
    if own is None and (image_size is None or channels is None):
        raise UsageError(
            f"data={config.data.name} has no shape of its own: give image_size=... and channels=..."
        )
    number, *sides = own or (0, 0, 0)
    if channels is not None:
        number = _whole("channels", channels)
    height, width = sides if image_size is None else read_sizes("image_size", image_size)
    if min(height, width) < 1:
        raise UsageError(f"image_size={image_size} is not valid: give at least one pixel")
    return number, height, width


def _whole(key: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{key}={text} is not valid: give a whole number of at least 1")
    return int(text)


def _about_strides(layers: list[LayerConfig], sides: dict[str, int], pools: bool) -> list[str]:
    """What the strides, or poolings in their place, do to sizes that they do not divide.

    `sides`: the beginning of the sentences -> pixels along that side of the image.
    """
    sentences = []
    for beginning, size in sides.items():
        for number, layer in enumerate(layers, start=1):
            settings = layer.kernel, layer.stride, layer.padding
            output = conv_output_size(size, *settings)
            if layer.stride > 1:
                others = [n for n in conv_input_sizes(output, *settings) if n > 0 and n != size]
                # The last cell of a pooling may hang over, so that nothing is left out.
                unread = 0 if pools else unread_pixels(size, *settings)
                left_out = f"the last {unread} are" if unread > 1 else "the last one is"
                sentences.append(
                    f"{beginning}layer {number}: {size} pixels become {output}"
                    + (f", as {' or '.join(map(str, others))} would" if others else "")
                    + (f"; {left_out} read by no kernel position" if unread else "")
                    + f"; the decoder goes back to {size}."
                )
            size = output
    return sentences
