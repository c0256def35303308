"""`aecli denoise`: how much of a noise trained models remove, beside the classical answers."""

from dataclasses import replace

from aecli.cli.options import DenoiseOptions, open_chosen, parse_options, some_runs


def main(arguments: list[str]) -> None:
    """Denoise with the runs that the command line names.

    Raises:
        UsageError: one is no finished run, or what is asked for makes no sense.
        DataError, StorageError: images or files that cannot be used.
    """
    options = parse_options("denoise", DenoiseOptions, arguments)
    paths = some_runs("denoise", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.denoise import denoise

    # All work on the images of the first.
    others = replace(options, images=[])
    models = [open_chosen(paths[0], options), *(open_chosen(path, others) for path in paths[1:])]
    noise = options.noise.value if options.noise else None
    denoise(models, noise, options.strengths, options.n, options.seed)
