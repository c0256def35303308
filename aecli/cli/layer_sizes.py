"""The output sizes of many convolutions and transposed convolutions in a table."""

import re
from dataclasses import fields, replace
from itertools import product
from typing import Any, ClassVar, Protocol

from rich.text import Text

from aecli.cli.console import facts, table
from aecli.cli.tables import new_table
from aecli.convolution.arithmetic import CONV_FORMULA, EXTENT_FORMULA, TRANSPOSED_FORMULA
from aecli.convolution.layer import LayerText, read_settings
from aecli.convolution.settings import MIN_VALUES, EmptyOutputError
from aecli.errors import UsageError
from aecli.errors.text import shape_text

KEYS = ("input", *MIN_VALUES)
TAKEN = {*KEYS, "dims", "torch", "output"}
"""The options that have a place in a table of sizes; the others would have no effect."""
MAX_ROWS = 64


class LayerOptions(LayerText, Protocol):
    """The options of `aecli conv`: a dataclass that describes a layer."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def has_several(options: LayerOptions) -> bool:
    """Whether one of the sizes in the options of `aecli conv` is a list, such as 0,1,2."""
    return bool(_several(options))


def _several(options: LayerOptions) -> dict[str, list[str]]:
    """Key -> its values, of the keys that have several."""
    texts = {key: getattr(options, key) or "" for key in KEYS}
    return {
        key: text.split(",")
        for key, text in texts.items()
        if re.fullmatch(r"[0-9x]*(,[0-9x]*)+", text)
    }


def print_sizes(options: LayerOptions) -> None:
    """Print the sizes of every combination of the values, in both directions.

    Raises:
        UsageError: a layer is invalid, or there are too many.
    """
    for key in (each.name for each in fields(options) if each.name not in TAKEN):
        value, default = getattr(options, key), getattr(type(options), key)
        if value != default:
            raise UsageError(
                f"several sizes give a table of sizes, in both directions and without numbers: "
                f"leave {key} out"
            )
    several = _several(options)
    chosen = product(*several.values())
    combinations = [dict(zip(several, values, strict=True)) for values in chosen]
    if len(combinations) > MAX_ROWS:
        raise UsageError(
            f"these are {len(combinations)} layers, and a table has {MAX_ROWS} at most: give fewer "
            "sizes"
        )
    content = new_table("")
    content.title = None
    for heading in ("", "convolution", "transposed convolution"):
        content.add_column(heading)
    for values in combinations:
        layer = replace(options, **values)
        forth = replace(layer, transposed=False, output_padding="0")
        back = replace(layer, transposed=True)
        name = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())
        content.add_row(Text(name), Text(_sizes(forth)), Text(_sizes(back)))
    formulas = {"convolution": CONV_FORMULA, "transposed": TRANSPOSED_FORMULA}
    if options.dilation != "1":
        formulas = {key: text.replace("kernel", "extent") for key, text in formulas.items()}
        formulas["extent"] = EXTENT_FORMULA
    facts(formulas)
    table(content)
    facts({"figure": "none: sizes are not drawn"})


def _sizes(options: LayerText) -> str:
    """As in `5x5 to 3x3`."""
    settings, size = read_settings(options)
    try:
        return f"{shape_text(size)} to {shape_text(settings.output_size(size))}"
    except EmptyOutputError:
        return "nothing is left"
