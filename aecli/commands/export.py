"""`aecli export`: a trained network in files that need no aecli."""

from aecli.cli.options import ExportOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Export the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense or cannot be had.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("export", ExportOptions, arguments)
    path = one_run("export", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.export import export

    trained = open_chosen(path, options)
    export(trained, options.format, options.part)
