"""`aecli interpolate`: ways between images through latent space, beside pixel space."""

from aecli.cli.options import InterpolateOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Interpolate between test images of the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("interpolate", InterpolateOptions, arguments)
    path = one_run("interpolate", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.interpolate import interpolate

    trained = open_chosen(path, options)
    interpolate(trained, options.pairs, options.n, options.steps, options.seed, options.spherical)
