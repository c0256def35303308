"""The commands of aecli, one module each.

The first line of a module's docstring is its line in `aecli --help`. The rest is printed by `aecli
COMMAND --help`, with the fields of its dataclass `Options` inserted before the examples.
`main(arguments)` runs the command. Except in `train`, which always needs torch, it imports torch
and whatever needs it only once the arguments are parsed, so that help and error messages do not
wait for it.
"""

COMMANDS = (
    "train",
    "data",
    "shapes",
    "evaluate",
    "reconstruct",
    "interpolate",
    "sample",
    "denoise",
    "superres",
    "compress",
    "probe",
    "robust",
    "anomaly",
    "export",
    "embed",
    "explore",
    "compare",
    "runs",
    "conv",
    "upsample",
    "lecture",
    "completion",
)
"""In the order of `aecli --help`."""
