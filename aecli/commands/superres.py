"""`aecli superres`: images at a higher resolution, beside bicubic interpolation."""

from aecli.cli.options import SuperresOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Raise the resolution of images with the run that the command line names.

    Raises:
        UsageError: it is no finished run, or none that was trained for this.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("superres", SuperresOptions, arguments)
    path = one_run("superres", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.superres import superres

    superres(open_chosen(path, options), options.count)
