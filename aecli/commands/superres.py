"""`aecli superres`: images at a higher resolution, beside bicubic interpolation."""

from aecli.options import SuperresOptions, one_run, parse_options


def main(arguments: list[str]) -> None:
    """Raise the resolution of images with the run that the command line names.

    Raises:
        UsageError: it is no finished run, or none that was trained for this.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("superres", SuperresOptions, arguments)
    path = one_run("superres", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.trained import open_run
    from aecli.uses.superres import superres

    superres(open_run(path, options), options.count)
